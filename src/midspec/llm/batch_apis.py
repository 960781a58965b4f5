"""The batches of the two providers that have them, behind one face.

A member's custom id is ``<request id>-<batch key>``: so any result says which batch of ours it
belongs to, and a batch whose id was lost is known again by its first result.
"""

from __future__ import annotations

import asyncio
import json
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from typing import TYPE_CHECKING, Any, Protocol

from midspec.llm.attempts import Failure
from midspec.llm.door import Reply
from midspec.llm.wire import Api, read, to_json

if TYPE_CHECKING:
    from anthropic import AsyncAnthropic
    from openai import AsyncOpenAI

Member = tuple[str, dict[str, Any]]
# Clocks of the provider and of this machine may differ.
_SKEW_S = 600.0


class BatchApi(Protocol):
    """What a provider's batches can do."""

    max_requests: int
    max_bytes: int

    async def create(self, key: str, members: list[Member]) -> str:
        """Submit a batch, once: no retry hides behind this. Its id at the provider."""
        ...

    async def find(self, key: str, n: int, since: float, known: set[str]) -> str | None:
        """The batch with our key among those made ``since``, or None."""
        ...

    async def ended(self, batch: str) -> bool:
        """Whether its results can be read. Raises Failure if it was turned down as a whole."""
        ...

    def results(self, batch: str) -> AsyncIterator[tuple[str, dict[str, Any] | Failure]]:
        """Custom id and reply body, or failure, of each member."""
        ...


class AnthropicBatches:
    """Anthropic's message batches. They carry no label: only their results name our key."""

    max_requests = 100_000
    # The provider takes 256 MB; a body is in memory twice while it is sent.
    max_bytes = 96_000_000

    def __init__(self, client: AsyncAnthropic, poll_s: float) -> None:
        self._client = client.with_options(max_retries=0)
        self._patient = client
        self._poll_s = poll_s

    async def create(self, key: str, members: list[Member]) -> str:  # noqa: ARG002
        """Submit a batch."""
        requests: Any = [{"custom_id": id, "params": body} for id, body in members]
        return (await self._client.messages.batches.create(requests=requests)).id

    async def find(self, key: str, n: int, since: float, known: set[str]) -> str | None:
        """Look at the first result of each batch that may be ours; wait for those that run."""
        async for batch in self._patient.messages.batches.list(limit=100):
            if batch.created_at.timestamp() < since - _SKEW_S:
                return None
            counts = batch.request_counts
            total = counts.processing + counts.succeeded + counts.errored
            total += counts.canceled + counts.expired
            if batch.id in known or total != n:
                continue
            if await self._first_key(batch.id) == key:
                return batch.id
        return None

    async def _first_key(self, batch: str) -> str:
        """Our key in the first result of a batch, once it has ended."""
        while not await self.ended(batch):
            await asyncio.sleep(self._poll_s)
        async for custom_id, _ in self.results(batch):
            return custom_id.rpartition("-")[2]
        return ""

    async def ended(self, batch: str) -> bool:
        """Whether all members are done."""
        found = await self._patient.messages.batches.retrieve(batch)
        return found.processing_status == "ended"

    async def results(self, batch: str) -> AsyncIterator[tuple[str, dict[str, Any] | Failure]]:
        """Results, streamed."""
        raw = self._patient.messages.batches.with_streaming_response
        async with raw.results(batch) as response:
            async for row in _rows(response.iter_lines()):
                yield row["custom_id"], _read(_message, row)


class OpenAIBatches:
    """OpenAI's batches: a file of requests, and a batch whose metadata name our key."""

    max_requests = 50_000
    max_bytes = 200_000_000

    def __init__(self, client: AsyncOpenAI) -> None:
        self._client = client.with_options(max_retries=0)
        self._patient = client

    async def create(self, key: str, members: list[Member]) -> str:
        """Upload the requests and submit the batch."""
        with tempfile.TemporaryFile() as file:
            file.writelines(_lines(members))
            file.seek(0)
            sent = await self._client.files.create(file=(f"{key}.jsonl", file), purpose="batch")
        made = await self._client.batches.create(
            input_file_id=sent.id,
            endpoint="/v1/chat/completions",
            completion_window="24h",
            metadata={"midspec": key},
        )
        return made.id

    async def find(self, key: str, n: int, since: float, known: set[str]) -> str | None:  # noqa: ARG002
        """Look for the batch with our key."""
        async for batch in self._patient.batches.list(limit=100):
            if batch.created_at < since - _SKEW_S:
                return None
            if (batch.metadata or {}).get("midspec") == key and batch.id not in known:
                return batch.id
        return None

    async def ended(self, batch: str) -> bool:
        """Whether it is done, expired or cancelled."""
        found = await self._patient.batches.retrieve(batch)
        if found.status == "failed":
            errors = (found.errors and found.errors.data) or []
            text = "; ".join(str(error.message) for error in errors[:3])
            raise Failure(text or "it gives no reason")
        return found.status in ("completed", "expired", "cancelled")

    async def results(self, batch: str) -> AsyncIterator[tuple[str, dict[str, Any] | Failure]]:
        """Results of the output file, then of the error file."""
        found = await self._patient.batches.retrieve(batch)
        for file in (found.output_file_id, found.error_file_id):
            if not file:
                continue
            async with self._patient.files.with_streaming_response.content(file) as response:
                async for row in _rows(response.iter_lines()):
                    yield row["custom_id"], _read(_completion, row)


def batches_of(api: Api, client: Any, poll_s: float) -> BatchApi:
    """The batches of an API, by its SDK's client."""
    return AnthropicBatches(client, poll_s) if api == "anthropic" else OpenAIBatches(client)


def reply_of(result: dict[str, Any] | Failure, id: str, name: str) -> Reply | Failure:
    """The reply in a member's result; ``name`` is the writer's."""
    if isinstance(result, Failure):
        return result
    try:
        api: Api = "anthropic" if name.startswith("anthropic/") else "openai"
        reply = read(api, result, id, name, batched=True)
    except Failure as failure:
        return failure
    return Failure(reply.error) if reply.stop == "error" else reply


def _lines(members: list[Member]) -> Iterator[bytes]:
    for id, body in members:
        row = {"custom_id": id, "method": "POST", "url": "/v1/chat/completions", "body": body}
        yield to_json(row).encode() + b"\n"


async def _rows(lines: AsyncIterator[str]) -> AsyncIterator[dict[str, Any]]:
    """Rows of results; what is none is passed over, and its request counts as not answered."""
    async for line in lines:
        try:
            row = json.loads(line)
        except (ValueError, RecursionError):
            continue
        if isinstance(row, dict) and isinstance(row.get("custom_id"), str):
            yield row


def _read(
    read: Callable[[dict[str, Any]], dict[str, Any] | Failure], row: dict[str, Any]
) -> dict[str, Any] | Failure:
    """What a row says; a failure, to be retried, if it has not the form that the API promises."""
    try:
        return read(row)
    except (KeyError, TypeError, AttributeError) as error:
        return Failure(f"the result has an unknown form ({error!r})", retry=True)


def _message(row: dict[str, Any]) -> dict[str, Any] | Failure:
    """A row of Anthropic's results."""
    result = row["result"]
    if result["type"] == "succeeded":
        return result["message"]
    if result["type"] != "errored":
        return Failure(f"the batch member was {result['type']}", retry=True)
    error = result["error"]["error"]
    lasting = error["type"] in ("invalid_request_error", "not_found_error")
    return Failure(f"{error['type']}: {error['message']}", retry=not lasting)


def _completion(row: dict[str, Any]) -> dict[str, Any] | Failure:
    """A row of OpenAI's output or error file."""
    response, error = row.get("response") or {}, row.get("error") or {}
    status = response.get("status_code")
    if status == 200:
        return response["body"]
    if status is None:
        return Failure(f"{error.get('code')}: {error.get('message')}", retry=True)
    detail = (response.get("body") or {}).get("error") or {}
    retry = status in (408, 409, 429) or status >= 500
    return Failure(f"HTTP {status}: {detail.get('message')}", retry=retry)
