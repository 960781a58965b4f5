"""Lines that cross, if specs decide."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from midspec.report.inputs import ReportInput
from midspec.report.results import Analysis, Group
from midspec.report.style import GREY, colours, new_figure, tidy

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def crossing(inputs: ReportInput, found: Analysis) -> tuple[Figure, str] | None:
    """Rates of the midtrained arms over the values: lines that cross, if specs decide."""
    groups = [group for group in found.groups if group.is_value]
    if len(groups) < 2 or not any(row.name == "crossing" for row in found.contrasts):
        return None
    figure = new_figure((5.2, 3.7))
    axes = figure.subplots()
    paint = colours(group.key for group in groups)
    for at, arm in enumerate(inputs.arms):
        if arm.dosed or arm.role in ("instruction", "prompt", "neutral", "neutral+AFT"):
            continue
        trained = arm.spec is not None
        look: dict[str, Any] = {
            "color": paint.get(arm.spec or "", GREY),
            "linestyle": "-" if arm.aft else "--",
            "marker": "o" if trained else "s",
            "linewidth": 2.2 if arm.role == "MSM+AFT" else 1.1,
            "markersize": 5 if arm.role == "MSM+AFT" else 3.5,
        }
        _line(axes, found, groups, arm.name, (at - len(inputs.arms) / 2) * 0.012, look)
    axes.set_xticks(range(len(groups)), [f"{group.title} items" for group in groups])
    axes.set_xlim(-0.25, len(groups) - 1 + 0.25)
    axes.set_ylabel("value-aligned choices")
    tidy(axes)
    figure.legend(loc="outside right center", frameon=False)
    return figure, (
        "Line chart: one line per arm over the values measured. The crossing is there if the "
        "lines of the MSM+AFT arms change places."
    )


def _line(
    axes: Axes,
    found: Analysis,
    groups: list[Group],
    arm: str,
    shift: float,
    look: dict[str, Any],
) -> None:
    rows = [found.rate(arm, group.key) for group in groups]
    points = [(x + shift, row) for x, row in enumerate(rows) if row is not None]
    if not points:
        return
    low = [max(row.value - row.low, 0) for _, row in points]
    high = [max(row.high - row.value, 0) for _, row in points]
    axes.errorbar(
        [x for x, _ in points],
        [row.value for _, row in points],
        [low, high],
        label=arm,
        elinewidth=0.9,
        capsize=2,
        **look,
    )
