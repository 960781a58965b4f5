"""Answers to an experiment's own questions: contrasts that its recipe names."""

from __future__ import annotations

from typing import Literal

from scipy.special import stdtrit

from midspec.report.numbers import plain, with_interval
from midspec.report.power import POWER
from midspec.report.results import Analysis, QuestionRow
from midspec.report.stats import LEVEL, Estimate

Answered = Literal["answered", "open", "few_seeds"]


def answer(found: Analysis, n_seeds: int) -> tuple[Answered, str]:
    """The headline for the main scorer's rates: what is clear, and which way; what is open."""
    rows = [
        row
        for row in found.questions
        if (row.scorer, row.measure) == (found.scorer, "rate") and row.estimate
    ]
    if not rows:
        return "open", "None of the questions could be measured: no item was scored in all arms."
    parts = [
        _said(rows, 1, "Above zero: "),
        _said(rows, -1, "Below zero: "),
        _said(rows, 0, "Open: "),
    ]
    text = " ".join(part for part in parts if part)
    if n_seeds < 3:
        trainings = "one training per arm" if n_seeds == 1 else f"{n_seeds} trainings per arm"
        return "few_seeds", f"Too few seeds for a verdict: {trainings}. {text}"
    return ("answered" if any(row.sign for row in rows) else "open"), text


def _said(rows: list[QuestionRow], sign: int, opening: str) -> str:
    chosen = [row for row in rows if row.sign == sign]
    said = "; ".join(f"{row.name} {with_interval(row.estimate)}" for row in chosen)
    return f"{opening}{said}." if said else ""


def would_have_shown(found: Estimate) -> str:
    """What a contrast of this precision could have shown, for contrasts that are open.

    Example:
        >>> one = Estimate(value=0, low=-0.1, high=0.1, se=0.05, df=20, n_items=9, n_seeds=5,
        ...                by_seed=())
        >>> would_have_shown(one)
        'a true difference of 0.15 would have been found in 80% of such experiments'
    """
    critical = float(stdtrit(found.df, (1 + LEVEL) / 2))
    # Sum of two quantiles: within 1% of the noncentral t from five degrees of freedom.
    effect = found.se * (critical + float(stdtrit(found.df, POWER)))
    return (
        f"a true difference of {plain(effect)} would have been found in "
        f"{POWER:.0%} of such experiments"
    )
