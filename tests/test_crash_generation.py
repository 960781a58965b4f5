"""Generation that is killed at random moments loses nothing and pays for nothing twice.

The proof is the server's log: what it answered, and which batches it was given.
"""

from __future__ import annotations

import logging
import multiprocessing
import random
import time
from collections import Counter
from collections.abc import Callable, Iterator
from multiprocessing.process import BaseProcess
from pathlib import Path

import pytest

from midspec.llm import Reply, messages
from midspec.store import read_records
from tests.provider import running
from tests.provider.job import request, run_job
from tests.provider.settings import digest_of

NAMES = ["anthropic/claude-sonnet-4-5", "openai/gpt-4.1"]
CONCURRENCY = 8
LOG = logging.getLogger(__name__)  # pytest -o log_cli=true --log-cli-level=INFO: the figures
# Inspect imports every package that registers with it: 2 s of a job's start, spent once here.
PRELOAD = ["tests.provider.job", "inspect_evals._registry", "inspect_ai.model._providers.openai"]
PRELOAD += ["inspect_ai.model._providers.anthropic", "aiohttp"]
SMALL = pytest.param(120, 4, id="120 requests, 4 kills")
LARGE = pytest.param(2000, 20, id="2,000 requests, 20 kills", marks=pytest.mark.slow)


@pytest.fixture(scope="module")
def start() -> Iterator[Callable[..., BaseProcess]]:
    """Starts a job in a new process; libraries are imported once for all of them."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOAD)
    jobs: list[BaseProcess] = []

    def begin(*args: object) -> BaseProcess:
        job = context.Process(target=run_job, args=args)
        job.start()
        jobs.append(job)
        return job

    yield begin
    for job in jobs:
        job.kill()
        job.join()


def journaled(journal: Path) -> set[str]:
    """Digests of the user texts of all requests whose reply is on disk."""
    if not journal.exists():
        return set()
    whole = [line for line in journal.read_bytes().splitlines(keepends=True) if line[-1:] == b"\n"]
    ids = {Reply.model_validate_json(line).request for line in whole}
    return {user for id, user in USERS.items() if id in ids}


USERS = {one.id: digest_of(messages(one)[1][1]) for one in (request(i) for i in range(2000))}


def kill_somewhere(job: BaseProcess, seen: Callable[[], int], rng: random.Random) -> bool:
    """Kill at a random moment after the start or after the server heard of it; whether it ran."""
    before, limit = seen(), time.monotonic() + 60
    while rng.random() < 0.999 and seen() == before and job.is_alive():
        assert time.monotonic() < limit
        time.sleep(0.002)
    time.sleep(rng.uniform(0, 0.25))
    running_still = job.is_alive()
    job.kill()
    job.join()
    return running_still


def finish(job: BaseProcess) -> None:
    job.join(100)
    assert job.exitcode == 0


def check_replies(journal: Path, n: int) -> None:
    found = list(read_records(journal, Reply))
    assert Counter(reply.request for reply in found if reply.stop == "stop") == Counter(
        request(i).id for i in range(n)
    )


@pytest.mark.parametrize(("n", "kills"), [SMALL, LARGE])
def test_no_answered_request_is_sent_again(
    tmp_path: Path, start: Callable[..., BaseProcess], n: int, kills: int
) -> None:
    journal, rng = tmp_path / "replies.jsonl", random.Random(f"kills:{n}")
    with running(latency=0.05 if n < 1000 else 0.02, rate_429=0.03, rate_drop=0.02) as provider:
        job = (provider.url, NAMES[0], n, journal, CONCURRENCY, False)
        marks: list[tuple[int, set[str]]] = []
        killed = 0
        while killed < kills and len(journaled(journal)) < n:
            killed += kill_somewhere(start(*job), lambda: len(provider.rows("request")), rng)
            marks.append((len(provider.rows("request")), journaled(journal)))
        finish(start(*job))
        requests, answers = provider.rows("request"), provider.rows("answer")
    assert killed >= min(kills, 3)
    for seen, answered in marks:
        assert not answered & {row["user"] for row in requests[seen:]}
    good = Counter(row["digest"] for row in answers if row["status"] == 200)
    assert len(good) == n
    assert sum(good.values()) <= n + killed * CONCURRENCY
    check_replies(journal, n)
    LOG.info(
        "%d requests, %d kills: %d answered, %d of them again after a kill in flight, %d failed",
        *(n, killed, sum(good.values()), sum(good.values()) - n, len(answers) - sum(good.values())),
    )


@pytest.mark.parametrize(("n", "kills"), [SMALL, LARGE])
@pytest.mark.parametrize("name", NAMES)
def test_no_batch_is_submitted_twice(
    tmp_path: Path, start: Callable[..., BaseProcess], name: str, n: int, kills: int
) -> None:
    journal, rng = tmp_path / "replies.jsonl", random.Random(f"kills:{name}:{n}")
    failing = 0.0 if n < 1000 else 0.05
    with running(batch_seconds=0.2, rate_member_error=failing) as provider:
        job = (provider.url, name, n, journal, CONCURRENCY, True)
        killed = 0
        while killed < kills and len(journaled(journal)) < n:
            killed += kill_somewhere(start(*job), lambda: len(provider.rows("batch")), rng)
        finish(start(*job))
        members, batches = provider.rows("member"), provider.rows("batch")
    assert killed >= min(kills, 3)
    good = Counter(row["digest"] for row in members if row["kind"] == "succeeded")
    assert len(good) == n
    assert set(good.values()) == {1}
    sent = Counter(digest for row in batches for digest in row["digests"])
    failed = Counter(row["digest"] for row in members if row["kind"] != "succeeded")
    assert sent == good + failed
    check_replies(journal, n)
    LOG.info(
        "%s, %d requests, %d kills: %d batches with %d members, %d collected, %d failed and resent",
        *(name, n, killed, len(batches), sent.total(), good.total(), failed.total()),
    )
