"""The HTTP side: routes of both APIs over one core."""

from __future__ import annotations

import asyncio
import json
from contextlib import suppress
from typing import Any

from aiohttp import BodyPartReader, web

from tests.provider import batches as b
from tests.provider import shapes
from tests.provider.core import Answer, Api, Core
from tests.provider.settings import draw

_STATUS = {"429": 429, "500": 500, "529": 529}


class Server:
    """Handlers; one Core behind them."""

    def __init__(self, core: Core) -> None:
        self.core = core
        self.batches = b.Batches(core)

    def app(self) -> web.Application:
        """The application with all routes."""
        app = web.Application(client_max_size=2**30)
        batch = "/v1/messages/batches"
        app.add_routes(
            [
                web.post("/v1/messages", self.message),
                web.post("/v1/chat/completions", self.completion),
                web.post(batch, self.anthropic_create),
                web.get(batch, self.anthropic_list),
                web.get(batch + "/{id}", self.retrieve),
                web.get(batch + "/{id}/results", self.results),
                web.post(batch + "/{id}/cancel", self.cancel),
                web.post("/v1/files", self.upload),
                web.get("/v1/files/{id}/content", self.content),
                web.post("/v1/batches", self.openai_create),
                web.get("/v1/batches", self.openai_list),
                web.get("/v1/batches/{id}", self.retrieve),
                web.post("/v1/batches/{id}/cancel", self.cancel),
                web.get("/stats", self.stats),
            ]
        )
        return app

    # -- single calls ----------------------------------------------------------------------

    async def message(self, request: web.Request) -> web.StreamResponse:
        """POST /v1/messages."""
        return await self._call("anthropic", request)

    async def completion(self, request: web.Request) -> web.StreamResponse:
        """POST /v1/chat/completions."""
        return await self._call("openai", request)

    async def _call(self, api: Api, request: web.Request) -> web.StreamResponse:
        core = self.core
        body = json.loads(await request.read())
        n, digest = core.received(api, body)
        if core.settings.turn_away:
            return self._turned_away(api, request)
        core.flying += 1
        core.most = max(core.most, core.flying)
        try:
            fault = core.fault(digest)
            if fault in _STATUS:
                status = _STATUS[fault]
                core.answered(n, digest, status, fault, None)
                return self._error(api, status)
            return await self._reply(api, request, body, n, digest, fault)
        finally:
            core.flying -= 1

    async def _reply(
        self, api: Api, request: web.Request, body: dict[str, Any], n: int, digest: str, fault: str
    ) -> web.StreamResponse:
        core = self.core
        if fault == "hang":
            await asyncio.sleep(core.settings.hang)
        if fault in ("hang", "drop"):
            core.answered(n, digest, 0, fault, None)
            _close(request)
            return web.Response(status=500)
        answer = core.answer(api, body, fault, digest)
        await core.wait()
        core.cache.put(answer.prefixes)
        made = json.dumps(shapes.reply(api, answer, body["model"], n)).encode()
        if fault == "malformed":  # half of a JSON text, every other time with a byte of no UTF-8
            made = made[: len(made) // 2] + b"\xff" * (n % 2)
        return await self._send(request, made, n, digest, fault, answer)

    async def _send(
        self, request: web.Request, made: bytes, n: int, digest: str, fault: str, answer: Answer
    ) -> web.StreamResponse:
        """Send an answer, and log it once it is sent."""
        response = web.Response(body=made, content_type="application/json")
        with suppress(ConnectionResetError):  # nobody waits any more: it is no answer
            await response.prepare(request)
            await response.write_eof()
            self.core.answered(n, digest, 200, fault, answer)
        return response

    def _turned_away(self, api: Api, request: web.Request) -> web.Response:
        """No answer, with a message that quotes the key, as some providers do."""
        key = request.headers.get("x-api-key") or request.headers.get("authorization")
        return self._error(api, self.core.settings.turn_away, f"not for {key}")

    def _error(self, api: Api, status: int, text: str = "scripted failure") -> web.Response:
        headers = {"retry-after": str(self.core.settings.retry_after)} if status == 429 else {}
        return web.json_response(shapes.error(api, status, text), status=status, headers=headers)

    # -- batches ---------------------------------------------------------------------------

    async def anthropic_create(self, request: web.Request) -> web.StreamResponse:
        """POST /v1/messages/batches."""
        rows = json.loads(await request.read())["requests"]
        return self._create("anthropic", request, [(r["custom_id"], r["params"]) for r in rows])

    async def openai_create(self, request: web.Request) -> web.StreamResponse:
        """POST /v1/batches."""
        asked = await request.json()
        file = self.batches.files.get(asked["input_file_id"])
        if file is None:
            return self._error("openai", 400, "no such file")
        rows = [json.loads(line) for line in file["content"].splitlines() if line]
        members = [(r["custom_id"], r["body"]) for r in rows]
        more = {key: asked.get(key) for key in ("endpoint", "input_file_id", "metadata")}
        return self._create("openai", request, members, **more)

    def _create(
        self, api: Api, request: web.Request, members: list[tuple[str, dict[str, Any]]], **more: Any
    ) -> web.StreamResponse:
        if self.core.settings.turn_away:
            return self._turned_away(api, request)
        ids = [custom_id for custom_id, _ in members]
        if len(set(ids)) < len(ids):
            return self._error(api, 400, "custom ids must be unique")
        times = self.core.times[key := f"create {ids[0]}"] = self.core.times[f"create {ids[0]}"] + 1
        fault = draw(self.core.settings, ("429", "500", "529"), key, times)
        if fault:
            return self._error(api, _STATUS[fault])
        fault = draw(self.core.settings, ("create_lost", "create_drop"), key, times)
        if fault == "create_lost":
            _close(request)
            return web.Response(status=500)
        batch = self.batches.make(api, members, **more)
        if fault:
            _close(request)
        return self._show(batch, request)

    def _show(self, batch: b.Batch, request: web.Request) -> web.Response:
        return web.json_response(self._shape(batch, request))

    def _shape(self, batch: b.Batch, request: web.Request) -> dict[str, Any]:
        if batch.api == "openai":
            return b.openai_shape(batch)
        return b.anthropic_shape(batch, f"http://{request.host}")

    async def retrieve(self, request: web.Request) -> web.Response:
        """GET of one batch."""
        self.core.times["retrieve"] += 1
        if draw(self.core.settings, ("poll_drop",), "retrieve", self.core.times["retrieve"]):
            _close(request)
        batch = self.batches.get(request.match_info["id"])
        return self._show(batch, request) if batch else self._error("anthropic", 404, "no batch")

    async def cancel(self, request: web.Request) -> web.Response:
        """POST .../cancel."""
        if batch := self.batches.all.get(request.match_info["id"]):
            batch.cancelled = batch.results is None
        return await self.retrieve(request)

    async def results(self, request: web.Request) -> web.Response:
        """GET .../results."""
        batch = self.batches.get(request.match_info["id"])
        if not batch or batch.results is None:
            return self._error("anthropic", 404, "no results yet")
        return web.Response(body=b"".join(b.result_lines(batch)), content_type="application/jsonl")

    def _page(self, api: Api, request: web.Request, after: str) -> tuple[list[Any], bool]:
        """Batches of one API, the newest first, behind ``after``."""
        self.core.times["list"] += 1
        if draw(self.core.settings, ("list_drop",), "list", self.core.times["list"]):
            _close(request)
        limit = int(request.query.get("limit", 20))
        ids = [id for id, one in reversed(self.batches.all.items()) if one.api == api]
        start = ids.index(after) + 1 if after in ids else 0
        chosen = [self.batches.get(id) for id in ids[start : start + limit]]
        rows = [self._shape(batch, request) for batch in chosen if batch]
        return rows, len(ids) > start + limit

    async def anthropic_list(self, request: web.Request) -> web.Response:
        """GET /v1/messages/batches."""
        rows, more = self._page("anthropic", request, request.query.get("after_id", ""))
        ends = {"first_id": rows[0]["id"], "last_id": rows[-1]["id"]} if rows else {}
        return web.json_response({"data": rows, "has_more": more, **ends})

    async def openai_list(self, request: web.Request) -> web.Response:
        """GET /v1/batches."""
        rows, more = self._page("openai", request, request.query.get("after", ""))
        return web.json_response({"object": "list", "data": rows, "has_more": more})

    async def upload(self, request: web.Request) -> web.Response:
        """POST /v1/files."""
        file: dict[str, Any] = {"object": "file", "created_at": 1, "status": "processed"}
        async for part in await request.multipart():
            assert isinstance(part, BodyPartReader)
            data = bytes(await part.read())
            if part.name == "file":
                file |= {"content": data, "bytes": len(data), "filename": part.filename}
            else:
                file[str(part.name)] = data.decode()
        file["id"] = f"file_{len(self.batches.files) + 1}"
        self.batches.files[file["id"]] = file
        return web.json_response({key: value for key, value in file.items() if key != "content"})

    async def content(self, request: web.Request) -> web.Response:
        """GET /v1/files/{id}/content: the output or the errors of a batch."""
        id, _, part = request.match_info["id"].rpartition("-")
        if not (batch := self.batches.get(id)):
            return self._error("openai", 404, "no such file")
        return web.Response(body=b"".join(b.result_lines(batch, part)))

    async def stats(self, request: web.Request) -> web.Response:
        """GET /stats: totals so far."""
        core = self.core
        return web.json_response({**core.totals, "requests": core.seen, "most": core.most})


def _close(request: web.Request) -> None:
    if request.transport:
        request.transport.abort()
