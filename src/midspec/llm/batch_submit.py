"""Submitting a batch so that it is made once, and saying what stands in the way."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable
from typing import TypeVar

from midspec.errors import WriterError
from midspec.llm.attempts import Failure
from midspec.llm.batch_apis import BatchApi, Member
from midspec.llm.inspect_writer import FATAL, advice, variables, without_key
from midspec.llm.wire import seconds

T = TypeVar("T")


class Submission:
    """One batch on its way to the provider; ``attempt`` may be repeated until it succeeds.

    An error after the request was sent leaves it open whether the batch was made: ``doubtful``
    is true until the provider's list of batches was read, a while later, and does not have it.
    """

    def __init__(
        self, api: BatchApi, key: str, members: list[Member], known: set[str], settle_s: float
    ) -> None:
        self.doubtful = False
        self._api, self._key, self._members = api, key, members
        self._known, self._settle_s = known, settle_s
        self._since = time.time()

    async def attempt(self) -> str:
        """The batch's id at the provider. Raises Failure."""
        if self.doubtful:
            await asyncio.sleep(self._settle_s)
            batch = await heard(
                self._api.find(self._key, len(self._members), self._since, self._known)
            )
            if batch:
                return batch
            self.doubtful = False
        try:
            return await heard(self._api.create(self._key, self._members))
        except Failure as failure:
            self.doubtful = failure.retry and failure.status != 429 and not failure.unreachable
            raise


async def heard(call: Awaitable[T]) -> T:
    """What a provider's SDK answers; its errors as Failures. Other errors stay what they are."""
    try:
        return await call
    except Exception as error:
        # Both SDKs' errors have no common root.
        if not is_http(error):
            raise
        status = getattr(error, "status_code", None)
        cause = type(error.__cause__).__name__
        raise Failure(
            f"{type(error).__name__}: {error}",
            status=status,
            retry=status is None or status in (408, 409, 429) or status >= 500,
            wait_s=_asked_wait(error),
            unreachable=cause in ("ConnectError", "ConnectTimeout"),
        ) from error


def _asked_wait(error: Exception) -> float:
    """Seconds that the provider asks to wait."""
    headers = getattr(getattr(error, "response", None), "headers", {})
    return seconds(headers.get("retry-after"))


def is_http(error: Exception) -> bool:
    """Whether an error tells of a connection or an HTTP answer."""
    return type(error).__module__.split(".")[0] in ("anthropic", "openai", "httpx", "httpx2")


def told(failure: Failure, name: str, key: str | None) -> WriterError:
    """What a failure means for those who wait for a batch, and what to look at."""
    text = without_key(str(failure), key)
    if failure.status in FATAL:  # the provider's own text may quote the key
        text = (
            f"batches cannot be asked for (HTTP {failure.status}); {advice(failure.status, name)}"
        )
    elif failure.status is not None and not failure.retry:
        text = f"the provider took no batch (HTTP {failure.status}); {text}"
    else:
        hint = f"check the network and the base URL in {variables(name)['url']}"
        text = f"batches cannot be reached ({text}); {hint}"
    return WriterError(f"writer {name!r}: {text}, then run again to go on")
