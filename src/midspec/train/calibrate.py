"""How long a training will take: a few real steps, timed."""

from __future__ import annotations

import statistics
import tempfile
import time
from itertools import pairwise
from pathlib import Path

from pydantic import Field

from midspec.bases.loading import quiet
from midspec.records import Checkpoint, Frozen
from midspec.train.config import TrainConfig
from midspec.train.plan import TrainPlan
from midspec.train.weights import check_row_length, trainable_model

WARMUP = 1  # steps that are not counted: the first allocates


class Timing(Frozen):
    """What a calibration measured, and what follows from it."""

    step_s: float = Field(description="median seconds of an optimizer step")
    tokens_per_s: float = Field(description="tokens a second, padding left out")
    total_s: float = Field(description="seconds for all steps of the plan, without start-up")


def calibrate(
    start: Checkpoint, config: TrainConfig, plan: TrainPlan, out: Path, *, steps: int = 3
) -> Timing:
    """Train ``steps`` steps more than one on the plan's rows (``out/rows.bin``), and forget them.

    Nothing in ``out`` changes. The weights are loaded as for the training itself.
    """
    from midspec.train.engine import make_trainer

    few = steps + WARMUP
    short = config.model_copy(update={"save_every": 0, "max_steps": few, "report_to": "none"})
    part = plan.model_copy(update={"steps": few, "rows_seen": few * config.batch_rows})
    ends: list[float] = []

    def note(done: int, total: int, text: str = "") -> None:  # noqa: ARG001
        ends.append(time.perf_counter())

    with quiet(), tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder)
        (scratch / "rows.bin").symlink_to((out / "rows.bin").resolve())
        model = trainable_model(start, short)
        check_row_length(model, short)
        trainer, curve = make_trainer(model, short, part, scratch, seed=0, progress=note)
        try:
            trainer.train()
        finally:
            curve.close()
    return _timing(ends, config, plan)


def _timing(ends: list[float], config: TrainConfig, plan: TrainPlan) -> Timing:
    step_s = statistics.median(b - a for a, b in pairwise(ends))
    filled = config.batch_rows * config.row_tokens * (1 - plan.padding_share)
    return Timing(step_s=step_s, tokens_per_s=filled / step_s, total_s=step_s * plan.steps)
