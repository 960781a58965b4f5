"""Whole documents packed in rows of fixed length, in one pass and in bounded memory."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

import numpy as np

from midspec.train.examples import IGNORE, Example

OPEN_ROWS = 64  # rows that wait for a document that fits; 256 pack no better (measured)


@dataclass(frozen=True)
class Piece:
    """Tokens ``start``.. of a document; a whole document, unless it is longer than a row."""

    document: int
    start: int
    ids: list[int]
    labels: list[int]
    plain: bool = False


@dataclass
class Row:
    """Pieces that share one row of ``size`` tokens."""

    size: int
    pieces: list[Piece] = field(default_factory=list)
    used: int = 0

    def add(self, piece: Piece) -> None:
        """Put a piece at the end."""
        self.pieces.append(piece)
        self.used += len(piece.ids)

    def arrays(self, pad: int) -> np.ndarray:
        """int32 [3, size]: input ids, labels, positions (from 0 in each piece, 0 in padding)."""
        out = np.zeros((3, self.size), dtype=np.int32)
        out[0], out[1] = pad, IGNORE
        at = 0
        for piece in self.pieces:
            end = at + len(piece.ids)
            out[0, at:end], out[1, at:end] = piece.ids, piece.labels
            out[1, at] = IGNORE  # never predicted from the document before
            out[2, at:end] = np.arange(len(piece.ids))
            at = end
        return out


def split(document: int, example: Example, row_tokens: int) -> Iterator[Piece]:
    """A document as pieces of at most ``row_tokens``; no token is lost."""
    for start in range(0, len(example.ids), row_tokens):
        part = slice(start, start + row_tokens)
        yield Piece(document, start, example.ids[part], example.labels[part], example.plain)


def pack(examples: Iterable[Example], row_tokens: int, *, together: bool = True) -> Iterator[Row]:
    """Rows that hold every token of every document exactly once (best fit, greedy).

    A piece goes to the open row that it fills best; if none has room, a row is opened, and the
    fullest closed when too many are open. Without ``together``, every piece has its own row.

    Example:
        >>> docs = [Example([1] * n, [1] * n) for n in (5, 3, 8)]
        >>> [[len(p.ids) for p in row.pieces] for row in pack(docs, 8)]
        [[5, 3], [8]]
    """
    waiting: list[Row] = []
    for number, example in enumerate(examples):
        for piece in split(number, example, row_tokens):
            row = _best(waiting, len(piece.ids)) if together else None
            if row is None:
                row = Row(row_tokens)
                waiting.append(row)
            row.add(piece)
            if row.used == row_tokens or not together:
                waiting.remove(row)
                yield row
            elif len(waiting) > OPEN_ROWS:
                fullest = max(waiting, key=lambda r: r.used)
                waiting.remove(fullest)
                yield fullest
    yield from waiting


def _best(waiting: list[Row], n_tokens: int) -> Row | None:
    fitting = [row for row in waiting if row.used + n_tokens <= row.size]
    return max(fitting, key=lambda row: row.used, default=None)
