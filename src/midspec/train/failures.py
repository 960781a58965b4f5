"""How a training ends early: pre-empted, without space or memory, or with a loss gone wrong."""

from __future__ import annotations

import contextlib
import errno
import math
import shutil
from collections.abc import Iterator
from pathlib import Path

from safetensors import SafetensorError

from midspec.errors import TrainError

COMPLETE = "complete"  # in a resume point: everything was written
NO_SPACE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
# What a full disk looks like in safetensors and in torch.save, which do not pass the errno on.
NO_SPACE_TEXTS = (
    "os error 28",
    "os error 122",
    "os error 27",
    "file write failed",
    "unexpected pos",
)
NO_MEMORY_TEXTS = ("can't allocate memory", "out of memory")
PREEMPTED = 143  # 128 + SIGTERM: how schedulers know a process that ended because they asked


class Preempted(SystemExit):
    """SIGTERM came; a resume point was written. Ends the process with exit code 143.

    Not an error of midspec's tree: a pre-empted run is to be started again, not to be reported.
    """

    def __init__(self, step: int, steps: int) -> None:
        super().__init__(PREEMPTED)
        self.step, self.steps = step, steps

    def __str__(self) -> str:
        return f"stopped by SIGTERM after step {self.step} of {self.steps}; run the same to go on"


def check_finite(name: str, value: float, step: int, config_rate: float, resume: Path) -> None:
    """Refuse to take a step with a loss or gradient that is not finite."""
    if not math.isfinite(value):
        raise TrainError(
            f"{name} is {value} at step {step}; lower learning_rate ({config_rate:g}) or set "
            f"precision=fp32{usable(resume)}"
        )


def last_resume_point(folder: Path) -> Path | None:
    """The newest complete resume point; torn ones are removed."""
    points = []
    for point in folder.glob("checkpoint-*"):
        if (point / COMPLETE).exists():
            points.append(point)
        else:
            shutil.rmtree(point)
    return max(points, key=lambda p: int(p.name.rpartition("-")[2]), default=None)


def usable(resume: Path) -> str:
    """Where an error leaves things: the last resume point, itself a checkpoint to start from."""
    point = last_resume_point(resume)
    return f"; the last checkpoint is {point}" if point else "; no checkpoint was saved yet"


@contextlib.contextmanager
def explained(out: Path) -> Iterator[None]:
    """A full disk and a lack of memory as one line with the next step.

    Raises:
        TrainError: instead of either.
    """
    try:
        yield
    except (OSError, RuntimeError, MemoryError, SafetensorError) as error:
        line = _cause(error, out)
        if line is None:
            raise
        raise TrainError(line + usable(out / "resume")) from error


def _cause(error: Exception, out: Path) -> str | None:
    text = str(error)
    if getattr(error, "errno", None) in NO_SPACE or any(t in text for t in NO_SPACE_TEXTS):
        return f"cannot write to {out}: the disk is full; free space and run the same again"
    if isinstance(error, MemoryError) or any(t in text for t in NO_MEMORY_TEXTS):
        return (
            "out of memory; set micro_rows=1 or activation_checkpointing=true, lower row_tokens, or "
            "ask `midspec train plan` what fits"
        )
    return None
