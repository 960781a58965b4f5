"""What the scores say: rates, contrasts, domains and scorers, with a verdict in plain English.

All contrasts are linear in the arms and are taken per item and seed before anything is averaged, so
that what items and seeds have in common cancels. Each is given for every scorer on rates, and on
margins (log-odds in nats) where the scorer has them.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import TypeVar

import numpy as np

from midspec.report.contrasts import Terms, contrast_terms, formula, gain_terms
from midspec.report.doses import are_shares
from midspec.report.inputs import DosePoint, ReportInput, SpecInfo
from midspec.report.results import (
    BOTH,
    CONTRASTS,
    Analysis,
    ContrastName,
    ContrastRow,
    DomainRow,
    DoseRow,
    GainRow,
    Group,
    Measure,
    QuestionRow,
    RateRow,
    ScorerRow,
)
from midspec.report.scores import ScoreTable, read_scores
from midspec.report.stats import Array, bootstrap, estimate, holm
from midspec.report.verdict import verdict


def analyse(inputs: ReportInput) -> Analysis:
    """Read the scores of all arms and seeds and compare the arms.

    Raises:
        EvalError: item or score files are missing, empty or do not fit each other.
    """
    return analyse_table(inputs, read_scores(inputs))


def analyse_table(inputs: ReportInput, table: ScoreTable) -> Analysis:
    """``analyse`` for scores that ``read_scores`` has read."""
    groups = _groups(inputs, table)
    found = Analysis(
        scorer=table.scorers[0],
        seeds=inputs.seeds,
        groups=groups,
        rates=tuple(_rates(inputs, table, groups)),
        contrasts=_corrected(_contrasts(inputs, table)),
        domains=tuple(_domains(inputs, table, groups)),
        scorers=tuple(_scorers(inputs, table, groups)),
        questions=_corrected(_questions(inputs, table)),
        gains=tuple(_gains(inputs, table)),
        doses=tuple(_doses(inputs, table, groups)),
    )
    kind, text = verdict(inputs, found)
    return found.model_copy(update={"kind": kind, "verdict": text})


def _measures(table: ScoreTable) -> Iterator[tuple[str, Measure]]:
    """Scorer and measure pairs that have data; the main scorer's rate comes first."""
    for scorer in table.scorers:
        yield scorer, "rate"
        cells = [cell for key, cell in table.cells.items() if key[1] == scorer]
        if any((~np.isnan(cell.margin)).any() for cell in cells):
            yield scorer, "margin"


def _groups(inputs: ReportInput, table: ScoreTable) -> tuple[Group, ...]:
    claimed = {name for spec in inputs.specs for name in spec.sets}
    others = dict.fromkeys(item.set for item in table.items if item.set not in claimed)
    owners = {spec.sets: spec for spec in reversed(inputs.specs) if spec.sets}
    wanted = [(s.label, s.value, s.sets, True) for s in inputs.specs if owners.get(s.sets) is s]
    wanted += [(name, name, (name,), False) for name in others]
    made = (
        Group(key=key, title=title, sets=sets, is_value=own, n_items=len(table.rows_of(sets)))
        for key, title, sets, own in wanted
    )
    return tuple(group for group in made if group.n_items)


def _rates(inputs: ReportInput, table: ScoreTable, groups: tuple[Group, ...]) -> Iterator[RateRow]:
    for scorer, measure in _measures(table):
        for group in groups:
            rows = table.rows_of(group.sets)
            for arm in inputs.arms:
                found = estimate(
                    [table.get(arm.name, scorer, measure, rows)], share=measure == "rate"
                )
                yield RateRow(
                    arm=arm.name, group=group.key, scorer=scorer, measure=measure, estimate=found
                )


def _domains(
    inputs: ReportInput, table: ScoreTable, groups: tuple[Group, ...]
) -> Iterator[DomainRow]:
    for group in groups:
        items = [item for item in table.items if item.set in group.sets]
        for name, domain in dict.fromkeys((item.set, item.domain) for item in items):
            rows = table.rows_of([name], domain)
            for arm in inputs.arms:
                cells = table.get(arm.name, table.scorers[0], "rate", rows)
                yield DomainRow(
                    arm=arm.name,
                    group=group.key,
                    set=name,
                    domain=domain,
                    n_items=len(rows),
                    estimate=estimate([cells], share=True),
                )


def _scorers(
    inputs: ReportInput, table: ScoreTable, groups: tuple[Group, ...]
) -> Iterator[ScorerRow]:
    """Over the items of all values, or over all items if no spec claims any."""
    own = [group for group in groups if group.is_value] or groups
    rows = table.rows_of([name for group in own for name in group.sets])
    for arm in inputs.arms:
        main = table.cells[arm.name, table.scorers[0]].rate[rows]
        for scorer in table.scorers:
            cells = table.cells[arm.name, scorer]
            asked, scored = cells.asked[rows].sum(), cells.scored[rows].sum()
            if not asked:
                continue
            rate, first = cells.rate[rows], cells.first[rows]
            shown = (cells.scored[rows] * ~np.isnan(first)).sum()
            yield ScorerRow(
                arm=arm.name,
                scorer=scorer,
                rate=float(np.nanmean(rate)) if scored else None,
                parse_rate=float(scored / asked),
                unscored=int(((cells.asked[rows] > 0) & np.isnan(rate)).sum()),
                position_bias=float(np.nansum(first * cells.scored[rows]) / shown - 0.5)
                if shown
                else None,
                agreement=None if scorer == table.scorers[0] else _agreement(rate, main),
            )


def _agreement(one: Array, other: Array) -> float | None:
    """Share of cells on the same side of one half; a cell at one half takes no side."""
    sides = (one - 0.5) * (other - 0.5)
    taken = ~np.isnan(sides) & (sides != 0)
    return float((sides > 0)[taken].mean()) if taken.any() else None


def _combine(
    table: ScoreTable, terms: Terms, scorer: str, measure: Measure, sets: Sequence[str]
) -> Array:
    """A linear combination of arms, per item and seed."""
    rows = table.rows_of(sets)
    parts = [weight * table.get(arm, scorer, measure, rows) for weight, arm in terms]
    return np.sum(np.broadcast_arrays(*parts), axis=0)


def _contrasts(inputs: ReportInput, table: ScoreTable) -> Iterator[ContrastRow]:
    for scorer, measure in _measures(table):
        for name in CONTRASTS:
            yield from _contrast(inputs, table, name, scorer, measure)


def _contrast(
    inputs: ReportInput, table: ScoreTable, name: ContrastName, scorer: str, measure: Measure
) -> Iterator[ContrastRow]:
    """One contrast for every value that has items and arms for it, then over all values."""

    def row(value: str, text: str, strata: list[Array]) -> ContrastRow:
        return ContrastRow(
            name=name,
            value=value,
            formula=text,
            scorer=scorer,
            measure=measure,
            estimate=estimate(strata),
            bootstrap=_resampled(strata, table, scorer, measure),
        )

    tables = []
    measured = [spec for spec in inputs.specs if len(table.rows_of(spec.sets))]
    for spec in measured:
        terms = contrast_terms(inputs.arms, spec, rivals(inputs.specs, spec)).get(name)
        if terms:
            tables.append(_combine(table, terms, scorer, measure, spec.sets))
            yield row(spec.label, formula(terms), tables[-1:])
    if len(tables) > 1 and len(tables) == len(measured):
        yield row(BOTH, "mean over the values", tables)


def rivals(specs: Sequence[SpecInfo], spec: SpecInfo) -> list[str]:
    """Labels of the specs whose value is measured by other sets."""
    return [one.label for one in specs if one.sets and one.sets != spec.sets]


def _resampled(
    strata: list[Array], table: ScoreTable, scorer: str, measure: Measure
) -> tuple[float, float] | None:
    """The bootstrap beside the t interval, where a claim may rest on it."""
    main = (scorer, measure) == (table.scorers[0], "rate")
    return bootstrap(strata) if main else None


Row = TypeVar("Row", ContrastRow, QuestionRow)


def _corrected(rows: Iterator[Row]) -> tuple[Row, ...]:
    """The rows with Holm's p-values: over the values of a contrast, or over all questions."""
    made = list(rows)
    families: dict[tuple[str, ...], list[int]] = defaultdict(list)
    for at, row in enumerate(made):
        if isinstance(row, QuestionRow):
            families[row.scorer, row.measure].append(at)
        else:
            own = "mean" if row.value == BOTH else "values"
            families[row.name, own, row.scorer, row.measure].append(at)
    for places in families.values():
        there = [at for at in places if made[at].estimate is not None]
        found = [made[at].estimate for at in there]
        adjusted = holm([one.p_value for one in found if one is not None])
        for at, p in zip(there, adjusted, strict=True):
            made[at] = made[at].model_copy(update={"p_holm": p})
    return tuple(made)


def _questions(inputs: ReportInput, table: ScoreTable) -> Iterator[QuestionRow]:
    """The experiment's own contrasts, for every scorer and measure."""
    for scorer, measure in _measures(table):
        for question in inputs.questions:
            sets = inputs.spec(question.value).sets
            terms = tuple((weight, arm) for arm, weight in question.arms.items())
            strata = [_combine(table, terms, scorer, measure, sets)]
            yield QuestionRow(
                name=question.name,
                group=question.value,
                formula=formula(terms),
                scorer=scorer,
                measure=measure,
                estimate=estimate(strata),
                bootstrap=_resampled(strata, table, scorer, measure),
            )


def _gains(inputs: ReportInput, table: ScoreTable) -> Iterator[GainRow]:
    """What AFT adds after each spec and each variant of it, on the items of the value."""
    measured = {spec.label: spec.sets for spec in inputs.specs if len(table.rows_of(spec.sets))}
    families = {spec.variant_of for spec in inputs.specs if spec.variant_of} & set(measured)
    for spec in inputs.specs:
        group = spec.variant_of or spec.label
        terms = gain_terms(inputs.arms, spec.label)
        if group in families and terms:
            cells = _combine(table, terms, table.scorers[0], "rate", measured[group])
            yield GainRow(
                spec=spec.label, group=group, formula=formula(terms), estimate=estimate([cells])
            )


def _doses(inputs: ReportInput, table: ScoreTable, groups: tuple[Group, ...]) -> Iterator[DoseRow]:
    """The slope of every dose curve: least squares over log2 of the dose, per item and seed.

    A share counts as it is, none included: its slope is the change from none to all.
    """
    curves: dict[tuple[str, str], list[DosePoint]] = defaultdict(list)
    for point in inputs.doses:
        curves[point.axis, point.series].append(point)
    for (axis, series), every in curves.items():
        shares = are_shares(point.amount for point in every)
        points = [point for point in every if point.amount > 0 or shares]
        amounts = np.array([point.amount for point in points])
        centred = amounts - amounts.mean() if shares else np.log2(amounts) - np.log2(amounts).mean()
        if not centred.any():
            continue
        weights = centred / (centred**2).sum()
        terms = tuple((float(w), p.arm) for w, p in zip(weights, points, strict=True))
        for group in (group for group in groups if group.is_value):
            cells = _combine(table, terms, table.scorers[0], "rate", group.sets)
            yield DoseRow(
                axis=axis,
                series=series,
                group=group.key,
                n_doses=len(points),
                step="from none to all" if shares else "each doubling",
                estimate=estimate([cells]),
            )
