"""Dose-response curves: the rate over how much of one stage an arm got."""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from midspec.report.harm import drawn_rate, measure
from midspec.report.inputs import DosePoint, ReportInput
from midspec.report.results import Analysis, Group
from midspec.report.style import colours, new_figure, tidy

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Curve = list[tuple[float, str]]


def dose_curves(inputs: ReportInput) -> dict[str, dict[str, Curve]]:
    """Axis -> series -> (amount, arm), by amount."""
    found: dict[str, dict[str, Curve]] = defaultdict(lambda: defaultdict(list))
    for point in inputs.doses:
        found[point.axis][point.series].append((point.amount, point.arm))
    return {axis: {s: sorted(c) for s, c in by.items()} for axis, by in found.items()}


def doses(inputs: ReportInput, found: Analysis) -> tuple[Figure, str] | None:
    """One row of panels for each axis, one panel for each value, one line for each series."""
    curves = dose_curves(inputs)
    groups = [group for group in found.groups if group.is_value]
    if not curves or not groups:
        return None
    size = (min(13, 1.2 + 3.3 * len(groups)), 0.6 + 2.9 * len(curves))
    figure = new_figure(size)
    panels = figure.subplots(len(curves), len(groups), squeeze=False, sharey=True)
    paint = colours(series for by in curves.values() for series in by)
    for row, (axis, by_series) in zip(panels, curves.items(), strict=True):
        shown = ""
        for axes, group in zip(row, groups, strict=True):
            _panel(axes, found, group, by_series, paint)
            axes.set_xlabel(axis)
            axes.set_ylabel(measure(group) if measure(group) != shown else "")
            shown = measure(group)
    handles = {line.get_label(): line for axes in panels.flat for line in axes.containers}
    figure.legend(
        list(handles.values()), list(handles), loc="outside upper left", ncols=4, frameon=False
    )
    said = "; ".join(f"{axis}: {', '.join(by)}" for axis, by in curves.items())
    what = "; ".join(f"{group.title}: {measure(group)}" for group in groups)
    return figure, f"Dose-response curves with 95% intervals. {what}. {said}."


def _panel(
    axes: Axes,
    found: Analysis,
    group: Group,
    by_series: dict[str, Curve],
    paint: dict[str, str],
) -> None:
    from matplotlib.ticker import NullLocator

    ticks = sorted({amount for curve in by_series.values() for amount, _ in curve})
    place = scale(ticks)
    for series, curve in by_series.items():
        rows = [(amount, drawn_rate(found, arm, group)) for amount, arm in curve]
        points = [(amount, row) for amount, row in rows if row is not None]
        if not points:
            continue
        look: dict[str, Any] = {"color": paint[series], "marker": "o", "markersize": 4}
        axes.errorbar(
            [place(amount) for amount, _ in points],
            [row.value for _, row in points],
            [
                [max(row.value - row.low, 0) for _, row in points],
                [max(row.high - row.value, 0) for _, row in points],
            ],
            label=series, linewidth=1.5, elinewidth=0.9, capsize=2, **look,
        )  # fmt: skip
    axes.set_xticks([place(amount) for amount in ticks], [f"{amount:g}" for amount in ticks])
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_title(f"{group.title} items", loc="left")
    tidy(axes)


def are_shares(amounts: Iterable[float]) -> bool:
    """Whether doses are shares, which have a scale of their own: none to all, and no doublings."""
    return max(amounts, default=0.0) <= 1


def scale(ticks: Sequence[float]) -> Callable[[float], float]:
    """Where an amount stands: a share as it is, others by doublings.

    No dose stands one step left of the smallest, on a scale of doublings.
    """
    if are_shares(ticks):
        return float
    above = [float(np.log2(amount)) for amount in ticks if amount > 0]
    step = min((b - a for a, b in itertools.pairwise(above)), default=1.0)
    zero = above[0] - max(step, 0.5)
    return lambda amount: float(np.log2(amount)) if amount else zero


def points_of(inputs: ReportInput) -> tuple[DosePoint, ...]:
    """All points in the order of axis, series and amount."""
    return tuple(sorted(inputs.doses, key=lambda p: (p.axis, p.series, p.amount)))
