"""The corpus figure: documents by type and what was left out, per spec."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from midspec.report.inputs import ReportInput
from midspec.report.style import PALETTE, colours, new_figure, tidy

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MAX_TYPES = 12


def corpus(inputs: ReportInput) -> tuple[Figure, str] | None:
    """Documents by type and drops by reason, per spec."""
    tables = [
        ("documents by type", {c.spec: c.types for c in inputs.corpora}),
        ("left out, by reason", {c.spec: c.drops for c in inputs.corpora}),
    ]
    tables = [(title, table) for title, table in tables if any(table.values())]
    if not tables:
        return None
    sizes = [len(_largest(table)) for _, table in tables]
    figure = new_figure((8.2, 1.0 + 0.3 * max(sizes)))
    panels = figure.subplots(1, len(tables), squeeze=False)[0]
    paint = colours(spec.label for spec in inputs.specs)
    for axes, (title, table) in zip(panels, tables, strict=True):
        _counts(axes, title, table, paint)
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper left", ncols=4, frameon=False)
    said = "; ".join(f"spec {c.spec}: {c.n_documents} documents" for c in inputs.corpora)
    return figure, f"Bar charts of documents by type and of what was left out. {said}."


def _largest(table: dict[str, dict[str, int]]) -> list[str]:
    """The most frequent names over all specs, at most ``MAX_TYPES``."""
    total: dict[str, int] = {}
    for counts in table.values():
        for name, n in counts.items():
            total[name] = total.get(name, 0) + n
    return sorted(total, key=lambda name: (-total[name], name))[:MAX_TYPES]


def _counts(
    axes: Axes, title: str, table: dict[str, dict[str, int]], paint: dict[str, str]
) -> None:
    names = _largest(table)
    height = 0.8 / len(table)
    for at, (spec, counts) in enumerate(table.items()):
        places = np.arange(len(names)) + (at - (len(table) - 1) / 2) * height
        numbers = [counts.get(name, 0) for name in names]
        axes.barh(
            places, numbers, height * 0.9, color=paint.get(spec, PALETTE[-1]), label=f"spec {spec}"
        )
    axes.set_yticks(range(len(names)), [_short(name) for name in names])
    axes.invert_yaxis()
    axes.set_title(title, loc="left")
    tidy(axes, grid="x")


def _short(name: str) -> str:
    return name if len(name) <= 28 else f"{name[:27]}…"
