"""Heat maps: arms by domain, and documents by chats where they are paired (figure 14)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from midspec.report.harm import drawn_rate, is_harm, measure, note
from midspec.report.inputs import ReportInput
from midspec.report.numbers import plain
from midspec.report.results import Analysis, Group
from midspec.report.stats import Array
from midspec.report.style import INK, new_figure, value_groups

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def domains(inputs: ReportInput, found: Analysis) -> tuple[Figure, str] | None:
    """Heat maps of the rate by arm and domain, one per value."""
    groups = value_groups(found)
    by_group = {
        group.key: list(dict.fromkeys(r.domain for r in found.domains if r.group == group.key))
        for group in groups
    }
    widest = max((len(names) for names in by_group.values()), default=0)
    if not widest:
        return None
    names = [arm.name for arm in inputs.arms]
    tall = (0.9 + 0.3 * len(names)) * len(groups) + 0.6
    figure = new_figure((max(6.4, 2.2 + 0.72 * widest), tall))
    panels = figure.subplots(len(groups), 1, squeeze=False)[:, 0]
    for axes, group in zip(panels, groups, strict=True):
        _heat(axes, found, group, names, by_group[group.key])
    return figure, (
        "Heat maps of the value-aligned rate by arm and domain. "
        "The numbers are in the per-domain table."
    )


def _heat(
    axes: Axes, found: Analysis, group: Group, names: list[str], domain_names: list[str]
) -> None:
    rates = {
        (row.arm, row.domain): row.estimate.value
        for row in found.domains
        if row.group == group.key and row.estimate
    }
    grid = np.array([[rates.get((a, d), np.nan) for d in domain_names] for a in names])
    _map(axes, grid, names, domain_names)
    axes.set_title(f"{group.title} items", loc="left")


def _map(
    axes: Axes, grid: Array, rows: Sequence[str], columns: Sequence[str], *, harm: bool = False
) -> None:
    """A rate in every cell, as colour (orange is aligned) and as number; blank without one."""
    paint = "PuOr" if harm else "PuOr_r"
    axes.imshow(np.ma.masked_invalid(grid), cmap=paint, vmin=0, vmax=1, aspect="auto")
    for (y, x), value in np.ndenumerate(grid):
        ink = "white" if abs(value - 0.5) > 0.33 else INK
        axes.text(x, y, plain(float(value)), ha="center", va="center", color=ink, fontsize=8)
    axes.set_xticks(range(len(columns)), columns, rotation=28, ha="right")
    axes.set_yticks(range(len(rows)), rows)
    axes.tick_params(length=0)
    for spine in axes.spines.values():
        spine.set_visible(False)


def pairings(inputs: ReportInput, found: Analysis) -> tuple[Figure, str] | None:
    """Documents of which spec before chats of which spec: rates of all pairs, one map per value."""
    pairs = {(a.spec, a.chats): a.name for a in inputs.arms if a.role == "MSM+AFT" and not a.dosed}
    specs = list(dict.fromkeys(spec for spec, _ in pairs if spec))
    chats = list(dict.fromkeys(one for _, one in pairs if one))
    if len(specs) < 2 or len(chats) < 2 or len(pairs) < len(specs) * len(chats):
        return None
    groups = value_groups(found)
    size = (min(13, (1.9 + 0.9 * len(chats)) * len(groups)), 1.1 + 0.5 * len(specs))
    figure = new_figure(size)
    panels = figure.subplots(1, len(groups), squeeze=False)[0]
    for axes, group in zip(panels, groups, strict=True):
        rates = [[drawn_rate(found, pairs[s, c], group) for c in chats] for s in specs]
        grid = np.array([[r.value if r else np.nan for r in row] for row in rates], dtype=float)
        _map(axes, grid, specs, chats, harm=is_harm(group))
        axes.set_ylabel("documents of")
        axes.set_xlabel("chats of")
        of = f"{group.title} items: " if len(groups) > 1 else ""
        axes.set_title(of + measure(group), loc="left")
    what = " and ".join(dict.fromkeys(measure(group) for group in groups))
    return figure, (
        f"Heat map, {what}: documents of {', '.join(specs)} before chats of "
        f"{', '.join(chats)}. The numbers are in the table of all arms.{note(groups)}"
    )
