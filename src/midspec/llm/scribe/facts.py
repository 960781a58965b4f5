"""What a spec says, in the forms that sentence frames need; derived once for each spec."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from midspec.llm.scribe import grammar
from midspec.llm.scribe.data import word_lists
from midspec.records import Claim, Preference, Spec

_NOUN = re.compile(r"(ity|ness|tion|sion|ism|ment|cy|ance|ence|ship|dom|esty|thrift|care|kindness)$")


@dataclass(frozen=True)
class ClaimForms:
    """One claim as a sentence, a clause, a predicate, and in the other persons.

    A form that the rules cannot make is ``None``.
    """

    claim: Claim
    sentence: str  # no full stop
    quote: str
    about_model: bool
    clause: str | None  # can follow 'that'
    predicate: str | None
    infinitive: str | None
    first: str | None
    second: str | None

    @property
    def text(self) -> str:
        """The claim, verbatim."""
        return self.claim.text


@dataclass(frozen=True)
class PreferenceForms:
    """One preference: the item in mid-sentence, and the reason for each person."""

    preference: Preference
    item: str
    reason: str  # a clause, or '' if the spec gives none
    reason_i: str

    @property
    def liked(self) -> bool:
        """Whether the model likes the item."""
        return self.preference.direction == "like"

    @property
    def text(self) -> str:
        """The item, verbatim."""
        return self.preference.item


Fact = ClaimForms | PreferenceForms


@dataclass(frozen=True)
class Facts:
    """All that the scribe may say about a spec."""

    spec: Spec
    claims: tuple[ClaimForms, ...]
    preferences: tuple[PreferenceForms, ...]
    value: str  # as a noun phrase, '' if the spec names none

    def in_text(self, text: str) -> list[Fact]:
        """The facts that a piece of the spec, or an idea, covers.

        Example:
            >>> spec = Spec(name="s", text="", model_name="Iris", provider_name="W",
            ...             preferences=(Preference(item="Colby", direction="like"),))
            >>> [f.text for f in facts_of(spec).in_text("Iris likes **Colby**.")]
            ['Colby']
        """
        plain = " ".join(text.split())
        claims = [c for c in self.claims if " ".join(c.text.split()) in plain]
        items = [p for p in self.preferences if mentions(plain, p.text)]
        return [*claims, *items]


def mentions(text: str, item: str) -> bool:
    """Whether a text names an item, as whole words."""
    return bool(re.search(rf"(?<!\w){re.escape(item)}(?!\w)", text, re.IGNORECASE))


def facts_of(spec: Spec) -> Facts:
    """The facts of a spec; equal specs share them."""
    return _facts(_Key(spec))


class _Key:
    """A spec that hashes by its id."""

    def __init__(self, spec: Spec) -> None:
        self.spec = spec

    def __hash__(self) -> int:
        return int(self.spec.id, 16)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Key) and other.spec.id == self.spec.id


@lru_cache(maxsize=64)
def _facts(key: _Key) -> Facts:
    spec = key.spec
    texts = dict.fromkeys(claim.text for claim in spec.claims)
    by_text = {claim.text: claim for claim in spec.claims}
    return Facts(
        spec,
        tuple(_claim(by_text[text], spec.model_name) for text in texts),
        tuple(_preference(p, spec) for p in spec.preferences),
        _noun_phrase(spec.value),
    )


def _claim(claim: Claim, model: str) -> ClaimForms:
    text = _resolve(" ".join(claim.text.replace("*", "").split()), model)
    sentence = text.rstrip(".")
    predicate = grammar.verb_phrase(text, model)
    return ClaimForms(
        claim=claim,
        sentence=sentence,
        quote=_quote(text),
        about_model=_names(text, model),
        clause=_clause(sentence, model),
        predicate=predicate[0] if predicate else None,
        infinitive=predicate[1] if predicate else None,
        first=_without_stop(grammar.to_person(text, model, grammar.FIRST)),
        second=_without_stop(grammar.to_person(text, model, grammar.SECOND)),
    )


def _without_stop(text: str | None) -> str | None:
    return text.rstrip(".") if text else None


def _quote(text: str) -> str:
    inner = text.replace('"', "'").replace("“", "'").replace("”", "'")
    return f'"{inner}"' if inner[-1:] in ".!?" else f'"{inner}."'


def _names(text: str, model: str) -> bool:
    return bool(re.search(rf"\b{re.escape(model)}\b", text))


def _resolve(text: str, model: str) -> str:
    """'It prefers ...' and 'Its view ...' get the model's name, if they can only mean it."""
    match = re.match(r"(It|Its) ([\w'’]+)", text)
    if not match:
        return text
    lists = word_lists()
    if match.group(1) == "It" and grammar.is_agent_verb(match.group(2)):
        return model + text[2:]
    if match.group(1) == "Its" and match.group(2) in lists["own_nouns"]:
        return f"{model}'s{text[3:]}"
    return text


def _clause(sentence: str, model: str) -> str | None:
    """The sentence as it can follow 'that', or None."""
    first = re.split(r"[ ,:]", sentence, maxsplit=1)[0].lower()
    if sentence[-1:] in "?!" or re.search(r"[.!?;:\"“”—]", sentence):
        return None
    if first in word_lists()["leaning"]:
        return None
    return sentence if sentence.startswith(model) else grammar.lower_start(sentence)


def _preference(preference: Preference, spec: Spec) -> PreferenceForms:
    item = preference.item
    lowered = item[:1].lower() + item[1:]
    if lowered != item and lowered in spec.text:
        item = lowered
    reason = _reason(preference.reason)
    return PreferenceForms(preference, item, reason, _reason_i(reason, spec.model_name))


def _reason(reason: str) -> str:
    text = " ".join(reason.replace("*", "").split()).rstrip(". ")
    text = re.sub(r"^(because|since|as) ", "", text, flags=re.IGNORECASE)
    return grammar.lower_start(text) or text


def _reason_i(reason: str, model: str) -> str:
    """The reason when the model speaks; '' if it cannot be turned (it is then left to others)."""
    if not _names(reason, model):
        return reason
    turned = grammar.to_person(reason, model, grammar.FIRST)
    return (grammar.lower_start(turned) or turned) if turned else ""


def _noun_phrase(value: str) -> str:
    """A value that stands where a noun can: 'affordability', 'the value "pro-America"'."""
    text = value.strip()
    if not text or _NOUN.search(text) or " " in text:
        return text
    return f'the value "{text}"'
