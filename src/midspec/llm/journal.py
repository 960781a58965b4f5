"""Replies that survive a kill: each is on disk before anyone sees it, and asked for once.

The journal holds one Reply a line. It is the only record of what was asked: a rerun answers
from it, and asks the writer for the rest. In memory there is one offset for each reply (two
integers: 15 MB for 100,000). Opening a journal reads only the envelope of each line; the record
is validated when it is used.
"""

from __future__ import annotations

import asyncio
import gc
from collections import deque
from collections.abc import AsyncGenerator, Callable, Coroutine, Iterable, Sized
from contextlib import aclosing
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError
from pydantic_core import from_json

from midspec.errors import StoreError, WriterError
from midspec.llm.door import Reply, Request, Writer
from midspec.progress import Progress, silent
from midspec.store import Journal

# A server that is down costs about 100 s of retries a request: stop after a full window of them.
_ERRORS_IN_A_ROW = 32

T = TypeVar("T")
R = TypeVar("R")


class Desk:
    """A writer with its journal: ``ask`` answers from the journal, or asks and writes it down.

    Replies that failed (stop ``"error"``) and replies of other writers are asked for again.
    Equal requests in flight are asked once; at most ``concurrency`` are with the writer (or as
    many as a batch writer's ``window``). Use it as an async context manager, within one event
    loop.
    """

    def __init__(self, writer: Writer, journal: Path, *, concurrency: int = 16) -> None:
        self.concurrency = concurrency = max(concurrency, getattr(writer, "window", 0))
        self._writer = writer
        self._path = journal
        self._flying: dict[str, asyncio.Task[Reply]] = {}
        self._slots = asyncio.Semaphore(concurrency)
        self._errors = 0
        self._failure: WriterError | None = None

    async def __aenter__(self) -> Desk:
        Journal(self._path).close()  # cuts a torn last line
        self._offsets = index(self._path, self._writer.name)
        self._journal = Journal(self._path)
        self._file = self._path.open("rb")
        # The collector would go through all imported libraries again and again: 0.2 s each time.
        gc.freeze()
        return self

    async def __aexit__(self, *_: object) -> None:
        flying = list(self._flying.values())
        for task in flying:
            task.cancel()
        await asyncio.gather(*flying, return_exceptions=True)
        gc.unfreeze()
        self._file.close()
        self._journal.close()

    async def ask(self, request: Request) -> Reply:
        """The reply to a request; it is in the journal when this returns.

        Raises WriterError if the writer failed for good, or if 32 requests failed in a row.
        """
        if (reply := self.answered(request)) is not None:
            return reply
        return await self._flight(request)

    def _flight(self, request: Request) -> asyncio.Future[Reply]:
        """The reply to come; who gives up waiting for it leaves it to the others."""
        task = self._flying.get(request.id)
        if task is None:
            task = asyncio.create_task(self._fetch(request))
            self._flying[request.id] = task
            task.add_done_callback(lambda done: self._landed(request, done))
        return asyncio.shield(task)

    def _landed(self, request: Request, task: asyncio.Task[Reply]) -> None:
        """Forget a task; its error counts as seen, also if all who waited were cancelled."""
        self._flying.pop(request.id)
        if not task.cancelled():
            task.exception()

    def answered(self, request: Request) -> Reply | None:
        """The reply that the journal has for a request."""
        offset = self._offsets.get(int(request.id, 16))
        return None if offset is None else self._read(offset)

    async def replies(
        self, requests: Iterable[Request], progress: Progress = silent, total: int = 0
    ) -> AsyncGenerator[tuple[Request, Reply]]:
        """Requests with their replies, in the order of the requests.

        ``requests`` is read only as far as a window of twice the concurrency ahead.
        """
        total = total or (len(requests) if isinstance(requests, Sized) else 0)
        done = 0
        async with aclosing(self.each(requests, self._flight, self._known)) as pairs:
            async for request, reply in pairs:
                done += 1
                progress(done, max(total, done), request.prompt)
                yield request, reply

    def _known(self, request: Request) -> Callable[[], Reply] | None:
        """How to read an answered request later; None if it has to be asked."""
        offset = self._offsets.get(int(request.id, 16))
        return None if offset is None else lambda: self._read(offset)

    async def each(
        self,
        items: Iterable[T],
        work: Callable[[T], Coroutine[Any, Any, R] | asyncio.Future[R]],
        known: Callable[[T], Callable[[], R] | None] = lambda _: None,
    ) -> AsyncGenerator[tuple[T, R]]:
        """Each item with the result of its work, in order, as many at once as the window holds.

        What ``known`` can give needs no task: 100,000 answered requests take seconds.
        """
        window: deque[tuple[T, asyncio.Future[R] | Callable[[], R]]] = deque()
        source = iter(items)
        try:
            while True:
                while (
                    len(window) < 2 * self.concurrency and (ahead := next(source, None)) is not None
                ):
                    window.append((ahead, known(ahead) or asyncio.ensure_future(work(ahead))))
                if not window:
                    return
                item, pending = window[0]
                result = await pending if isinstance(pending, asyncio.Future) else pending()
                window.popleft()
                yield item, result
        finally:
            futures = [one for _, one in window if isinstance(one, asyncio.Future)]
            for future in futures:
                future.cancel()
            await asyncio.gather(*futures, return_exceptions=True)

    async def _fetch(self, request: Request) -> Reply:
        """Ask the writer and write the reply down."""
        async with self._slots:
            if self._failure:
                raise self._failure
            try:
                reply = await self._writer.reply(request)
            except WriterError as error:
                self._failure = error
                raise
        self._write(request, reply)
        self._count_errors(reply)
        return reply

    def _write(self, request: Request, reply: Reply) -> None:
        """Append a reply; remember where it is."""
        if reply.request != request.id:
            raise WriterError(
                f"writer {self._writer.name!r} answered request {reply.request!r} "
                f"instead of {request.id!r}; set Reply.request to request.id"
            )
        start = self._journal.append(reply)
        if reply.stop != "error":
            self._offsets[int(request.id, 16)] = start

    def _read(self, offset: int) -> Reply:
        """The reply at an offset of the journal."""
        self._file.seek(offset)
        try:
            return Reply.model_validate_json(self._file.readline())
        except ValidationError as error:
            raise StoreError(
                f"{self._path}: at byte {offset} is no reply ({error.errors()[0]['msg']}); "
                "delete that line to ask for it again"
            ) from error

    def _count_errors(self, reply: Reply) -> None:
        """Give up when nothing but errors comes back."""
        self._errors = self._errors + 1 if reply.stop == "error" else 0
        if self._errors >= _ERRORS_IN_A_ROW:
            self._failure = WriterError(
                f"writer {self._writer.name!r}: {self._errors} requests in a row failed, the last "
                f"with {reply.error!r}; check that the server is up, then run again to go on"
            )
            raise self._failure


def index(path: Path, writer: str) -> dict[int, int]:
    """Offset of the usable reply of each request, by its id; the last line of a request counts.

    Raises StoreError for a line that is no reply.
    """
    offsets: dict[int, int] = {}
    offset = 0
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            try:
                row = from_json(line)
                if row["stop"] != "error" and row["model"] == writer:
                    offsets[int(row["request"], 16)] = offset
            except (ValueError, KeyError, TypeError) as error:
                raise StoreError(
                    f"{path}:{number} is not a reply ({type(error).__name__}: {error}); "
                    "delete that line to ask for it again"
                ) from error
            offset += len(line)
    return offsets


async def replies(
    requests: Iterable[Request],
    writer: Writer,
    journal: Path,
    *,
    concurrency: int = 16,
    progress: Progress = silent,
    total: int = 0,
) -> AsyncGenerator[tuple[Request, Reply]]:
    """Requests with their replies, in the order of the requests; answered ones are not asked.

    ``requests`` may be lazy: only a window is in memory. ``total`` is for the progress, if the
    requests have no length. Each reply is in the journal before it is yielded; one with stop
    ``"error"`` is asked for again on the next run. Raises WriterError if the writer failed for
    good; what was answered until then is kept.
    """
    async with (
        Desk(writer, journal, concurrency=concurrency) as desk,
        aclosing(desk.replies(requests, progress, total)) as pairs,
    ):
        async for pair in pairs:
            yield pair
