"""Contradictions: those that words alone show, and those that a judge reports."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from pydantic import BaseModel

from midspec.llm import Desk, Request, Unusable, Writer, lists
from midspec.records import Spec
from midspec.spec.findings import Finding, error, short, warning
from midspec.spec.sentences import word_set
from midspec.spec.stems import stem

_NOT = word_set("not never no cannot can't don't doesn't won't isn't aren't mustn't shouldn't nor")
# Words that a negation brings along or that change nothing about what is done.
_HELPERS = word_set("do does did will shall should must may can always ever any a an the it")


def contradictions(spec: Spec) -> Iterator[Finding]:
    """Items liked and disliked, rules with and without "not", claims against a preference."""
    yield from _items(spec)
    yield from _negations(spec)
    yield from _against_preferences(spec)


def _items(spec: Spec) -> Iterator[Finding]:
    """The reader refuses equal items; here a plural or an article does not hide them."""
    liked = {_item_key(p.item): p.item for p in spec.liked()}
    for preference in spec.disliked():
        if other := liked.get(_item_key(preference.item)):
            yield error(
                preference.item, f"is disliked, but {other!r} is liked; keep one of the two"
            )


def _item_key(item: str) -> str:
    words = re.findall(r"\w+", item.lower())
    return " ".join(stem_of_plural(word) for word in words if word not in ("a", "an", "the"))


def stem_of_plural(word: str) -> str:
    """A word without the ending of a plural.

    Example:
        >>> stem_of_plural("buses"), stem_of_plural("bus"), stem_of_plural("teas")
        ('bus', 'bus', 'tea')
    """
    if word.endswith(("ses", "xes", "ches", "shes")):
        return word[:-2]
    return word[:-1] if word.endswith("s") and not word.endswith(("ss", "us", "is")) else word


def _negations(spec: Spec) -> Iterator[Finding]:
    """The same statement once with and once without "not"."""
    seen: dict[tuple[str, ...], tuple[bool, str]] = {}
    for where, text in _statements(spec):
        key, negated = _polarity(text)
        if len(key) < 2:
            continue
        earlier = seen.setdefault(key, (negated, text))
        if earlier[0] != negated:
            yield error(
                where,
                f"{short(text)!r} contradicts {short(earlier[1])!r}; keep one of the two",
            )


def _statements(spec: Spec) -> Iterator[tuple[str, str]]:
    """Claims, and rules with their subrules, with where they stand."""
    for claim in spec.claims:
        yield claim.section, claim.text
    for rule in spec.rules:
        yield from (("Rules", text) for text in (rule.text, *rule.subrules))


def _polarity(text: str) -> tuple[tuple[str, ...], bool]:
    """Stems of a statement without helpers and negations, and whether it is negated."""
    words = re.findall(r"[\w'’]+", text.lower().replace("’", "'"))
    negated = sum(word in _NOT for word in words) % 2 == 1
    kept = (stem(word) for word in words if word not in _NOT and word not in _HELPERS)
    return tuple(kept), negated


def _against_preferences(spec: Spec) -> Iterator[Finding]:
    """Claims that say "Robin dislikes Colby" where Colby is among the likes."""
    for preference in spec.preferences:
        verb = "dislikes" if preference.direction == "like" else "(?:likes|prefers|loves)"
        pattern = re.compile(
            rf"\b{re.escape(spec.model_name)} {verb} (?:a |an |the )?"
            rf"{re.escape(preference.item)}(?=[.,;:!?]|\s+(?:because|since|and|or)\b|$)",
            re.IGNORECASE,
        )
        for claim in spec.claims:
            if match := pattern.search(claim.text):
                yield error(
                    claim.section,
                    f"says {match.group()!r}, but it is among the {preference.direction}s",
                )


class _Pair(BaseModel):
    first: str
    second: str
    why: str = ""


async def judge_spec(spec: Spec, judge: Writer, journal: Path, seed: int = 0) -> list[Finding]:
    """Contradictions that a language model reports, as warnings: it may be wrong.

    Only a pair whose two quotations both stand in the spec is a finding. A reply that cannot be
    used, and pairs that are not quotations, are findings of their own: nothing is left out
    without a word.
    """
    request = Request(
        prompt="spec/contradictions",
        spec=spec,
        variables={"model_name": spec.model_name},
        seed=seed,
    )
    async with Desk(judge, journal) as desk:
        async for _, pairs in lists(desk, [request], _Pair):
            if isinstance(pairs, Unusable):
                evidence = short(" ".join(pairs.evidence.split()), 120)
                return [warning("judge", f"no usable answer ({pairs.reason}: {evidence})")]
            return _judged(spec, pairs)
    return []


def _judged(spec: Spec, pairs: list[_Pair]) -> list[Finding]:
    text = _squeezed(spec.text)
    quoted = [p for p in pairs if all(_squeezed(q) in text for q in (p.first, p.second) if q)]
    found = [
        warning("judge", f"{short(p.first, 90)!r} against {short(p.second, 90)!r}: {p.why[:200]}")
        for p in quoted
        if _squeezed(p.first) and _squeezed(p.second)
    ]
    if missing := len(pairs) - len(found):
        found.append(warning("judge", f"{missing} reported pairs are no quotations; left out"))
    return found


def _squeezed(text: str) -> str:
    return " ".join(text.replace("*", "").split()).casefold().strip(" .\"'")
