"""One document: a draft, a critique of it, and a revision, or the reason why there is none."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Generator
from dataclasses import dataclass

from midspec.corpus.decks import Decks
from midspec.corpus.kinds import SCRIBE, Step
from midspec.corpus.tree import Tree
from midspec.llm import Reply, Request, Unusable, unusable
from midspec.records import Plan, Spec

Writing = Generator[Request, Reply, str | Unusable]
"""Yields requests, is sent their replies, and returns a text or why there is none."""

_THOUGHTS = re.compile(r"<(scratchpad|think)>.*?</\1>", re.DOTALL | re.IGNORECASE)
_DOCUMENT = re.compile(r"<document>(.*?)</document>", re.DOTALL | re.IGNORECASE)
_CRITIQUE = re.compile(r"<critique>(.*?)</critique>", re.DOTALL | re.IGNORECASE)
_LEFTOVER = re.compile(r"</?(document|critique|scratchpad|think)>", re.IGNORECASE)
_NOTHING = "no changes"


def document_text(reply: str) -> str | None:
    """The text between the document tags of a reply, or None if that is not one whole text.

    Scratchpads are removed first. One that is not closed, a second document, or a tag inside
    the text gives None.

    Example:
        >>> document_text("<scratchpad>plan</scratchpad><document> Hello. </document>")
        'Hello.'
        >>> document_text("<document>Hello") is None
        True
    """
    return _tagged(_DOCUMENT, reply)


def critique_text(reply: str) -> str | None:
    """The notes of a critique, ``""`` if it wants no changes, None if it is empty.

    Notes are read by a model and never trained on, so untagged ones do as well.

    Example:
        >>> critique_text("<critique>No changes.</critique>"), critique_text("1. Too short.")
        ('', '1. Too short.')
    """
    notes = _tagged(_CRITIQUE, reply) or _LEFTOVER.sub("", _THOUGHTS.sub("", reply)).strip()
    return "" if notes.casefold().rstrip(".!") == _NOTHING else notes or None


def _tagged(pattern: re.Pattern[str], reply: str) -> str | None:
    """What stands between one pair of tags, with no other tag in or around it."""
    rest = _THOUGHTS.sub("", reply)
    found = pattern.search(rest)
    if not found or _LEFTOVER.search(rest[: found.start()] + found.group(1) + rest[found.end() :]):
        return None
    return found.group(1).strip() or None


def read(reply: Reply, parse: Callable[[str], str | None], what: str = "") -> str | Unusable:
    """What a reply holds, or why it cannot be used; ``what`` names the step in the evidence."""
    before = f"{what}: " if what else ""
    if bad := unusable(reply):
        return Unusable(bad.reason, f"{before}{bad.evidence}")
    text = parse(reply.text)
    return Unusable("unparsable", f"{before}{reply.text[:200]}") if text is None else text


async def written(steps: Writing, ask: Callable[[Request], Awaitable[Reply]]) -> str | Unusable:
    """What comes out when ``ask`` answers."""
    try:
        request = next(steps)
        while True:
            request = steps.send(await ask(request))
    except StopIteration as end:
        return end.value


def already_written(
    steps: Writing, answered: Callable[[Request], Reply | None]
) -> str | Unusable | None:
    """What comes out of the replies that there are; None if one is missing."""
    try:
        request = next(steps)
        while reply := answered(request):
            request = steps.send(reply)
    except StopIteration as end:
        return end.value
    return None


@dataclass(frozen=True)
class Author:
    """Writes documents of one spec and plan."""

    spec: Spec
    tree: Tree
    prompts: dict[Step, str]
    writer: str
    critique: bool
    avoid: tuple[str, ...]
    max_tokens: int
    seed: int
    decks: Decks

    def write(self, place: int, draft: int) -> Writing:
        """Ask for the text of the idea at ``place``; a reply that cannot be used ends it."""
        request = self._draft(self.tree.ideas[place], place, draft)
        text = read((yield request), document_text)
        if isinstance(text, Unusable) or not self.critique:
            return text
        notes = read((yield self._next("critique", request, text)), critique_text, "critique")
        if isinstance(notes, Unusable) or not notes:
            return notes or text
        revise = self._next("rewrite", request, text, critique=notes)
        return read((yield revise), document_text, "rewrite")

    def _draft(self, idea: Plan, place: int, draft: int) -> Request:
        variables = self.tree.variables(idea)
        if self.writer != SCRIBE:
            card = place + draft * len(self.tree.ideas)
            variables["names"] = ", ".join(self.decks.names(card))
            variables["avoid"] = "\n".join(f"- {phrase}" for phrase in self.avoid)
        return self._request("document", variables, 1000 * self.seed + draft)

    def _next(self, step: Step, request: Request, document: str, **more: str) -> Request:
        """A request about a draft, with those variables of the draft's that the step shows."""
        shown = ["section", "assertions", "type"] + (["idea"] if step == "critique" else [])
        variables = {name: request.variables[name] for name in shown}
        return self._request(step, {**variables, "document": document, **more}, request.seed)

    def _request(self, step: Step, variables: dict[str, str], seed: int) -> Request:
        return Request(
            prompt=self.prompts[step],
            spec=self.spec,
            variables=variables,
            seed=seed,
            max_tokens=self.max_tokens,
        )
