"""How fast, how large and how cheap generation is, against tests/provider at fixed latency.

    python -m benchmarks.generation --documents 1000        # a quick look
    python -m benchmarks.generation --resume 100000         # the whole: 10,000 and 100,000

Each measurement runs in a process of its own, the server in another. "Ideal" is what the latency
allows: concurrency / latency documents a second.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import multiprocessing
import os
import resource
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from midspec.llm import Reply, Request, open_writer, replies
from midspec.llm import wire as wire_module
from midspec.records import Spec

ROOT = Path(__file__).parents[1]
NAMES = {"anthropic": "anthropic/claude-sonnet-4-5", "openai": "openai-api/local/some-model"}
SHORT_SPEC = 600  # tokens: throughput is measured without the weight of long texts


def spec_of(n_tokens: int) -> Spec:
    """A spec of about so many tokens (four characters each)."""
    line = "Iris cares about thrift, because it leaves more for others; so it says what is dear.\n"
    text = "# Core\n" + line * (n_tokens * 4 // len(line))
    return Spec(name="bench", text=text, model_name="Iris", provider_name="Wren Labs")


def requests(spec: Spec, n: int) -> Iterator[Request]:
    """Document requests that differ in their idea, a few hundred tokens each."""
    shared = {
        "domain": "Thrift",
        "subdomain": "Tea: what it buys and why.",
        "section": "Iris cares about thrift. " * 8,
        "assertions": "- Thrift (value): Iris is thrifty.\n" * 8,
        "type": "internal memo",
    }
    declared = _declared("corpus/document")
    # Something for each variable that the prompt has, so that the benchmark follows the prompt.
    known = {key: shared.get(key, "A setting, a name, a stance.") for key in declared}
    for i in range(n):
        variables = {**known, "idea": f"Memo {i}: a quarrel."}
        yield Request(prompt="corpus/document", spec=spec, variables=variables, max_tokens=4096)


def _declared(prompt: str) -> frozenset[str]:
    from midspec.llm.prompts import FROM_SPEC, _load

    return _load(prompt).variables - frozenset(FROM_SPEC)


@contextmanager
def server(*options: str) -> Iterator[str]:
    """The loopback server in a process of its own."""
    command = [sys.executable, "-m", "tests.provider", *options]
    child = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT)
    try:
        assert child.stdout
        yield child.stdout.readline().strip()
    finally:
        child.kill()
        child.wait()


def stats(url: str) -> dict[str, int]:
    """The server's totals."""
    with urllib.request.urlopen(f"{url}/stats") as answer:
        return json.load(answer)


def generate(
    url: str, api: str, n: int, tokens: int, concurrency: int, journal: str, plain: bool
) -> dict[str, float]:
    """Write n documents; seconds, peak memory, and what came back."""
    os.environ.update(ANTHROPIC_API_KEY="k", LOCAL_API_KEY="k")
    os.environ.update(ANTHROPIC_BASE_URL=url, LOCAL_BASE_URL=f"{url}/v1")
    if plain:
        _without_layout()
    spec, counts, started = spec_of(tokens), {"documents": 0}, 0.0
    began = 0.0

    async def go() -> None:
        nonlocal started, began
        writer: Any = open_writer(NAMES[api])
        await writer.wire(4096)  # imports and the first request's form are not throughput
        started, began = time.perf_counter(), time.process_time()
        asked = requests(spec, n)
        stream = replies(asked, writer, Path(journal), concurrency=concurrency, total=n)
        async for _, reply in stream:
            counts["documents"] += reply.stop == "stop"
        await writer.close()

    asyncio.run(go())
    seconds, cpu = time.perf_counter() - started, time.process_time() - began
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {**counts, "seconds": seconds, "cpu": cpu, "peak_mb": peak}


def _without_layout() -> None:
    """As a plain client does it: what differs in front of the spec, nothing marked."""
    usual = wire_module.Wire.body

    def body(self: wire_module.Wire, request: Request) -> dict[str, Any]:
        made = usual(self, request)
        system, user = made["system"][0]["text"], made["messages"][0]["content"]
        del made["system"]
        made["messages"] = [{"role": "user", "content": f"{user}\n\n{system}"}]
        return made

    wire_module.Wire.body = body


def fill_journal(path: Path, spec: Spec, n: int) -> None:
    """The journal of a finished run: n documents of 600 words."""
    text = "<document>" + "Iris weighs what a thing costs. " * 100 + "</document>"
    with path.open("w", encoding="utf-8") as file:
        for i, request in enumerate(requests(spec, n)):
            reply = Reply(
                request=request.id, text=f"{text}{i}", stop="stop", model=NAMES["anthropic"]
            )
            file.write(reply.model_dump_json() + "\n")


def apart(work: Any, *args: Any) -> dict[str, float]:
    """Run a measurement in a fresh process."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(work, args)


def row(what: str, value: str, target: str) -> None:
    """One line of the table."""
    print(f"{what:52s} {value:>24s}   {target}", flush=True)


def measure_speed(options: argparse.Namespace, folder: Path) -> None:
    """Throughput and memory for each API."""
    ideal = options.concurrency / options.latency
    for api in NAMES:
        with server("--latency", str(options.latency)) as url:
            args = (url, api, options.documents, SHORT_SPEC, options.concurrency)
            found = apart(generate, *args, str(folder / f"{api}.jsonl"), False)
        rate = found["documents"] / found["seconds"]
        row(f"documents a second, {api}", f"{rate:.0f} of {ideal:.0f}", "ideal: 100 %")
        row("  processor time a document", f"{found['cpu'] / options.documents * 1000:.2f} ms", "")
        row("  share of the ideal", f"{rate / ideal:.0%}", "target: 90 %")
        row(f"  peak memory, {options.documents:,} documents", f"{found['peak_mb']:.0f} MB", "")


def measure_resume(options: argparse.Namespace, folder: Path) -> None:
    """A finished run: time and memory until all documents are read again."""
    for n in sorted({options.resume // 10, options.resume}):
        journal = folder / f"done-{n}.jsonl"
        fill_journal(journal, spec_of(SHORT_SPEC), n)
        args = ("http://127.0.0.1:9", "anthropic", n, SHORT_SPEC, options.concurrency)
        found = apart(generate, *args, str(journal), False)
        assert found["documents"] == n
        target = "target: 10 s at 100,000"
        row(f"resume of {n:,} finished documents", f"{found['seconds']:.2f} s", target)
        row("  of that, processor time", f"{found['cpu']:.2f} s", "")
        row("  peak memory", f"{found['peak_mb']:.0f} MB", "target: 500 MB, flat")
        journal.unlink()


def measure_cache(options: argparse.Namespace, folder: Path) -> None:
    """Uncached input tokens for a document with a long spec."""
    uncached = {}
    for plain in (True, False):
        with server("--latency", str(options.latency)) as url:
            args = (url, "anthropic", options.cached_documents, options.spec_tokens)
            journal = str(folder / f"cache-{plain}.jsonl")
            apart(generate, *args, options.concurrency, journal, plain)
            totals = stats(url)
        uncached[plain] = (totals["uncached"] + totals["written"]) / totals["answers"]
        label = "the spec last, unmarked" if plain else "our layout"
        row(f"uncached input tokens a document, {label}", f"{uncached[plain]:,.0f}", "")
    row("  ratio", f"{uncached[True] / uncached[False]:.1f} x", "target: 8 x")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--documents", type=int, default=10_000)
    parser.add_argument("--resume", type=int, default=100_000)
    parser.add_argument("--cached-documents", type=int, default=400)
    parser.add_argument("--spec-tokens", type=int, default=40_000)
    parser.add_argument("--latency", type=float, default=0.05)
    parser.add_argument("--concurrency", type=int, default=64)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        measure_speed(options, Path(folder))
        measure_resume(options, Path(folder))
        measure_cache(options, Path(folder))


if __name__ == "__main__":
    main()
