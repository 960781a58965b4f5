"""A corpus whose command is killed at random moments loses nothing and pays for nothing twice.

The proof is the server's log: what it answered, and which batches it was given. What comes out in
the end is, byte for byte, the corpus of a run that nobody disturbed.
"""

from __future__ import annotations

import json
import logging
import multiprocessing
import random
import time
from bisect import bisect
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import pytest

from midspec.llm import Reply
from midspec.store import read_records
from tests.provider import Provider, running
from tests.provider.job import CONCURRENCY, write_corpus

NAMES = ["anthropic/claude-sonnet-4-5", "openai/gpt-4.1"]
LOG = logging.getLogger(__name__)  # pytest -o log_cli=true --log-cli-level=INFO: the figures
# Inspect imports every package that registers with it: 2 s of a job's start, spent once here.
PRELOAD = ["tests.provider.job", "inspect_evals._registry", "inspect_ai.model._providers.openai"]
PRELOAD += ["inspect_ai.model._providers.anthropic", "aiohttp"]
SMALL = pytest.param(60, 4, id="60 documents, 4 kills")
LARGE = pytest.param(2000, 20, id="2,000 documents, 20 kills", marks=pytest.mark.slow)
Start = Callable[..., BaseProcess]


@dataclass(frozen=True)
class Undisturbed:
    """What a run without kills made."""

    documents: bytes
    tally: dict[str, Any]
    n_requests: int


@pytest.fixture(scope="module")
def start() -> Iterator[Start]:
    """Starts the command in a new process; libraries are imported once for all of them."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOAD)
    jobs: list[BaseProcess] = []

    def begin(*args: object) -> BaseProcess:
        job = context.Process(target=write_corpus, args=args)
        job.start()
        jobs.append(job)
        return job

    yield begin
    for job in jobs:
        job.kill()
        job.join()


@pytest.fixture(scope="module")
def undisturbed(
    start: Start, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str, int], Undisturbed]:
    @cache
    def run(name: str, n: int) -> Undisturbed:
        out = tmp_path_factory.mktemp("undisturbed") / "o"
        with running() as provider:
            finish(start(provider.url, name, n, out, 0), out)
            return Undisturbed(*made(out), len(provider.rows("request")))

    return run


def finish(job: BaseProcess, out: Path) -> None:
    job.join(300)
    assert job.exitcode == 0, (out.parent / "said.txt").read_text()


def made(out: Path) -> tuple[bytes, dict[str, Any]]:
    tally = json.loads((out / "manifest.json").read_text())["tally"]
    return (out / "documents.jsonl").read_bytes(), tally


def kill(job: BaseProcess, seen: Callable[[], int], point: int, spread_s: float) -> None:
    """Kill a little after the server has seen so much; soon after the start if it has already."""
    limit, wait_s = time.monotonic() + 400, spread_s if seen() < point else 0.6
    while seen() < point and job.is_alive():
        assert time.monotonic() < limit
        time.sleep(0.002)
    time.sleep(random.uniform(0, wait_s))
    assert job.is_alive(), "it was over before it could be killed"
    job.kill()
    job.join()


def points(rng: random.Random, whole: Undisturbed, kills: int) -> list[int]:
    """When to kill: random places in the run, but for its end, which must not come first."""
    return sorted(rng.choices(range(int(0.85 * whole.n_requests)), k=kills))


def check(out: Path, n: int, whole: Undisturbed) -> None:
    """The corpus is the one that was asked for; each of its requests has one answer on disk.

    A request whose three tries in batches all failed is asked for again in the next life.
    """
    documents, tally = made(out)
    assert tally == whole.tally
    assert tally["requested"] == n
    assert documents == whole.documents
    journals = [out / "plan-replies.jsonl", out / "replies.jsonl"]
    rows = [reply for path in journals for reply in read_records(path, Reply)]
    found = Counter(reply.request for reply in rows if reply.stop != "error")
    assert set(found.values()) == {1}
    assert len(found) == whole.n_requests


@pytest.mark.parametrize(("n", "kills"), [SMALL, LARGE])
def test_no_answered_request_is_sent_again(
    tmp_path: Path, start: Start, undisturbed: Any, n: int, kills: int
) -> None:
    whole, out, rng = undisturbed(NAMES[0], n), tmp_path / "o", random.Random(f"kills:{n}")
    with running(latency=0.1 if n < 100 else 0.02, rate_429=0.03, rate_drop=0.02) as provider:
        job = (provider.url, NAMES[0], n, out, 0)
        marks: list[int] = []
        for point in points(rng, whole, kills):
            kill(start(*job), lambda: len(provider.rows("request")), point, 0.05)
            time.sleep(0.2)  # what was in flight has its answer
            marks.append(len(provider.rows("answer")))
        finish(start(*job), out)
        answers = provider.rows("answer")
    check(out, n, whole)
    again = repeated(answers, marks)
    assert max(again.values(), default=0) <= CONCURRENCY
    good = sum(row["status"] == 200 for row in answers)
    assert good - again.total() == whole.n_requests
    LOG.info(
        "%d documents, %d kills: %d answered, %d of them again after a kill in flight, %d failed",
        *(n, len(marks), good, again.total(), len(answers) - good),
    )


def repeated(answers: list[dict[str, Any]], marks: list[int]) -> Counter[int]:
    """By life of the command, answers that were asked for again in a later one."""
    lives: dict[str, list[int]] = {}
    for place, row in enumerate(answers):
        if row["status"] == 200:
            lives.setdefault(row["digest"], []).append(bisect(marks, place))
    assert all(len(set(those)) == len(those) for those in lives.values())  # never in one life
    return Counter(life for those in lives.values() for life in those[:-1])


@pytest.mark.parametrize(("n", "kills"), [SMALL, LARGE])
@pytest.mark.parametrize("name", NAMES)
def test_no_batch_is_submitted_twice(
    tmp_path: Path, start: Start, undisturbed: Any, name: str, n: int, kills: int
) -> None:
    whole, out, rng = undisturbed(name, n), tmp_path / "o", random.Random(f"kills:{name}:{n}")
    failing = 0.0 if n < 100 else 0.05
    with running(batch_seconds=0.2, rate_member_error=failing) as provider:
        job = (provider.url, name, n, out, max(20, n // 20))
        for point in points(rng, whole, kills):
            kill(start(*job), lambda: submitted(provider), point, 0.4)
        finish(start(*job), out)
        members, batches = provider.rows("member"), provider.rows("batch")
    check(out, n, whole)
    good = Counter(row["digest"] for row in members if row["kind"] == "succeeded")
    assert len(good) == whole.n_requests
    assert set(good.values()) == {1}
    sent = Counter(digest for row in batches for digest in row["digests"])
    failed = Counter(row["digest"] for row in members if row["kind"] != "succeeded")
    assert sent == good + failed
    LOG.info(
        "%s, %d documents, %d kills: %d batches with %d members, %d collected, %d failed and resent",
        *(name, n, kills, len(batches), sent.total(), good.total(), failed.total()),
    )


def submitted(provider: Provider) -> int:
    """How many members of batches the server was given."""
    return sum(len(row["digests"]) for row in provider.rows("batch"))
