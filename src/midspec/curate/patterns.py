"""What a corpus says too often: openings, phrases and names, and what to ask later prompts to avoid."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence

from pydantic import Field

from midspec.curate.frequent import Frequent
from midspec.curate.text import said_by_model, words_of
from midspec.records import Conversation, Document, Frozen, Spec

N_OPENING = 4  # words
N_PHRASE = 5
N_SHOWN = 30  # patterns of a kind
_LONGEST = 25  # words of a phrase that is put together
_FEWEST = 3  # texts: less is no pattern, however small the corpus
_KIN = 0.8  # two runs that overlap are one phrase if their counts are this near
# A capital in the middle of a sentence, and what goes on in capitals; titles belong to it.
_NAME = re.compile(r"(?<=[a-z,;:] )(?:(?:Dr|Mr|Mrs|Ms|Prof)\.? )?[A-Z][a-z]+(?:[ -][A-Z][a-z]+)*")
_LOWER = re.compile(r"\b[a-z]+\b")


class Pattern(Frozen):
    """Something that many texts share."""

    text: str
    n: int = Field(description="texts that have it")
    share: float = Field(description="of all texts, 0 to 1")


class Patterns(Frozen):
    """The over-represented patterns of a corpus, the most frequent first."""

    n: int = Field(description="texts read")
    openings: tuple[Pattern, ...] = Field(description=f"first {N_OPENING} words of texts")
    phrases: tuple[Pattern, ...] = Field(
        description=f"runs of {N_PHRASE} or more words that the spec itself does not have"
    )
    names: tuple[Pattern, ...] = Field(description="of people and things the spec does not name")


class PatternScan:
    """Finds patterns while records pass by: ``add`` each, then ``found``.

    ``min_share`` is the share of texts from which a pattern counts as too frequent. Of a chat,
    the answers are read.
    """

    def __init__(self, spec: Spec, min_share: float = 0.02) -> None:
        self._spec_words = frozenset(words_of(spec.text)) | frozenset(words_of(spec.model_name))
        self._spec_words |= frozenset(words_of(spec.provider_name))
        self._spec_runs = frozenset(_runs(words_of(spec.text)))
        self._openings, self._phrases = Frequent(min_share), Frequent(min_share)
        self._names, self._lower = Frequent(min_share), Frequent(min_share)

    def add(self, record: Document | Conversation) -> None:
        """Read one record."""
        text = "\n".join(said_by_model(record))
        words = words_of(text)
        self._openings.add([" ".join(words[:N_OPENING])] if words else [])
        self._phrases.add(_runs(words))
        self._names.add(_NAME.findall(text))
        self._lower.add(_LOWER.findall(text))

    def found(self) -> Patterns:
        """The patterns of what was read."""
        phrases = [(t, n) for t, n in self._phrases.top(_FEWEST) if t not in self._spec_runs]
        names = [(t, n) for t, n in self._names.top(_FEWEST) if self._is_name(t, n)]
        return Patterns(
            n=self._openings.n,
            openings=self._patterns(self._openings.top(_FEWEST)),
            phrases=self._patterns(_joined(phrases)),
            names=self._patterns(names),
        )

    def _patterns(self, counted: Sequence[tuple[str, int]]) -> tuple[Pattern, ...]:
        n_texts = max(1, self._openings.n)
        return tuple(
            Pattern(text=text, n=n, share=round(n / n_texts, 4)) for text, n in counted[:N_SHOWN]
        )

    def _is_name(self, text: str, n: int) -> bool:
        """Whether capitals are no mere habit, and the spec does not give the name."""
        words = words_of(text)
        if self._spec_words.issuperset(words):
            return False
        return all(self._lower.count(word) < 0.5 * n for word in words)


def patterns(
    records: Iterable[Document | Conversation], spec: Spec, min_share: float = 0.02
) -> Patterns:
    """What more than ``min_share`` of the records share, in one pass.

    Example:
        >>> spec = Spec(name="s", text="", model_name="Iris", provider_name="Wren Labs")
        >>> docs = [Document(plan="", type="t", text=f"It was a day {i}.", writer="w") for i in "abc"]
        >>> patterns(docs, spec).openings[0].text
        'it was a day'
    """
    scan = PatternScan(spec, min_share)
    for record in records:
        scan.add(record)
    return scan.found()


def to_avoid(found: Patterns, limit: int = 20) -> list[str]:
    """Short lines for later prompts, the most frequent patterns first: what not to write again.

    They hold words of the corpus, so of a model: pass them to prompts as values only.

    Example:
        >>> once = Pattern(text="maya patel", n=9, share=0.3)
        >>> to_avoid(Patterns(n=30, openings=(), phrases=(), names=(once,)))
        ['the name "maya patel"']
    """
    kinds = {
        "a text that begins with": found.openings,
        "the phrase": found.phrases,
        "the name": found.names,
    }
    lines = [(p.n, f'{kind} "{p.text}"') for kind, those in kinds.items() for p in those]
    return [line for _, line in sorted(lines, key=lambda pair: (-pair[0], pair[1]))[:limit]]


def _runs(words: Sequence[str]) -> Iterator[str]:
    return (" ".join(words[i : i + N_PHRASE]) for i in range(len(words) - N_PHRASE + 1))


def _joined(counted: Sequence[tuple[str, int]]) -> list[tuple[str, int]]:
    """Runs that overlap and are about equally frequent, put together into longer phrases."""
    counts = dict(counted)
    after: dict[str, list[str]] = {}
    for run in counts:
        after.setdefault(run.rsplit(" ", 1)[0], []).append(run)
    inner = {nxt for run in counts for nxt in _next(run, counts, after)}
    phrases: list[tuple[str, int]] = []
    used: set[str] = set()
    for run in [*(r for r in counts if r not in inner), *counts]:
        if run not in used:
            phrases.append(_extend(run, counts, after, used))
    return sorted(phrases, key=lambda pair: (-pair[1], pair[0]))


def _next(run: str, counts: dict[str, int], after: dict[str, list[str]]) -> list[str]:
    """Runs that go on where this one ends, about as often, the most frequent first."""
    others = [r for r in after.get(run.split(" ", 1)[1], []) if r != run]
    return [r for r in others if _KIN <= counts[r] / counts[run] <= 1 / _KIN]


def _extend(
    run: str, counts: dict[str, int], after: dict[str, list[str]], used: set[str]
) -> tuple[str, int]:
    words, n = run.split(" "), counts[run]
    used.add(run)
    while len(words) < _LONGEST:
        follow = [r for r in _next(run, counts, after) if r not in used]
        if not follow:
            break
        run = follow[0]
        used.add(run)
        words.append(run.rsplit(" ", 1)[1])
        n = min(n, counts[run])
    return " ".join(words), n
