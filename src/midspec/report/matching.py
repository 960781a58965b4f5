"""Are compared arms matched? Tokens of midtraining, chats of fine-tuning, steps of both.

A difference in the amount of training can look like a difference of specs, so it is measured
from what the trainings saw, never taken from the recipe.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence

import numpy as np
from pydantic import Field

from midspec.records import Frozen
from midspec.report.inputs import TrainingInfo

# Corpora are cut to documents and rows, so equal amounts differ by the last of them.
TOLERANCE = 0.01


class Mismatch(Frozen):
    """Arms that are compared and did not get the same amount of something."""

    what: str = Field(description="'midtrain tokens', 'midtrain steps', 'finetune chats' ...")
    amounts: dict[str, float] = Field(description="arm -> mean over its seeds")

    @property
    def share(self) -> float:
        """The largest amount over the smallest, minus one; infinite if one is zero."""
        low, high = min(self.amounts.values()), max(self.amounts.values())
        return high / low - 1 if low else float("inf")


def mismatches(trainings: Sequence[TrainingInfo]) -> tuple[Mismatch, ...]:
    """What differs by more than 1% between arms that are compared.

    Midtraining: tokens and steps of all arms. Fine-tuning: steps of all arms, chats of the arms
    with alignment chats. Arms with a dose of their own are compared with equal doses only.
    """
    by_stage: dict[tuple[str, str], list[TrainingInfo]] = defaultdict(list)
    for one in trainings:
        by_stage[one.stage, one.dose].append(one)
    found = [m for (stage, _), all_ in by_stage.items() for m in _of_stage(stage, all_)]
    return tuple(one for one in found if len(one.amounts) > 1 and one.share > TOLERANCE)


def _of_stage(stage: str, trainings: list[TrainingInfo]) -> Iterable[Mismatch]:
    yield _mismatch(f"{stage} steps", trainings, "steps")
    if stage == "midtrain":
        yield _mismatch("midtrain tokens", trainings, "tokens")
    else:
        aft = [one for one in trainings if one.data != "instruction"]
        yield _mismatch("finetune chats", aft, "records")


def _mismatch(what: str, trainings: list[TrainingInfo], field: str) -> Mismatch:
    amounts: dict[str, list[float]] = defaultdict(list)
    for one in trainings:
        amounts[one.arm].append(getattr(one, field))
    means = {arm: float(np.mean(values)) for arm, values in amounts.items()}
    return Mismatch(what=what, amounts=means)
