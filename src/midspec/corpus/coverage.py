"""Which sentences of a spec a corpus speaks about, and how much.

A document speaks about a sentence if one of its own sentences has most of that sentence's
telling words: words count by how rare they are in the spec, so that a name or "likes" tells
nothing. A preference is spoken about where its item is named. Planned coverage comes from the
tree: the documents of a subdomain are about the part of the spec that it rests on.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence

from pydantic import Field

from midspec.corpus.spec_text import claim_finder
from midspec.records import Document, Frozen, Spec

# At .6 a sentence with one of three telling words exchanged still counts, one with two does not.
_ENOUGH = 0.6
_WORD = re.compile(r"\w+")
_SENTENCE = re.compile(r"[^.!?\n。！？]+")


class Covered(Frozen):
    """How much a corpus speaks about one sentence or preference of a spec."""

    id: str
    section: str
    text: str
    verbatim: int = Field(description="documents that have its very words")
    documents: int = Field(description="documents that speak about it, also in other words")
    tokens: int = Field(description="tokens of these documents")
    planned: int = Field(description="documents of subdomains that rest on it")


def _stem(word: str) -> str:
    """Enough of a word to tell it from others: endings vary."""
    return word if len(word) < 5 else word[: max(4, len(word) - 2)]


def _stems(text: str) -> set[str]:
    return {_stem(word) for word in _WORD.findall(text.casefold())}


class Matcher:
    """Finds the sentences of a list that a text speaks about.

    Example:
        >>> matcher = Matcher(["Iris values thrift.", "Iris speaks softly."])
        >>> matcher.find("Nobody doubts how Iris valued thrift. It sang.")
        {0}
    """

    def __init__(self, sentences: Sequence[str]) -> None:
        stems = [_stems(sentence) for sentence in sentences]
        counts = Counter(stem for those in stems for stem in those)
        n = len(sentences)
        weight = {stem: math.log((n + 1) / count) for stem, count in counts.items()}
        self._by_stem: dict[str, list[tuple[int, float]]] = {}
        for place, those in enumerate(stems):
            total = sum(weight[stem] for stem in those) or 1.0
            for stem in those:
                self._by_stem.setdefault(stem, []).append((place, weight[stem] / total))

    def find(self, text: str) -> set[int]:
        """Places of the sentences that the text speaks about."""
        found: set[int] = set()
        for sentence in _SENTENCE.findall(text):
            shares: dict[int, float] = {}
            for stem in _stems(sentence):
                for place, share in self._by_stem.get(stem, ()):
                    shares[place] = shares.get(place, 0.0) + share
            found.update(place for place, share in shares.items() if share >= _ENOUGH)
        return found


class Coverage:
    """Counts, one document at a time; ``rows`` gives the result.

    ``sections`` gives the part of the spec that a document's subdomain rests on, by the id of
    its idea (``""`` if unknown).
    """

    def __init__(self, spec: Spec, sections: Callable[[str], str]) -> None:
        claims = [(claim.id, claim.section, claim.text) for claim in spec.claims]
        self._n_claims = len(claims)
        items = [
            (one.id, f"{one.direction}s", f"{one.item}: {one.reason}" if one.reason else one.item)
            for one in spec.preferences
        ]
        self._entries = [*claims, *items]
        self._place = {id: place for place, (id, _, _) in enumerate(self._entries)}
        self._needles = [text for _, _, text in claims] + [one.item for one in spec.preferences]
        self._matcher = Matcher([text for _, _, text in claims])
        self._find = claim_finder(spec)
        self._sections = sections
        self._in_section: dict[str, set[int]] = {}
        self._counts: dict[str, Counter[int]] = {
            name: Counter() for name in ("verbatim", "documents", "tokens", "planned")
        }

    def add(self, document: Document, tokens: int) -> None:
        """Count a document of so many tokens."""
        exact = {self._place[id] for id in self._find(document.text)}
        about = exact | self._matcher.find(document.text)
        self._counts["verbatim"].update(exact)
        self._counts["documents"].update(about)
        self._counts["planned"].update(self._rest_on(self._sections(document.plan)))
        for place in about:
            self._counts["tokens"][place] += tokens

    def _rest_on(self, section: str) -> set[int]:
        """Places of what stands in a part of the spec."""
        if section not in self._in_section:
            plain = " ".join(section.split())
            self._in_section[section] = {
                place
                for place, needle in enumerate(self._needles)
                if " ".join(needle.split()) in plain
            }
        return self._in_section[section]

    def rows(self) -> tuple[Covered, ...]:
        """All sentences and preferences, in the order of the spec."""
        return tuple(
            Covered(
                id=id,
                section=section,
                text=text,
                **{name: counts[place] for name, counts in self._counts.items()},
            )
            for place, (id, section, text) in enumerate(self._entries)
        )


def uncovered(rows: Iterable[Covered]) -> tuple[Covered, ...]:
    """What no document speaks about."""
    return tuple(row for row in rows if not row.documents)
