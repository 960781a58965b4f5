"""Patterns of reasoning: how often each drove the transcripts of an arm (paper, D.5)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from midspec.errors import StoreError
from midspec.report.inputs import ReasonInfo, ReasonRow, ReportInput
from midspec.report.numbers import plain
from midspec.report.style import colours, new_figure, tidy

if TYPE_CHECKING:
    from matplotlib.figure import Figure

REASONS = "reasons.json"
MAX_PATTERNS = 16


def reasons(inputs: ReportInput) -> tuple[Figure, str] | None:
    """One row for each pattern, one point with its interval for each arm."""
    names = patterns(inputs)[:MAX_PATTERNS]
    if not names:
        return None
    arms = list(dict.fromkeys(row.arm for row in inputs.reasons.rows))
    paint = colours(arms)
    figure = new_figure((8.2, 1.1 + 0.34 * len(names)))
    axes = figure.subplots()
    for at, arm in enumerate(arms):
        found = {row.pattern: row for row in inputs.reasons.rows if row.arm == arm}
        rows = [(y, found[name]) for y, name in enumerate(names) if name in found]
        shift = (at - (len(arms) - 1) / 2) * 0.7 / len(arms)
        points = [(y + shift, row) for y, row in rows if row.value is not None]
        axes.errorbar(
            [row.value or 0.0 for _, row in points],
            [y for y, _ in points],
            xerr=[
                [max((row.value or 0) - (row.low or 0), 0) for _, row in points],
                [max((row.high or 0) - (row.value or 0), 0) for _, row in points],
            ],
            fmt="o", markersize=4, color=paint[arm], capsize=2, elinewidth=0.9, label=arm,
        )  # fmt: skip
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.set_xlim(-0.02, 1.02)
    axes.set_xlabel("share of transcripts")
    tidy(axes, grid="x")
    figure.legend(loc="outside upper left", ncols=4, frameon=False)
    said = "; ".join(f"{row.arm}, {row.pattern} {plain(row.value)}" for row in inputs.reasons.rows)
    return figure, f"Frequency of patterns of reasoning by arm. {said}."


def patterns(inputs: ReportInput) -> list[str]:
    """Names of all patterns, the most frequent first."""
    best: dict[str, float] = {}
    for row in inputs.reasons.rows:
        best[row.pattern] = max(best.get(row.pattern, 0.0), row.value or 0.0)
    return sorted(best, key=lambda name: (-best[name], name))


def reason_table(inputs: ReportInput) -> list[tuple[str, str, list[ReasonRow | None], list[str]]]:
    """Pattern, definition, a cell for every arm with reasons, and some quotations."""
    rows = inputs.reasons.rows
    arms = reason_arms(inputs)
    table = []
    for name in patterns(inputs):
        own = {row.arm: row for row in rows if row.pattern == name}
        quotes = [f"{row.arm}: “{text}”" for row in own.values() for text in row.quotes[:2]]
        meaning = next((row.definition for row in own.values() if row.definition), "")
        table.append((name, meaning, [own.get(arm) for arm in arms], quotes))
    return table


def reason_arms(inputs: ReportInput) -> list[str]:
    """Arms with patterns, in the order of the run."""
    return list(dict.fromkeys(row.arm for row in inputs.reasons.rows))


def read_reasons(path: Path, inputs: ReportInput) -> ReasonInfo:
    """The findings that ``midspec eval reasons`` wrote, checkpoints named as the run's arms.

    Raises:
        StoreError: the file is something else.
    """
    names = _names_of_checkpoints(inputs)
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
        rows = tuple(_row(one, names) for one in raw["frequencies"])
        counts = {name: raw[name] for name in ("n_transcripts", "n_unparsed", "n_loose_quotes")}
        return ReasonInfo(rows=rows, **counts)
    except (ValueError, KeyError, TypeError, ValidationError) as error:
        raise StoreError(
            f"{path} is no reasons.json of `midspec eval reasons` ({type(error).__name__}); "
            "make it again, or remove it"
        ) from error


def _row(one: dict[str, Any], names: dict[str, str]) -> ReasonRow:
    rate = one["rate"]
    return ReasonRow(
        arm=next((name for key, name in names.items() if key in one["arm"]), one["arm"]),
        pattern=one["pattern"],
        definition=one["definition"],
        value=rate["value"],
        low=rate["low"],
        high=rate["high"],
        n=rate["n_scored"],
        quotes=tuple(quote["text"] for quote in one["quotes"]),
    )


def _names_of_checkpoints(inputs: ReportInput) -> dict[str, str]:
    """Key of the last training of an arm and seed -> 'arm', or 'arm, seed 1' with several seeds."""
    last = {(curve.arm, curve.seed): curve.path.parent.name for curve in inputs.curves}
    several = len(inputs.seeds) > 1
    return {key: f"{arm}, seed {seed}" if several else arm for (arm, seed), key in last.items()}
