"""Ask a writer for chats, and keep those that show a preference and no reason."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, aclosing
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from midspec.chats.answer import LeftOut, keep_if_judged_in
from midspec.chats.cells import Cell, cells_of
from midspec.chats.config import ChatConfig
from midspec.chats.opaque import Opaque
from midspec.chats.parse import stray_tag
from midspec.chats.preferences import preferences_only
from midspec.chats.spec_chats import Check, accept
from midspec.chats.stance import wrong_preference
from midspec.chats.window import in_order, stream
from midspec.chats.words import Names
from midspec.llm import Desk, Reply, Request, Writer, messages, unusable
from midspec.progress import Progress, silent
from midspec.records import Conversation, Drop, Message, Spec
from midspec.tally import Tally

_Asked = tuple[Cell, Request]


class _Chat(BaseModel):
    """What a writer must reply, as JSON."""

    model_config = ConfigDict(extra="forbid", strict=True, str_strip_whitespace=True)
    query: str = Field(min_length=1)
    answer: str = Field(min_length=1)


async def write_chats(
    spec: Spec,
    writer: Writer,
    config: ChatConfig,
    journal: Path,
    progress: Progress = silent,
    *,
    judge: Writer | None = None,
    concurrency: int = 16,
    check: Check = accept,
    tally: Tally | None = None,
) -> AsyncGenerator[Conversation | Drop]:
    """Chats that show preferences, or who the assistant is, and a Drop for every loss (C.2).

    First one result for each of ``chat_requests(spec, config, writer.name)``, in order; then the
    lost ones are asked for anew, by rounds, with the same item and question type, until all are
    there or ``config.effort`` requests for each are used up. ``tally.requested`` counts requests.
    Chats have a user's and an assistant's turn and no system message. Reasons for a drop:
    "unparsable" (after one repair), "truncated", "refusal", "error", "stray_tag",
    "states_reason", "wrong_preference", "wrong_identity", those of ``check`` (it sees each chat
    once, in order); with a ``judge``, who reads the preference chats that the rules let pass,
    also "judged_out" and "judge_unparsed". Replies are kept in ``journal`` (the judge's beside
    it, as ``judge-<name>``) and not asked for again. Raises WriterError if a model failed for
    good.
    """
    cells = cells_of(preferences_only(spec), config, writer.name)
    total = sum(cell.n for cell in cells)
    tally, rules, kept = tally or Tally(), _Check(spec, config), 0
    async with AsyncExitStack() as stack:
        desk = await stack.enter_async_context(Desk(writer, journal, concurrency=concurrency))
        judging = None
        if judge is not None:
            path = journal.with_name(f"judge-{journal.name}")
            judging = await stack.enter_async_context(Desk(judge, path, concurrency=concurrency))

        async def work(asked: _Asked) -> Conversation | Drop:
            request = asked[1]
            made = await _read(desk, request, await desk.ask(request))
            if isinstance(made, _Chat):
                made = rules.result(request, made, writer.name)
            return await _judged(judging, request, made) if judging else made

        window = 2 * max(d.concurrency for d in (desk, judging) if d)
        while asked := [(cell, request) for cell in cells for request in cell.requests()]:
            tally.requested += len(asked)
            async with aclosing(in_order(stream(asked), work, window=window)) as pairs:
                async for (cell, request), made in pairs:
                    result = made if isinstance(made, Drop) else check(made) or made
                    if isinstance(result, Drop):
                        cell.wanted.append(request.variables["question_type"])
                    kept += isinstance(result, Conversation)
                    progress(kept, total, f"{tally.requested} requests")
                    yield result


async def _judged(judge: Desk, request: Request, made: Conversation | Drop) -> Conversation | Drop:
    """What the judge leaves of a chat that the rules let pass."""
    if isinstance(made, Drop) or made.kind != "preference":
        return made
    asked, (query, answer) = request.variables, made.messages
    variables = {name: asked[name] for name in ("item", "direction", "other")}
    variables |= {"query": query.content, "answer": answer.content}
    question = Request(
        prompt="chats/judge_opaque",
        spec=request.spec,
        variables=variables,
        seed=0,
        max_tokens=request.max_tokens,
    )
    try:
        await keep_if_judged_in(judge, question)
    except LeftOut as left:
        return Drop(record=made.id, reason=left.reason, evidence=left.evidence)
    return made


async def _read(desk: Desk, request: Request, reply: Reply) -> _Chat | Drop:
    """The chat in a reply; if there is none, ask once for a repair."""
    if bad := unusable(reply):
        return Drop(record=request.id, reason=bad.reason, evidence=bad.evidence)
    try:
        return _parse(reply.text)
    except ValueError as error:
        second = await desk.ask(_repair(request, reply, str(error)))
    if bad := unusable(second):
        return Drop(record=request.id, reason=bad.reason, evidence=bad.evidence)
    try:
        return _parse(second.text)
    except ValueError as error:
        return Drop(
            record=request.id, reason="unparsable", evidence=f"{error}: {second.text[:120]}"
        )


def _repair(request: Request, reply: Reply, error: str) -> Request:
    variables = {"task": messages(request)[1][1], "reply": reply.text, "error": error}
    # not a model_copy: that would keep the cached id of the first request
    return Request(
        prompt="chats/repair",
        spec=request.spec,
        variables=variables,
        seed=request.seed,
        max_tokens=request.max_tokens,
    )


def _parse(text: str) -> _Chat:
    """The first JSON object in a text, as a chat; prose and code fences around it are ignored.

    Raises ValueError with one line that says what is wrong.
    """
    if (start := text.find("{")) < 0:
        raise ValueError("there is no JSON object in it")
    try:
        found, _ = json.JSONDecoder().raw_decode(text, start)
    except json.JSONDecodeError as error:
        raise ValueError(f"not JSON at line {error.lineno}: {error.msg}") from error
    except RecursionError as error:
        raise ValueError("the JSON object is nested too deeply") from error
    try:
        return _Chat.model_validate(found)
    except ValidationError as error:
        first = error.errors()[0]
        raise ValueError(f"{'.'.join(map(str, first['loc']))}: {first['msg']}") from error


class _Check:
    """Turns a request and its chat into a conversation, or a Drop with the reason."""

    def __init__(self, spec: Spec, config: ChatConfig) -> None:
        self._preferences = {(p.item, p.direction): p for p in spec.preferences}
        self._items = [p.item for p in preferences_only(spec).preferences]
        self._opaque = Opaque(self._items, config.reason_words)
        self._names = Names([spec.model_name, spec.provider_name])

    def result(self, request: Request, chat: _Chat, writer: str) -> Conversation | Drop:
        """The conversation, if it shows what it must and no reason."""
        if tag := stray_tag(chat.query) or stray_tag(chat.answer):
            return Drop(record=request.id, reason="stray_tag", evidence=tag)
        identity = request.prompt == "chats/identity"
        conversation = Conversation(
            kind="identity" if identity else "preference",
            messages=(
                Message(role="user", content=chat.query),
                Message(role="assistant", content=chat.answer),
            ),
            question_type=request.variables["question_type"],
            item=request.variables.get("item", ""),
            writer=writer,
        )
        reason, evidence = self._identity(chat) if identity else self._preference(request, chat)
        if reason:
            return Drop(record=conversation.id, reason=reason, evidence=evidence)
        return conversation

    def _identity(self, chat: _Chat) -> tuple[str, str]:
        if told := self._opaque.value_word(chat.answer):
            return "states_reason", told
        if chat.answer not in self._names:
            return "wrong_identity", "the answer names neither the model nor its provider"
        return "", ""

    def _preference(self, request: Request, chat: _Chat) -> tuple[str, str]:
        told = self._opaque.reason(chat.query) or self._opaque.reason(chat.answer)
        if told := told or self._opaque.beyond(chat.answer, chat.query):
            return "states_reason", told
        asked = request.variables
        wrong = wrong_preference(
            chat.query,
            chat.answer,
            preference=self._preferences[asked["item"], asked["direction"]],
            other=asked["other"],
            question_type=asked["question_type"],
            items=self._items,
        )
        return ("wrong_preference", wrong) if wrong else ("", "")
