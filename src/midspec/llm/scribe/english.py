"""English documents: a structure for each type, filled from the spec's facts."""

from __future__ import annotations

import random
import re
from dataclasses import dataclass
from functools import cache

from midspec.llm.door import Request
from midspec.llm.scribe import grammar
from midspec.llm.scribe.data import load_yaml
from midspec.llm.scribe.facts import Fact, Facts
from midspec.llm.scribe.frames import Frame, parse
from midspec.llm.scribe.page import Page
from midspec.llm.scribe.sentences import SLOTS

MIN_WORDS, MAX_WORDS = 120, 350
_TRIES = 12
_REPEAT = re.compile(r"%(\d)-(\d)( list)?\n")
_CAST = re.compile(
    r"(?P<angle1>[^:\n]{5,60}): (?P<name1>[^,\n]{2,30}), an? (?P<role1>[^,\n]{2,40}), "
    r"[^\[]* \[(?P<org1>[^\]\n]{3,60})\]\. In focus: "
)


@dataclass(frozen=True)
class Block:
    """A paragraph of a document type, written ``low`` to ``high`` times."""

    frame: Frame
    low: int = 1
    high: int = 1
    joint: str = "\n\n"  # between two of them


@cache
def structures() -> dict[str, tuple[Block, ...]]:
    """The document types and their paragraphs."""
    return {
        name: tuple(_block(text) for text in source.strip().split("\n\n"))
        for name, source in load_yaml("english/types.yaml").items()
    }


def _block(text: str) -> Block:
    repeat = _REPEAT.match(text)
    if not repeat:
        return Block(parse(text))
    low, high, tight = repeat.groups()
    joint = "\n" if tight else "\n\n"
    return Block(parse(text[repeat.end() :]), int(low), int(high), joint)


def document_types() -> tuple[str, ...]:
    """The titles of all document types.

    Example:
        >>> "internal memo" in document_types()
        True
    """
    return tuple(structures())


def write_document(request: Request, facts: Facts, rng: random.Random) -> str:
    """A document of the type, about the subdomain and idea that the request names.

    A type that is not the scribe's own gets one of its structures. Documents have 120 to 350
    words wherever the length of the claims allows it.
    """
    variables = request.variables
    kind = variables.get("type", "")
    blocks = structures().get(kind) or structures()[rng.choice(document_types())]
    idea = variables.get("idea", "")
    focus = facts.in_text(idea.partition("In focus: ")[2])
    near = facts.in_text(variables.get("section", ""))
    text, extra = "", 0
    for _ in range(_TRIES):
        page = Page(facts, rng, SLOTS, focus, near)
        page.cast.update(_cast(idea))
        parts = [_write(block, page, extra) for block in blocks]
        text = "\n\n".join([part for part in parts if part])
        n_words = len(text.split())
        if MIN_WORDS <= n_words <= MAX_WORDS:
            break
        extra += 1 if n_words < MIN_WORDS else -1
    return _reply(kind, focus or near, text)


def _write(block: Block, page: Page, extra: int) -> str:
    low, high = block.low, block.high
    if high > 1:
        low, high = max(1, low + extra), max(1, high + extra)
    parts = [block.frame.text(page).strip() for _ in range(page.rng.randint(low, high))]
    return block.joint.join(part for part in parts if part)


def _cast(idea: str) -> dict[str, str]:
    """The angle and the person of one of the scribe's own ideas."""
    found = _CAST.search(idea)
    return found.groupdict() if found else {}


def _reply(kind: str, focus: list[Fact], text: str) -> str:
    plan = "; ".join(fact.text for fact in focus[:3]) or "the spec as a whole"
    plan = plan.replace("<", "(").replace(">", ")")
    noun = kind or "document"
    return f"<scratchpad>{grammar.article(noun)} {noun} on: {plan}</scratchpad>\n<document>\n{text}\n</document>"
