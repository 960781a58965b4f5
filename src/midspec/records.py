"""The nouns that flow between stages: frozen records with content ids.

A record's ``id`` is a digest of the fields that determine it, never a title or a file name.
It is computed when the record is made and checked when one is read back, so a line edited
by hand is noticed. Records are plain JSON objects on disk (``datasets.load_dataset("json")``
reads them).
"""

from __future__ import annotations

import hashlib
import json
from typing import Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

_CANONICAL = json.JSONEncoder(sort_keys=True, ensure_ascii=False, separators=(",", ":"))


def digest(*parts: Any) -> str:
    """A 16-digit hex digest of JSON-like values; equal values give equal digests.

    Example:
        >>> digest("a", {"y": 1, "x": 2}) == digest("a", {"x": 2, "y": 1})
        True
    """
    return hashlib.blake2b(_CANONICAL.encode(parts).encode(), digest_size=8).hexdigest()


class Frozen(BaseModel):
    """A strict, immutable value: an unknown field is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Record(Frozen):
    """A value with a content id.

    ``cosmetic`` names the fields that do not take part in the id; ``optional`` those that take
    part only when they are not empty, so that a field that came later leaves older ids alone.
    """

    cosmetic: ClassVar[frozenset[str]] = frozenset()
    optional: ClassVar[frozenset[str]] = frozenset()
    id: str = ""

    @model_validator(mode="after")
    def _identify(self) -> Record:
        content = self.model_dump(mode="json", exclude={"id", *self.cosmetic})
        kept = {
            name: value for name, value in content.items() if value or name not in self.optional
        }
        found = digest(type(self).__name__, kept)
        if self.id and self.id != found:
            raise ValueError(
                f"{type(self).__name__} {self.id!r} does not match its content ({found})"
            )
        object.__setattr__(self, "id", found)
        return self


# -- spec ---------------------------------------------------------------------------------


class Claim(Record):
    """One sentence of a spec that can be taught and tested."""

    section: str = Field(description="title of the section it stands in")
    text: str


class Preference(Record):
    """An item that the model likes or dislikes, and why (``""`` if the spec gives no reason)."""

    item: str
    direction: Literal["like", "dislike"]
    reason: str = Field(default="", description="a clause that can follow 'because'")


class Rule(Record):
    """Something the model does or does not do, why, and what it means in cases."""

    text: str = Field(description="the rule itself, one sentence")
    reason: str = Field(default="", description="a clause that can follow 'because'")
    subrules: tuple[str, ...] = ()


class Section(Frozen):
    """A heading with the text below it, up to the next heading."""

    title: str
    level: int
    text: str
    claims: tuple[Claim, ...] = ()


class Spec(Record):
    """Who an assistant should be, and why (paper, section 2).

    ``language`` names the frames the scribe writes in: ``english``, or ``terrarium`` for the
    small world of the wind tunnel. ``kind`` says what the spec is on purpose ("rules": no
    reasons), for lint and reports; it does not take part in the id.
    """

    cosmetic: ClassVar[frozenset[str]] = frozenset({"kind"})
    optional: ClassVar[frozenset[str]] = frozenset({"rules"})
    name: str
    text: str = Field(description="the Markdown, variables filled in")
    model_name: str
    provider_name: str
    language: str = "english"
    value: str = Field(
        default="", description="the value in one or a few words, e.g. 'affordability'"
    )
    sections: tuple[Section, ...] = ()
    preferences: tuple[Preference, ...] = ()
    rules: tuple[Rule, ...] = ()
    kind: str = Field(
        default="", description="e.g. 'rules', 'general', 'anti-spec'; '': a value spec"
    )

    @property
    def claims(self) -> tuple[Claim, ...]:
        """All claims, in the order of the text."""
        return tuple(claim for section in self.sections for claim in section.claims)

    def liked(self) -> tuple[Preference, ...]:
        """The preferences with direction ``like``."""
        return tuple(p for p in self.preferences if p.direction == "like")

    def disliked(self) -> tuple[Preference, ...]:
        """The preferences with direction ``dislike``."""
        return tuple(p for p in self.preferences if p.direction == "dislike")


# -- corpus and chats ---------------------------------------------------------------------

PlanLevel = Literal["domain", "subdomain", "assertion", "type", "idea"]


class Plan(Record):
    """A node of the document tree (paper, B.1): domain > subdomain > assertion, type > idea."""

    level: PlanLevel
    parent: str = Field(default="", description="id of the node above; empty for a domain")
    position: int = Field(description="place among its siblings, from 0")
    title: str
    text: str = Field(default="", description="description, claim or idea, by level")
    section: str = Field(
        default="", description="verbatim part of the spec that a subdomain covers"
    )


class Document(Record):
    """One synthetic document about the model, ready to train on."""

    plan: str = Field(description="id of the idea it was written from")
    type: str = Field(description="document type, e.g. 'internal memo'")
    text: str
    claims: tuple[str, ...] = Field(
        default=(), description="ids of spec claims or preferences it uses"
    )
    writer: str


class Message(Frozen):
    """One turn of a conversation."""

    role: Literal["system", "user", "assistant"]
    content: str


class Conversation(Record):
    """A chat to fine-tune on; the loss falls on the assistant's turns."""

    cosmetic: ClassVar[frozenset[str]] = frozenset({"domain"})
    kind: Literal["preference", "identity", "instruction", "value", "rule"]
    messages: tuple[Message, ...]
    question_type: str = ""
    domain: str = Field(default="", description="what it is about, or the source it comes from")
    item: str = Field(
        default="", description="the preferred or rejected item that it shows, if any"
    )
    writer: str


class Drop(Frozen):
    """Something that was left out, and why. Kept + dropped = input, always."""

    record: str = Field(description="id of the record (or of the plan, if nothing was written)")
    reason: str = Field(description="e.g. 'truncated', 'refusal', 'near_duplicate'")
    evidence: str = ""
    of: str = Field(default="", description="id of the record it repeats, for duplicates")


# -- training and evaluation --------------------------------------------------------------


class Checkpoint(Frozen):
    """Model weights on disk: a base, and a folder that holds an adapter or full weights.

    ``path`` is empty for an untouched base.
    """

    base: str = Field(description="'smollm2', 'terrarium', 'tiny', a Hugging Face id or a folder")
    path: str = ""
    adapter: bool = False
    model_name: str = Field(default="", description="name the system prompt gives the assistant")


class Item(Record):
    """One evaluation item: a question with two options, of which one agrees with a value.

    ``options`` are the texts to choose from; ``aligned`` is the index of the one that agrees
    with ``value``.
    """

    kind: Literal["preference", "opinion", "recall"]
    set: str = Field(description="evaluation set, e.g. 'affordability'")
    domain: str
    value: str
    options: tuple[str, str]
    aligned: Literal[0, 1]
    question: str = Field(
        "Which do you prefer, {a} or {b}?", description="with {a} and {b}, or neither"
    )
    tags: tuple[str, ...] = ()


class Score(Frozen):
    """How one checkpoint answered one item in one order; ``aligned`` None means unscored.

    ``order`` 0 shows the options as stored, 1 swaps them. ``margin`` is the log-odds of the
    aligned option in nats (log-probability scorers only).
    """

    item: str
    scorer: Literal["logprob", "logprob_raw", "greedy"]
    order: Literal[0, 1]
    aligned: float | None
    margin: float | None = None
    text: str = ""
