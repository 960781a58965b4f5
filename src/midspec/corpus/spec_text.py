"""Where a text stands in a spec, and what of a spec stands in a text."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Sequence

from rapidfuzz import fuzz

from midspec.records import Spec

# Below it, a quotation is a paraphrase (rapidfuzz partial ratio, 0 to 100).
_NEARLY_VERBATIM = 85.0
_WORD = re.compile(r"\w+")


def verbatim(quotation: str, text: str) -> str | None:
    """The part of ``text`` that a quotation is, in the words and line breaks of ``text``.

    White space may differ. A quotation with slips (a bullet mark or a word left out) gives the
    part that it resembles, in whole lines; a paraphrase gives None.

    Example:
        >>> verbatim("costs little.", "# Likes\\nIt  costs\\nlittle. Always.")
        'costs\\nlittle.'
        >>> verbatim("Quality above all else.", "# Likes\\nIt costs little.") is None
        True
    """
    words = quotation.split()
    if not words:
        return None
    if found := re.search(r"\s+".join(map(re.escape, words)), text):
        return found.group()
    span = fuzz.partial_ratio_alignment(" ".join(words), text, score_cutoff=_NEARLY_VERBATIM)
    if span is None or len(quotation) > len(text) + 200:
        return None
    start = text.rfind("\n", 0, span.dest_start) + 1
    end = text.find("\n", span.dest_end)
    return text[start : end if end >= 0 else len(text)].strip() or None


def claim_finder(spec: Spec) -> Callable[[str], tuple[str, ...]]:
    """A function from a text to the ids of the claims and preferences that stand in it.

    A claim stands in a text by its words, a preference by its item (as whole words, a plural
    allowed); case and white space do not matter. Ids come in the order of the spec.
    """
    phrases = [(claim.id, claim.text, "") for claim in spec.claims]
    phrases += [(one.id, one.item, "(?:s|es)?") for one in spec.preferences]
    needles = [" ".join(text.lower().split()) for _, text, _ in phrases]
    by_word, always = _anchored(phrases)
    patterns: dict[int, re.Pattern[str]] = {}

    def stands(place: int, text: str) -> bool:
        # Compiled when first needed: of a long spec's thousands, few are.
        if place not in patterns:
            patterns[place] = _pattern(*phrases[place][1:])
        return patterns[place].search(text) is not None

    def find(text: str) -> tuple[str, ...]:
        # A rare word, then a plain search, rule out nearly all before the pattern decides.
        plain = " ".join(text.lower().split())
        present = by_word.keys() & _WORD.findall(plain)
        places = sorted([*always, *(place for word in present for place in by_word[word])])
        likely = (place for place in places if needles[place] in plain)
        return tuple(phrases[place][0] for place in likely if stands(place, text))

    return find


def _anchored(phrases: Sequence[tuple[str, str, str]]) -> tuple[dict[str, list[int]], list[int]]:
    """Places of the phrases by the rarest of their words; those without a sure word apart."""
    words = [_WORD.findall(text.lower()) for _, text, _ in phrases]
    # With an ending the last word may be longer in a text.
    sure = [
        those[:-1] if ending else those
        for those, (_, _, ending) in zip(words, phrases, strict=True)
    ]
    counts = Counter(word for those in words for word in set(those))
    by_word: dict[str, list[int]] = {}
    always: list[int] = []
    for place, those in enumerate(sure):
        if those:
            by_word.setdefault(min(those, key=counts.__getitem__), []).append(place)
        else:
            always.append(place)
    return by_word, always


def _pattern(phrase: str, ending: str) -> re.Pattern[str]:
    """Match a phrase, not inside longer words."""
    words = r"\s+".join(map(re.escape, phrase.split()))
    return re.compile(rf"(?<!\w){words}{ending}(?!\w)", re.IGNORECASE)
