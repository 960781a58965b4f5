"""A hash table in three flat arrays: which earlier texts share a band of a MinHash signature."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

U64 = npt.NDArray[np.uint64]
I32 = npt.NDArray[np.int32]

_FULL = 0.7  # of the slots: more makes probing slow, less costs memory
_END = np.int32(-1)  # no earlier text
_ROW = 8  # slots
_PART = 1 << 16  # slots


class BandTable:
    """Lists of text numbers by 64-bit key (not 0); a text brings one key for each band.

    Keys of different bands must differ: hash the band with them.

    Slots hold a key and the latest text with it, ``_next`` the one before, so a key that
    thousands of texts share takes one slot. 21 bands: 0.3 to 0.6 KB a text, where a dict of
    lists takes 4.5 KB.

    Example:
        >>> table = BandTable(2)
        >>> for keys in ([5, 6], [5, 7]):
        ...     table.add(np.array(keys, np.uint64))
        >>> table.find(np.array([5, 7], np.uint64)).tolist()
        [0, 1]
    """

    def __init__(self, n_bands: int) -> None:
        self._bands = np.arange(n_bands)
        self._keys = np.zeros(1024, np.uint64)
        self._heads = np.full(1024, _END)
        self._next = np.full((64, n_bands), _END)
        self._n_slots = 0
        self._n_texts = 0

    def find(self, keys: U64) -> I32:
        """Numbers of the texts that share at least one key, ascending."""
        text = self._heads[self._slots(keys)]
        bands, found = self._bands, []
        while True:
            alive = text >= 0
            if not alive.any():
                return np.unique(np.concatenate(found)) if found else text[:0]
            text, bands = text[alive], bands[alive]
            found.append(text)
            text = self._next[text, bands]

    def add(self, keys: U64) -> None:
        """Add the next text; texts are numbered from 0 in the order they come."""
        if self._n_texts == len(self._next):
            self._next = np.concatenate([self._next, np.full_like(self._next, _END)])
        if self._n_slots + len(keys) > _FULL * len(self._keys):
            self._grow()
        slots = self._claim(keys)
        self._next[self._n_texts] = self._heads[slots]
        self._heads[slots] = self._n_texts
        self._n_texts += 1

    def _slots(self, keys: U64) -> npt.NDArray[np.int64]:
        """The slot of each key, or the free slot where it would go.

        Rows of 8 slots are filled from the left and searched as one; a full row leads to the
        next (1.05 rows a key are read at 70% full, where single slots would be 11 at worst).
        """
        rows = self._keys.reshape(-1, _ROW)
        row = (keys & np.uint64(len(rows) - 1)).astype(np.int64)
        while True:
            fits = (rows[row] == keys[:, None]) | (rows[row] == 0)
            full = ~fits.any(axis=1)
            if not full.any():
                return row * _ROW + fits.argmax(axis=1)
            row = (row + full) & (len(rows) - 1)

    def _claim(self, keys: U64) -> npt.NDArray[np.int64]:
        """The slot of each key, which is its own from now on."""
        while True:
            slots = self._slots(keys)
            empty = self._keys[slots] == 0
            # of two keys that meet in one slot the last wins, the other looks again
            self._keys[slots[empty]] = keys[empty]
            self._n_slots += len(np.unique(slots[empty]))
            if (self._keys[slots] == keys).all():
                return slots

    def _grow(self) -> None:
        """Twice the slots; in parts, so that little more than the two tables is in memory."""
        keys, heads = self._keys, self._heads
        self._keys = np.zeros(2 * len(keys), np.uint64)
        self._heads = np.full(2 * len(keys), _END)
        self._n_slots = 0
        for start in range(0, len(keys), _PART):
            part = slice(start, start + _PART)
            used = keys[part] != 0
            self._heads[self._claim(keys[part][used])] = heads[part][used]
