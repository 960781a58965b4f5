"""Answers to an experiment's own questions: contrasts that its recipe names."""

from __future__ import annotations

from typing import Literal

from scipy.special import stdtrit

from midspec.report.numbers import plain, with_interval
from midspec.report.power import POWER
from midspec.report.results import Analysis, QuestionRow
from midspec.report.stats import LEVEL, Estimate

Answered = Literal["answered", "open", "few_seeds"]

MANY = 4  # beyond it, the first question makes the headline, and a paragraph names them all
SIGNS = {1: "above zero", -1: "below zero", 0: "open"}


def answer(found: Analysis, n_seeds: int) -> tuple[Answered, str]:
    """The headline for the main scorer's rates: what is clear, and which way; what is open."""
    rows = [
        row
        for row in found.questions
        if (row.scorer, row.measure) == (found.scorer, "rate") and row.estimate
    ]
    if not rows:
        return "open", "None of the questions could be measured: no item was scored in all arms."
    said = (_said(rows, sign) for sign in SIGNS)
    text = " ".join(part for part in said if part)
    if len(rows) > MANY:
        text = f"{_first(rows)}\n\n{text}"
    if n_seeds < 3:
        trainings = "one training per arm" if n_seeds == 1 else f"{n_seeds} trainings per arm"
        return "few_seeds", f"Too few seeds for a verdict: {trainings}. {text}"
    return ("answered" if any(row.sign for row in rows) else "open"), text


def _said(rows: list[QuestionRow], sign: int) -> str:
    chosen = [row for row in rows if row.sign == sign]
    said = "; ".join(f"{row.name} {with_interval(row.estimate)}" for row in chosen)
    return f"{SIGNS[sign].capitalize()}: {said}." if said else ""


def _first(rows: list[QuestionRow]) -> str:
    """The first question's answer, and how many of all are above, below, and open."""
    one = rows[0]
    counts = {name: sum(row.sign == sign for row in rows) for sign, name in SIGNS.items()}
    told = ", ".join(f"{n} {name}" for name, n in counts.items() if n)
    name = one.name[0].upper() + one.name[1:]
    answered = f"{with_interval(one.estimate)} in rate, {SIGNS[one.sign]}"
    return f"{name}: {answered}. Of {len(rows)} questions: {told}."


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
