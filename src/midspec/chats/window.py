"""Many things worked on at once, their results in order."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine, Iterable
from typing import Any, TypeVar

T = TypeVar("T")
R = TypeVar("R")


async def stream(items: Iterable[T]) -> AsyncGenerator[T]:
    """The items of a plain iterable, as ``in_order`` takes them."""
    for item in items:
        yield item


async def in_order(
    items: AsyncIterator[T],
    work: Callable[[T], Coroutine[Any, Any, R]],
    *,
    window: int,
    may_start: Callable[[int], bool] = lambda flying: True,  # noqa: ARG005
) -> AsyncGenerator[tuple[T, R]]:
    """Each item with the result of its work, in the order of the items.

    At most ``window`` are worked on at once; one more starts only if ``may_start`` agrees, which
    is told how many are in flight. Ends when nothing is in flight and nothing may start.
    """
    flying: deque[tuple[T, asyncio.Task[R]]] = deque()
    more = True
    try:
        while True:
            while more and len(flying) < window and may_start(len(flying)):
                try:
                    item = await anext(items)
                except StopAsyncIteration:
                    more = False
                else:
                    flying.append((item, asyncio.create_task(work(item))))
            if not flying:
                return
            item, task = flying[0]
            result = await task  # still in ``flying``: cancelled with the others if closed here
            flying.popleft()
            yield item, result
    finally:
        for _, task in flying:
            task.cancel()
        await asyncio.gather(*(task for _, task in flying), return_exceptions=True)
