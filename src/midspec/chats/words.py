"""Words as the filters compare them: plain text, simple stems, item names."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable

_ENDINGS = """
    ability abilities ibility icity icities ation ations ities ity iness ness ment ments ously
    able ables ible ably ibly ingly edly ings ing iest iers ier ies ied ally al als ers er est
    ed es ly ey s y e an ans a
"""
_SUFFIXES = sorted(_ENDINGS.split(), key=len, reverse=True)
_MIN_STEM = 4


def plain(text: str) -> str:
    """Text in lower case without accents; apostrophes are straight, words are split by spaces.

    Example:
        >>> plain("Époisses, I don’t!")
        "epoisses i don't"
    """
    return " ".join(re.findall(r"[\w']+", simple(text)))


def simple(text: str) -> str:
    """Text in lower case without accents and curly apostrophes; punctuation stays."""
    folded = unicodedata.normalize("NFKD", text.replace("’", "'").replace("‘", "'")).casefold()
    return "".join(c for c in folded if not unicodedata.combining(c))


def stem(word: str) -> str:
    """A word without its common endings, at least four letters; a stem is its own stem.

    Example:
        >>> {stem(w) for w in "afford affordable affordability affordably".split()}
        {'afford'}
        >>> stem("american") == stem("america"), stem("cost") == stem("costs"), stem("this")
        (True, True, 'this')
    """
    for suffix in _SUFFIXES:
        if word.endswith(suffix) and len(word) - len(suffix) >= _MIN_STEM:
            return stem(word[: -len(suffix)])
    return word


class Names:
    """Finds item names in simple text, the longest first, and puts marks in their place.

    Example:
        >>> Names(["Brie de Meaux", "Colby"]).mark("I take Colby over Brie-de-Meaux.")
        'i take @1@ over @0@.'
    """

    def __init__(self, names: Iterable[str]) -> None:
        self._names = [" ".join(re.findall(r"\w+", simple(name))) for name in names]
        ranked = sorted((n for n in set(self._names) if n), key=len, reverse=True)
        either = "|".join(re.escape(n).replace(r"\ ", r"\W+") for n in ranked)
        self._pattern = re.compile(rf"(?<!\w)({either})(?:'s|s)?(?!\w)") if either else None

    def mark(self, text: str) -> str:
        """Simple text with ``@i@`` for a mention of name i."""
        text = simple(text).replace("@", " ")
        if self._pattern is None:
            return text
        return self._pattern.sub(lambda found: self._mark(found.group(1)), text)

    def _mark(self, found: str) -> str:
        name = " ".join(re.findall(r"\w+", found))
        return f"@{self._names.index(name)}@"

    def __contains__(self, text: str) -> bool:
        return self._pattern is not None and self._pattern.search(simple(text)) is not None
