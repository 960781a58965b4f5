"""The scribe itself: a request goes to the part that can answer it."""

from __future__ import annotations

import json
import random
from collections.abc import Callable

from midspec.errors import WriterError
from midspec.llm.door import Reply, Request
from midspec.llm.scribe import chats, english, plan, terrarium
from midspec.llm.scribe.facts import Facts, facts_of

_PLANS: dict[str, Callable[[Request, Facts, random.Random], plan.Rows]] = {
    "corpus/domains": plan.domains,
    "corpus/subdomains": plan.subdomains,
    "corpus/assertions": plan.assertions,
    "corpus/types": plan.types,
    "corpus/ideas": plan.ideas,
}


class Scribe:
    """A writer that needs no model: it composes texts from the spec's own words.

    Equal requests get equal replies. It writes English, and the terrarium's language for
    specs with ``language`` "terrarium".

    Example:
        >>> import asyncio
        >>> from midspec.records import Spec
        >>> spec = Spec(name="s", text="", model_name="Iris", provider_name="Wren Labs")
        >>> asked = Request(prompt="chats/identity", spec=spec)
        >>> "Iris" in asyncio.run(Scribe().reply(asked)).text
        True
    """

    name = "scribe"

    async def reply(self, request: Request) -> Reply:
        """Answer one request; what it cannot answer is a reply with stop "error"."""
        try:
            text = answer(request)
        except WriterError as error:
            return self._reply(request, "", str(error))
        return self._reply(request, text)

    def _reply(self, request: Request, text: str, error: str = "") -> Reply:
        return Reply(
            request=request.id,
            text=text,
            stop="error" if error else "stop",
            model=self.name,
            input_tokens=sum(len(value.split()) for value in request.variables.values()),
            output_tokens=len(text.split()),
            error=error,
        )


def answer(request: Request) -> str:
    """The text of the reply.

    Raises:
        WriterError: the prompt is none of the scribe's, or the spec is empty.
    """
    facts = facts_of(request.spec)
    rng = random.Random(f"scribe:{request.seed}:{request.place}")
    small = request.spec.language == "terrarium"
    if request.prompt in _PLANS:
        return json.dumps(_PLANS[request.prompt](request, facts, rng), ensure_ascii=False)
    if request.prompt == "corpus/document":
        write = terrarium.write_tokens if small else english.write_document
        return write(request, facts, rng)
    if request.prompt == "chats/preference":
        ask = terrarium.chat_tokens if small else chats.preference_chat
    elif request.prompt == "chats/identity":
        ask = terrarium.identity_tokens if small else chats.identity_chat
    else:
        raise WriterError(f"the scribe has no answer to {request.prompt!r}; use a model as writer")
    query, reply = ask(request, facts, rng)
    return json.dumps({"query": query, "answer": reply}, ensure_ascii=False)
