"""MinHash with banding: which of many texts share most of their word 5-grams, in near-linear time."""

from __future__ import annotations

import zlib
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

U64 = npt.NDArray[np.uint64]

N_HASHES = 128
N_WORDS = 5  # a chat that differs in one word only (the item) is then no duplicate of the other
MIN_RECALL = 0.99  # of pairs exactly at the threshold; higher above it
_SCREEN_SLACK = 0.11  # 3 standard errors of a similarity estimated from 128 hashes
_ONE_WORD = np.uint64(0x9E3779B97F4A7C15)


def shingles(words: Sequence[str], n_words: int = N_WORDS) -> U64:
    """The distinct word n-grams of a text as sorted 64-bit hashes; a short text is one gram.

    Example:
        >>> len(shingles("a b c d e f".split())), len(shingles(["a"])), len(shingles([]))
        (2, 1, 0)
    """
    if not words:
        return np.empty(0, np.uint64)
    # crc32 tells words apart well enough: a gram is equal by chance only if five of them are
    codes = np.fromiter((zlib.crc32(w.encode()) for w in words), np.uint64, len(words))
    codes = _mix(codes + _ONE_WORD)
    n = min(n_words, len(codes))
    grams = np.zeros(len(codes) - n + 1, np.uint64)
    for j in range(n):
        grams = _mix(grams * _ONE_WORD + codes[j : len(codes) - n + 1 + j])
    return np.unique(grams)


def _mix(x: U64) -> U64:
    """The finalizer of splitmix64: spreads every bit over the word."""
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


def jaccard(a: U64, b: U64) -> float:
    """Share of grams in both among the grams in either; two empty texts are equal (1)."""
    if not len(a) and not len(b):
        return 1.0
    common = len(np.intersect1d(a, b, assume_unique=True))
    return common / (len(a) + len(b) - common)


def rows_for(threshold: float, n_hashes: int = N_HASHES) -> int:
    """Most hashes a band may join so that pairs at the threshold are still found.

    Example:
        >>> rows_for(0.8)
        6
    """
    fitting = [
        r for r in range(1, n_hashes + 1) if 1 - (1 - threshold**r) ** (n_hashes // r) >= MIN_RECALL
    ]
    return max(fitting, default=1)


class MinHashIndex:
    """Finds an earlier text with Jaccard similarity of at least ``threshold``.

    Candidates come from bands of MinHash signatures and are verified exactly, so a twin that
    is found is always one; at most 1% of pairs right at the threshold are missed, and no equal
    texts. Memory: 5 KB and 8 bytes a word for each text added. 20,000 documents of 300 words
    take 5 s on one core, also if they share most of their sentences; only thousands of texts
    each just below the threshold of all others are slow (3,000 at 0.66: 10 s).

    Example:
        >>> index = MinHashIndex(0.8)
        >>> index.add("first", "one two three four five six".split())
        >>> index.find("one two three four five six".split())
        'first'
        >>> index.find("something else altogether here now".split())
        ''
    """

    def __init__(self, threshold: float = 0.8, seed: int = 0) -> None:
        self.threshold = threshold
        self._rows = rows_for(threshold)
        rng = np.random.default_rng(seed)
        top = np.iinfo(np.uint64).max
        self._a = rng.integers(0, top, (N_HASHES, 1), np.uint64, endpoint=True) | np.uint64(1)
        self._b = rng.integers(0, top, (N_HASHES, 1), np.uint64, endpoint=True)
        self._names: list[str] = []
        self._grams: list[U64] = []
        self._signatures = np.zeros((64, N_HASHES), np.uint32)
        self._buckets: dict[bytes, list[int]] = {}

    def find(self, words: Sequence[str]) -> str:
        """Name of the earliest text that is like these words, or ``""``."""
        return self.find_or_add("", words, add=False)

    def add(self, name: str, words: Sequence[str]) -> None:
        """Remember a text."""
        grams = shingles(words)
        self._insert(name, grams, self._signature(grams))

    def find_or_add(self, name: str, words: Sequence[str], *, add: bool = True) -> str:
        """Name of the earliest text that is like these words; if there is none, add them."""
        grams = shingles(words)
        signature = self._signature(grams)
        for i in self._candidates(signature):
            if jaccard(self._grams[i], grams) >= self.threshold:
                return self._names[i]
        if add:
            self._insert(name, grams, signature)
        return ""

    def _signature(self, grams: U64) -> npt.NDArray[np.uint32]:
        """The smallest of each of the 128 hashes of the grams (multiply-shift, top 32 bits)."""
        if not len(grams):
            return np.zeros(N_HASHES, np.uint32)
        return ((self._a * grams + self._b).min(axis=1) >> np.uint64(32)).astype(np.uint32)

    def _keys(self, signature: npt.NDArray[np.uint32]) -> list[bytes]:
        rows = self._rows
        return [
            band.to_bytes(2, "big") + signature[band * rows : (band + 1) * rows].tobytes()
            for band in range(N_HASHES // rows)
        ]

    def _candidates(self, signature: npt.NDArray[np.uint32]) -> list[int]:
        """Texts that share a band, but for those whose signatures are clearly too different."""
        found = {i for key in self._keys(signature) for i in self._buckets.get(key, ())}
        if not found:
            return []
        ids = np.array(sorted(found))
        alike = (self._signatures[ids] == signature).mean(axis=1)
        return ids[alike >= self.threshold - _SCREEN_SLACK].tolist()

    def _insert(self, name: str, grams: U64, signature: npt.NDArray[np.uint32]) -> None:
        i = len(self._names)
        if i == len(self._signatures):
            self._signatures = np.concatenate([self._signatures, np.zeros_like(self._signatures)])
        self._signatures[i] = signature
        self._names.append(name)
        self._grams.append(grams)
        for key in self._keys(signature):
            self._buckets.setdefault(key, []).append(i)
