"""Lists that a writer gives as JSON: parsed strictly, repaired once, or left out with a reason."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncGenerator, Iterable, Sized
from contextlib import aclosing
from dataclasses import dataclass
from itertools import islice
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from midspec.llm.door import Reply, Request
from midspec.llm.journal import Desk
from midspec.llm.prompts import messages
from midspec.progress import Progress, silent

S = TypeVar("S", bound=BaseModel)
REASONS = {"length": "truncated", "refusal": "refusal", "error": "error"}
_SHOWN = 200
_BRACKETS = 8


@dataclass(frozen=True)
class Unusable:
    """A reply that cannot be used: a drop's reason, and what shows it."""

    reason: str
    evidence: str


def unusable(reply: Reply) -> Unusable | None:
    """Why a reply may not be used at all, or None: cut by the limit, a refusal, an error."""
    if reply.stop == "stop":
        return None
    return Unusable(REASONS[reply.stop], (reply.error or reply.text)[:_SHOWN])


def _members(text: str) -> list[object]:
    """The list that the first bracket of valid JSON opens; brackets of prose are passed over."""
    problem = "there is no JSON list in it"
    starts = (match.start() for match in re.finditer(r"\[", text))
    for start in islice(starts, _BRACKETS):
        try:
            return json.JSONDecoder().raw_decode(text, start)[0]
        except json.JSONDecodeError as error:
            problem = f"not JSON at line {error.lineno}: {error.msg}"
        except RecursionError:
            problem = "the JSON is nested too deeply"
    raise ValueError(problem)


def parse_list(text: str, shape: type[S]) -> list[S]:
    """The first JSON list in a text, every member checked against ``shape``.

    Prose and code fences around the list are passed over. Raises ValueError with one line that
    says what is wrong.

    Example:
        >>> class Title(BaseModel):
        ...     title: str
        >>> parse_list('Sure: [{"title": "Work"}]', Title)
        [Title(title='Work')]
    """
    try:
        return [shape.model_validate(one) for one in _members(text)]
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise ValueError(f"{where or 'a member'}: {first['msg']}") from error


def _repair(request: Request, reply: Reply, error: ValueError) -> Request:
    """The follow-up to a reply that could not be parsed."""
    task = messages(request)[1][1]
    variables = {"task": task, "reply": reply.text, "error": str(error)}
    return Request(
        prompt="llm/repair",
        spec=request.spec,
        variables=variables,
        seed=request.seed,
        max_tokens=request.max_tokens,
    )


def _parsed(reply: Reply, shape: type[S]) -> list[S] | Unusable | ValueError:
    """The list in a reply, why it may not be used, or why it cannot be parsed."""
    if bad := unusable(reply):
        return bad
    try:
        return parse_list(reply.text, shape)
    except ValueError as error:
        return error


async def _ask(desk: Desk, request: Request, shape: type[S]) -> list[S] | Unusable:
    """Ask and parse; if that fails, ask once more."""
    reply = await desk.ask(request)
    found = _parsed(reply, shape)
    if isinstance(found, ValueError):
        second = await desk.ask(_repair(request, reply, found))
        found = _parsed(second, shape)
        if isinstance(found, ValueError):
            return Unusable("unparsable", f"{found}: {second.text}"[:_SHOWN])
    return found


async def lists(
    desk: Desk, requests: Iterable[Request], shape: type[S], progress: Progress = silent
) -> AsyncGenerator[tuple[Request, list[S] | Unusable]]:
    """For each request, in order: the list in its reply, or why there is none.

    A reply that cannot be parsed is repaired by one follow-up request with the error
    (prompt ``llm/repair``), while the others go on.
    """
    total, done = (len(requests) if isinstance(requests, Sized) else 0), 0
    pairs = desk.each(requests, lambda request: _ask(desk, request, shape))
    async with aclosing(pairs):
        async for request, found in pairs:
            done += 1
            progress(done, max(total, done), request.prompt)
            yield request, found
