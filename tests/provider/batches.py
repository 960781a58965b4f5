"""Batches: made, worked off after a while, listed, cancelled."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from tests.provider import shapes
from tests.provider.core import Api, Core, bill, texts
from tests.provider.settings import digest_of, draw

_FAULTS = ("member_error", "member_expired", "member_malformed")
_REPLY_FAULTS = ("cut", "refusal", "unparsable")


@dataclass
class Batch:
    """One batch; ``results`` are there once it has ended."""

    id: str
    api: Api
    members: list[tuple[str, dict[str, Any]]]
    created: float = field(default_factory=time.time)
    cancelled: bool = False
    results: list[dict[str, Any]] | None = None
    broken: list[str] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    more: dict[str, Any] = field(default_factory=dict)


class Batches:
    """All batches of a server, oldest first."""

    def __init__(self, core: Core) -> None:
        self.core = core
        self.all: dict[str, Batch] = {}
        self.files: dict[str, dict[str, Any]] = {}

    def make(self, api: Api, members: list[tuple[str, dict[str, Any]]], **more: Any) -> Batch:
        """Take a batch in."""
        batch = Batch(f"batch_{len(self.all) + 1}", api, members, more=more)
        self.all[batch.id] = batch
        self.core.log.add(
            "batch",
            batch=batch.id,
            api=api,
            custom_ids=[custom_id for custom_id, _ in members],
            digests=[digest_of(body) for _, body in members],
        )
        return batch

    def get(self, id: str) -> Batch | None:
        """A batch, worked off if its time has come."""
        batch = self.all.get(id)
        if batch and batch.results is None:
            over = time.time() - batch.created >= self.core.settings.batch_seconds
            if over or batch.cancelled:
                batch.results = list(self._work(batch))
        return batch

    def _work(self, batch: Batch) -> Iterator[dict[str, Any]]:
        for custom_id, body in batch.members:
            digest = digest_of(body)
            self.core.times[digest] += 1
            drawn = (batch.id, digest, self.core.times[digest])
            fault = draw(self.core.settings, _FAULTS, *drawn)
            kind = "canceled" if batch.cancelled else _outcome(fault)
            batch.counts["succeeded" if kind == "malformed" else kind] += 1
            yield self._result(batch, custom_id, body, digest, kind)

    def _result(
        self, batch: Batch, custom_id: str, body: dict[str, Any], digest: str, kind: str
    ) -> dict[str, Any]:
        row: dict[str, Any] = {
            "batch": batch.id,
            "custom_id": custom_id,
            "digest": digest,
            "user": digest_of(texts(body)[1]),
            "kind": kind,
        }
        if kind not in ("succeeded", "malformed"):
            self.core.log.add("member", **row)
            return _failed(batch.api, custom_id, kind)
        fault = draw(self.core.settings, _REPLY_FAULTS, "member", digest)
        answer = self.core.answer(batch.api, body, fault, digest)
        self.core.cache.put(answer.prefixes)
        self.core.totals.update(bill(answer))
        self.core.log.add("member", **row, fault=fault, **bill(answer))
        made = shapes.reply(batch.api, answer, body["model"], custom_id)
        if kind == "malformed":
            batch.broken.append(custom_id)
        return _succeeded(batch.api, custom_id, made)


def _outcome(fault: str) -> str:
    kinds = {"member_error": "errored", "member_expired": "expired"}
    return {**kinds, "member_malformed": "malformed"}.get(fault, "succeeded")


def _succeeded(api: Api, custom_id: str, made: dict[str, Any]) -> dict[str, Any]:
    if api == "anthropic":
        return {"custom_id": custom_id, "result": {"type": "succeeded", "message": made}}
    response = {"status_code": 200, "request_id": f"r-{custom_id}", "body": made}
    return {"id": f"b-{custom_id}", "custom_id": custom_id, "response": response, "error": None}


def _failed(api: Api, custom_id: str, kind: str) -> dict[str, Any]:
    if api == "anthropic":
        result: dict[str, Any] = {"type": kind}
        if kind == "errored":
            result["error"] = shapes.error("anthropic", 500)
        return {"custom_id": custom_id, "result": result}
    row: dict[str, Any] = {"id": f"b-{custom_id}", "custom_id": custom_id, "error": None}
    if kind == "errored":
        body = shapes.error("openai", 500)
        return {**row, "response": {"status_code": 500, "request_id": "r", "body": body}}
    code = "batch_expired" if kind == "expired" else "batch_cancelled"
    return {**row, "response": None, "error": {"code": code, "message": kind}}


def anthropic_shape(batch: Batch, url: str) -> dict[str, Any]:
    """A batch as the Anthropic API shows it."""
    ended = batch.results is not None
    names = ("succeeded", "errored", "canceled", "expired")
    counts = {name: batch.counts[name] for name in names}
    state = "ended" if ended else ("canceling" if batch.cancelled else "in_progress")
    return {
        "id": batch.id,
        "type": "message_batch",
        "processing_status": state,
        "request_counts": {**counts, "processing": 0 if ended else len(batch.members)},
        "created_at": _time(batch.created),
        "expires_at": _time(batch.created + 86400),
        "ended_at": _time(time.time()) if ended else None,
        "archived_at": None,
        "cancel_initiated_at": None,
        "results_url": f"{url}/v1/messages/batches/{batch.id}/results" if ended else None,
    }


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat().replace("+00:00", "Z")


def openai_shape(batch: Batch) -> dict[str, Any]:
    """A batch as the OpenAI API shows it."""
    ended = batch.results is not None
    state = "in_progress"
    if ended:
        state = "expired" if batch.counts["expired"] else "completed"
        state = "cancelled" if batch.cancelled else state
    failed = len(batch.members) - batch.counts["succeeded"] if ended else 0
    return {
        "id": batch.id,
        "object": "batch",
        "endpoint": batch.more["endpoint"],
        "input_file_id": batch.more["input_file_id"],
        "completion_window": "24h",
        "status": state,
        "created_at": int(batch.created),
        "metadata": batch.more["metadata"],
        "output_file_id": f"{batch.id}-output" if ended and batch.counts["succeeded"] else None,
        "error_file_id": f"{batch.id}-errors" if failed else None,
        "request_counts": {
            "total": len(batch.members),
            "completed": batch.counts["succeeded"],
            "failed": failed,
        },
    }


def result_lines(batch: Batch, part: str = "") -> Iterator[bytes]:
    """The results as JSON lines: all, or only ``"output"`` or ``"errors"``."""
    for row in batch.results or ():
        good = bool(row.get("response") and row["response"]["status_code"] == 200)
        if not part or (part == "output") == good:
            yield _broken(row) if row["custom_id"] in batch.broken else json.dumps(row).encode()
            yield b"\n"


def _broken(row: dict[str, Any]) -> bytes:
    """Half a line, or a line of another form, each for every other one."""
    if int(row["custom_id"][:16], 16) % 2:
        return json.dumps(row).encode()[:100]
    return json.dumps({"custom_id": row["custom_id"], "result": 7, "response": [7]}).encode()
