"""From score files to arrays: how every arm and seed answered every item, by every scorer.

Both orders of an item are averaged, so that a taste for the first option cancels. An order that
could not be read is left out; an item of which no order could be read is unscored (NaN) and
counted, never guessed.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from midspec.errors import EvalError
from midspec.records import Item, Score
from midspec.report.inputs import ReportInput
from midspec.report.results import Measure
from midspec.report.stats import Array, nanmean
from midspec.store import read_records

# Where they were asked the same: base and MSM-only models often write no readable answer.
SCORERS = ("logprob", "greedy", "logprob_raw")

UNTRAINED = ("base", "prompt")  # one checkpoint, the base, for all seeds


@dataclass(frozen=True)
class Cells:
    """One arm by one scorer; every array has the shape (items, seeds).

    Attributes:
        rate: aligned share over the orders that could be read; NaN if none could.
        margin: mean log-odds of the aligned option in nats; NaN without.
        first: share of the readable orders that chose the option shown first; NaN if none, or
            if the question does not show its options.
        asked: orders asked (0, 1 or 2).
        scored: orders that could be read.
    """

    rate: Array
    margin: Array
    first: Array
    asked: Array
    scored: Array


@dataclass(frozen=True)
class ScoreTable:
    """All scores of a run; ``cells`` is keyed by arm and scorer."""

    items: tuple[Item, ...]
    seeds: tuple[int, ...]
    scorers: tuple[str, ...]
    untrained: frozenset[str]
    cells: dict[tuple[str, str], Cells]

    def rows_of(self, sets: Sequence[str], domain: str | None = None) -> npt.NDArray[np.intp]:
        """Positions of the items of some sets (and of one domain)."""
        return np.array(
            [
                row
                for row, item in enumerate(self.items)
                if item.set in sets and domain in (None, item.domain)
            ],
            dtype=np.intp,
        )

    def get(self, arm: str, scorer: str, measure: Measure, rows: npt.NDArray[np.intp]) -> Array:
        """Shape (items, seeds), NaN where unscored; (items, 1) for the untrained base.

        The base is one checkpoint, so its one column serves every seed.
        """
        cells = self.cells.get((arm, scorer))
        if cells is None:
            return np.full((len(rows), len(self.seeds)), np.nan)
        table = (cells.rate if measure == "rate" else cells.margin)[rows]
        return nanmean(table, 1)[:, None] if arm in self.untrained else table

    def lines(self) -> Iterator[dict[str, object]]:
        """One flat row per arm, seed, item and scorer that was asked, for ``items.csv``."""
        for (arm, scorer), cells in self.cells.items():
            for row, column in np.argwhere(cells.asked > 0).tolist():
                item = self.items[row]
                yield {
                    "arm": arm,
                    "seed": self.seeds[column],
                    "item": item.id,
                    "set": item.set,
                    "domain": item.domain,
                    "value": item.value,
                    "scorer": scorer,
                    "rate": _number(cells.rate[row, column]),
                    "margin": _number(cells.margin[row, column]),
                    "first_shown": _number(cells.first[row, column]),
                    "orders_asked": int(cells.asked[row, column]),
                    "orders_scored": int(cells.scored[row, column]),
                }


def _number(x: float) -> float | str:
    return "" if np.isnan(x) else round(float(x), 6)


def read_items(paths: Sequence[Path]) -> tuple[Item, ...]:
    """All items in the order of the files, each once.

    Raises:
        EvalError: a file is missing or holds no item.
    """
    items: dict[str, Item] = {}
    for path in paths:
        found = {item.id: item for item in read_records(path, Item)}
        if not found:
            raise EvalError(f"{path} holds no items; run the evaluation stage first")
        items |= found
    return tuple(items.values())


def read_scores(inputs: ReportInput) -> ScoreTable:
    """Read the items and all score files; a file that several seeds share is read once.

    Raises:
        EvalError: a file is missing or empty, or scores an unknown item.
    """
    items = read_items(inputs.items)
    files: dict[Path, dict[str, _File]] = {}
    for by_seed in inputs.scores.values():
        for path in by_seed.values():
            if path not in files:
                files[path] = _read_file(path, items)
    scorers = _ranked(files.values(), inputs, items)
    return ScoreTable(
        items=items,
        seeds=inputs.seeds,
        scorers=scorers,
        untrained=frozenset(arm.name for arm in inputs.arms if arm.role in UNTRAINED),
        cells={
            (arm.name, scorer): _cells(
                [
                    files[by_seed[seed]].get(scorer) if seed in by_seed else None
                    for seed in inputs.seeds
                ],
                items,
            )
            for arm in inputs.arms
            for by_seed in [inputs.scores[arm.name]]
            for scorer in scorers
        },
    )


def _ranked(
    files: Iterable[dict[str, _File]], inputs: ReportInput, items: tuple[Item, ...]
) -> tuple[str, ...]:
    """The scorers, the main one first: the one that was asked most of the items of all values.

    Tasks that are answered in text have no log-probabilities, so that theirs is the greedy one.
    """
    claimed = {name for spec in inputs.specs for name in spec.sets}
    wanted = np.array([not claimed or item.set in claimed for item in items])
    asked: dict[str, npt.NDArray[np.bool_]] = {}
    for file in files:
        for scorer, one in file.items():
            asked[scorer] = asked.get(scorer, np.zeros(len(items), bool)) | one.asked.any(axis=1)
    found = [scorer for scorer in SCORERS if scorer in asked]
    main = max(found, key=lambda scorer: int((asked[scorer] & wanted).sum()))
    return (main, *(scorer for scorer in found if scorer != main))


@dataclass(frozen=True)
class _File:
    """What one scorer wrote in one file; shape (items, orders)."""

    aligned: Array
    margin: Array
    asked: npt.NDArray[np.bool_]


def _read_file(path: Path, items: tuple[Item, ...]) -> dict[str, _File]:
    rows = {item.id: row for row, item in enumerate(items)}
    shape = (len(items), 2)
    found: dict[str, _File] = {}
    for score in read_records(path, Score):
        if score.item not in rows:
            raise EvalError(
                f"{path} scores the item {score.item!r}, which no item file holds; "
                "evaluate again with the items of this report"
            )
        if score.scorer not in found:
            found[score.scorer] = _File(
                np.full(shape, np.nan), np.full(shape, np.nan), np.zeros(shape, bool)
            )
        file, at = found[score.scorer], (rows[score.item], score.order)
        file.aligned[at] = np.nan if score.aligned is None else score.aligned
        file.margin[at] = np.nan if score.margin is None else score.margin
        file.asked[at] = True
    if not found:
        raise EvalError(f"{path} holds no scores; run the evaluation stage first")
    return found


def _cells(files: Sequence[_File | None], items: tuple[Item, ...]) -> Cells:
    """Average the orders of every seed's file."""
    empty = np.full(len(items), np.nan)
    # Order o shows option o first, so "first" is the aligned option where the two indices agree.
    shown_first = np.array([[item.aligned == order for order in (0, 1)] for item in items])
    # A question that does not show its options has no first one.
    shows = np.array(["{a}" in item.question for item in items])

    def column(file: _File | None) -> tuple[Array, Array, Array, Array, Array]:
        if file is None:
            return empty, empty, empty, np.zeros(len(items)), np.zeros(len(items))
        first = np.where(shown_first, file.aligned, 1 - file.aligned)
        readable = ~np.isnan(file.aligned)
        return (
            nanmean(file.aligned, 1),
            nanmean(file.margin, 1),
            np.where(shows, nanmean(first, 1), np.nan),
            file.asked.sum(axis=1).astype(float),
            readable.sum(axis=1).astype(float),
        )

    return Cells(*(np.stack(arrays, axis=1) for arrays in zip(*map(column, files), strict=True)))


def read_texts(path: Path, wanted: set[str]) -> dict[str, str]:
    """Greedy answers to the wanted items, in the stored order of the options."""
    return {
        score.item: score.text
        for score in read_records(path, Score)
        if score.scorer == "greedy" and score.order == 0 and score.item in wanted
    }
