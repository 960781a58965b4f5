"""MinHash with banding: which of many texts share most of their word 5-grams, in near-linear time."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from midspec.curate.bands import BandTable

U8 = npt.NDArray[np.uint8]
U32 = npt.NDArray[np.uint32]
U64 = npt.NDArray[np.uint64]

N_HASHES = 128
N_WORDS = 5  # a chat that differs in one word only (the item) is then no duplicate of the other
MIN_RECALL = 0.99  # of pairs exactly at the threshold; higher above it
_SCREEN_SLACK = 0.11  # 3 standard errors of a similarity estimated from 128 hashes
_ONE_WORD = np.uint64(0x9E3779B97F4A7C15)
_MANY_WORDS = 1_000_000  # different ones in memory: 150 MB
_BLOCK = 1024  # grams hashed at once: 128 hashes of them fit the cache of a core


class _Codes(dict[str, int]):
    """A 64-bit code for each word, computed once: a corpus repeats few words many times."""

    def __missing__(self, word: str) -> int:
        if len(self) >= _MANY_WORDS:
            self.clear()
        hashed = hashlib.blake2b(word.encode("utf-8", "surrogatepass"), digest_size=8).digest()
        code = self[word] = int.from_bytes(hashed, "big")
        return code


_code_of = _Codes().__getitem__


def shingles(words: Sequence[str], n_words: int = N_WORDS) -> U32:
    """The distinct word n-grams of a text as sorted 32-bit hashes; a short text is one gram.

    Two different grams of a pair of 300-word texts are equal by chance in 1 of 50,000 pairs.

    Example:
        >>> len(shingles("a b c d e f".split())), len(shingles(["a"])), len(shingles([]))
        (2, 1, 0)
    """
    if not words:
        return np.empty(0, np.uint32)
    codes = np.fromiter(map(_code_of, words), np.uint64, len(words))
    runs = np.lib.stride_tricks.sliding_window_view(codes, min(n_words, len(codes)))
    weights = np.cumprod(np.full(runs.shape[1], _ONE_WORD))
    grams = (_mix(runs @ weights) >> np.uint64(32)).astype(np.uint32)
    grams.sort()
    return grams[np.concatenate(([True], grams[1:] != grams[:-1]))]


def _mix(x: U64) -> U64:
    """The finalizer of splitmix64: spreads every bit over the word."""
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


def jaccard(a: U32, b: U32) -> float:
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

    Candidates come from bands of MinHash signatures and are verified by all their grams, so a
    twin that is found is one; at most 1% of pairs right at the threshold are missed, and no
    equal texts. The texts themselves are not kept. Time and memory: ``benchmarks/dedup.py``.

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
        rows = rows_for(threshold)
        rng = np.random.default_rng(seed)
        top = np.iinfo(np.uint32).max
        self._a = rng.integers(0, top, (N_HASHES, 1), np.uint32, endpoint=True) | np.uint32(1)
        self._b = rng.integers(0, top, (N_HASHES, 1), np.uint32, endpoint=True)
        self._scratch = np.empty(N_HASHES * _BLOCK, np.uint32)
        self._weights = rng.integers(0, 2**64, (N_HASHES // rows, rows), np.uint64) | np.uint64(1)
        self._table = BandTable(len(self._weights))
        self._names: list[str] = []
        self._grams: list[U32] = []
        self._signatures = np.zeros((64, N_HASHES), np.uint8)

    def find(self, words: Sequence[str]) -> str:
        """Name of the earliest text that is like these words, or ``""``."""
        return self.find_or_add("", words, add=False)

    def add(self, name: str, words: Sequence[str]) -> None:
        """Remember a text."""
        grams = shingles(words)
        signature = self._signature(grams)
        self._insert(name, grams, signature, self._keys(signature))

    def find_or_add(self, name: str, words: Sequence[str], *, add: bool = True) -> str:
        """Name of the earliest text that is like these words; if there is none, add them."""
        grams = shingles(words)
        signature = self._signature(grams)
        keys = self._keys(signature)
        for i in self._candidates(signature, keys):
            if jaccard(self._grams[i], grams) >= self.threshold:
                return self._names[i]
        if add:
            self._insert(name, grams, signature, keys)
        return ""

    def _signature(self, grams: U32) -> U32:
        """The smallest of each of the 128 hashes of the grams (multiply and add, mod 2^32)."""
        lowest = np.full(N_HASHES, np.iinfo(np.uint32).max)
        for start in range(0, len(grams), _BLOCK):
            block = grams[start : start + _BLOCK]
            hashes = self._scratch[: N_HASHES * len(block)].reshape(N_HASHES, len(block))
            np.multiply(self._a, block, out=hashes)
            hashes += self._b
            np.minimum(lowest, hashes.min(axis=1), out=lowest)
        return lowest

    def _keys(self, signature: U32) -> U64:
        """One hash for each band of the signature; equal bands at different places differ."""
        n_bands, rows = self._weights.shape
        bands = _mix(signature[: n_bands * rows].reshape(n_bands, rows).astype(np.uint64))
        return _mix((bands * self._weights).sum(axis=1)) | np.uint64(1)  # 0 is a free slot

    def _candidates(self, signature: U32, keys: U64) -> list[int]:
        """Texts that share a band, but for those whose signatures are clearly too different."""
        found = self._table.find(keys)
        if not len(found):
            return []
        alike = (self._signatures[found] == _low(signature)).mean(axis=1)
        return found[alike >= self.threshold - _SCREEN_SLACK].tolist()

    def _insert(self, name: str, grams: U32, signature: U32, keys: U64) -> None:
        i = len(self._names)
        if i == len(self._signatures):
            self._signatures = np.concatenate([self._signatures, np.zeros_like(self._signatures)])
        self._signatures[i] = _low(signature)
        self._names.append(name)
        self._grams.append(grams)
        self._table.add(keys)


def _low(signature: U32) -> U8:
    """A byte of each hash: enough to screen, for a quarter of the memory."""
    return (signature >> np.uint32(16)).astype(np.uint8)
