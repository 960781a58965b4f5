"""The figures of the page, as matplotlib ``Figure`` objects, and as PNG and SVG files.

Nothing goes through pyplot: no window, no figure registry, no settings that outlive the call.
Colours are Okabe and Ito's, which colour-blind readers can tell apart; text says what colour says.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from pydantic import Field

from midspec.records import Frozen
from midspec.report.corpora import corpus
from midspec.report.curves import training
from midspec.report.doses import doses
from midspec.report.forest import forest, questions
from midspec.report.inputs import ReportInput
from midspec.report.numbers import plain
from midspec.report.paper import PAPER_LABEL, paper_rates
from midspec.report.results import BOTH, Analysis, ContrastName, Group, Measure
from midspec.report.style import GREY, INK, STYLE, colours, tidy

CONTRAST_TITLES: dict[ContrastName, str] = {
    "crossing": "crossing",
    "msm_crossing": "crossing, MSM only",
    "interaction": "interaction",
    "spec_interaction": "interaction, own vs other spec",
    "aft_base": "AFT − base",
    "aft_instruction": "AFT − instruction",
    "msm_base": "own MSM − base",
    "own_aft": "own MSM+AFT − AFT",
    "other_aft": "other MSM+AFT − AFT",
    "own_neutral": "own MSM+AFT − neutral+AFT",
    "prompt_base": "spec in the prompt − base",
    "own_prompt": "own MSM+AFT − spec in the prompt",
}
MANY_ARMS = 8  # beyond it, names are set at an angle
MAIN: tuple[ContrastName, ...] = ("crossing", "msm_crossing", "interaction", "spec_interaction")


class Drawn(Frozen):
    """A figure on disk and the words for those who cannot see it."""

    path: Path = Field(description="the PNG; an SVG of the same name lies beside it")
    alt: str
    width: int = Field(description="of the page, in CSS pixels; the PNG has 1.8 times as many")


def draw_all(inputs: ReportInput, found: Analysis, out: Path) -> dict[str, Drawn]:
    """Draw every figure that has data into ``out/<name>.png`` and ``.svg``; keys are the names.

    Names: arms, crossing, contrasts, questions, doses, domains, training, corpus.
    """
    wanted: dict[str, Callable[[], tuple[Figure, str] | None]] = {
        "arms": lambda: arms(inputs, found),
        "crossing": lambda: crossing(inputs, found),
        "contrasts": lambda: contrasts(inputs, found),
        "questions": lambda: questions(found),
        "doses": lambda: doses(inputs, found),
        "domains": lambda: domains(inputs, found),
        "training": lambda: training(inputs),
        "corpus": lambda: corpus(inputs),
    }
    out.mkdir(parents=True, exist_ok=True)
    with matplotlib.rc_context(STYLE), warnings.catch_warnings():
        # Names of types and domains come from models and may hold any script.
        warnings.filterwarnings("ignore", "Glyph .* missing", UserWarning)
        made = ((name, draw()) for name, draw in wanted.items())
        return {name: _save(figure, out / f"{name}.png") for name, figure in made if figure}


def _save(made: tuple[Figure, str], path: Path) -> Drawn:
    """Write both files; no date or version inside, so that equal inputs give equal files."""
    figure, alt = made
    figure.savefig(path, dpi=180, metadata={"Software": None})
    figure.savefig(path.with_suffix(".svg"), metadata={"Date": None, "Creator": None})
    drawn = Drawn(path=path, alt=alt, width=round(figure.get_figwidth() * 100))
    figure.clear()
    return drawn


def _values(found: Analysis) -> list[Group]:
    """The groups that measure a spec's value, or all of them if there is none."""
    return [group for group in found.groups if group.is_value] or list(found.groups)


# -- arms ---------------------------------------------------------------------------------


def arms(inputs: ReportInput, found: Analysis) -> tuple[Figure, str]:
    """Aligned rate of every arm on every value: bars, 95% intervals, one dot per seed."""
    groups, names = _values(found), [arm.name for arm in inputs.arms]
    many = len(names) > MANY_ARMS
    wide = max(7.2, (0.62 if many else 1.15) * len(names) + 0.12 * len(groups) * len(names))
    figure = Figure(figsize=(min(wide, 14), 4.3 if many else 3.7), layout="constrained")
    axes = figure.subplots()
    width = 0.8 / len(groups)
    paint = colours(group.key for group in groups)
    for at, group in enumerate(groups):
        offset = (at - (len(groups) - 1) / 2) * width
        _bars(axes, inputs, found, group, offset, width, paint[group.key])
        _paper_marks(axes, inputs, group, offset)
    axes.axhline(0.5, color=GREY, linewidth=0.8, linestyle=":")
    titles = {group.key: f"\n{group.title}" for group in groups if not many}
    ticks = [arm.name + titles.get(arm.spec or "", "") for arm in inputs.arms]
    look: dict[str, Any] = {"rotation": 35, "ha": "right"} if many else {}
    axes.set_xticks(range(len(names)), ticks, **look)
    axes.set_ylabel("value-aligned choices")
    axes.set_ylim(0, _top(found))
    tidy(axes)
    figure.legend(loc="outside upper left", ncols=4, frameon=False)
    return figure, _arms_alt(found, groups, names)


def _paper_marks(axes: Axes, inputs: ReportInput, group: Group, offset: float) -> None:
    """The paper's own rates as hollow diamonds, where the setting is the same."""
    rates = paper_rates(inputs, group.key)
    places = [
        (x + offset, rates[arm.name]) for x, arm in enumerate(inputs.arms) if arm.name in rates
    ]
    if places:
        axes.scatter(
            *zip(*places, strict=True),
            marker="D", s=22, facecolor="none", edgecolor=INK, linewidth=0.9, zorder=6,
            label=f"{group.title}, {PAPER_LABEL}",
        )  # fmt: skip


def _bars(
    axes: Axes,
    inputs: ReportInput,
    found: Analysis,
    group: Group,
    offset: float,
    width: float,
    colour: str,
) -> None:
    for x, arm in enumerate(inputs.arms):
        row = found.rate(arm.name, group.key)
        if row is None:
            continue
        own = arm.spec == group.key
        at = x + offset
        axes.bar(at, row.value, width * 0.92, color=colour, alpha=0.95 if own else 0.38, zorder=2)
        error = [[max(row.value - row.low, 0)], [max(row.high - row.value, 0)]]
        axes.errorbar(at, row.value, error, color=INK, linewidth=1.1, capsize=2.5, zorder=4)
        seeds = [value for value in row.by_seed if value is not None]
        if len(seeds) > 1:
            spots = at + np.linspace(-0.25, 0.25, len(seeds)) * width
            axes.scatter(spots, seeds, s=9, color="white", edgecolor=INK, linewidth=0.6, zorder=5)
        if arm.role == "base":
            axes.axhline(row.value, color=colour, linewidth=0.9, linestyle="--", zorder=1)
    if group.is_value:
        axes.bar(0, 0, color=colour, alpha=0.95, label=f"{group.title}, own spec")
    rest = f"{group.title}, other arms" if group.is_value else group.title
    axes.bar(0, 0, color=colour, alpha=0.38, label=rest)


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


# -- crossing -----------------------------------------------------------------------------


def crossing(inputs: ReportInput, found: Analysis) -> tuple[Figure, str] | None:
    """Rates of the midtrained arms over the values: lines that cross, if specs decide."""
    groups = [group for group in found.groups if group.is_value]
    if len(groups) < 2:
        return None
    figure = Figure(figsize=(5.2, 3.7), layout="constrained")
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


# -- contrasts ----------------------------------------------------------------------------


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
    figure = Figure(figsize=(8.2, 0.9 + 0.31 * len(keys)), layout="constrained")
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


# -- domains ------------------------------------------------------------------------------


def domains(inputs: ReportInput, found: Analysis) -> tuple[Figure, str] | None:
    """Heat maps of the rate by arm and domain, one per value."""
    groups = _values(found)
    by_group = {
        group.key: list(dict.fromkeys(r.domain for r in found.domains if r.group == group.key))
        for group in groups
    }
    widest = max((len(names) for names in by_group.values()), default=0)
    if not widest:
        return None
    names = [arm.name for arm in inputs.arms]
    tall = (0.9 + 0.3 * len(names)) * len(groups) + 0.6
    figure = Figure(figsize=(max(6.4, 2.2 + 0.72 * widest), tall), layout="constrained")
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
    axes.imshow(np.ma.masked_invalid(grid), cmap="PuOr_r", vmin=0, vmax=1, aspect="auto")
    for (y, x), value in np.ndenumerate(grid):
        ink = "white" if abs(value - 0.5) > 0.33 else INK
        axes.text(x, y, plain(float(value)), ha="center", va="center", color=ink, fontsize=8)
    axes.set_xticks(range(len(domain_names)), domain_names, rotation=28, ha="right")
    axes.set_yticks(range(len(names)), names)
    axes.set_title(f"{group.title} items", loc="left")
    axes.tick_params(length=0)
    for spine in axes.spines.values():
        spine.set_visible(False)
