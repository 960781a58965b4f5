"""Answers and errors in the two APIs' JSON."""

from __future__ import annotations

from typing import Any

from tests.provider.core import Answer, Api

_ANTHROPIC_STOPS = {"stop": "end_turn", "length": "max_tokens", "refusal": "refusal"}
_OPENAI_STOPS = {"stop": "stop", "length": "length", "refusal": "content_filter"}
_KINDS = {400: "invalid_request_error", 401: "authentication_error", 404: "not_found_error"}
_KINDS |= {429: "rate_limit_error", 500: "api_error", 529: "overloaded_error"}


def reply(api: Api, answer: Answer, model: str, n: int | str) -> dict[str, Any]:
    """A message or a chat completion."""
    return (_message if api == "anthropic" else _completion)(answer, model, n)


def _message(answer: Answer, model: str, n: int | str) -> dict[str, Any]:
    return {
        "id": f"msg_{n}",
        "type": "message",
        "role": "assistant",
        "model": model,
        "content": [{"type": "text", "text": answer.text}],
        "stop_reason": _ANTHROPIC_STOPS[answer.stop],
        "stop_sequence": None,
        "usage": {**answer.usage, "output_tokens": answer.output_tokens},
    }


def _completion(answer: Answer, model: str, n: int | str) -> dict[str, Any]:
    total = answer.usage["prompt_tokens"] + answer.output_tokens
    return {
        "id": f"chatcmpl-{n}",
        "object": "chat.completion",
        "created": 1,
        "model": model,
        "choices": [
            {
                "index": 0,
                "finish_reason": _OPENAI_STOPS[answer.stop],
                "message": {"role": "assistant", "content": answer.text},
            }
        ],
        "usage": {
            **answer.usage,
            "completion_tokens": answer.output_tokens,
            "total_tokens": total,
        },
    }


def error(api: Api, status: int, text: str = "scripted failure") -> dict[str, Any]:
    """An error body."""
    kind = _KINDS.get(status, "api_error")
    if api == "anthropic":
        return {"type": "error", "error": {"type": kind, "message": text}}
    return {"error": {"type": kind, "message": text, "code": None, "param": None}}
