"""From a query to a chat: respond, revise against the spec, go on for more turns, judge (B.2)."""

from __future__ import annotations

import random
from dataclasses import dataclass, field

from midspec.chats.config import SpecChatConfig
from midspec.chats.parse import (
    Response,
    parse_message,
    parse_response,
    parse_verdict,
    stray_tag,
    with_reasoning,
)
from midspec.chats.queries import Query
from midspec.chats.turns import transcript, turn_problem
from midspec.llm import Desk, Request, unusable
from midspec.records import Conversation, Drop, Message, Spec, digest

_SHOWN = 200


class LeftOut(Exception):
    """A chat cannot be used: the reason of its Drop, and what shows it."""

    def __init__(self, reason: str, evidence: str) -> None:
        super().__init__(reason)
        self.reason, self.evidence = reason, evidence[:_SHOWN]


@dataclass
class _Chat:
    """A chat as it grows: what the user and the assistant said, and what the latter thought."""

    messages: list[Message]
    thoughts: list[Response] = field(default_factory=list)

    def answer(self, response: Response) -> None:
        self.messages.append(Message(role="assistant", content=response.reply))
        self.thoughts.append(response)

    def with_reasoning(self) -> tuple[Message, ...]:
        thoughts = iter(self.thoughts)
        return tuple(
            Message(role=m.role, content=with_reasoning(next(thoughts)))
            if m.role == "assistant"
            else m
            for m in self.messages
        )


class Answerer:
    """Makes chats for one spec and configuration; the desks hold their journals."""

    def __init__(self, spec: Spec, writer: str, desk: Desk, judge: Desk, config: SpecChatConfig):
        self._spec, self._writer, self._config = spec, writer, config
        self._desk, self._judge = desk, judge

    async def chat(self, query: Query) -> Conversation | Drop:
        """The chat that starts with a query, or why there is none.

        The assistant's turns carry their reasoning (see ``parse.with_reasoning``). Reasons:
        "truncated", "refusal", "error", "unparsable" (tags that are missing, not closed or
        nested), "stray_tag", "judged_out", "judge_unparsed".
        """
        try:
            return await self._made(query)
        except LeftOut as left:
            return Drop(record=query.id, reason=left.reason, evidence=left.evidence)

    async def _made(self, query: Query) -> Conversation:
        chat = _Chat([Message(role="user", content=query.text)])
        n_turns = random.Random(f"turns:{self._config.seed}:{query.id}").randint(
            *self._config.turns
        )
        for turn in range(n_turns):
            if turn:
                chat.messages.append(Message(role="user", content=await self._follow_up(chat)))
            chat.answer(await self._response(chat))
        if problem := turn_problem(chat.messages):
            raise LeftOut("unparsable", problem)
        await self._judged(chat)
        return Conversation(
            kind=self._config.style,
            messages=chat.with_reasoning(),
            question_type=query.question_type,
            domain=query.domain,
            writer=self._writer,
        )

    async def _response(self, chat: _Chat) -> Response:
        """The next turn of the assistant, revised."""
        variables = {"style": self._config.style, "chat": transcript(chat.messages)}
        drafted = _response(await self._ask(self._desk, "chats/respond", variables))
        if not self._config.rewrite:
            return drafted
        variables |= {"reasoning": drafted.reasoning, "reply": drafted.reply}
        return _response(await self._ask(self._desk, "chats/rewrite", variables))

    async def _follow_up(self, chat: _Chat) -> str:
        """What the user says next."""
        variables = {"chat": transcript(chat.messages)}
        text = await self._ask(self._desk, "chats/follow_up", variables)
        try:
            return _clean(parse_message(text))
        except ValueError as error:
            raise LeftOut("unparsable", f"{error}: {text}") from error

    async def _judged(self, chat: _Chat) -> None:
        """Raise unless the judge wants the chat in."""
        variables = {
            "style": self._config.style,
            "chat": transcript(chat.messages),
            "reasoning": transcript(
                Message(role="assistant", content=one.reasoning) for one in chat.thoughts
            ),
            "criteria": "\n".join(f"- {one}" for one in self._config.criteria),
        }
        request = self._request("chats/judge", variables)
        await keep_if_judged_in(self._judge, request)

    async def _ask(self, desk: Desk, prompt: str, variables: dict[str, str]) -> str:
        reply = await desk.ask(self._request(prompt, variables))
        if bad := unusable(reply):
            raise LeftOut(bad.reason, f"{prompt}: {bad.evidence}")
        return reply.text

    def _request(self, prompt: str, variables: dict[str, str]) -> Request:
        return Request(
            prompt=prompt,
            spec=self._spec,
            variables=variables,
            seed=int(digest("chats", prompt, self._config.seed), 16) % 2**31,
            max_tokens=self._config.max_tokens,
        )


async def keep_if_judged_in(judge: Desk, request: Request) -> None:
    """Raise LeftOut unless the judge's verdict is to include.

    A verdict that cannot be read, a refusal and a cut reply are "judge_unparsed"; a failed
    request is "error", and asked again by the next run.
    """
    reply = await judge.ask(request)
    if reply.stop == "error":
        raise LeftOut("error", f"{request.prompt}: {reply.error}")
    verdict = parse_verdict(reply.text) if reply.stop == "stop" else "UNPARSED"
    if verdict == "UNPARSED":
        raise LeftOut("judge_unparsed", f"{reply.stop}: {reply.text[-_SHOWN:]}")
    if verdict == "DROP":
        raise LeftOut("judged_out", reply.text)


def _response(text: str) -> Response:
    try:
        response = parse_response(text)
    except ValueError as error:
        raise LeftOut("unparsable", f"{error}: {text}") from error
    _clean(response.reasoning)
    _clean(response.reply)
    return response


def _clean(text: str) -> str:
    if tag := stray_tag(text):
        raise LeftOut("stray_tag", tag)
    return text
