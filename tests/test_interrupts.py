"""Ctrl-C at any moment ends what waits for replies in seconds."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from midspec.llm import run_until_done, running
from tests import provider
from tests.test_llm_cli import start


def ctrl_c(send: Callable[[], None], after_s: float = 0.2) -> None:
    """Send a signal a little later, from another thread."""

    def later() -> None:
        time.sleep(after_s)
        send()

    threading.Thread(target=later, daemon=True).start()


def to_the_process() -> None:
    os.kill(os.getpid(), signal.SIGINT)


def past_the_loop() -> None:
    """As when the signal comes just before the loop waits: what it waits for is not broken off."""
    signal.pthread_kill(threading.get_ident(), signal.SIGINT)


async def sleeping() -> None:
    await asyncio.sleep(20)


async def computing() -> None:
    end = time.monotonic() + 20
    while time.monotonic() < end:
        pass


async def deaf() -> str:
    """Goes on for a while when it is cancelled, and ends as if nothing had been."""
    try:
        await asyncio.sleep(20)
    except asyncio.CancelledError:
        await asyncio.sleep(0.1)
    return "done"


@pytest.fixture
def hears_ctrl_c() -> Iterator[None]:
    """As in a terminal; a shell starts what runs in the background with SIGINT ignored."""
    usual = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, usual)


@pytest.mark.usefixtures("hears_ctrl_c")
@pytest.mark.parametrize("send", [to_the_process, past_the_loop])
@pytest.mark.parametrize("job", [sleeping, computing, deaf])
def test_an_interrupt_is_heard_whatever_the_loop_does(
    job: Callable[[], object], send: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(running, "_GRACE_S", 0.5)
    began = time.monotonic()
    ctrl_c(send)
    with pytest.raises(KeyboardInterrupt):
        run_until_done(job())  # pyright: ignore[reportArgumentType]
    assert time.monotonic() - began < 5
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    assert run_until_done(asyncio.sleep(0, "next")) == "next"


@pytest.mark.slow
def test_the_command_ends_at_any_moment_imports_included(tmp_path: Path) -> None:
    rng = random.Random("moments")
    with provider.running(latency=60.0) as server:
        for moment in (rng.uniform(1.5, 8) for _ in range(12)):
            job = start(server, tmp_path)
            time.sleep(moment)
            assert job.poll() is None, job.communicate()[0]
            began = time.monotonic()
            os.kill(job.pid, signal.SIGINT)
            try:
                said, _ = job.communicate(timeout=30)
            except subprocess.TimeoutExpired:
                job.kill()
                raise
            assert time.monotonic() - began < 15, moment
            assert job.returncode == 130, said
            assert "run the same command again to go on" in said
            assert "Traceback" not in said
