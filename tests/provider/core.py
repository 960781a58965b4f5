"""The part that both APIs share: a body becomes an answer or a fault, and is logged."""

from __future__ import annotations

import asyncio
import json
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from tests.provider import author
from tests.provider.cache import Cache, anthropic_usage, openai_usage, tokens
from tests.provider.settings import FAULTS, Settings, digest_of, draw

Api = Literal["anthropic", "openai"]


@dataclass(frozen=True)
class Answer:
    """What the model says to one body."""

    text: str
    stop: Literal["stop", "length", "refusal"]
    usage: dict[str, Any]
    output_tokens: int
    prefixes: list[str] = field(repr=False)


class Log:
    """All that happened, in memory, and in a file if there is one."""

    def __init__(self, path: str) -> None:
        self.rows: list[dict[str, Any]] = []
        self._keep = not path
        self._file = Path(path).open("a", encoding="utf-8") if path else None  # noqa: SIM115

    def add(self, event: str, **fields: Any) -> None:
        """Write a row down."""
        row = {"event": event, "t": round(time.time(), 4), **fields}
        if self._keep:
            self.rows.append(row)
        if self._file:
            self._file.write(json.dumps(row) + "\n")
            self._file.flush()


class Core:
    """State of one server."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.log = Log(settings.log)
        self.cache = Cache(settings.short_cache)
        self.flying = self.most = self.seen = 0
        self.totals: Counter[str] = Counter()
        self.times: Counter[str] = Counter()

    def fault(self, digest: str) -> str:
        """What goes wrong with this request, or ``""``."""
        self.times[digest] += 1
        if self.settings.capacity and self.flying > self.settings.capacity:
            return "429"
        return draw(self.settings, FAULTS, digest, self.times[digest])

    def answer(self, api: Api, body: dict[str, Any], fault: str, digest: str) -> Answer:
        """The model's answer, with what it costs."""
        system, user = texts(body)
        text = author.write(system, user, digest)
        limit = int(body.get("max_tokens") or body.get("max_completion_tokens") or 10**6)
        stop: Literal["stop", "length", "refusal"] = "stop"
        if fault == "cut":
            text, stop = text[: len(text) // 2], "length"
        elif tokens(text) > limit:
            text, stop = text[: 4 * limit], "length"
        elif fault == "refusal":
            text, stop = "I will not write this.", "refusal"
        elif fault == "unparsable":
            text = text.replace("}", "", 1).replace("<document>", "", 1)
        measure = anthropic_usage if api == "anthropic" else openai_usage
        usage, prefixes = measure(body, self.cache)
        return Answer(text, stop, usage, tokens(text), prefixes)

    def received(self, api: Api, body: dict[str, Any]) -> tuple[int, str]:
        """Log a request as it comes in; its number and digest."""
        self.seen += 1
        digest = digest_of(body)
        self.log.add("request", n=self.seen, api=api, digest=digest, user=digest_of(texts(body)[1]))
        return self.seen, digest

    def answered(self, n: int, digest: str, status: int, fault: str, answer: Answer | None) -> None:
        """Log what a request got, after it was sent."""
        costs = bill(answer) if answer else {}
        self.totals.update(costs)
        self.totals.update({"answers": 1, f"status_{status}": 1})
        self.log.add("answer", n=n, digest=digest, status=status, fault=fault, **costs)

    async def wait(self) -> None:
        """Take as long as a model takes."""
        if self.settings.latency:
            await asyncio.sleep(self.settings.latency)


def bill(answer: Answer) -> dict[str, int]:
    """Tokens of an answer in one form for both APIs."""
    usage = answer.usage
    if "prompt_tokens" in usage:
        cached = usage["prompt_tokens_details"]["cached_tokens"]
        counts = (usage["prompt_tokens"] - cached, cached, 0)
    else:
        counts = (
            usage["input_tokens"],
            usage["cache_read_input_tokens"],
            usage["cache_creation_input_tokens"],
        )
    names = ("uncached", "cached", "written", "out")
    return dict(zip(names, (*counts, answer.output_tokens), strict=True))


def texts(body: dict[str, Any]) -> tuple[str, str]:
    """System text and last user text of a body."""
    system = _text(body.get("system") or "")
    for message in body.get("messages", ()):
        if message["role"] in ("system", "developer"):
            system += _text(message["content"])
    messages = body.get("messages") or [{"content": ""}]
    return system, _text(messages[-1]["content"])


def _text(content: Any) -> str:
    if isinstance(content, str):
        return content
    return "".join(part.get("text", "") for part in content)
