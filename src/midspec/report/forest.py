"""Forest plots: contrasts with their intervals, one below the other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from midspec.report.inputs import ReportInput
from midspec.report.results import (
    BOTH,
    CONTRAST_TITLES,
    Analysis,
    ContrastName,
    ContrastRow,
    Measure,
    QuestionRow,
)
from midspec.report.style import GREY, INK, colours, new_figure, tidy

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MAIN: tuple[ContrastName, ...] = ("crossing", "msm_crossing", "interaction", "spec_interaction")


def questions(found: Analysis) -> tuple[Figure, str] | None:
    """Forest plot of the experiment's own questions, in rates and in nats."""
    rows = [row for row in found.questions if row.scorer == found.scorer]
    names = list(dict.fromkeys(row.name for row in rows))
    measures: list[Measure] = [m for m in ("rate", "margin") if any(r.measure == m for r in rows)]
    if not names:
        return None
    figure = new_figure((8.2, 1.0 + 0.36 * len(names)))
    panels = figure.subplots(1, len(measures), sharey=True, squeeze=False)[0]
    titles = {group.key: group.title for group in found.groups}
    for axes, measure in zip(panels, measures, strict=True):
        by_name = {row.name: row for row in rows if row.measure == measure}
        forest(axes, [by_name.get(name) for name in names], colours(titles))
        axes.set_xlabel("difference in rate" if measure == "rate" else "difference in nats")
    panels[0].set_yticks(range(len(names)), names)
    panels[0].set_ylim(len(names) - 0.5, -0.5)
    return figure, (
        "Forest plot of the questions with 95% intervals; filled markers are clear of zero. "
        "The numbers are in the table below it."
    )


def forest(
    axes: Axes, rows: Sequence[ContrastRow | QuestionRow | None], paint: dict[str, str]
) -> None:
    """One interval a line, filled where it is clear of zero; a thin line between kinds."""
    axes.axvline(0, color=INK, linewidth=0.9)
    previous = None
    for y, row in enumerate(rows):
        if row is None or row.estimate is None:
            continue
        of = row.group if isinstance(row, QuestionRow) else row.value
        if isinstance(row, ContrastRow) and previous not in (None, row.name):
            axes.axhline(y - 0.5, color=GREY, linewidth=0.4)
        previous, one = row.name, row.estimate
        colour = paint.get(of, INK)
        axes.plot([one.low, one.high], [y, y], color=colour, linewidth=2, zorder=2)
        axes.plot(
            one.value,
            y,
            marker="D" if of == BOTH else "o",
            color=colour,
            markerfacecolor=colour if row.sign else "white",
            markersize=6.5,
            zorder=3,
        )
    tidy(axes, grid="x")


def contrasts(inputs: ReportInput, found: Analysis) -> tuple[Figure, str] | None:
    """Forest plot of the main contrasts: rates, and margins if there are any."""
    measures: list[Measure] = [
        measure
        for measure in ("rate", "margin")
        if any(
            row.name in MAIN and row.measure == measure and row.scorer == found.scorer
            for row in found.contrasts
        )
    ]
    keys: list[tuple[ContrastName, str]] = [
        (row.name, row.value)
        for row in found.contrasts
        if row.name in MAIN and (row.scorer, row.measure) == (found.scorer, "rate")
    ]
    if not keys:
        return None
    figure = new_figure((8.2, 0.9 + 0.31 * len(keys)))
    panels = figure.subplots(1, len(measures), sharey=True, squeeze=False)[0]
    titles = {spec.label: spec.value for spec in inputs.specs} | {BOTH: "mean"}
    for axes, measure in zip(panels, measures, strict=True):
        rows = [found.contrast(name, value, measure=measure) for name, value in keys]
        forest(axes, rows, colours(spec.label for spec in inputs.specs))
        axes.set_xlabel("difference in rate" if measure == "rate" else "difference in nats")
    labels = [f"{CONTRAST_TITLES[name]}: {titles.get(value, value)}" for name, value in keys]
    panels[0].set_yticks(range(len(keys)), labels)
    panels[0].invert_yaxis()
    return figure, (
        "Forest plot of contrasts with 95% intervals; filled markers are clear of zero. "
        "The numbers are in the tables below it."
    )
