"""How figures look."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Literal

from midspec.report.results import Analysis, Group

if TYPE_CHECKING:  # matplotlib is loaded when a figure is drawn: commands start faster
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Okabe and Ito (2008), ordered by contrast.
PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
INK = "#20242a"
GREY = "#9aa0a6"

STYLE: Any = {
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": 8.5,
    "axes.titlesize": 9,
    "axes.titleweight": "bold",
    "axes.edgecolor": "#666c74",
    "axes.labelcolor": INK,
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "legend.fontsize": 8,
    "figure.facecolor": "white",
    "axes.facecolor": "white",
    "text.parse_math": False,
    # Paths, so that an SVG looks the same everywhere; a fixed salt, so that it is the same file.
    "svg.fonttype": "path",
    "svg.hashsalt": "midspec",
}


def new_figure(size: tuple[float, float]) -> Figure:
    """An empty figure of a width and a height in inches."""
    from matplotlib.figure import Figure

    return Figure(figsize=size, layout="constrained")


def colours(keys: Iterable[str]) -> dict[str, str]:
    """One colour per key, in order, the same in every figure."""
    return {key: PALETTE[at % len(PALETTE)] for at, key in enumerate(dict.fromkeys(keys))}


def tidy(axes: Axes, grid: Literal["x", "y"] = "y") -> None:
    """Two spines, a light grid along one axis, no ticks across it."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis=grid, color="#e4e6e9", linewidth=0.7)
    axes.set_axisbelow(True)
    axes.tick_params(axis="x" if grid == "y" else "y", length=0)


def legend(figure: Figure, *panels: Axes) -> None:
    """A legend above the panels: each label once, the paper's (long) last."""
    handles = {
        label: handle
        for axes in panels
        for handle, label in zip(*axes.get_legend_handles_labels(), strict=True)
    }
    labels = sorted(handles, key=lambda label: label.startswith("paper"))
    columns = (
        4 if not any(label.startswith("paper") for label in labels) else min(3, len(labels) - 1)
    )
    figure.legend(
        [handles[label] for label in labels],
        [textwrap.fill(label, 48) for label in labels],
        loc="outside upper left",
        ncols=columns,
        frameon=False,
    )


def value_groups(found: Analysis) -> list[Group]:
    """The groups that measure a spec's value, or all of them if there is none."""
    return [group for group in found.groups if group.is_value] or list(found.groups)
