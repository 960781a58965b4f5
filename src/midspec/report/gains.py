"""What AFT adds after a spec, and after a variant of it, as the paper's figure 10 shows it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from midspec.report.inputs import ReportInput
from midspec.report.paper import paper_gains
from midspec.report.results import Analysis, GainRow
from midspec.report.style import GREY, INK, PALETTE, legend, new_figure, tidy

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def gains(inputs: ReportInput, found: Analysis) -> tuple[Figure, str] | None:
    """MSM+AFT less MSM for every value: the spec as it is beside its variants."""
    rows = [row for row in found.gains if row.estimate]
    if not rows:
        return None
    keys = list(dict.fromkeys(row.group for row in rows))
    titles = {group.key: group.title for group in found.groups}
    kinds = list(dict.fromkeys(_kind(inputs, row) for row in rows))
    figure = new_figure((max(6.4, 2.4 + 1.5 * len(keys)), 3.4))
    axes = figure.subplots()
    width = 0.8 / len(kinds)
    for at, kind in enumerate(kinds):
        offset = (at - (len(kinds) - 1) / 2) * width
        chosen = [row for row in rows if _kind(inputs, row) == kind]
        _bars(axes, chosen, [keys.index(row.group) + offset for row in chosen], width, at, kind)
        _marks(axes, inputs, keys, offset, kind)
    axes.axhline(0, color=INK, linewidth=0.9)
    axes.set_xticks(range(len(keys)), [f"{titles[key]} items" for key in keys])
    axes.set_ylabel("what AFT adds to MSM")
    tidy(axes)
    legend(figure, axes)
    told = "; ".join(f"{row.formula} {row.estimate.value:+.2f}" for row in rows if row.estimate)
    return figure, f"Bar chart of what fine-tuning adds after midtraining, in rates. {told}."


def _kind(inputs: ReportInput, row: GainRow) -> str:
    """'own' for a spec as it is, else what the variant's name adds to the name of its spec."""
    if row.spec == row.group:
        return "own"
    name, original = inputs.spec(row.spec).name, inputs.spec(row.group).name
    return name.removeprefix(original).strip("-") or name


def _bars(
    axes: Axes, rows: Sequence[GainRow], places: list[float], width: float, at: int, kind: str
) -> None:
    found = [row.estimate for row in rows if row.estimate]
    label = "spec as it is" if kind == "own" else f"spec {kind}"
    colour = PALETTE[at % len(PALETTE)] if kind == "own" else GREY
    axes.bar(places, [one.value for one in found], width * 0.92, color=colour, label=label)
    below = [max(one.value - one.low, 0) for one in found]
    above = [max(one.high - one.value, 0) for one in found]
    values = [one.value for one in found]
    axes.errorbar(places, values, [below, above], color=INK, linewidth=1.1, capsize=2.5, fmt="none")


def _marks(axes: Axes, inputs: ReportInput, keys: Sequence[str], offset: float, kind: str) -> None:
    """The paper's mean as a hollow diamond, where it has one for this kind."""
    papers = [(x + offset, paper_gains(inputs, key)) for x, key in enumerate(keys)]
    shown = [(x, one.rates[kind], one.label) for x, one in papers if one and kind in one.rates]
    if shown:
        axes.scatter(
            [x for x, _, _ in shown],
            [y for _, y, _ in shown],
            marker="D", s=22, facecolor="white", edgecolor=INK, linewidth=0.9, zorder=6,
            label=shown[0][2] if kind == "own" else None,
        )  # fmt: skip
