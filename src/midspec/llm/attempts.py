"""Bounded retries, and a limit on calls at once that follows what the provider bears.

Inspect's own adaptive limit is not used: in 0.3.285 it gives way to 429 alone, not to overload
(529) or timeouts, holds its slot while it backs off, and is one for the whole process.
"""

from __future__ import annotations

import asyncio
import math
import random
import time
from collections import deque
from collections.abc import Awaitable, Callable
from typing import TypeVar

from pydantic import Field

from midspec.records import Frozen

T = TypeVar("T")


class Failure(Exception):
    """One attempt that failed.

    ``retry``: another may succeed; ``overload``: the provider has too much to do; ``wait_s``:
    what it asks us to wait; ``refused``: it took the request for one that it will not answer;
    ``unreachable``: no connection came about.
    """

    def __init__(
        self,
        text: str,
        *,
        status: int | None = None,
        retry: bool = False,
        overload: bool = False,
        wait_s: float = 0.0,
        refused: bool = False,
        unreachable: bool = False,
    ) -> None:
        super().__init__(text)
        self.status = status
        self.retry = retry
        self.overload = overload
        self.wait_s = wait_s
        self.refused = refused
        self.unreachable = unreachable


class Patience(Frozen):
    """How often and how long one request is tried."""

    max_retries: int = Field(default=8, ge=0, description="attempts after the first")
    backoff_s: float = Field(
        default=1.0, gt=0, description="wait before the first retry; doubles, to 60 s at most"
    )
    attempt_timeout_s: float = Field(default=600, gt=0, description="limit of one attempt")
    timeout_s: float = Field(
        default=1800, gt=0, description="after so long no further attempt starts"
    )
    connect_s: float = Field(
        default=15, gt=0, description="the same for a server that has never answered anything"
    )

    def wait_s(self, attempt: int, name: str, asked_s: float) -> float:
        """Seconds before the next attempt: doubling, spread by half, never less than asked."""
        spread = random.Random(f"wait:{name}:{attempt}").uniform(0.75, 1.25)
        return max(min(60.0, self.backoff_s * 2.0**attempt) * spread, min(asked_s, 120.0))


class Limiter:
    """How many calls run at once: half as many after an overload, slowly more after successes.

    It starts without a limit of its own (``Desk`` bounds the calls). An overload halves what is
    in flight, once for all calls that had started by then; after that each ``limit`` successes
    at the limit add one.

    Example:
        >>> limiter = Limiter()
        >>> limiter.flying = 16
        >>> limiter.overloaded(limiter.epoch); limiter.limit
        8.0
        >>> limiter.overloaded(0); limiter.limit  # began before the cut
        8.0
    """

    def __init__(self) -> None:
        self.limit = math.inf
        self.flying = 0
        self.epoch = 0
        self.heard = False  # whether the server has ever answered, be it with an error
        self._waiting: deque[asyncio.Future[None]] = deque()

    async def take(self) -> int:
        """Take a slot, to be given back; the epoch in which the call starts."""
        while self.flying >= self.limit:
            turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiting.append(turn)
            try:
                await turn
            except asyncio.CancelledError:
                self._wake()  # the turn may have been given to us already
                raise
        self.flying += 1
        return self.epoch

    def give_back(self) -> None:
        """Give a slot back."""
        self.flying -= 1
        self._wake()

    def overloaded(self, epoch: int) -> None:
        """Halve, unless this call had started before the last cut."""
        if epoch == self.epoch:
            self.limit = max(1.0, float(min(self.flying, self.limit) // 2))
            self.epoch += 1

    def succeeded(self) -> None:
        """Grow a little, if the limit is what holds calls back."""
        if self.flying >= self.limit - 1:
            self.limit += 1 / self.limit
            self._wake()

    def _wake(self) -> None:
        free = self.limit - self.flying
        while self._waiting and free >= 1:
            turn = self._waiting.popleft()
            if not turn.done():  # done: its caller was cancelled
                turn.set_result(None)
                free -= 1


async def persist(
    attempt: Callable[[], Awaitable[T]], limiter: Limiter, patience: Patience, name: str
) -> T:
    """The result of the first attempt that succeeds; no slot is held between attempts.

    Raises the last Failure.
    """
    started = time.monotonic()
    for number in range(patience.max_retries + 1):
        try:
            return await _once(attempt, limiter)
        except Failure as failure:
            absent = failure.unreachable and not limiter.heard
            limit_s = patience.connect_s if absent else patience.timeout_s
            late = time.monotonic() - started >= limit_s
            if not failure.retry or number == patience.max_retries or late:
                raise
            wait_s = patience.wait_s(number, name, failure.wait_s)
        await asyncio.sleep(wait_s)
    raise AssertionError("range is never empty")


async def _once(attempt: Callable[[], Awaitable[T]], limiter: Limiter) -> T:
    """One attempt in a slot; the limiter learns from it."""
    epoch = await limiter.take()
    try:
        result = await attempt()
        limiter.heard = True
        limiter.succeeded()
        return result
    except Failure as failure:
        limiter.heard = limiter.heard or not failure.unreachable
        if failure.overload:
            limiter.overloaded(epoch)
        raise
    finally:
        limiter.give_back()
