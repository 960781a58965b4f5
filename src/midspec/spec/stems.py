"""Crude word stems, to tell whether two texts speak of the same thing."""

from __future__ import annotations

import re

from midspec.spec.sentences import word_set

_STOPWORDS = word_set(
    "about above after again against all also although always among and another any anybody anyone "
    "anything are because been before being between both but can cannot could does doing done each "
    "even ever every everyone everything few for from get gets give gives good great had has have "
    "having her here his how into its itself just kind less like likes dislikes made make makes "
    "making many may mean means might more most much must neither never nor not nothing off often "
    "once one only other others our out over own part people same say says she should since some "
    "something such take takes than that the their them themselves then there these they thing "
    "things this those though through too under until upon use used uses very was way ways well "
    "were what whatever when where whether which while who whole whom whose why will with within "
    "without would you your"
)


def stems(text: str) -> frozenset[str]:
    """Stems of the words that carry meaning.

    Example:
        >>> sorted(stems("An affordable cheese has affordability"))
        ['affor', 'chees']
    """
    words = re.findall(r"[^\W\d_]{3,}", text.lower())
    return frozenset(stem(word) for word in words if word not in _STOPWORDS)


def stem(word: str) -> str:
    """A crude stem that joins "afford", "affordable", "affordability"; "cost", "costly", "costs"."""
    for ending in ("ing", "ed", "ly", "es", "s", "e", "y"):
        if word.endswith(ending) and len(word) - len(ending) >= 3:
            word = word[: -len(ending)]
            break
    return word[:5]
