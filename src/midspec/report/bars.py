"""Bars of value-aligned rates: by arm (paper, figures 2, 4, 7, 8, 19), by value (figure 3)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from midspec.report.inputs import ReportInput
from midspec.report.numbers import plain
from midspec.report.paper import paper_rates
from midspec.report.results import Analysis, Group
from midspec.report.stats import Estimate
from midspec.report.style import GREY, INK, PALETTE, colours, legend, new_figure, tidy, value_groups

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MANY_ARMS = 8  # beyond it, names are set at an angle
MANY_VALUES = 2  # beyond it, values stand on the axis and not arms


def arms(inputs: ReportInput, found: Analysis) -> tuple[Figure, str]:
    """Aligned rate of every arm on every value: bars, 95% intervals, one dot per seed.

    With more than two values, values stand on the axis, each with its own arms (figure 3).
    """
    groups = value_groups(found)
    if is_by_value(groups):
        return by_value(inputs, found, groups)
    names = [arm.name for arm in inputs.arms]
    many = len(names) > MANY_ARMS
    wide = max(7.2, (0.62 if many else 1.15) * len(names) + 0.12 * len(groups) * len(names))
    figure = new_figure((min(wide, 14), 4.3 if many else 3.7))
    axes = figure.subplots()
    width = 0.8 / len(groups)
    paint = colours(group.key for group in groups)
    for at, group in enumerate(groups):
        offset = (at - (len(groups) - 1) / 2) * width
        looks = _by_spec(inputs) if len(groups) == 1 else _by_own(inputs, group, paint[group.key])
        _bars(axes, inputs, found, group, offset, width, looks)
        _paper_marks(axes, inputs, group, offset)
    titles = {group.key: f"\n{group.title}" for group in groups if not many and len(groups) > 1}
    ticks = [arm.name + titles.get(arm.spec or "", "") for arm in inputs.arms]
    look: dict[str, Any] = {"rotation": 35, "ha": "right"} if many else {}
    axes.set_xticks(range(len(names)), ticks, **look)
    _finish(figure, axes, found)
    return figure, _arms_alt(found, groups, names)


def is_by_value(groups: list[Group]) -> bool:
    """Whether there are too many values for bars by arm."""
    return len(groups) > MANY_VALUES and all(group.is_value for group in groups)


def _finish(figure: Figure, axes: Axes, found: Analysis) -> None:
    axes.axhline(0.5, color=GREY, linewidth=0.8, linestyle=":")
    axes.set_ylabel("value-aligned choices")
    axes.set_ylim(0, _top(found))
    tidy(axes)
    legend(figure, axes)


def by_value(inputs: ReportInput, found: Analysis, groups: list[Group]) -> tuple[Figure, str]:
    """Base, MSM, AFT and both for every value, each by the value's own arms."""
    stages = ("base", "MSM", "AFT", "MSM+AFT")
    figure = new_figure((min(14, 1.6 + 1.35 * len(groups)), 3.7))
    axes = figure.subplots()
    said = []
    for at, group in enumerate(groups):
        own = own_arms(inputs, group.key)
        rates = {stage: found.rate(own[stage], group.key) for stage in stages if stage in own}
        for stage, row in rates.items():
            if row is not None:
                _bar(axes, at + (stages.index(stage) - 1.5) * 0.2, 0.2, row, _STAGE_LOOK[stage])
        told = ", ".join(f"{stage} {plain(row.value)}" for stage, row in rates.items() if row)
        said.append(f"{group.title}: {told}")
    for stage in stages:
        axes.bar(0, 0, label=stage, **_STAGE_LOOK[stage])
    axes.set_xticks(range(len(groups)), [group.title for group in groups])
    _finish(figure, axes, found)
    return figure, f"Bar chart of value-aligned rates by value and stage. {'. '.join(said)}."


_STAGE_LOOK: dict[str, dict[str, Any]] = {
    "base": {"color": GREY, "alpha": 0.6},
    "MSM": {"color": PALETTE[5], "alpha": 0.9},
    "AFT": {"color": PALETTE[4], "alpha": 0.9},
    "MSM+AFT": {"color": PALETTE[0], "alpha": 0.95},
}


def own_arms(inputs: ReportInput, label: str) -> dict[str, str]:
    """Stage -> arm of a spec: its MSM and MSM+AFT, and AFT on the chats that the latter saw."""
    full = [arm for arm in inputs.arms if not arm.dosed]
    both = next((a for a in full if a.role == "MSM+AFT" and a.spec == label), None)
    picked = {
        "base": next((a for a in full if a.role == "base"), None),
        "MSM": next((a for a in full if a.role == "MSM" and a.spec == label), None),
        "AFT": next((a for a in full if a.role == "AFT" and both and a.chats == both.chats), None),
        "MSM+AFT": both,
    }
    return {stage: arm.name for stage, arm in picked.items() if arm}


def _paper_marks(axes: Axes, inputs: ReportInput, group: Group, offset: float) -> None:
    """The paper's own rates as hollow diamonds, where the setting is the same."""
    paper = paper_rates(inputs, group.key)
    rates = paper.rates if paper else {}
    places = [
        (x + offset, rates[arm.name]) for x, arm in enumerate(inputs.arms) if arm.name in rates
    ]
    if paper and places:
        axes.scatter(
            *zip(*places, strict=True),
            marker="D", s=22, facecolor="none", edgecolor=INK, linewidth=0.9, zorder=6,
            label=paper.label,
        )  # fmt: skip


def _bar(axes: Axes, at: float, width: float, row: Estimate, look: dict[str, Any]) -> None:
    """One bar with its interval, and a dot for each training."""
    axes.bar(at, row.value, width * 0.92, zorder=2, **look)
    error = [[max(row.value - row.low, 0)], [max(row.high - row.value, 0)]]
    axes.errorbar(at, row.value, error, color=INK, linewidth=1.1, capsize=2.5, zorder=4)
    seeds = [value for value in row.by_seed if value is not None]
    if len(seeds) > 1:
        spots = at + np.linspace(-0.25, 0.25, len(seeds)) * width
        axes.scatter(spots, seeds, s=9, color="white", edgecolor=INK, linewidth=0.6, zorder=5)


Looks = dict[str, tuple[str, dict[str, Any]]]
"""Name of an arm -> what the legend says of it, and how its bar looks."""


def _by_own(inputs: ReportInput, group: Group, colour: str) -> Looks:
    """Strong where the arm has the spec whose value is measured."""
    own = {"color": colour, "alpha": 0.95}, f"{group.title}, own spec"
    rest = f"{group.title}, other arms" if group.is_value else group.title
    other = {"color": colour, "alpha": 0.38}, rest
    picked = {arm.name: own if arm.spec == group.key else other for arm in inputs.arms}
    return {name: (said, look) for name, (look, said) in picked.items()}


def _by_spec(inputs: ReportInput) -> Looks:
    """A colour for each spec, where all arms are measured on the same items."""
    with_one = [arm.spec for arm in inputs.arms if arm.spec]
    paint = colours(label for label in (spec.label for spec in inputs.specs) if label in with_one)
    return {
        arm.name: (f"spec {arm.spec}", {"color": paint[arm.spec], "alpha": 0.95})
        if arm.spec in paint
        else ("no spec in documents or prompt", {"color": GREY, "alpha": 0.6})
        for arm in inputs.arms
    }


def _bars(
    axes: Axes,
    inputs: ReportInput,
    found: Analysis,
    group: Group,
    offset: float,
    width: float,
    looks: Looks,
) -> None:
    for x, arm in enumerate(inputs.arms):
        row = found.rate(arm.name, group.key)
        if row is None:
            continue
        _bar(axes, x + offset, width, row, looks[arm.name][1])
        if arm.role == "base":
            line = {"color": looks[arm.name][1]["color"], "linestyle": "--"}
            axes.axhline(row.value, linewidth=0.9, zorder=1, **line)
    strongest_first = sorted(looks.values(), key=lambda one: -one[1]["alpha"])
    for said, look in dict(strongest_first).items():
        axes.bar(0, 0, label=said, **look)


def _top(found: Analysis) -> float:
    tops = [row.estimate.high for row in found.rates if row.estimate and row.measure == "rate"]
    return min(1.02, max([0.6, *tops]) + 0.04)


def _arms_alt(found: Analysis, groups: list[Group], names: list[str]) -> str:
    parts = []
    for group in groups:
        rates = [(name, found.rate(name, group.key)) for name in names]
        said = ", ".join(f"{name} {plain(row.value)}" for name, row in rates if row)
        parts.append(f"{group.title}: {said}")
    return f"Bar chart of value-aligned rates by arm. {'. '.join(parts)}."
