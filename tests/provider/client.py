"""Start the server inside a test, and look at what it saw."""

from __future__ import annotations

import asyncio
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from aiohttp import web

from tests.provider.app import Server
from tests.provider.core import Core
from tests.provider.settings import Settings


class Provider:
    """A running server; ``settings`` may be changed while it runs."""

    def __init__(self, settings: Settings) -> None:
        self.core = Core(settings)
        self.server = Server(self.core)
        self.url = ""
        self._loop = asyncio.new_event_loop()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def change(self, **settings: Any) -> None:
        """Other settings from now on."""
        self.core.settings = self.core.settings.model_copy(update=settings)

    def rows(self, event: str) -> list[dict[str, Any]]:
        """Rows of the log of one kind, in order."""
        if event == "answer":
            self._settle()
        return [row for row in list(self.core.log.rows) if row["event"] == event]

    def totals(self) -> Counter[str]:
        """What was billed so far."""
        self._settle()
        return self.core.totals

    def _settle(self) -> None:
        """Wait for the log, where an answer stands just after it was sent."""
        deadline = time.monotonic() + 1
        while self.core.flying and time.monotonic() < deadline:
            time.sleep(0.002)

    def start(self) -> None:
        """Start, and wait until the port is open."""
        self._thread.start()
        self._ready.wait(10)

    def stop(self) -> None:
        """Stop; requests in flight are dropped."""
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        runner = self._loop.run_until_complete(serve(self.server, self.core.settings))
        host, port = runner.addresses[0][:2]
        self.url = f"http://{host}:{port}"
        self._ready.set()
        self._loop.run_forever()
        self._loop.run_until_complete(runner.cleanup())
        self._loop.run_until_complete(_cancel_all())
        self._loop.close()


async def _cancel_all() -> None:
    """End the handlers that hold a request."""
    tasks = asyncio.all_tasks() - {asyncio.current_task()}
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def serve(server: Server, settings: Settings) -> web.AppRunner:
    """Bind the port."""
    runner = web.AppRunner(server.app(), access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, settings.host, settings.port).start()
    return runner


@contextmanager
def running(**settings: Any) -> Iterator[Provider]:
    """A server for the length of a ``with`` block."""
    provider = Provider(Settings(**settings))
    provider.start()
    try:
        yield provider
    finally:
        provider.stop()
