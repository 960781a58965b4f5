"""Run what waits for replies, so that Ctrl-C always ends it in seconds.

``asyncio.run`` leaves two gaps. A signal that comes just before the loop waits, or to another
thread, does not wake the loop: it is heard when the next reply comes, minutes later perhaps. And
it only cancels: a computation inside the loop (embeddings of 512 documents) goes on to its end.
"""

from __future__ import annotations

import asyncio
import os
import signal
import threading
from collections.abc import Coroutine
from contextlib import suppress
from typing import Any, TypeVar

T = TypeVar("T")

_GRACE_S = 3.0  # for what is cancelled to close its files and connections


def run_until_done(job: Coroutine[Any, Any, T]) -> T:
    """The result of a coroutine, as ``asyncio.run`` gives it; KeyboardInterrupt on Ctrl-C.

    Example:
        >>> run_until_done(asyncio.sleep(0, "done"))
        'done'
    """
    is_main = threading.current_thread() is threading.main_thread()
    if not is_main or signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        with asyncio.Runner(loop_factory=_loop) as runner:
            return runner.run(job)
    interrupt = _Interrupt()
    signal.signal(signal.SIGINT, interrupt)
    try:
        with asyncio.Runner(loop_factory=_loop) as runner:
            return interrupt.run(runner.get_loop(), job)
    except (asyncio.CancelledError, Exception) as error:
        if interrupt.came:
            raise KeyboardInterrupt from error
        raise
    finally:
        interrupt.patience.cancel()
        signal.signal(signal.SIGINT, signal.default_int_handler)


def _loop() -> asyncio.AbstractEventLoop:
    """uvloop's, except on Windows, which it does not know: a tenth less processor time a reply."""
    try:
        from uvloop import new_event_loop
    except ImportError:
        return asyncio.new_event_loop()
    return new_event_loop()


class _Interrupt:
    """What Ctrl-C does: cancel the job; if that takes too long, or again, stop where it stands."""

    def __init__(self) -> None:
        self.came = False
        self.patience = threading.Timer(_GRACE_S, os.kill, (os.getpid(), signal.SIGINT))
        self.patience.daemon = True

    def run(self, loop: asyncio.AbstractEventLoop, job: Coroutine[Any, Any, T]) -> T:
        """Run a job; an error of any kind if it was interrupted."""
        self._loop, self._task = loop, loop.create_task(job)
        with suppress(NotImplementedError):  # on Windows, all signals wake a loop
            # A handler for any one signal makes all of them wake the loop.
            loop.add_signal_handler(signal.SIGCONT, lambda: None)
        result = loop.run_until_complete(self._task)
        if self.came:
            raise asyncio.CancelledError
        return result

    def __call__(self, *_: object) -> None:
        """Hear a signal."""
        if self.came:
            raise KeyboardInterrupt
        self.came = True
        self.patience.start()
        with suppress(RuntimeError, AttributeError):  # the loop is closed, or not begun
            self._loop.call_soon_threadsafe(self._task.cancel)
