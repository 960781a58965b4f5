"""Batches that survive a kill: half the price, and nothing submitted or paid for twice.

``BatchWriter`` is a writer like the others: ``reply`` waits until the request's batch is done.
So stages need no change; they only have to keep many requests waiting (``window``, which a Desk
takes over as its concurrency). When no further request has come for ``idle_s``, all that wait
are submitted; what follows from the results (repairs, judgements, the next level) waits again
and makes the next batch. At most ``window`` requests wait in memory, whatever a corpus holds.

Two files in a folder are the truth:

    book.jsonl     intent (key, ids) -> submitted (provider's id) -> collected, or lost
    results.jsonl  each usable reply, as in a reply journal

The intent is on disk before the submit, the provider's id before the wait. After a kill, batches
with an id are collected; an intent without one is looked for at the provider, and only if it
is not there (and the time a submit may be under way has passed) its requests are free again.
The same is done when an answer to a submit is lost (see ``batch_submit``). Members that failed for a passing reason,
or that expired, are submitted again, three times at most; the others of their batch are not.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

from pydantic import Field

from midspec.errors import ConfigError, WriterError
from midspec.llm.attempts import Failure, Limiter, persist
from midspec.llm.batch_apis import BatchApi, Member, batches_of, reply_of
from midspec.llm.batch_book import Book, OpenBatch
from midspec.llm.batch_submit import Submission, heard, told
from midspec.llm.door import Reply, Request
from midspec.llm.inspect_writer import FATAL, InspectWriter, without_key
from midspec.llm.journal import index
from midspec.progress import Progress, silent
from midspec.records import Frozen, digest
from midspec.store import Journal

T = TypeVar("T")
_TRIES = 3
_TROUBLES = 60  # polls in a row that may fail: an hour without a network


class BatchConfig(Frozen):
    """How batches are made and watched."""

    window: int = Field(default=20_000, ge=1, description="requests that wait at once (4 KB each)")
    idle_s: float = Field(
        default=3.0, gt=0, description="submit when no request has come for so long"
    )
    poll_s: float = Field(
        default=10.0, gt=0, description="first wait for results; grows to six times as long"
    )
    settle_s: float = Field(
        default=30.0, ge=0, description="how long a submit may be under way after a kill"
    )


class BatchWriter:
    """A model by its Inspect name (``anthropic/...``, ``openai/...``, ``openai-api/...``).

    ``folder`` holds the state; one process at a time uses it. ``progress`` hears how many
    requests the provider has done, of those that it has. Replies are marked ``batched``.
    Raises ConfigError if the provider has no batches, WriterError if it turns us away.
    """

    def __init__(
        self,
        inner: InspectWriter,
        folder: Path,
        *,
        config: BatchConfig | None = None,
        progress: Progress = silent,
    ) -> None:
        self.name = inner.name
        if inner.name.split("/")[0] not in ("anthropic", "openai", "openai-api"):
            raise ConfigError(
                f"{inner.name!r} has no batches; use anthropic/..., openai/... or openai-api/..., "
                "or leave --batch out"
            )
        self._config = config or BatchConfig()
        self.window = self._config.window
        self._inner = inner
        self._progress = progress
        self._results = folder / "results.jsonl"
        self._journal = Journal(self._results)
        self._offsets = index(self._results, self.name)
        self._book = Book(folder / "book.jsonl")
        self._waiting: dict[str, tuple[Request, asyncio.Future[Reply]]] = {}
        self._queue: dict[str, Request] = {}
        self._failures: defaultdict[str, set[str]] = defaultdict(set)  # batches that failed it
        self._stirred = 0.0
        self._troubles = 0
        self._limiter = Limiter()  # one call at a time; it knows if the server ever answered
        self._pump: asyncio.Task[None] | None = None

    async def reply(self, request: Request) -> Reply:
        """The reply to a request, once its batch is done."""
        if (offset := self._offsets.get(int(request.id, 16))) is not None:
            return self._stored(offset)
        if request.id not in self._waiting:
            future: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
            self._waiting[request.id] = (request, future)
            if request.id not in self._book.ids:
                self._queue[request.id] = request
            self._stirred = time.monotonic()
        future = self._waiting[request.id][1]
        if self._pump is None or self._pump.done():
            self._pump = asyncio.create_task(self._run())
        try:
            return await asyncio.shield(future)
        except asyncio.CancelledError:
            self._waiting.pop(request.id, None)
            self._queue.pop(request.id, None)
            raise

    async def close(self) -> None:
        """Stop watching; what was submitted is collected by the next run."""
        if self._pump and not self._pump.done():
            self._pump.cancel()
            await asyncio.gather(self._pump, return_exceptions=True)
        self._journal.close()
        self._book.close()
        await self._inner.close()

    def _stored(self, offset: int) -> Reply:
        with self._results.open("rb") as file:
            file.seek(offset)
            return Reply.model_validate_json(file.readline())

    # -- the pump --------------------------------------------------------------------------

    async def _run(self) -> None:
        """Submit, poll and deliver while anybody waits; a lasting error goes to all of them."""
        try:
            api = await self._api()
            await self._reconcile(api)
            await self._work(api)
        except Exception as error:
            # Whatever stops the pump has to reach those who wait for it: else they wait for ever.
            waiting, self._waiting = self._waiting, {}
            self._queue.clear()
            for _, future in waiting.values():
                if not future.done():
                    future.set_exception(self._told(error))
            if not isinstance(error, WriterError | Failure):
                raise

    def _told(self, error: Exception) -> Exception:
        key = self._inner.model().api.api_key
        return told(error, self.name, key) if isinstance(error, Failure) else error

    async def _work(self, api: BatchApi) -> None:
        wait_s, due = self._config.poll_s, 0.0
        while self._waiting:
            await asyncio.sleep(min(self._config.idle_s / 4, self._config.poll_s / 4))
            now = time.monotonic()
            full = len(self._queue) >= api.max_requests
            if self._queue and (full or now - self._stirred >= self._config.idle_s):
                await self._submit_all(api)
                wait_s, due = self._config.poll_s, 0.0
            if self._book.open and now >= due:
                some = await self._poll_all(api)
                wait_s = self._config.poll_s if some else wait_s * 1.5
                wait_s = min(wait_s, 6 * self._config.poll_s)
                due = time.monotonic() + wait_s
                self._tell()

    def _tell(self) -> None:
        flying = sum(len(one.ids) for one in self._book.open.values())
        self._progress(0, flying, f"{len(self._book.open)} batches with the provider")

    async def _api(self) -> BatchApi:
        client: Any = getattr(self._inner.model().api, "client", None)
        request, _ = next(iter(self._waiting.values()))
        wire = await self._inner.wire(request.max_tokens)
        if wire is None:
            raise WriterError(f"{self.name!r} has no batches; run again without --batch")
        return batches_of(wire.api, client, self._config.poll_s)

    # -- submitting ------------------------------------------------------------------------

    async def _submit_all(self, api: BatchApi) -> None:
        """Submit all that is queued, in as many batches as the provider's limits ask for."""
        parcel: list[Member] = []
        size = 0
        for request in list(self._queue.values()):
            wire = await self._inner.wire(request.max_tokens)
            assert wire is not None  # _api saw one for this provider
            body = wire.body(request)
            n_bytes = len(body) + 200
            if parcel and (len(parcel) >= api.max_requests or size + n_bytes > api.max_bytes):
                await self._submit(api, parcel)
                parcel, size = [], 0
            parcel.append((request.id, json.loads(body)))
            size += n_bytes
        if parcel:
            await self._submit(api, parcel)

    async def _submit(self, api: BatchApi, parcel: list[Member]) -> None:
        """Submit one batch: the intent first; an answer that is lost is looked for."""
        ids = [id for id, _ in parcel]
        key = digest("batch", self.name, self._book.n, ids)
        members = [(f"{id}-{key}", body) for id, body in parcel]
        self._book.write("intent", key, ids=ids)
        for id in ids:
            self._queue.pop(id, None)
        sent = Submission(api, key, members, self._book.known, self._config.settle_s)
        try:
            self._book.write("submitted", key, batch=await self._persist(sent.attempt, key))
        except Failure:
            if not sent.doubtful:  # else the next run looks for it first
                self._book.write("lost", key)
            raise

    async def _reconcile(self, api: BatchApi) -> None:
        """Find batches whose id was lost in a kill, or set their requests free."""
        for one in [one for one in self._book.open.values() if not one.batch]:
            await asyncio.sleep(max(0.0, one.since + self._config.settle_s - time.time()))
            batch = await self._persist(lambda one=one: self._find(api, one), one.key)
            if batch:
                self._book.write("submitted", one.key, batch=batch)
                continue
            self._book.write("lost", one.key)
            for id in one.ids:
                if id in self._waiting:
                    self._queue[id] = self._waiting[id][0]

    async def _find(self, api: BatchApi, one: OpenBatch) -> str | None:
        return await heard(api.find(one.key, len(one.ids), one.since, self._book.known))

    async def _persist(self, attempt: Callable[[], Awaitable[T]], key: str) -> T:
        """Try with bounded back-off, as live calls do."""
        return await persist(attempt, self._limiter, self._inner.patience, key)

    # -- collecting ------------------------------------------------------------------------

    async def _poll_all(self, api: BatchApi) -> bool:
        """Collect what has ended; whether any had. Passing trouble is waited out."""
        try:
            done = [await heard(self._poll(api, one)) for one in list(self._book.open.values())]
        except Failure as failure:
            self._troubles += 1
            if failure.status in FATAL or self._troubles > _TROUBLES:
                raise
            return False
        self._troubles = 0
        return any(done)

    async def _poll(self, api: BatchApi, one: OpenBatch) -> bool:
        """Collect a batch if it has ended; whether it had."""
        try:
            if not await api.ended(one.batch):
                return False
        except Failure as failure:
            self._book.write("lost", one.key)
            raise WriterError(
                f"writer {self.name!r}: batch {one.batch} was turned down ({failure}); "
                "mend that, then run again to go on"
            ) from None
        missing = set(one.ids)
        again: list[Request] = []
        async for custom_id, result in api.results(one.batch):
            if (id := custom_id.partition("-")[0]) in missing:
                missing.discard(id)
                again += self._take(id, result, one.key)
        for id in missing:
            again += self._take(id, Failure("the batch has no result for it", retry=True), one.key)
        self._book.write("collected", one.key)
        self._queue.update((request.id, request) for request in again)
        return True

    def _take(self, id: str, result: dict[str, Any] | Failure, batch: str) -> Iterator[Request]:
        """Store and deliver one result; gives the request if it is to be asked again."""
        if int(id, 16) in self._offsets:  # taken before a kill
            return
        reply = reply_of(result, id, self.name)
        if isinstance(reply, Failure):
            self._failures[id].add(batch)  # once, also if the download broke off and is repeated
            if reply.retry and len(self._failures[id]) < _TRIES:
                if id in self._waiting:
                    yield self._waiting[id][0]
                return
            error = without_key(str(reply), None)
            reply = Reply(request=id, text="", stop="error", model=self.name, error=error)
        else:
            self._offsets[int(id, 16)] = self._journal.append(reply)
        if waits := self._waiting.pop(id, None):
            waits[1].set_result(reply)
