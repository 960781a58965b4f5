"""How one model is called over HTTP: built by Inspect once, filled in for each request.

Inspect makes the first request of a kind through a transport that keeps it and answers it. That
gives URL, headers and body; for each further request only the texts and the seed are put in. So
live calls and batches send the same bodies, whatever Inspect decides about a model, and a document
takes a fifteenth of the processor time that it takes by Inspect's call, journal included.

The two APIs that offer batches are read here as well: Anthropic's messages and OpenAI's chat
completions, which most other servers speak.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Literal, cast

from midspec.llm.attempts import Failure
from midspec.llm.door import Reply, Request, Stop
from midspec.llm.prompts import messages

if TYPE_CHECKING:
    from inspect_ai.model import ChatMessage

Api = Literal["anthropic", "openai"]
_APIS: dict[str, Api] = {"/messages": "anthropic", "/chat/completions": "openai"}
# Services of these that are reached in other ways than by a plain request with a key.
_OTHER_SERVICES = {"bedrock", "vertex", "azure"}
_SYSTEM, _USER, _SEED = '"midspec: the shared text"', '"midspec: the own text"', "1234567891"
_HOLES = re.compile(f"({_SYSTEM}|{_USER}|{_SEED})")
# Belongs to one connection or one call; x-stainless-* describe a client that does not make ours.
_NOT_KEPT = re.compile("host|content-length|connection|accept-encoding|x-irid|x-stainless-.*")
_ENCODER = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"))
_THINKING = re.compile(r"\A\s*<think>.*?</think>\s*", re.DOTALL)
_STOPS: dict[str, Stop] = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "stop": "stop",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "length": "length",
    "refusal": "refusal",
    "content_filter": "refusal",
}
_CANNED: dict[str, Any] = {
    "id": "0",
    "type": "message",
    "object": "chat.completion",
    "created": 0,
    "role": "assistant",
    "model": "none",
    "content": [{"type": "text", "text": "-"}],
    "stop_reason": "end_turn",
    "stop_sequence": None,
    "choices": [
        {
            "index": 0,
            "finish_reason": "stop",
            "message": {"role": "assistant", "content": "-"},
        }
    ],
    "usage": {
        "input_tokens": 1,
        "output_tokens": 1,
        "prompt_tokens": 1,
        "completion_tokens": 1,
        "total_tokens": 2,
    },
}


@dataclass(frozen=True)
class Wire:
    """URL, headers and body of a call; ``pieces`` is the body's JSON, holes among them."""

    api: Api
    url: str
    headers: Mapping[str, str]
    pieces: tuple[str, ...]

    def body(self, request: Request) -> bytes:
        """The body of one request, as JSON; batches are made of these as well."""
        (_, system), (_, user) = messages(request)
        holes = {_SYSTEM: _shared_json(system), _USER: to_json(user), _SEED: str(request.seed)}
        return "".join([holes.get(piece, piece) for piece in self.pieces]).encode()


def to_json(value: Any) -> str:
    """JSON as the providers' own clients put it on the wire."""
    return _ENCODER.encode(value)


@lru_cache(maxsize=16)  # a spec of 40,000 tokens takes 0.5 ms; one at a time is in use, mostly
def _shared_json(text: str) -> str:
    return to_json(text)


def chat(system: str, user: str) -> list[ChatMessage]:
    """Two messages in Inspect's types; the shared text is one cacheable block.

    The mark replaces Inspect's automatic caching, which on Anthropic would also write what
    differs to the cache, at 1.25 times the price, and never read it again.
    """
    from inspect_ai.model import ChatMessageSystem, ChatMessageUser, ContentText

    shared = ContentText(text=system, cache_breakpoint=True)
    return [ChatMessageSystem(content=[shared]), ChatMessageUser(content=user)]


async def learn(name: str, model_args: dict[str, Any], config: dict[str, Any]) -> Wire | None:
    """The wire of a model for these settings, or None if its provider has another API."""
    provider, service = name.split("/")[:2]
    if provider not in ("anthropic", "openai", "openai-api") or service in _OTHER_SERVICES:
        return None
    if "http_client" in model_args:
        return None
    import httpx2
    from inspect_ai.model import GenerateConfig, get_model

    seen: list[httpx2.Request] = []

    async def keep(request: httpx2.Request) -> httpx2.Response:
        seen.append(request)
        return httpx2.Response(200, json=_CANNED)

    async with httpx2.AsyncClient(transport=httpx2.MockTransport(keep)) as client:
        model = get_model(name, memoize=False, http_client=client, **model_args)
        settings = GenerateConfig(seed=int(_SEED), **config)
        await model.generate(chat(_SYSTEM.strip('"'), _USER.strip('"')), config=settings)
    return _wire(seen[-1].url, seen[-1].headers, seen[-1].content)


def _wire(url: Any, headers: Mapping[str, str], content: bytes) -> Wire | None:
    ends: list[Api] = [api for end, api in _APIS.items() if url.path.endswith(end)]
    if not ends:
        return None
    kept = {key: value for key, value in headers.items() if not _NOT_KEPT.fullmatch(key.lower())}
    pieces = _HOLES.split(to_json(json.loads(content)))
    return Wire(ends[0], str(url), kept, tuple(pieces))


def read(api: Api, data: Any, request: str, model: str, *, batched: bool = False) -> Reply:
    """The reply in a response's JSON.

    Raises Failure (to be retried) if it has not the form that the API promises.
    """
    try:
        text, found, counts = (_read_message if api == "anthropic" else _read_completion)(data)
    except (KeyError, TypeError, IndexError, AttributeError) as error:
        raise Failure(f"the reply has an unknown form ({error!r})", retry=True) from error
    stop, problem = _STOPS.get(found, cast("Stop", "error")), ""
    if stop == "error":
        problem = f"the model stopped for the reason {found!r}: neither a whole text nor a cut"
    if stop == "stop" and not text.strip():
        stop = "refusal"
    return Reply(
        request=request, text=text, stop=stop, model=model, error=problem, batched=batched, **counts
    )


def _read_message(data: Any) -> tuple[str, str, dict[str, int]]:
    """Text, stop reason and tokens of an Anthropic message."""
    text = "".join(part["text"] for part in data["content"] if part["type"] == "text")
    usage = data["usage"]
    cached = usage.get("cache_read_input_tokens") or 0
    written = usage.get("cache_creation_input_tokens") or 0
    counts = {
        "input_tokens": usage["input_tokens"] + cached + written,
        "cached_tokens": cached,
        "cache_write_tokens": written,
        "output_tokens": usage["output_tokens"],
    }
    return text, str(data["stop_reason"]), counts


def _read_completion(data: Any) -> tuple[str, str, dict[str, int]]:
    """Text, stop reason and tokens of a chat completion."""
    choice, usage = data["choices"][0], data.get("usage") or {}
    message = choice["message"]
    if message.get("refusal"):
        return message["refusal"], "refusal", _tokens(usage)
    text = _THINKING.sub("", message.get("content") or "")
    return text, str(choice["finish_reason"]), _tokens(usage)


def _tokens(usage: dict[str, Any]) -> dict[str, int]:
    details = usage.get("prompt_tokens_details") or {}
    return {
        "input_tokens": usage.get("prompt_tokens") or 0,
        "cached_tokens": details.get("cached_tokens") or 0,
        "output_tokens": usage.get("completion_tokens") or 0,
    }


def failure(api: Api, status: int, text: str, retry_after: str | None) -> Failure:
    """What an answer with an error status means."""
    message, code = _error_of(text)
    overload = status in (429, 503, 529) or "overloaded" in message.lower()
    return Failure(
        f"HTTP {status}: {message}",
        status=status,
        retry=status in (408, 409, 429) or status >= 500,
        overload=overload,
        wait_s=seconds(retry_after),
        refused=api == "openai" and code in ("content_filter", "content_policy_violation"),
    )


def _error_of(text: str) -> tuple[str, str]:
    """Message and code of an error body of either API."""
    try:
        error = json.loads(text)["error"]
        return str(error["message"]), str(error.get("code"))
    except (ValueError, KeyError, TypeError, AttributeError):
        return text[:200], ""


def seconds(retry_after: str | None) -> float:
    """What a retry-after header asks to wait; 0 for none that is a number."""
    try:
        return max(0.0, float(retry_after or 0))
    except ValueError:
        return 0.0
