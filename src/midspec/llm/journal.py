"""Replies that survive a kill: each is on disk before anyone sees it, and asked for once.

The journal holds one Reply a line. It is the only record of what was asked: a rerun answers
from it, and asks the writer for the rest. In memory there is one offset for each reply.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Iterable, Sized
from contextlib import aclosing
from pathlib import Path

from pydantic import ValidationError

from midspec.errors import StoreError, WriterError
from midspec.llm.door import Reply, Request, Writer
from midspec.progress import Progress, silent
from midspec.store import Journal

# A server that is down costs about 100 s of retries a request: stop after a full window of them.
_ERRORS_IN_A_ROW = 32


class Desk:
    """A writer with its journal: ``ask`` answers from the journal, or asks and writes it down.

    Replies that failed (stop ``"error"``) and replies of other writers are asked for again.
    Equal requests in flight are asked once; at most ``concurrency`` are with the writer.
    Use it as an async context manager, within one event loop.
    """

    def __init__(self, writer: Writer, journal: Path, *, concurrency: int = 16) -> None:
        self.concurrency = concurrency
        self._writer = writer
        self._path = journal
        self._flying: dict[str, asyncio.Task[Reply]] = {}
        self._slots = asyncio.Semaphore(concurrency)
        self._errors = 0
        self._failure: WriterError | None = None

    async def __aenter__(self) -> Desk:
        Journal(self._path).close()  # cuts a torn last line
        self._offsets = _index(self._path, self._writer.name)
        self._end = self._path.stat().st_size
        self._journal = Journal(self._path)
        self._file = self._path.open("rb")
        return self

    async def __aexit__(self, *_: object) -> None:
        flying = list(self._flying.values())
        for task in flying:
            task.cancel()
        await asyncio.gather(*flying, return_exceptions=True)
        self._file.close()
        self._journal.close()

    async def ask(self, request: Request) -> Reply:
        """The reply to a request; it is in the journal when this returns.

        Raises WriterError if the writer failed for good, or if 32 requests failed in a row.
        """
        if (offset := self._offsets.get(request.id)) is not None:
            return self._read(offset)
        task = self._flying.get(request.id)
        if task is None:
            task = asyncio.create_task(self._fetch(request))
            self._flying[request.id] = task
            task.add_done_callback(lambda _: self._flying.pop(request.id))
        return await asyncio.shield(task)

    async def replies(
        self, requests: Iterable[Request], progress: Progress = silent, total: int = 0
    ) -> AsyncGenerator[tuple[Request, Reply]]:
        """Requests with their replies, in the order of the requests.

        ``requests`` is read only as far as a window of twice the concurrency ahead.
        """
        total = total or (len(requests) if isinstance(requests, Sized) else 0)
        window: deque[tuple[Request, asyncio.Task[Reply]]] = deque()
        source, done = iter(requests), 0
        try:
            while True:
                while len(window) < 2 * self.concurrency and (ahead := next(source, None)):
                    window.append((ahead, asyncio.create_task(self.ask(ahead))))
                if not window:
                    return
                request, task = window.popleft()
                reply = await task
                done += 1
                progress(done, max(total, done), request.prompt)
                yield request, reply
        finally:
            for _, task in window:
                task.cancel()
            await asyncio.gather(*(task for _, task in window), return_exceptions=True)

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
        self._journal.append(reply)
        if reply.stop != "error":
            self._offsets[request.id] = self._end
        self._end = self._path.stat().st_size

    def _read(self, offset: int) -> Reply:
        """The reply at an offset of the journal."""
        self._file.seek(offset)
        return Reply.model_validate_json(self._file.readline())

    def _count_errors(self, reply: Reply) -> None:
        """Give up when nothing but errors comes back."""
        self._errors = self._errors + 1 if reply.stop == "error" else 0
        if self._errors >= _ERRORS_IN_A_ROW:
            self._failure = WriterError(
                f"writer {self._writer.name!r}: {self._errors} requests in a row failed, the last "
                f"with {reply.error!r}; check that the server is up, then run again to go on"
            )
            raise self._failure


def _index(path: Path, writer: str) -> dict[str, int]:
    """Offset of the usable reply of each request; the last line of a request counts."""
    offsets: dict[str, int] = {}
    offset = 0
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            try:
                reply = Reply.model_validate_json(line)
            except ValidationError as error:
                raise StoreError(
                    f"{path}:{number} is not a reply ({error.errors()[0]['msg']}); "
                    "delete that line to ask for it again"
                ) from error
            if reply.stop != "error" and reply.model == writer:
                offsets[reply.request] = offset
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
