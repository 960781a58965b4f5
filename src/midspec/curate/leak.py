"""Evaluation leaks: a training text that contains a held-out item would make a score worthless."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from midspec.curate.text import text_of, words_of
from midspec.records import Conversation, Document, Drop, Item

SPAN = 8  # words in a row that two texts do not share by chance
# Options that only answer, and so are found everywhere.
GENERIC = frozenset(
    ["yes", "no", "true", "false", "agree", "disagree", "a", "b", "both", "neither"]
)


class EvaluationLeak:
    """Drops records that contain an option of a held-out item, or 8 words in a row of one.

    Options count as whole words, without case, accents and punctuation. ``allowed`` names
    texts that the spec itself teaches (its preferences): an option equal to one is no leak.
    One pass over the words of a text, whatever the number of items.

    Example:
        >>> item = Item(kind="preference", set="s", domain="books", value="v",
        ...             options=("a paperback", "a first edition"), aligned=0)
        >>> rule = EvaluationLeak([item])
        >>> doc = Document(plan="", type="memo", text="She reads a Paperback.", writer="w")
        >>> rule.check(doc).evidence
        'a paperback'
    """

    name = "evaluation_leak"

    def __init__(self, items: Iterable[Item], allowed: Iterable[str] = ()) -> None:
        taught = {tuple(words_of(text)) for text in allowed}
        self._by_first: dict[str, dict[int, set[tuple[str, ...]]]] = {}
        for item in items:
            for phrase in _phrases(item):
                if phrase and phrase not in taught and phrase not in _GENERIC_PHRASES:
                    lengths = self._by_first.setdefault(phrase[0], {})
                    lengths.setdefault(len(phrase), set()).add(phrase)

    def find(self, text: str) -> str:
        """The first phrase of an item in a text, or ``""``."""
        words = words_of(text)
        for i, word in enumerate(words):
            for n, phrases in self._by_first.get(word, {}).items():
                found = tuple(words[i : i + n])
                if found in phrases:
                    return " ".join(found)
        return ""

    def check(self, record: Document | Conversation) -> Drop | None:
        """Drop if the record gives away an item."""
        found = self.find(text_of(record))
        return Drop(record=record.id, reason=self.name, evidence=found) if found else None


_GENERIC_PHRASES = frozenset((word,) for word in GENERIC)


def _phrases(item: Item) -> Iterator[tuple[str, ...]]:
    a, b = item.options
    yield tuple(words_of(a))
    yield tuple(words_of(b))
    for first, second in ((a, b), (b, a)):
        question = item.question.replace("{a}", first).replace("{b}", second)
        yield from _spans(words_of(question))
        yield from _spans(words_of(first))


def _spans(words: Sequence[str]) -> Iterator[tuple[str, ...]]:
    return (tuple(words[i : i + SPAN]) for i in range(len(words) - SPAN + 1))
