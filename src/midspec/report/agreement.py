"""Where scorers disagree, in plain English: what another scorer says about the crossing."""

from __future__ import annotations

from midspec.report.inputs import ReportInput
from midspec.report.numbers import listed, percent, with_interval
from midspec.report.results import BOTH, Analysis, ContrastRow

# Below this many items a t interval of shares that are 0, one half or 1 says little.
ENOUGH_ITEMS = 20
BOUND = 0.45  # of a position bias: at least 95% of the answers are in the same place


def scorers_agree(inputs: ReportInput, found: Analysis) -> str:
    """Whether the other scorers lead to the main one's conclusions, and how much could be read."""
    titles = {spec.label: spec.value for spec in inputs.specs}
    main = {row.value: row for row in _crossings(found, found.scorer)}
    texts = []
    for scorer in dict.fromkeys(row.scorer for row in found.scorers if row.scorer != found.scorer):
        rows = [row for row in _crossings(found, scorer) if row.estimate and row.value in main]
        said = "; ".join(f"{titles[row.value]} {with_interval(row.estimate)}" for row in rows)
        if rows:
            says = _compared(rows, [main[row.value] for row in rows], scorer)
            texts.append(f"{says} ({said}).")
    worst = min(found.scorers, key=lambda row: row.parse_rate, default=None)
    if worst and worst.parse_rate < 0.9:
        texts.append(
            f"Only {percent(worst.parse_rate)} of the {worst.scorer} answers of {worst.arm} "
            "could be read; its rates stand on the rest."
        )
    return " ".join(texts)


def bound_to_a_place(found: Analysis) -> str:
    """Arms whose rates cannot leave one half, since they answer by the place of an option."""
    arms = [
        row.arm
        for row in found.scorers
        if row.scorer == found.scorer and abs(row.position_bias or 0) > BOUND
    ]
    if not arms:
        return ""
    return (
        f"By {found.scorer} {listed(arms)} nearly always {'takes' if len(arms) == 1 else 'take'} "
        "the option in the same place, so that over both orders the rate is one half whatever is "
        "preferred; log-odds are not bound by this."
    )


def _compared(rows: list[ContrastRow], main: list[ContrastRow], scorer: str) -> str:
    """What another scorer says beside the main one, and whether it can say anything."""
    n = min(row.estimate.n_items for row in rows if row.estimate)
    if n < ENOUGH_ITEMS:
        return (
            f"The {scorer} scorer has too few answers to tell whether it agrees on the crossing "
            f"({n} item{'s' if n != 1 else ''} of a value)"
        )
    pairs = [(one.sign, other.sign) for one, other in zip(rows, main, strict=True)]
    if any(one != other for one, other in pairs):
        return f"The {scorer} scorer leads to other conclusions on the crossing"
    if any(one == 0 for one, _ in pairs):
        return f"The {scorer} scorer leaves open what the main scorer leaves open"
    return f"The {scorer} scorer leads to the same conclusions on the crossing"


def _crossings(found: Analysis, scorer: str) -> list[ContrastRow]:
    return [
        row
        for row in found.contrasts
        if (row.name, row.scorer, row.measure) == ("crossing", scorer, "rate") and row.value != BOTH
    ]
