"""Sends filled-in requests over HTTP, and lets the first of those that share a text go alone."""

from __future__ import annotations

import asyncio
import json
import ssl
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

from midspec.llm.attempts import Failure
from midspec.llm.door import Reply, Request
from midspec.llm.wire import Wire, failure, read

if TYPE_CHECKING:
    import aiohttp

_CACHE_LIFE_S = 270.0  # providers keep a prefix for five minutes after its last use


class Sender:
    """Connections to one server, within one event loop."""

    def __init__(self, timeout_s: float) -> None:
        self._timeout_s = timeout_s
        self._session: aiohttp.ClientSession | None = None

    async def send(self, wire: Wire, request: Request, name: str) -> Reply:
        """One attempt; ``name`` is the writer's. Raises Failure."""
        answer = await self._post(wire, wire.body(request))
        try:
            data = json.loads(answer)
        except ValueError as error:  # also bytes that are no UTF-8
            raise Failure(f"the answer is not JSON ({error})", retry=True) from error
        return read(wire.api, data, request.id, name)

    async def close(self) -> None:
        """Close the connections; a later call opens new ones."""
        if self._session:
            await self._session.close()
        self._session = None

    async def _post(self, wire: Wire, body: bytes) -> bytes:
        import aiohttp

        session = self._open(wire.url)
        try:
            async with session.post(wire.url, data=body, headers=wire.headers) as response:
                answer = await response.read()
                if response.status != 200:
                    text, wait = (
                        answer.decode(errors="replace"),
                        response.headers.get("retry-after"),
                    )
                    raise failure(wire.api, response.status, text, wait)
        except TimeoutError as error:
            text = f"no answer within {self._timeout_s:g} s"
            raise Failure(text, retry=True, overload=True) from error
        except aiohttp.ClientError as error:
            unreachable = isinstance(error, aiohttp.ClientConnectorError)
            text = f"{type(error).__name__}: {error}"
            raise Failure(text, retry=True, unreachable=unreachable) from error
        return answer

    def _open(self, url: str) -> aiohttp.ClientSession:
        import aiohttp

        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=0, ssl=_certificates(url)),
                timeout=aiohttp.ClientTimeout(total=self._timeout_s),
                cookie_jar=aiohttp.DummyCookieJar(),  # no API has any, but each call would look
                proxy=_proxy(url),
            )
        return self._session


def _certificates(url: str) -> ssl.SSLContext | bool:
    """The machine's certificates and certifi's, as the providers' own clients have them.

    They take 0.1 s to read, which a server on this machine does not need.
    """
    if not url.startswith("https:"):
        return True
    import certifi

    context = ssl.create_default_context()
    context.load_verify_locations(certifi.where())
    return context


def _proxy(url: str) -> str | None:
    """The proxy that the environment names for a URL."""
    parts = urlsplit(url)
    if proxy_bypass(parts.hostname or ""):
        return None
    return getproxies().get(parts.scheme)


class Lead:
    """Who of the calls with one shared text goes first, and how long its cache is warm."""

    def __init__(self) -> None:
        self.lock = asyncio.Lock()
        self.warm_until = 0.0

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """Go at once if the cache is warm; else wait for the first answer, or be the first."""
        if time.monotonic() >= self.warm_until:
            async with self.lock:
                if time.monotonic() >= self.warm_until:
                    try:
                        yield
                    finally:
                        self.warm_until = time.monotonic() + _CACHE_LIFE_S
                    return
        self.warm_until = max(self.warm_until, time.monotonic() + _CACHE_LIFE_S)
        yield
