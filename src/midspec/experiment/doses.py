"""Dose-response curves: arms that differ in the amount of one step only."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from midspec.experiment.arms import Arm, Step
from midspec.report import DosePoint, TrainingInfo

_AXES = {
    ("midtrain", "rows"): "MSM documents",
    ("midtrain", "steps"): "MSM steps",
    ("finetune", "rows"): "AFT chats",
    ("finetune", "steps"): "AFT steps",
    ("finetune", "share"): "share of opposed chats",
}


def dose_points(arms: Sequence[Arm], trainings: Sequence[TrainingInfo]) -> tuple[DosePoint, ...]:
    """The curves that the arms make up: a dosed step, the same without a dose, and left out.

    Amounts are the recipe's, and for a step without a dose what its first training saw.
    """
    seen = {(t.arm, t.stage): t for t in reversed(trainings)}
    points: dict[tuple[str, str, str], DosePoint] = {}
    for arm in arms:
        for place, step in enumerate(arm.steps):
            for option in step.options():
                for point in _curve(arms, seen, arm, place, option):
                    points[point.axis, point.series, point.arm] = point
    return tuple(points.values())


def _curve(
    arms: Sequence[Arm],
    seen: dict[tuple[str, str], TrainingInfo],
    dosed: Arm,
    place: int,
    option: str,
) -> Iterator[DosePoint]:
    """All arms that are the dosed arm but for the amount of one step."""
    step, plain = dosed.steps[place], _without(dosed.steps, place, option)
    axis = _AXES[step.stage, option]
    series = _name(plain)
    for arm in arms:
        if arm.prompt != dosed.prompt:
            continue
        if option != "share" and arm.steps == plain[:place] + plain[place + 1 :]:
            yield DosePoint(axis=axis, series=series, amount=0, arm=arm.name)
        elif len(arm.steps) > place and _without(arm.steps, place, option) == plain:
            amount = getattr(arm.steps[place], option)
            if not amount and option != "share" and (training := seen.get((arm.name, step.stage))):
                amount = training.steps if option == "steps" else training.records
            yield DosePoint(axis=axis, series=series, amount=amount, arm=arm.name)


def _without(steps: tuple[Step, ...], place: int, option: str) -> tuple[Step, ...]:
    return (*steps[:place], steps[place].without(option), *steps[place + 1 :])


def _name(steps: tuple[Step, ...]) -> str:
    names = {"midtrain": "MSM", "finetune": "AFT"}
    return "+".join(
        names[s.stage] if s.data == "aft" else f"{names[s.stage]}-{s.chats}" for s in steps
    )
