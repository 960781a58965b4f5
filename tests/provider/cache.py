"""Prompt caches: what of a prompt was seen before, as the two APIs count it."""

from __future__ import annotations

import hashlib
import json
import time
from typing import Any

from tests.provider.settings import digest_of

_LIFE_S = 300.0
_LOOKBACK = 20
_STEP = 512  # bytes: 128 tokens


def tokens(text: str) -> int:
    """About a token for four bytes."""
    return max(1, len(text.encode()) // 4)


class Cache:
    """Prefixes that were seen, each for five minutes after its last use."""

    def __init__(self, shortest: int) -> None:
        self.shortest = shortest
        self._seen: dict[str, float] = {}

    def holds(self, prefix: str) -> bool:
        """Whether a prefix is warm; asking keeps it so."""
        now = time.monotonic()
        if self._seen.get(prefix, 0.0) < now:
            return False
        self._seen[prefix] = now + _LIFE_S
        return True

    def put(self, prefixes: list[str]) -> None:
        """Make prefixes warm."""
        for prefix in prefixes:
            self._seen[prefix] = time.monotonic() + _LIFE_S


def anthropic_usage(body: dict[str, Any], cache: Cache) -> tuple[dict[str, int], list[str]]:
    """Input usage of a messages request, and the prefixes that it writes to the cache.

    The prompt is cut at its ``cache_control`` marks; the longest prefix that ends at a mark, or
    at one of the 20 blocks before it, and was written before, is read from the cache.
    """
    blocks = _blocks(body)
    sizes = [tokens(json.dumps(_bare(block), ensure_ascii=False)) for block in blocks]
    prefixes = _prefixes(blocks, str(body.get("model")))
    marks = [i for i, block in enumerate(blocks) if "cache_control" in block]
    if body.get("cache_control") and blocks:
        marks = sorted({*marks, len(blocks) - 1})
    marks = [i for i in marks if sum(sizes[: i + 1]) >= cache.shortest]
    read = max((j + 1 for i in marks for j in _back(i) if cache.holds(prefixes[j])), default=0)
    written = max([i + 1 for i in marks] + [read])
    usage = {
        "input_tokens": sum(sizes[written:]),
        "cache_read_input_tokens": sum(sizes[:read]),
        "cache_creation_input_tokens": sum(sizes[read:written]),
    }
    return usage, [prefixes[i] for i in marks]


def _back(mark: int) -> range:
    return range(mark, max(-1, mark - _LOOKBACK), -1)


def _bare(block: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in block.items() if key != "cache_control"}


def _blocks(body: dict[str, Any]) -> list[dict[str, Any]]:
    """All blocks of a prompt, in the order in which they are cached: tools, system, messages."""
    system = body.get("system") or []
    blocks = [dict(tool) for tool in body.get("tools") or []]
    blocks += [{"type": "text", "text": system}] if isinstance(system, str) else list(system)
    for message in body["messages"]:
        content = message["content"]
        parts = [{"type": "text", "text": content}] if isinstance(content, str) else content
        blocks += [{**part, "role": message["role"]} for part in parts]
    return blocks


def _prefixes(blocks: list[dict[str, Any]], model: str) -> list[str]:
    """Digest of the prompt up to and with each block."""
    found, so_far = [], model
    for block in blocks:
        so_far = digest_of([so_far, _bare(block)])
        found.append(so_far)
    return found


def openai_usage(body: dict[str, Any], cache: Cache) -> tuple[dict[str, Any], list[str]]:
    """Input usage of a chat completion: prefixes of 1,024 tokens and more, in steps of 128."""
    text = json.dumps([body["model"], body["messages"]], ensure_ascii=False).encode()
    sofar, prefixes = hashlib.blake2b(digest_size=8), []
    for start in range(0, len(text) - _STEP + 1, _STEP):
        sofar.update(text[start : start + _STEP])
        prefixes.append(sofar.hexdigest())
    prefixes = prefixes[-(-cache.shortest // 128) - 1 :] if cache.shortest >= 128 else prefixes
    cached = 0
    for i, prefix in enumerate(prefixes):
        if not cache.holds(prefix):
            break
        cached = max(cache.shortest, 128) + 128 * i
    total = max(1, len(text) // 4)
    details = {"cached_tokens": min(cached, total), "audio_tokens": 0}
    return {"prompt_tokens": total, "prompt_tokens_details": details}, prefixes
