"""Sends filled-in requests over HTTP, and lets the first of those that share a text go alone."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from midspec.llm.attempts import Failure
from midspec.llm.door import Reply, Request
from midspec.llm.wire import Wire, failure, read

if TYPE_CHECKING:
    from pyreqwest.client import Client
    from pyreqwest.exceptions import RequestError
    from pyreqwest.request import ConsumedRequest

_NOT_CONNECTED = "client error (Connect)"
_CACHE_LIFE_S = 270.0  # providers keep a prefix for five minutes after its last use


class Sender:
    """Connections to one server, within one event loop.

    They live in a thread of their own, outside Python: a call takes the event loop 0.10 ms of
    processor time, where aiohttp takes 0.45 on the same machine.
    """

    def __init__(self, timeout_s: float) -> None:
        self._timeout_s = timeout_s
        self._client: Client | None = None

    async def send(self, wire: Wire, request: Request, name: str) -> Reply:
        """One attempt; ``name`` is the writer's. Raises Failure."""
        return read(wire.api, await self._post(wire, wire.body(request)), request.id, name)

    async def close(self) -> None:
        """Close the connections; a later call opens new ones."""
        if self._client:
            await self._client.close()
        self._client = None

    async def _post(self, wire: Wire, body: bytes) -> Any:
        """The JSON of an answer."""
        from pyreqwest.exceptions import JSONDecodeError, RequestError

        post = self._request(wire, body)
        try:
            response = await post.send()
            if response.status != 200:
                wait = response.get_header("retry-after")
                raise failure(wire.api, response.status, await response.text(), wait)
            return await response.json()
        except TimeoutError as error:
            text = f"no answer within {self._timeout_s:g} s"
            raise Failure(text, retry=True, overload=True) from error
        except JSONDecodeError as error:
            raise Failure(f"the answer is not JSON ({error.message})", retry=True) from error
        except RequestError as error:
            raise _no_answer(error) from error

    def _request(self, wire: Wire, body: bytes) -> ConsumedRequest:
        try:
            return self._open().post(wire.url).headers(wire.headers).body_bytes(body).build()
        except ValueError:  # it may quote the key
            text = f"{wire.url!r} is no whole URL, or the key has a line break or the like in it"
            raise Failure(text, unreachable=True) from None

    def _open(self) -> Client:
        """A client with the proxy that the environment names.

        It takes the machine's certificates and certifi's, as the providers' own clients do: a
        machine without any would otherwise not even reach a server without TLS.
        """
        import certifi
        from pyreqwest.client import ClientBuilder

        if self._client is None:
            timeout = timedelta(seconds=self._timeout_s)
            certificates = Path(certifi.where()).read_bytes()
            builder = ClientBuilder().timeout(timeout).add_root_certificate_pem(certificates)
            self._client = builder.build()
        return self._client


def _no_answer(error: RequestError) -> Failure:
    """What it means that no whole answer came."""
    causes = [cause["message"] for cause in error.details["causes"] or []]
    text = ": ".join([type(error).__name__, *(causes or [error.message])])
    # The error's type is the same for a connection that broke before the answer.
    return Failure(text, retry=True, unreachable=_NOT_CONNECTED in causes)


class Lead:
    """Who of the calls with one shared text goes first, and how long its cache is warm."""

    def __init__(self) -> None:
        self._lock = asyncio.Lock()
        self._warm_until = 0.0

    def warm(self) -> bool:
        """Whether the cache is warm; a call that goes because of it keeps it so."""
        now = time.monotonic()
        if now < self._warm_until:
            self._warm_until = now + _CACHE_LIFE_S
            return True
        return False

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """Wait for the first answer, or be the first."""
        async with self._lock:
            if not self.warm():
                try:
                    yield
                finally:
                    self._warm_until = time.monotonic() + _CACHE_LIFE_S
                return
        yield
