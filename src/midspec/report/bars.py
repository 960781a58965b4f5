"""Bars of rates: by arm (paper, figures 2, 4, 7, 8, 19), by value (figure 3)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from midspec.report.harm import by_measure, drawn_rate, measure
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
Looks = dict[str, tuple[str, dict[str, Any]]]
"""Name of an arm -> what the legend says of it, and how its bar looks."""


def arms(inputs: ReportInput, found: Analysis) -> tuple[Figure, str]:
    """Rate of every arm on every value: bars, 95% intervals, one dot per seed.

    With more than two values, values stand on the axis, each with its own arms (figure 3). Harm has
    a panel of its own.
    """
    groups = value_groups(found)
    draw = _by_value if is_by_value(groups) else _by_arm
    width, height = _size(inputs, groups)
    panels = by_measure(groups)
    figure = new_figure((min(width, 14), height * len(panels)))
    every = list(figure.subplots(len(panels), 1, squeeze=False)[:, 0])
    looks = _looks(inputs, groups)
    said = [draw(axes, inputs, found, own, looks) for axes, own in zip(every, panels, strict=True)]
    for axes, own in zip(every, panels, strict=True):
        axes.axhline(0.5, color=GREY, linewidth=0.8, linestyle=":")
        axes.set_ylabel(measure(own[0]))
        axes.set_ylim(0, _top(inputs, found, own))
        tidy(axes)
    legend(figure, *every)
    return figure, " ".join(said)


def _size(inputs: ReportInput, groups: list[Group]) -> tuple[float, float]:
    """Width of the figure and height of a panel, in inches."""
    if is_by_value(groups):
        return 1.6 + 1.35 * len(groups), 3.7
    n = len(inputs.arms)
    many = n > MANY_ARMS
    return max(7.2, (0.62 if many else 1.15) * n + 0.12 * len(groups) * n), 4.3 if many else 3.7


def _by_arm(
    axes: Axes, inputs: ReportInput, found: Analysis, groups: list[Group], looks: dict[str, Looks]
) -> str:
    """Arms on the axis, one bar for each group; what there is to see, in words."""
    names = [arm.name for arm in inputs.arms]
    many = len(names) > MANY_ARMS
    width = 0.8 / len(groups)
    for at, group in enumerate(groups):
        offset = (at - (len(groups) - 1) / 2) * width
        _bars(axes, inputs, found, group, offset, width, looks[group.key])
        _paper_marks(axes, inputs, group, offset)
    titles = {group.key: f"\n{group.title}" for group in groups if not many and len(looks) > 1}
    ticks = [arm.name + titles.get(arm.spec or "", "") for arm in inputs.arms]
    look: dict[str, Any] = {"rotation": 35, "ha": "right"} if many else {}
    axes.set_xticks(range(len(names)), ticks, **look)
    return _arms_alt(found, groups, names)


def is_by_value(groups: list[Group]) -> bool:
    """Whether there are too many values for bars by arm."""
    return len(groups) > MANY_VALUES and all(group.is_value for group in groups)


def _by_value(
    axes: Axes, inputs: ReportInput, found: Analysis, groups: list[Group], _: dict[str, Looks]
) -> str:
    """Base, MSM, AFT and both for every value, each by the value's own arms."""
    stages = ("base", "MSM", "AFT", "MSM+AFT")
    said = []
    for at, group in enumerate(groups):
        own = own_arms(inputs, group.key)
        rates = {stage: drawn_rate(found, own[stage], group) for stage in stages if stage in own}
        for stage, row in rates.items():
            if row is not None:
                _bar(axes, at + (stages.index(stage) - 1.5) * 0.2, 0.2, row, _STAGE_LOOK[stage])
        told = ", ".join(f"{stage} {plain(row.value)}" for stage, row in rates.items() if row)
        said.append(f"{group.title}: {told}")
    for stage in stages:
        axes.bar(0, 0, label=stage, **_STAGE_LOOK[stage])
    axes.set_xticks(range(len(groups)), [group.title for group in groups])
    return f"Bar chart by value and stage: {measure(groups[0])}. {'. '.join(said)}."


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
        axes.scatter(
            spots, seeds, s=9, color="white", edgecolor=INK, linewidth=0.6, zorder=5,
            clip_on=False,  # whole at 0 and 1
        )  # fmt: skip


def _looks(inputs: ReportInput, groups: list[Group]) -> dict[str, Looks]:
    """Key of a group -> the looks of its bars."""
    if len(groups) == 1:
        return {groups[0].key: _by_spec(inputs)}
    paint = colours(group.key for group in groups)
    return {group.key: _by_own(inputs, group, paint[group.key]) for group in groups}


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
        row = drawn_rate(found, arm.name, group)
        if row is None:
            continue
        _bar(axes, x + offset, width, row, looks[arm.name][1])
        if arm.role == "base":
            line = {"color": looks[arm.name][1]["color"], "linestyle": "--"}
            axes.axhline(row.value, linewidth=0.9, zorder=1, **line)
    strongest_first = sorted(looks.values(), key=lambda one: -one[1]["alpha"])
    for said, look in dict(strongest_first).items():
        axes.bar(0, 0, label=said, **look)


def _top(inputs: ReportInput, found: Analysis, groups: list[Group]) -> float:
    """Above all bars, whiskers and marks of a panel."""
    tops = [0.6]
    for group in groups:
        rates = (drawn_rate(found, arm.name, group) for arm in inputs.arms)
        tops += [max(row.high, *(x or 0 for x in row.by_seed)) for row in rates if row]
        paper = paper_rates(inputs, group.key)
        tops += paper.rates.values() if paper else ()
    return min(1.02, max(tops) + 0.04)


def _arms_alt(found: Analysis, groups: list[Group], names: list[str]) -> str:
    parts = []
    for group in groups:
        rates = [(name, drawn_rate(found, name, group)) for name in names]
        said = ", ".join(f"{name} {plain(row.value)}" for name, row in rates if row)
        parts.append(f"{group.title}: {said}")
    return f"Bar chart by arm: {measure(groups[0])}. {'. '.join(parts)}."
