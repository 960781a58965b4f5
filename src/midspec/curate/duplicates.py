"""Rules that remember: texts equal to, or nearly equal to, one that was kept before.

They hold state, so a rule serves one pass over one collection, and comes after the rules that
look at one record alone: what another rule drops must not count as seen.
"""

from __future__ import annotations

import hashlib

from midspec.curate.minhash import MinHashIndex
from midspec.curate.text import text_of, words_of
from midspec.records import Conversation, Document, Drop


class ExactDuplicate:
    """Drops texts with the same words, in the same order, as an earlier one.

    ``chats=False`` leaves conversations alone.
    """

    name = "exact_duplicate"

    def __init__(self, *, chats: bool = True) -> None:
        self.chats = chats
        self._seen: dict[bytes, str] = {}

    def check(self, record: Document | Conversation) -> Drop | None:
        """Drop if seen before; remember it otherwise."""
        if isinstance(record, Conversation) and not self.chats:
            return None
        key = _key(text_of(record))
        if key in self._seen:
            return Drop(record=record.id, reason=self.name, of=self._seen[key])
        self._seen[key] = record.id
        return None


def _key(text: str) -> bytes:
    """A digest of a text's words; one without words (symbols only) is compared as it is."""
    words = " ".join(words_of(text)) or "\n" + text.strip()
    return hashlib.blake2b(words.encode("utf-8", "surrogatepass"), digest_size=12).digest()


class NearDuplicate:
    """Drops texts of which most word 5-grams are those of an earlier one.

    ``threshold`` is the Jaccard similarity from which two texts are duplicates, verified
    exactly (see ``MinHashIndex`` for speed and memory).
    """

    name = "near_duplicate"

    def __init__(self, threshold: float = 0.8, seed: int = 0) -> None:
        self._index = MinHashIndex(threshold, seed)

    def check(self, record: Document | Conversation) -> Drop | None:
        """Drop if an earlier text is nearly equal; remember it otherwise."""
        words = words_of(text_of(record))
        twin = self._index.find_or_add(record.id, words) if words else ""
        return Drop(record=record.id, reason=self.name, of=twin) if twin else None
