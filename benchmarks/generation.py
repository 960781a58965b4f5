"""How fast, how large and how cheap generation is, against tests/provider at fixed latency.

    python -m benchmarks.generation --documents 1000 --resume 5000      # a quick look
    python -m benchmarks.generation                                   # the whole, about 7 minutes

Each measurement runs in a process of its own, the server in another. "Ideal" is what the latency
allows: concurrency / latency documents a second. "Bare client" is what aiohttp alone reaches
against the same server with a body of the same size: what the machine allows. For speed the
server is the lean one, which costs less processor time than any client; for the cache, the whole.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import multiprocessing
import os
import resource
import statistics
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
from midspec.llm.running import run_until_done
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


def bare(url: str, n: int, concurrency: int) -> dict[str, float]:
    """The same calls by aiohttp alone, with no journal and nothing read from the replies."""
    import aiohttp

    body = json.dumps({"text": "x" * 8_000}).encode()

    async def go() -> float:
        connector = aiohttp.TCPConnector(limit=0)
        places, started = iter(range(n)), time.perf_counter()
        async with aiohttp.ClientSession(connector=connector) as session:

            async def work() -> None:
                for _ in places:
                    async with session.post(f"{url}/v1/messages", data=body) as answer:
                        await answer.read()

            await asyncio.gather(*(work() for _ in range(concurrency)))
        return time.perf_counter() - started

    return {"documents": n, "seconds": asyncio.run(go())}


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

    run_until_done(go())
    seconds, cpu = time.perf_counter() - started, time.process_time() - began
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {**counts, "seconds": seconds, "cpu": cpu, "peak_mb": peak}


def _without_layout() -> None:
    """As a plain client does it: what differs in front of the spec, nothing marked."""
    usual = wire_module.Wire.body

    def body(self: wire_module.Wire, request: Request) -> bytes:
        made = json.loads(usual(self, request))
        system, user = made["system"][0]["text"], made["messages"][0]["content"]
        del made["system"]
        made["messages"] = [{"role": "user", "content": f"{user}\n\n{system}"}]
        return wire_module.to_json(made).encode()

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


def row(what: str, measured: str, target: str = "", met: bool | None = None) -> None:
    """One line of the table."""
    verdict = "" if met is None else "met" if met else "NOT MET"
    print(f"{what:56s} {measured:>18s}   {target:12s} {verdict}".rstrip(), flush=True)


def measure_speed(options: argparse.Namespace, folder: Path) -> None:
    """Throughput for each API, beside the ideal and a bare client: medians of the repeats."""
    n, ideal = options.documents, options.concurrency / options.latency
    row(f"ideal, {options.concurrency} at once, {options.latency:g} s", f"{ideal:.0f} a second")
    for api in NAMES:
        pairs = [_speed(options, api, folder / f"{api}-{i}.jsonl") for i in range(options.repeats)]
        rates, bares = (
            [n / side["seconds"] for side in sides] for sides in zip(*pairs, strict=True)
        )
        rate, most = statistics.median(rates), statistics.median(bares)
        cpu = statistics.median(found["cpu"] for found, _ in pairs)
        peak = max(found["peak_mb"] for found, _ in pairs)
        row(f"{n:,} documents, {api}", f"{rate:.0f} a second")
        row("  each repeat", " ".join(f"{one:.0f}" for one in rates))
        row("  bare client, share of the ideal", f"{most / ideal:.0%}")
        row("  share of the ideal", f"{rate / ideal:.0%}", ">= 90 %", rate >= 0.9 * ideal)
        row("  share of the bare client", f"{rate / most:.0%}")
        row("  processor time a document", f"{cpu / n * 1000:.2f} ms")
        row("  peak memory", f"{peak:.0f} MB", "< 500 MB", peak < 500)


def _speed(options: argparse.Namespace, api: str, journal: Path) -> tuple[dict, dict]:
    """One repeat: midspec, then a bare client, against one server."""
    n = options.documents
    with server("--lean", "--latency", str(options.latency)) as url:
        args = (url, api, n, SHORT_SPEC, options.concurrency)
        found = apart(generate, *args, str(journal), False)
        alone = apart(bare, url, n, options.concurrency)
    assert found["documents"] == n
    return found, alone


def measure_many(options: argparse.Namespace, folder: Path) -> None:
    """A long run, then the same again when it is finished: memory, and time to resume."""
    n, journal = options.resume, str(folder / "many.jsonl")
    args = ("anthropic", n, SHORT_SPEC, options.concurrency, journal, False)
    with server("--lean", "--latency", str(options.latency)) as url:
        found = apart(generate, url, *args)
        again = apart(generate, url, *args)
        answers = stats(url)["answers"]
    assert found["documents"] == again["documents"] == answers == n
    ideal = options.concurrency / options.latency
    row(f"{n:,} documents, anthropic", f"{n / found['seconds']:.0f} a second")
    row("  share of the ideal", f"{n / found['seconds'] / ideal:.0%}")
    row("  peak memory", f"{found['peak_mb']:.0f} MB", "< 500 MB", found["peak_mb"] < 500)
    short = again["seconds"] < 10
    row("  finished, asked for again", f"{again['seconds']:.1f} s", "< 10 s", short)
    row("    requests that were sent for it", f"{answers - n}", "0", answers == n)
    row("    peak memory", f"{again['peak_mb']:.0f} MB", "< 500 MB", again["peak_mb"] < 500)


def measure_resume(options: argparse.Namespace, folder: Path) -> None:
    """A finished run of documents of 600 words: time until all are read again."""
    n, journal = options.resume, folder / "done.jsonl"
    fill_journal(journal, spec_of(SHORT_SPEC), n)
    size = journal.stat().st_size / 1e6
    args = ("http://127.0.0.1:9", "anthropic", n, SHORT_SPEC, options.concurrency)
    found = apart(generate, *args, str(journal), False)
    assert found["documents"] == n
    row(f"resume of {n:,} documents of 600 words", f"{size:.0f} MB on disk")
    row("  time", f"{found['seconds']:.1f} s", "< 10 s", found["seconds"] < 10)
    row("  peak memory", f"{found['peak_mb']:.0f} MB", "< 500 MB", found["peak_mb"] < 500)


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
        row(f"uncached input tokens a document, {label}", f"{uncached[plain]:,.0f}")
    ratio = uncached[True] / uncached[False]
    row("  fewer with our layout", f"{ratio:.1f} x", ">= 8 x", ratio >= 8)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--documents", type=int, default=10_000, help="for speed, with each API")
    add("--repeats", type=int, default=5, help="of the speed, which is their median")
    add("--resume", type=int, default=100_000, help="of the long run, which is then resumed")
    add("--cached-documents", type=int, default=400, help="for the cost of a long spec")
    add("--spec-tokens", type=int, default=40_000, help="length of that spec")
    add("--latency", type=float, default=0.05, help="seconds that the server takes")
    add("--concurrency", type=int, default=64, help="calls at once")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        for measure in (measure_speed, measure_many, measure_resume, measure_cache):
            measure(options, Path(folder))


if __name__ == "__main__":
    main()
