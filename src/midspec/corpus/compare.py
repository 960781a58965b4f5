"""Diversity of a corpus beside that of reference texts: equally many pieces of equal length."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import Field

from midspec.corpus.diversity import Diversity, diversity
from midspec.records import Frozen, Spec, digest
from midspec.store import Journal, read_rows

WINDOW = 100  # words: texts are compared in pieces of one length
_AT_ONCE = 16  # texts that are embedded before their rows are written down

Embed = Callable[[list[str]], Any]
"""Unit rows of texts: shape (n, width)."""


class Compared(Frozen):
    """Diversity of the corpus and of a reference, on equally many pieces of equal length."""

    reference: str
    n_pieces: int
    corpus: Diversity
    other: Diversity
    corpus_dispersion: float | None = Field(
        default=None, description="mean cosine distance of two pieces, 0 to 2; None: no embedder"
    )
    other_dispersion: float | None = None
    n_embedded: int = Field(default=0, description="pieces of each whose embeddings were compared")


class KeptRows:
    """An embedder that keeps its rows in a file, by text: what it holds is not computed again.

    Rows are written down 16 at a time, so that a run that was stopped goes on where it was.
    """

    def __init__(self, embed: Embed, path: Path) -> None:
        self._embed = embed
        self._path = path
        self._rows: dict[str, list[float]] = {row["text"]: row["row"] for row in read_rows(path)}

    def __call__(self, texts: list[str]) -> Any:
        """Unit rows: shape (n, width)."""
        keys = [digest(text) for text in texts]
        new = {key: text for key, text in zip(keys, texts, strict=True) if key not in self._rows}
        if new:
            self._add(list(new.items()))
        return np.array([self._rows[key] for key in keys], np.float32)

    def _add(self, new: list[tuple[str, str]]) -> None:
        with Journal(self._path) as journal:
            for start in range(0, len(new), _AT_ONCE):
                part = new[start : start + _AT_ONCE]
                rows = np.asarray(self._embed([text for _, text in part]), np.float32)
                for (key, _), row in zip(part, rows, strict=True):
                    self._rows[key] = [round(float(x), 6) for x in row]
                    journal.append({"text": key, "row": self._rows[key]})


def own_words(spec: Spec) -> str:
    """The sentences of a spec, and the reasons of its preferences."""
    reasons = (f"{one.item}: {one.reason}." for one in spec.preferences if one.reason)
    return " ".join([*(claim.text for claim in spec.claims), *reasons])


def pieces(texts: Iterable[str]) -> Iterator[str]:
    """Texts in pieces of 100 words; a shorter rest is left out, a short text joins the next."""
    words: list[str] = []
    for text in texts:
        words += text.split()
        while len(words) >= WINDOW:
            yield " ".join(words[:WINDOW])
            words = words[WINDOW:]


def drawn(pieces: Iterable[str], n: int, seed: int) -> list[str]:
    """A uniform sample of at most ``n``, in random order: a part from its start is one, too."""
    rng, sample = random.Random(f"{seed}/audit"), list[str]()
    for place, piece in enumerate(pieces):
        if len(sample) < n:
            sample.append(piece)
        elif (at := rng.randrange(place + 1)) < n:
            sample[at] = piece
    rng.shuffle(sample)
    return sample


def compared(
    texts: Iterable[str],
    references: Mapping[str, Iterable[str]],
    *,
    sample: int,
    embedded: int,
    seed: int,
    embed: Embed | None,
) -> Iterator[Compared]:
    """The texts beside each reference that has two pieces at least; ``sample`` pieces at most."""
    own = drawn(pieces(texts), sample, seed)
    for name, reference in references.items():
        other = drawn(pieces(reference), len(own), seed)
        mine, n = own[: len(other)], min(len(other), embedded) if embed else 0
        if len(other) > 1:
            yield Compared(
                reference=name,
                n_pieces=len(other),
                corpus=diversity(mine, sample, seed),
                other=diversity(other, sample, seed),
                corpus_dispersion=_dispersion(mine[:n], embed),
                other_dispersion=_dispersion(other[:n], embed),
                n_embedded=n,
            )


def _dispersion(texts: list[str], embed: Embed | None) -> float | None:
    """Mean cosine distance of two different texts."""
    if embed is None:
        return None
    rows = embed(texts)
    n, total = len(rows), rows.sum(axis=0)
    # The sum of all dot products is |sum of rows|^2; the n of a row with itself are 1 each.
    return float(1 - (total @ total - n) / (n * (n - 1)))
