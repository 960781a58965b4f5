"""Documents that say in other words what an earlier one says, found by their embeddings."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice

import numpy as np
import numpy.typing as npt

from midspec.records import Conversation, Document, Drop

F32 = npt.NDArray[np.float32]
Result = Document | Conversation | Drop

REASON = "similar"
MIN_COSINE = 0.95  # no two of 160 scribe documents for one spec are nearer than 0.922
_PIECE = 180  # words: about the 256 tokens that the model reads
_BLOCK = 512  # documents embedded and compared at once


def embed_whole(texts: Sequence[str]) -> F32:
    """A unit row for each text: the mean over its pieces of 180 words, so that all of it counts.

    Raises ConfigError if the extra ``embed`` is not installed.
    """
    from midspec.llm.embed import embed

    pieces = [_pieces(text) for text in texts]
    rows = embed(piece for those in pieces for piece in those)
    starts = np.cumsum([0, *(len(those) for those in pieces[:-1])])
    sums = np.add.reduceat(rows, starts, axis=0)
    return sums / np.linalg.norm(sums, axis=1, keepdims=True)


def _pieces(text: str) -> list[str]:
    words = text.split()
    return [" ".join(words[i : i + _PIECE]) for i in range(0, max(1, len(words)), _PIECE)]


def similar(
    results: Iterable[Result],
    min_cosine: float = MIN_COSINE,
    embed: Callable[[Sequence[str]], F32] = embed_whole,
) -> Iterator[Result]:
    """The same results in the same order; documents like an earlier kept one become Drops.

    Chats and Drops pass through (short chats differ in one word and mean something else).
    Works on blocks of 512; memory is 1.5 KB for each document kept. Every document is compared
    with every kept one: a minute at 100,000 on one core, where embedding them takes hours
    without a GPU.

    Example:
        >>> docs = [Document(plan="", type="t", text=t, writer="w") for t in ("a", "b")]
        >>> same = similar(docs, embed=lambda texts: np.ones((len(texts), 1), np.float32))
        >>> [type(result).__name__ for result in same]
        ['Document', 'Drop']
    """
    source, kept = iter(results), _Kept(min_cosine)
    while block := list(islice(source, _BLOCK)):
        documents = [r for r in block if isinstance(r, Document)]
        rows = embed([d.text for d in documents]) if documents else np.empty((0, 1), np.float32)
        twins = iter(kept.twins(documents, rows))
        for result in block:
            yield _result(result, *next(twins)) if isinstance(result, Document) else result


def _result(document: Document, twin: str, cosine: float) -> Document | Drop:
    if not twin:
        return document
    return Drop(record=document.id, reason=REASON, evidence=f"cosine {cosine:.3f}", of=twin)


class _Kept:
    """Rows of the documents that were kept, in an array that doubles."""

    def __init__(self, min_cosine: float) -> None:
        self._min = min_cosine
        self._ids: list[str] = []
        self._rows: F32 | None = None

    def twins(self, documents: Sequence[Document], rows: F32) -> list[tuple[str, float]]:
        """For each document, the kept one that is most like it and their cosine, or ``""``."""
        earlier = self._nearest(rows)
        return [
            self._twin(document, row, *near)
            for document, row, near in zip(documents, rows, earlier, strict=True)
        ]

    def _nearest(self, rows: F32) -> list[tuple[int, float]]:
        """Place and cosine of the nearest kept row, as of the start of this block."""
        self._start = len(self._ids)
        best, at = np.full(len(rows), -2.0, np.float32), np.zeros(len(rows), np.int64)
        for start in range(0, self._start, 8192):
            assert self._rows is not None
            cosines = rows @ self._rows[start : min(start + 8192, self._start)].T
            places = cosines.argmax(axis=1)
            found = cosines[np.arange(len(rows)), places]
            better = found > best
            best[better], at[better] = found[better], places[better] + start
        return list(zip(at.tolist(), best.tolist(), strict=True))

    def _twin(self, document: Document, row: F32, at: int, cosine: float) -> tuple[str, float]:
        """The nearest of all kept until now; if it is not near enough, keep this one."""
        n = len(self._ids)
        if self._rows is not None and n > self._start:
            cosines = self._rows[self._start : n] @ row
            if (inside := float(cosines.max())) > cosine:
                at, cosine = self._start + int(cosines.argmax()), inside
        if cosine >= self._min:
            return self._ids[at], cosine
        self._add(document.id, row)
        return "", cosine

    def _add(self, name: str, row: F32) -> None:
        n = len(self._ids)
        if self._rows is None:
            self._rows = np.empty((1024, len(row)), np.float32)
        elif n == len(self._rows):
            self._rows = np.concatenate([self._rows, np.empty_like(self._rows)])
        self._rows[n] = row
        self._ids.append(name)
