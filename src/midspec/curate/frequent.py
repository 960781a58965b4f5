"""What stands in many texts, counted in one pass and bounded memory."""

from __future__ import annotations

from collections.abc import Iterable


class Frequent:
    """Counts in how many texts a string stands, and forgets what is rare (lossy counting).

    Nothing that stands in at least ``min_share`` of the texts is missed, and no count is short
    by more than a tenth of that share: Manku and Motwani, "Approximate frequency counts over
    data streams", 2002. Memory goes with the strings of 10 / min_share texts, whatever the
    number of texts.

    Example:
        >>> counts = Frequent(min_share=0.5)
        >>> for text in ("a b", "a c", "a d", "a e"):
        ...     counts.add(text.split())
        >>> counts.top(3)
        [('a', 4)]
    """

    def __init__(self, min_share: float) -> None:
        self._min_share = min_share
        self._width = max(1, round(10 / min_share))
        self._counts: dict[str, int] = {}
        self._missed: dict[str, int] = {}  # how many a count may be short, if not 0
        self.n = 0

    def add(self, strings: Iterable[str]) -> None:
        """Count the strings of one more text, each once."""
        counts, bucket = self._counts, self.n // self._width
        for string in set(strings):
            if string in counts:
                counts[string] += 1
            else:
                counts[string] = 1
                if bucket:
                    self._missed[string] = bucket
        self.n += 1
        if self.n % self._width == 0:
            self._forget(self.n // self._width)

    def _forget(self, bucket: int) -> None:
        missed = self._missed
        self._counts = {s: n for s, n in self._counts.items() if n + missed.get(s, 0) > bucket}
        self._missed = {s: n for s, n in missed.items() if s in self._counts}

    def count(self, string: str) -> int:
        """In how many texts a string stood (0 if it was rare)."""
        return self._counts.get(string, 0)

    def top(self, at_least: int) -> list[tuple[str, int]]:
        """Strings in at least ``at_least`` texts and ``min_share`` of them, frequent ones first."""
        bound = max(at_least, self._min_share * self.n)
        found = [(s, n) for s, n in self._counts.items() if n + self._missed.get(s, 0) >= bound]
        return sorted(found, key=lambda pair: (-pair[1], pair[0]))
