"""English verbs: their forms, and what the lexicon says of words."""

from __future__ import annotations

from functools import cache

from midspec.llm.scribe.data import word_lists

BASES = {
    "is": "be", "isn't": "not be", "has": "have", "does": "do", "goes": "go", "dies": "die",
    "lies": "lie", "ties": "tie", "focuses": "focus", "biases": "bias", "undergoes": "undergo",
}  # fmt: skip
_AUXILIARIES = frozenset({"is", "isn't", "was", "has", "does", "doesn't", "hasn't"})


def base_form(verb: str) -> str:
    """The base form of a verb in the third person singular.

    Example:
        >>> [base_form(v) for v in ("prefers", "relies", "passes", "chooses", "is", "teaches")]
        ['prefer', 'rely', 'pass', 'choose', 'be', 'teach']
    """
    if verb in BASES:
        return BASES[verb]
    if verb.endswith("ies"):
        return verb[:-3] + "y"
    if verb.endswith(("sses", "shes", "ches", "xes", "oes")):
        return verb[:-2]
    return verb[:-1] if verb.endswith("s") else verb


def third_form(base: str) -> str:
    """The third person singular of a base form; the inverse of :func:`base_form`.

    Example:
        >>> [third_form(v) for v in ("prefer", "rely", "pass", "have")]
        ['prefers', 'relies', 'passes', 'has']
    """
    if base == "have":
        return "has"
    if base.endswith("y") and base[-2] not in "aeiou":
        return base[:-1] + "ies"
    return base + ("es" if base.endswith(("s", "sh", "ch", "x", "o")) else "s")


@cache
def third_forms(key: str) -> frozenset[str]:
    """The third person singular of all verbs of a word list."""
    return frozenset(third_form(base) for base in word_lists()[key])


def is_agent_verb(word: str) -> bool:
    """Whether 'it <word>' can only be said of somebody who thinks or acts."""
    return word in third_forms("agent_verbs") and word not in third_forms("of_things_too")


def listed(word: str, key: str) -> bool:
    """Whether a word list holds a word."""
    return word.lower() in word_lists()[key]


def is_adverb(word: str) -> bool:
    """Whether a word can stand between a subject and its verb."""
    return listed(word, "adverbs") or (word.endswith("ly") and len(word) > 4)


def is_finite(word: str) -> bool:
    """Whether a word right after a singular subject reads as its verb."""
    if word in _AUXILIARIES or listed(word, "modals"):
        return True
    return (word.endswith("s") and not word.endswith("ss") and len(word) > 3) or word == "goes"
