"""Evaluation leaks: a training text that contains a held-out item would make a score worthless."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from midspec.curate.text import text_of, words_of
from midspec.records import Conversation, Document, Drop, Item

Phrase = tuple[str, ...]

SPAN = 8  # words in a row that two texts do not share by chance
# Options that only answer, and so are found everywhere.
GENERIC = frozenset(
    ["yes", "no", "true", "false", "agree", "disagree", "a", "b", "both", "neither"]
)


class EvaluationLeak:
    """Drops records that contain an option of a held-out item, or 8 words in a row of one.

    Options count as whole words, without case, accents and punctuation. ``allowed`` names
    texts that the spec itself teaches (its preferences): an option equal to one is no leak.
    Of ``others`` (sets that the text was not written against) one option is no evidence, since
    they hold everyday words ("translators"): both options of an item are.
    One pass over the words of a text, whatever the number of items.

    Example:
        >>> item = Item(kind="preference", set="s", domain="books", value="v",
        ...             options=("a paperback", "a first edition"), aligned=0)
        >>> doc = Document(plan="", type="memo", text="She reads a Paperback.", writer="w")
        >>> EvaluationLeak([item]).check(doc).evidence
        'a paperback'
        >>> EvaluationLeak([], others=[item]).find("a paperback"), EvaluationLeak(
        ...     [], others=[item]).find("a paperback, not a first edition")
        ('', 'a paperback / a first edition')
    """

    name = "evaluation_leak"

    def __init__(
        self, items: Iterable[Item], allowed: Iterable[str] = (), others: Iterable[Item] = ()
    ) -> None:
        self._ignored = _GENERIC_PHRASES | {words_of(text) for text in allowed} | {()}
        self._lengths: dict[str, set[int]] = {}
        self._alone: set[Phrase] = set()
        self._partners: dict[Phrase, set[Phrase]] = {}
        for item in items:
            self._alone.update(map(self._learn, (*_options(item), *_spans(item))))
        for item in others:
            self._alone.update(map(self._learn, _spans(item)))
            self._pair(*_options(item))
        self._alone -= self._ignored

    def find(self, text: str) -> str:
        """The first phrase (or the pair of options) of an item in a text, or ``""``."""
        seen: set[Phrase] = set()
        for phrase in self._phrases(words_of(text)):
            if phrase in self._alone:
                return " ".join(phrase)
            if both := self._partners.get(phrase, set()) & seen:
                return f"{' '.join(min(both))} / {' '.join(phrase)}"
            seen.add(phrase)
        return ""

    def check(self, record: Document | Conversation) -> Drop | None:
        """Drop if the record gives away an item."""
        found = self.find(text_of(record))
        return Drop(record=record.id, reason=self.name, evidence=found) if found else None

    def _phrases(self, words: Phrase) -> Iterator[Phrase]:
        """Runs of words that are a phrase of some item."""
        for i, word in enumerate(words):
            for n in self._lengths.get(word, ()):
                phrase = words[i : i + n]
                if phrase in self._alone or phrase in self._partners:
                    yield phrase

    def _learn(self, phrase: Phrase) -> Phrase:
        """Take note of the length of a phrase under its first word."""
        if phrase:
            self._lengths.setdefault(phrase[0], set()).add(len(phrase))
        return phrase

    def _pair(self, a: Phrase, b: Phrase) -> None:
        """Remember that two options together are an item, unless the spec teaches one."""
        if a not in self._ignored and b not in self._ignored:
            self._partners.setdefault(self._learn(a), set()).add(b)
            self._partners.setdefault(self._learn(b), set()).add(a)


_GENERIC_PHRASES = frozenset((word,) for word in GENERIC)


def _options(item: Item) -> tuple[Phrase, Phrase]:
    return words_of(item.options[0]), words_of(item.options[1])


def _spans(item: Item) -> Iterator[Phrase]:
    """All runs of 8 words of the question, with the options in either order, and of each option."""
    for first, second in (item.options, item.options[::-1]):
        question = item.question.replace("{a}", first).replace("{b}", second)
        for words in (words_of(question), words_of(first)):
            yield from (words[i : i + SPAN] for i in range(len(words) - SPAN + 1))
