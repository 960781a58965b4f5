"""What happens beside the steps: the curve, progress, resume points, pre-emption."""

from __future__ import annotations

import contextlib
import json
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from transformers import TrainerCallback

from midspec.progress import Progress
from midspec.store import Journal, read_rows, write_atomic
from midspec.train.failures import COMPLETE

if TYPE_CHECKING:
    from midspec.train.engine import RowTrainer


class Curve(TrainerCallback):
    """Writes ``curve.jsonl`` (step, loss in nats, learning_rate, tokens) and tells progress."""

    def __init__(self, path: Path, steps: int, progress: Progress) -> None:
        self.path, self.steps, self.progress = path, steps, progress
        self.trainer: RowTrainer | None = None
        self._journal: Journal | None = None
        self._clock = time.perf_counter()

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:  # noqa: ARG002, D102
        if state.is_world_process_zero:
            _cut_curve(self.path, state.global_step)
            self._journal = Journal(self.path)
        self._clock = time.perf_counter()

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:  # noqa: ARG002, D102
        if self._journal is None or self.trainer is None:
            return
        last = self.trainer.last_step
        self._journal.append({"step": state.global_step, **last})
        now = time.perf_counter()
        rate = last["tokens"] / max(now - self._clock, 1e-9)
        self._clock = now
        self.progress(
            state.global_step, self.steps, f"loss {last['loss']:.3f}, {rate:.0f} tokens/s"
        )

    def close(self) -> None:
        """Close the file."""
        if self._journal is not None:
            self._journal.close()


def _cut_curve(path: Path, step: int) -> None:
    """Keep the rows up to ``step``: what follows a resume point is written again."""
    kept = [row for row in read_rows(path) if row["step"] <= step]
    if kept or path.exists():
        write_atomic(path, "".join(json.dumps(row) + "\n" for row in kept))


class ResumePoints(TrainerCallback):
    """Makes a resume point a checkpoint to start from, and marks it complete, last of all."""

    def __init__(self, finish: Callable[[Path], None]) -> None:
        self.finish = finish

    def on_save(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:  # noqa: ARG002, D102
        _wait_for_all()  # every process writes its own random state
        point = Path(args.output_dir) / f"checkpoint-{state.global_step}"
        if state.is_world_process_zero and point.is_dir():
            self.finish(point)
            write_atomic(point / COMPLETE, "")


def _wait_for_all() -> None:
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        torch.distributed.barrier()


class Preemption(TrainerCallback):
    """On SIGTERM: finish the step, save a resume point, stop. All processes stop together."""

    def __init__(self) -> None:
        self.asked = False

    @contextlib.contextmanager
    def listening(self) -> Iterator[None]:
        """Handle SIGTERM; in another thread than the main one it cannot be."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = signal.signal(signal.SIGTERM, self._note)
        try:
            yield
        finally:
            signal.signal(signal.SIGTERM, before)

    def _note(self, *_: object) -> None:
        self.asked = True

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:  # noqa: ARG002, D102
        if args.world_size > 1:
            asked = torch.tensor(float(self.asked), device=args.device)
            torch.distributed.all_reduce(asked, op=torch.distributed.ReduceOp.MAX)
            self.asked = bool(asked)
        if self.asked and state.global_step < state.max_steps:
            control.should_save = control.should_training_stop = True
