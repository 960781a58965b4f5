"""Costs and interrupts as a user meets them: the command line against a provider over HTTP."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.request
from collections import Counter
from pathlib import Path

import pytest

from midspec.llm import Price
from tests.commands import midspec
from tests.provider import KEY, Provider, running

SPEC = """---
value: thrift
---
# Core
{model_name} is made by {provider_name}. It cares about thrift, because it leaves more for others.
It says what a thing costs before it says what it is for, because people forget to ask.
"""
PRICES = (
    "prices:\n- {models: ['*'], input: 3, cached: 0.3, cache_write: 3.75, output: 15, "
    "batch_discount: 0.5}\n"
)
PRICE = Price(input=3, cached=0.3, cache_write=3.75, output=15, batch_discount=0.5)
WRITER = ["--writer", "openai-api/local/some-model", "--concurrency", "8", "--no-embed"]
SMALL = ["--subdomains", "2", "--types", "2", "--ideas", "2", "--max-documents", "40"]


def start(provider: Provider, folder: Path, *more: str) -> subprocess.Popen[str]:
    """``midspec corpus write`` in a process of its own."""
    (folder / "spec.md").write_text(SPEC)
    (folder / "prices.yaml").write_text(PRICES)
    known = {"LOCAL_API_KEY": KEY, "LOCAL_BASE_URL": f"{provider.url}/v1", "COLUMNS": "500"}
    command = [sys.executable, "-m", "midspec", "corpus", "write", "spec.md", "--out", "c"]
    return subprocess.Popen(
        [*command, *WRITER, *SMALL, "--prices", "prices.yaml", *more],
        cwd=folder,
        env={**os.environ, **known},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        # A shell's background jobs ignore SIGINT, and so would what they start.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )


def billed(provider: Provider) -> float:
    """Dollars that the server's own log comes to."""
    live = [(row, False) for row in provider.rows("answer") if row["status"] == 200]
    batched = [(row, True) for row in provider.rows("member") if row["kind"] == "succeeded"]
    return sum(
        PRICE.cost(
            input_tokens=row["uncached"] + row["cached"] + row["written"],
            cached_tokens=row["cached"],
            cache_write_tokens=row["written"],
            output_tokens=row["out"],
            batched=is_batch,
        )
        for row, is_batch in live + batched
    )


def test_the_cap_holds_on_the_servers_own_bill_also_when_run_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cap, spec, prices = 0.35, tmp_path / "spec.md", tmp_path / "prices.yaml"
    spec.write_text(SPEC)
    prices.write_text(PRICES)
    monkeypatch.setenv("LOCAL_API_KEY", KEY)
    command = ["corpus", "write", spec, "--out", tmp_path / "c", *WRITER, *SMALL]
    with running(latency=0.01, rate_429=0.05) as provider:
        monkeypatch.setenv("LOCAL_BASE_URL", f"{provider.url}/v1")
        for _ in range(2):
            done = midspec(*command, "--prices", prices, "--max-cost", cap)
            assert done.returncode == 1
            said = r"\$0\.\d+ of \$0\.35 are spent.*run again with a higher --max-cost"
            assert re.search(said, done.stderr)
            assert "Traceback" not in done.stderr
            assert 0.5 * cap < billed(provider) <= cap
            assert set(answered(provider).values()) == {1}


def answered(provider: Provider) -> Counter[str]:
    """How often each body got a reply."""
    return Counter(row["digest"] for row in provider.rows("answer") if row["status"] == 200)


@pytest.mark.parametrize(
    "more",
    [
        pytest.param([], id="live"),
        pytest.param(["--batch"], id="batch", marks=pytest.mark.slow),  # 5.6 s of CPU
    ],
)
def test_an_interrupt_ends_the_command_in_seconds_and_says_how_to_go_on(
    tmp_path: Path, more: list[str]
) -> None:
    with running(latency=60.0 if not more else 0.0, batch_seconds=60.0) as provider:
        job = start(provider, tmp_path, *more)
        limit = time.monotonic() + 100
        while not provider.rows("batch" if more else "request"):
            assert time.monotonic() < limit
            assert job.poll() is None, job.communicate()[0]
            time.sleep(0.02)
        began = time.monotonic()
        os.kill(job.pid, signal.SIGINT)
        said, _ = job.communicate(timeout=30)
        assert time.monotonic() - began < 20
        assert job.returncode == 130
        assert "run the same command again to go on" in said
        assert "Traceback" not in said


@pytest.mark.parametrize("options", [[], ["--lean"]])
def test_the_server_of_these_tests_can_be_started_by_a_command(options: list[str]) -> None:
    command = [sys.executable, "-m", "tests.provider", "--latency", "0.01", *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout
            url = server.stdout.readline().strip()
            message = {"role": "user", "content": "Hello"}
            body = json.dumps({"model": "m", "max_tokens": 99, "messages": [message]}).encode()
            for path in ("/v1/messages", "/v1/chat/completions"):
                with urllib.request.urlopen(url + path, data=body) as answer:
                    assert json.load(answer)["model"]
            with urllib.request.urlopen(f"{url}/stats") as answer:
                assert json.load(answer)["answers"] == 2
        finally:
            server.kill()
