"""What `train plan` prints: rows and time here, memory and time on GPUs."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from midspec import train
from midspec.cli.show import console, progress_bar
from midspec.records import Checkpoint


def plan_data(
    rows: Iterable[Any],
    stage: str,
    start: Checkpoint,
    config: train.TrainConfig,
    *,
    seed: int,
    plain: Iterable[str],
    timed: bool,
) -> train.TrainPlan:
    """Print the plan of the data, and if ``timed`` how long it takes here."""
    import tempfile

    loss = "all" if stage == "midtrain" else "assistant"
    with tempfile.TemporaryDirectory() as folder, progress_bar("plan"):
        out = Path(folder)
        plan = train.plan_training(start, rows, config, out, loss=loss, seed=seed, plain=plain)
        show_plan(plan, config)
        timing = train.calibrate(start, config, plan, out) if timed else None
    if timing:
        console.print(
            f"{'estimated time':20s} {_duration(timing.total_s)} here "
            f"({timing.step_s:.2f} s a step, {timing.tokens_per_s:.0f} tokens/s)",
            markup=False,
        )
    return plan


def show_plan(plan: train.TrainPlan, config: train.TrainConfig) -> None:
    """Print what is about to be trained on, and how the learning rate goes."""
    from midspec.train.plan import learning_rate

    for name, value in plan.model_dump(exclude={"settings", "data"}).items():
        shown = f"{value:.1%}" if isinstance(value, float) else value
        console.print(f"{name:20s} {shown}", markup=False)
    points = sorted({1, max(1, plan.steps // 20), plan.steps // 2 or 1, plan.steps})
    rates = ", ".join(f"{s}: {learning_rate(s, plan.steps, config):.2g}" for s in points)
    console.print(f"{'learning rate':20s} {rates} (step: rate)", markup=False)


def show_gpu_plan(
    model: str, gpus_text: str, config: train.TrainConfig, tokens: int, share: float
) -> None:
    """Print whether the model fits on the GPUs, with what, and for how long."""
    from midspec.train import memory, sizes

    gpus, shape = sizes.parse_gpus(gpus_text), sizes.shape_of(model)
    fitting = memory.advise(shape, config, gpus, supervised_share=share)
    shown = fitting or config
    needs = memory.memory_needs(shape, shown, processes=gpus.count, supervised_share=share)
    console.print(f"{shape.name}: {shape.parameters / 1e9:.2f}B weights, "
                  f"{memory.trainable(shape, config) / 1e6:.1f}M trained, on {gpus_text}")  # fmt: skip
    for name, size in (needs.model_dump() | {"total": needs.total}).items():
        console.print(f"  {name:12s} {size / sizes.GIB:7.1f} GiB", markup=False)
    room = gpus.memory / sizes.GIB
    if fitting is None:
        console.print(f"does not fit in {room:.0f} GiB each, with no change of settings")
    else:
        changed = [n for n in memory.CHANGES if getattr(fitting, n) != getattr(config, n)]
        with_these = "".join(f" --set {n}={getattr(fitting, n)}" for n in changed)
        console.print(f"fits in {room:.0f} GiB each{' with' + with_these if changed else ''}")
    if tokens:
        seconds = memory.estimated_seconds(shape, shown, gpus, tokens)
        console.print(f"about {_duration(seconds)} for {tokens:,} tokens, if "
                      f"{memory.DEFAULT_MFU:.0%} of the peak is reached")  # fmt: skip


def _duration(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"
