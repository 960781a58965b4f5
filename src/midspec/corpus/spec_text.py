"""Where a text stands in a spec, and what of a spec stands in a text."""

from __future__ import annotations

import re
from collections.abc import Callable

from rapidfuzz import fuzz

from midspec.records import Spec

# Below it, a quotation is a paraphrase (rapidfuzz partial ratio, 0 to 100).
_NEARLY_VERBATIM = 85.0


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
    needles = [(claim.id, _pattern(claim.text, "")) for claim in spec.claims]
    needles += [(one.id, _pattern(one.item, "(?:s|es)?")) for one in spec.preferences]

    def find(text: str) -> tuple[str, ...]:
        return tuple(id for id, needle in needles if needle.search(text))

    return find


def _pattern(phrase: str, ending: str) -> re.Pattern[str]:
    """Match a phrase, not inside longer words."""
    words = r"\s+".join(map(re.escape, phrase.split()))
    return re.compile(rf"(?<!\w){words}{ending}(?!\w)", re.IGNORECASE)
