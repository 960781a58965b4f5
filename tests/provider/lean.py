"""The same fixed answer to every request, after the latency: a server that is not the limit.

``python -m tests.provider --lean --latency 0.05`` starts it. It reads no request beyond its
length, draws no fault and keeps no log: it is for measuring how fast a client is.
"""

from __future__ import annotations

import asyncio
import json
import re
from functools import cache
from typing import cast

from tests.provider import shapes
from tests.provider.author import write
from tests.provider.core import Answer, Api, tokens
from tests.provider.settings import Settings

_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_USAGE: dict[Api, dict[str, object]] = {
    "anthropic": {
        "input_tokens": 300,
        "cache_read_input_tokens": 600,
        "cache_creation_input_tokens": 0,
    },
    "openai": {"prompt_tokens": 900, "prompt_tokens_details": {"cached_tokens": 600}},
}


def _http(text: str) -> bytes:
    body = text.encode()
    head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n"
    return head.encode() + b"\r\n" + body


@cache
def _fixed(api: Api) -> bytes:
    """A document in the API's form."""
    text = write("", "<document>", "lean")
    answer = Answer(text, "stop", dict(_USAGE[api]), tokens(text), [])
    return _http(json.dumps(shapes.reply(api, answer, "lean", 0)))


class Lean(asyncio.Protocol):
    """One connection; a client sends its next request after the answer to the last."""

    answers = 0

    def __init__(self, latency: float) -> None:
        self._latency = latency
        self._loop = asyncio.get_running_loop()
        self._received = bytearray()
        self._due: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        """Answer after the latency, once a request is whole."""
        self._received += data
        if (end := self._received.find(b"\r\n\r\n")) < 0:
            return
        found = _LENGTH.search(self._received, 0, end)
        if len(self._received) < end + 4 + (int(found.group(1)) if found else 0):
            return
        path = bytes(self._received[: self._received.find(b"\r\n")])
        self._received.clear()
        if b"/stats" in path:
            self._transport.write(_http(json.dumps({"answers": Lean.answers})))
            return
        answer = _fixed("anthropic" if b"/messages" in path else "openai")
        self._due = self._loop.call_later(self._latency, self._answer, answer)

    def _answer(self, answer: bytes) -> None:
        Lean.answers += 1
        self._transport.write(answer)

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget an answer that nobody waits for."""
        if self._due:
            self._due.cancel()


async def serve_lean(settings: Settings) -> tuple[str, int]:
    """Bind the port and serve in the background; its host and port."""
    loop = asyncio.get_running_loop()
    make = lambda: Lean(settings.latency)  # noqa: E731
    server = await loop.create_server(make, settings.host, settings.port, backlog=1024)
    return server.sockets[0].getsockname()[:2]
