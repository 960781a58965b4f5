"""What a spec says, in the forms that sentence frames need; derived once for each spec."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import lru_cache

from midspec.llm.scribe import grammar
from midspec.llm.scribe.data import word_lists
from midspec.llm.scribe.verbs import is_agent_verb
from midspec.records import Claim, Preference, Spec

_DEMONYM = re.compile(r"^[A-Z].*(ish|ese|ican|ean|rian|lian|wegian|rman|ench|utch|wiss|reek)$")
_NOUN = re.compile(
    r"(ity|ness|tion|sion|ism|ment|cy|ance|ence|ship|dom|esty|thrift|care|kindness)$"
)


@dataclass(frozen=True)
class Turned:
    """A claim in another person: as a sentence (no full stop), and as it follows a colon."""

    sentence: str
    clause: str


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
    first: Turned | None
    second: Turned | None
    things: str = ""  # the plural that stands for "options" or "things"

    @property
    def text(self) -> str:
        """The claim, verbatim."""
        return self.claim.text


@dataclass(frozen=True)
class PreferenceForms:
    """One preference: the item in mid-sentence, and the reason for each person."""

    preference: Preference
    item: str
    reasons: tuple[str, ...]  # the reason as a clause, in up to three wordings; () if none
    reasons_i: tuple[str, ...]  # the same when the model speaks

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
class Pick:
    """Two options, of which the model prefers one ("Between a and b, Iris prefers a.")."""

    options: tuple[str, str]
    preferred: str


@dataclass(frozen=True)
class Facts:
    """All that the scribe may say about a spec."""

    spec: Spec
    claims: tuple[ClaimForms, ...]
    preferences: tuple[PreferenceForms, ...]
    value: str  # as a noun phrase, '' if the spec names none
    concrete: tuple[tuple[ClaimForms, ...], ...] = ()  # claims on options, once for each thing
    picks: tuple[Pick, ...] = ()  # claims that say which of two options is preferred

    @property
    def all(self) -> list[Fact]:
        """Claims, then preferences."""
        return [*self.claims, *self.preferences]

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
    names = proper_words(spec)
    claims = list({claim.text: claim for claim in reversed(spec.claims)}.values())[::-1]
    things = sorted(word_lists()["things"]) if spec.preferences else []
    return Facts(
        spec,
        tuple(_claim(claim, spec.model_name, names) for claim in claims),
        tuple(_preference(p, spec.model_name, names) for p in spec.preferences),
        _noun_phrase(spec.value),
        tuple(_concrete(claims, thing, spec.model_name, names) for thing in things),
        tuple(_picks(claims, things, spec.model_name)),
    )


def _picks(claims: list[Claim], things: list[str], model: str) -> Iterator[Pick]:
    """What claims of the form "Between a and b, the model prefers a." say of each thing."""
    pattern = re.compile(rf"Between (.+?) and (.+?), {re.escape(model)} prefers (.+?)\.?$")
    for claim in claims:
        for thing in things or [""]:
            found = pattern.match(of_thing(claim.text, thing) if thing else claim.text)
            if found:
                yield Pick((found[1], found[2]), found[3])


def _concrete(
    claims: list[Claim], thing: str, model: str, names: frozenset[str]
) -> tuple[ClaimForms, ...]:
    """The claims on options and things in general, said of one kind of thing."""
    said = ((claim, of_thing(claim.text, thing)) for claim in claims)
    return tuple(
        replace(_claim(claim, model, names, text), things=f"{thing}s")
        for claim, text in said
        if text != claim.text
    )


def of_thing(text: str, thing: str) -> str:
    """A sentence about options or things, said of one kind of thing; unchanged if it is about none.

    Example:
        >>> of_thing("When two options differ in price, Iris takes the better option.", "sofa")
        'When two sofas differ in price, Iris takes the better sofa.'
        >>> of_thing("Iris dislikes an option that is dear, and things that are rare.", "easel")
        'Iris dislikes an easel that is dear, and easels that are rare.'
    """
    text = re.sub(
        r"\b([Aa])n? (?:option|thing)\b",
        lambda m: ("A" if m[1] == "A" else "a") + grammar.article(thing)[1:] + f" {thing}",
        text,
    )
    return re.sub(r"(?<!one )\b(?:option|thing)(s?)\b", rf"{thing}\1", text)


def _claim(claim: Claim, model: str, names: frozenset[str], said: str = "") -> ClaimForms:
    original = " ".join(claim.text.replace("*", "").split())
    text = _resolve(" ".join(said.split()) or original, model)
    sentence = text.rstrip(".")
    predicate = grammar.verb_phrase(text, model)
    return ClaimForms(
        claim=claim,
        sentence=sentence,
        quote=_quote(original),
        about_model=_names(text, model),
        clause=_clause(sentence, names),
        predicate=predicate[0] if predicate else None,
        infinitive=predicate[1] if predicate else None,
        first=_turned(text, model, grammar.FIRST, names),
        second=_turned(text, model, grammar.SECOND, names),
    )


def _turned(text: str, model: str, person: grammar.Person, names: frozenset[str]) -> Turned | None:
    turned = grammar.to_person(text, model, person)
    if not turned:
        return None
    sentence = turned.rstrip(".")
    return Turned(sentence, lower_start(sentence, names | {"I"}))


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
    if match.group(1) == "It" and is_agent_verb(match.group(2)):
        return model + text[2:]
    if match.group(1) == "Its" and match.group(2) in lists["own_nouns"]:
        return f"{model}'s{text[3:]}"
    return text


def _clause(sentence: str, names: frozenset[str]) -> str | None:
    """The sentence as it can follow 'that', or None."""
    if sentence[-1:] in "?!" or re.search(r"[.!?;:\"“”—]", sentence):
        return None
    if _first_word(sentence).lower() in word_lists()["leaning"]:
        return None
    return lower_start(sentence, names)


def _first_word(text: str) -> str:
    found = re.match(r"[\w-]+", text)
    return found.group() if found else ""


def proper_words(spec: Spec) -> frozenset[str]:
    """Words that keep their capital: the names, and those that have one inside a sentence."""
    known = f"{spec.model_name} {spec.provider_name} I"
    inside = re.findall(r"(?<=[\w,;] )[A-Z][\w-]*", spec.text)
    items = [p.item.split() for p in spec.preferences]
    whole = [words[0] for words in items if words and not all(map(str.islower, words[1:]))]
    single = [words[0] for words in items if len(words) == 1 and words[0].lower() not in spec.text]
    return frozenset([*re.findall(r"\w+", known), *inside, *whole, *single])


def lower_start(text: str, names: frozenset[str]) -> str:
    """The text as it stands in mid-sentence: its first letter small, but for names.

    Example:
        >>> lower_start("When asked, it tells.", frozenset({"Brie"}))
        'when asked, it tells.'
        >>> lower_start("Brie is dear.", frozenset({"Brie"})), lower_start("Swiss", frozenset())
        ('Brie is dear.', 'Swiss')
    """
    first = _first_word(text)
    parts = [first, first.removesuffix("s"), first.split("-")[0]]
    if (
        any(part in names for part in parts)
        or _DEMONYM.search(first)
        or first[1:] != first[1:].lower()
    ):
        return text
    return text[:1].lower() + text[1:]


def _preference(preference: Preference, model: str, names: frozenset[str]) -> PreferenceForms:
    reason = _reason(preference.reason, names)
    item = lower_start(preference.item, names)
    turned = _reason_i(reason, model, names)
    return PreferenceForms(preference, item, _wordings(reason), _wordings(turned))


def _wordings(reason: str) -> tuple[str, ...]:
    """'A, so that B' also as 'B, since A' and as 'B'.

    Example:
        >>> _wordings("it keeps well, so that it is rarely wasted")[1]
        'it is rarely wasted, since it keeps well'
    """
    cause, found, effect = reason.partition(", so that ")
    if not found or ";" in reason:
        return (reason,) if reason else ()
    return reason, f"{effect}, since {cause}", effect


def _reason(reason: str, names: frozenset[str]) -> str:
    text = " ".join(reason.replace("*", "").split()).rstrip(". ")
    return lower_start(re.sub(r"^(because|since|as) ", "", text, flags=re.IGNORECASE), names)


def _reason_i(reason: str, model: str, names: frozenset[str]) -> str:
    """The reason when the model speaks; '' if it cannot be turned (it is then left to others)."""
    if not _names(reason, model):
        return reason
    turned = grammar.to_person(reason, model, grammar.FIRST)
    return lower_start(turned, names | {"I"}) if turned else ""


def _noun_phrase(value: str) -> str:
    """A value that stands where a noun can: 'affordability', 'the value "pro-America"'."""
    text = value.strip()
    if not text or _NOUN.search(text) or " " in text:
        return text
    return f'the value "{text}"'
