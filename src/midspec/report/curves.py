"""Training curves: small multiples of the loss, one panel per stage and training history."""

from __future__ import annotations

import textwrap
from collections import defaultdict
from itertools import accumulate
from pathlib import Path
from typing import TYPE_CHECKING

from midspec.report.inputs import ReportInput
from midspec.report.style import PALETTE, new_figure, tidy
from midspec.store import read_rows

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLUMNS = 4


def training(inputs: ReportInput) -> tuple[Figure, str] | None:
    """Loss over tokens, a line per seed; a training that several arms share is drawn once."""
    panels = _panels(inputs)
    if not panels:
        return None
    columns = min(COLUMNS, len(panels))
    rows = -(-len(panels) // columns)
    figure = new_figure((2.15 * columns + 0.4, 1.75 * rows + 0.4))
    grid = figure.subplots(rows, columns, squeeze=False)
    for axes, (title, curves) in zip(grid.flat, panels, strict=False):
        _panel(axes, title, curves)
    for axes in list(grid.flat)[len(panels) :]:
        axes.set_visible(False)
    figure.supylabel("loss (nats per token)", fontsize=8.5)
    figure.supxlabel("tokens", fontsize=8.5)
    ends = "; ".join(f"{title} ends at {curves[0][-1][1]:.2f}" for title, curves in panels)
    return figure, f"Training loss over tokens. {ends}."


Curve = list[tuple[float, float]]


def _panels(inputs: ReportInput) -> list[tuple[str, list[Curve]]]:
    """Title and curves of every panel: stages in order, arms that share a file together."""
    by_path: dict[Path, list[str]] = defaultdict(list)
    for curve in inputs.curves:
        by_path[curve.path].append(curve.arm)
    panels: dict[tuple[str, str], list[Curve]] = defaultdict(list)
    drawn: set[Path] = set()
    for stage in ("midtrain", "finetune"):
        for curve in inputs.curves:
            points = (
                points_of_curve(curve.path)
                if curve.stage == stage and curve.path not in drawn
                else []
            )
            if points:
                drawn.add(curve.path)
                panels[stage, ", ".join(dict.fromkeys(by_path[curve.path]))].append(points)
    return [(f"{stage}: {arms}", curves) for (stage, arms), curves in panels.items()]


def points_of_curve(path: Path) -> Curve:
    """(tokens seen so far, loss) of every logged step; a row holds the tokens of its own step.

    A step that was done again after a resume counts once. Without tokens, steps are counted.
    """
    rows = {row["step"]: row for row in read_rows(path) if row.get("loss") is not None}
    seen = accumulate(float(row.get("tokens") or 1) for row in rows.values())
    return [(at, float(row["loss"])) for at, row in zip(seen, rows.values(), strict=True)]


def _panel(axes: Axes, title: str, curves: list[Curve]) -> None:
    from matplotlib.ticker import EngFormatter, MaxNLocator

    for at, points in enumerate(curves):
        axes.plot(*zip(*points, strict=True), color=PALETTE[at % len(PALETTE)], linewidth=1)
    axes.set_title(_wrapped(title), loc="left", fontsize=7.5)
    axes.xaxis.set_major_formatter(EngFormatter(sep=""))
    axes.xaxis.set_major_locator(MaxNLocator(3))
    axes.tick_params(labelsize=7)
    tidy(axes)


def _wrapped(title: str) -> str:
    stage, arms = title.split(": ", 1)
    return f"{stage}\n{textwrap.fill(arms, 26, break_on_hyphens=False)}"
