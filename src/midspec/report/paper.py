"""The paper's own figures beside a run of the same setting; the facts are in ``paper.yaml``.

A run has a figure's setting if its specs are that figure's, and it has the arms that the figure
compares. Numbers are drawn only on items of the sets that the figure asks; since the paper's items
and, often, its model are not the run's, the legend of every figure names both.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

import yaml
from pydantic import Field

from midspec.records import Frozen
from midspec.report.inputs import ArmInfo, ReportInput


class PaperNumbers(Frozen):
    """Numbers of one model, on the items of one spec's value."""

    model: str
    of: str = Field(description="name of the spec whose value is measured")
    note: str = Field(default="", description="what else the legend has to say of them")
    arms: dict[str, float]


class PaperFigure(Frozen):
    """What one figure of the paper shows."""

    figure: str
    section: str
    specs: tuple[str, ...]
    arms: tuple[str, ...] = ()
    sets: tuple[str, ...] = ()
    finding: str
    numbers: tuple[PaperNumbers, ...] = ()


class Reference(Frozen):
    """Numbers to draw, and what has to be said about them on the figure."""

    label: str
    rates: dict[str, float] = Field(description="name of an arm (or of a gain) -> number")


@cache
def all_figures() -> tuple[PaperFigure, ...]:
    """Everything that ``paper.yaml`` holds."""
    text = Path(__file__).with_name("paper.yaml").read_text(encoding="utf-8")
    return tuple(PaperFigure.model_validate(one) for one in yaml.safe_load(text))


def figures_like(inputs: ReportInput) -> tuple[PaperFigure, ...]:
    """The figures whose setting a run has, its model and items aside."""
    specs, arms = {spec.name for spec in inputs.specs}, {arm.name for arm in inputs.arms}
    return tuple(one for one in all_figures() if set(one.specs) == specs and set(one.arms) <= arms)


def paper_rates(inputs: ReportInput, label: str) -> Reference | None:
    """The paper's rates of a run's arms on the items of one spec's value, as they are drawn.

    They are shares of harm where the group's are drawn so (``harm.py``); None if there are none.

    Numbers of the run's own model are preferred; the label names whose they are.
    """
    found = _numbers(inputs, label)
    if found is None:
        return None
    figure, numbers = found
    rates: dict[str, float] = {}
    used: set[str] = set()
    for arm in (arm for arm in inputs.arms if not arm.dosed):
        key = next((key for key in _keys(arm, label) if key in numbers.arms), None)
        if key and key not in used:
            used.add(key)
            rates[arm.name] = numbers.arms[key]
    return Reference(label=_label(figure, numbers), rates=rates) if rates else None


def paper_gains(inputs: ReportInput, label: str) -> Reference | None:
    """What AFT adds over MSM in the paper's figure 10: ``own`` and ``ablated``, means over values."""
    found = _numbers(inputs, label)
    if found is None or "gain own" not in found[1].arms:
        return None
    gains = {name.removeprefix("gain "): x for name, x in found[1].arms.items()}
    return Reference(label=f"{_label(*found)}, mean of eight values", rates=gains)


def _numbers(inputs: ReportInput, label: str) -> tuple[PaperFigure, PaperNumbers] | None:
    spec = next((spec for spec in inputs.specs if spec.label == label), None)
    if spec is None or not spec.sets:
        return None
    fitting = [
        (figure, numbers)
        for figure in figures_like(inputs)
        for numbers in figure.numbers
        if numbers.of == spec.name and set(spec.sets) <= set(figure.sets)
    ]
    own = [pair for pair in fitting if inputs.base.name.endswith(pair[1].model)]
    return next(iter([*own, *fitting]), None)


def _keys(arm: ArmInfo, label: str) -> tuple[str, ...]:
    """How an arm may be called in the table: by name, by role, by role and spec."""
    whose = "own" if arm.spec == label else "other"
    return arm.name, f"{arm.role} {whose}" if arm.spec else arm.role


def _label(figure: PaperFigure, numbers: PaperNumbers) -> str:
    said = (numbers.model, numbers.note, "other items")
    return f"paper, figure {figure.figure}: {', '.join(text for text in said if text)}"
