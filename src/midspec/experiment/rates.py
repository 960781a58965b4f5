"""How long a unit of work takes: measured from earlier artifacts, else a stated default."""

from __future__ import annotations

import json
import os
import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import Field

from midspec import bases
from midspec.records import Frozen

# Measured with two threads on SmolLM2-135M: 280 tokens/s, 6 operations a weight and token.
CPU_FLOPS_PER_CORE = 1.15e11
# 40% of an H200's 990e12 dense bf16 operations a second, a usual share for LoRA on 8B.
GPU_FLOPS = 4e14
# From this size on a plan assumes GPUs even on a machine without any.
GPU_PARAMETERS = 1_000_000_000
TOKENS_PER_SCORE = 60  # SmolLM2 English items; question, options and system prompt
ANSWER_TOKENS = 400  # that a model writes to one sample of a task; tasks allow 64 to 4,000
# Writing reads all weights for each token: bytes a second, of an H200 (4.8e12, at 60%) and of a CPU.
GPU_BYTES, CPU_BYTES = 3e12, 1e10
SCRIBE_SECONDS = 0.001  # a record, measured: documents 0.0010, chats 0.0005, plans 0.0002
CURATE_SECONDS = 0.0003  # a record, measured: 0.0002
CALL_SECONDS = 20.0  # a call to a language model that writes a page; divided by concurrency
# A stage is timed whole; a few recent ones are enough to average what else the machine did.
N_RECENT = 20


class Rate(Frozen):
    """Seconds for a unit of one kind of work, and where the figure is from."""

    seconds: float = Field(ge=0)
    measured: bool = Field(description="from artifacts of the same kind and base or writer")


class Rates:
    """Rates of an artifacts folder; units are training tokens, scores, or records."""

    def __init__(self, artifacts: Path) -> None:
        self._seconds: dict[tuple[str, str], float] = defaultdict(float)
        self._units: dict[tuple[str, str], float] = defaultdict(float)
        self._lengths: dict[tuple[str, str, str], list[float]] = defaultdict(lambda: [0.0, 0.0])
        for folder in _recent(artifacts):
            self._learn(folder)

    def _learn(self, folder: Path) -> None:
        manifest = json.loads((folder / "manifest.json").read_text())
        kind, config = manifest["stage"], manifest["config"]
        key = kind, config.get("base") or config.get("writer") or ""
        units = float(manifest.get("n", 0))
        units += manifest.get("kept", 0) + sum(manifest.get("dropped", {}).values())
        if (plan := _read(folder / "plan.json")) and plan["rows"]:
            units = plan["tokens"] * plan["rows_seen"] / plan["rows"]
            length = self._lengths[(*key, "tokens")]
            length[0] += plan["tokens"]
            length[1] += plan["documents"]
        if units:
            self._seconds[key] += manifest["seconds"]
            self._units[key] += units

    def measured(self, kind: str, of: str) -> float | None:
        """Seconds for a unit, if such a stage was ever done here."""
        units = self._units.get((kind, of))
        return self._seconds[kind, of] / units if units else None

    def length(self, kind: str, base: str) -> float | None:
        """Mean tokens of a training record, if such a training was ever planned here."""
        tokens, records = self._lengths.get((kind, base, "tokens"), (0, 0))
        return tokens / records if records else None

    def training(self, kind: str, base: str) -> Rate:
        """Seconds for a token of training."""
        if found := self.measured(kind, base):
            return Rate(seconds=found, measured=True)
        return Rate(seconds=6 * parameters(base) / flops(base), measured=False)

    def scoring(self, base: str) -> Rate:
        """Seconds for a score: one item in one order by one scorer."""
        if found := self.measured("scores", base):
            return Rate(seconds=found, measured=True)
        work = 2 * parameters(base) * TOKENS_PER_SCORE
        return Rate(seconds=work / flops(base), measured=False)

    def answering(self, base: str) -> Rate:
        """Seconds for an answer to a task; one at a time."""
        if found := self.measured("answers", base):
            return Rate(seconds=found, measured=True)
        weights = parameters(base) * (2 / GPU_BYTES if on_gpu(base) else 4 / CPU_BYTES)
        return Rate(seconds=ANSWER_TOKENS * weights, measured=False)

    def passing(self, kind: str) -> Rate:
        """Seconds for a record that is read, checked and written."""
        found = self.measured(kind, "")
        return Rate(seconds=found or CURATE_SECONDS, measured=found is not None)

    def writing(self, kind: str, writer: str, concurrency: int) -> Rate:
        """Seconds for a record that a writer makes."""
        if found := self.measured(kind, writer):
            return Rate(seconds=found, measured=True)
        seconds = SCRIBE_SECONDS if writer == "scribe" else CALL_SECONDS / concurrency
        return Rate(seconds=seconds, measured=False)


def _recent(artifacts: Path) -> Iterator[Path]:
    """Folders of finished artifacts, the latest of each kind."""
    for kind in sorted(artifacts.iterdir()) if artifacts.is_dir() else ():
        done = sorted(kind.glob("*/done"), key=lambda path: (path.stat().st_mtime, path))
        yield from (path.parent for path in done[-N_RECENT:])


def _read(path: Path) -> dict[str, Any] | None:
    return json.loads(path.read_text()) if path.exists() else None


def parameters(base: str) -> int:
    """Weights of a base; of a hub id by the size in its name, else 1e9.

    Example:
        >>> parameters("meta-llama/Llama-3.1-8B"), parameters("Qwen/Qwen2.5-0.5B")
        (8000000000, 500000000)
    """
    if found := bases.n_parameters(base):
        return found
    named = re.search(r"(?<![\w.])(\d+(?:\.\d+)?)[Bb](?![A-Za-z0-9])", base)
    return round(float(named[1]) * 1e9) if named else 1_000_000_000


def flops(base: str) -> float:
    """Operations a second that a plan assumes: this machine's cores, or one GPU."""
    return GPU_FLOPS if on_gpu(base) else CPU_FLOPS_PER_CORE * (os.cpu_count() or 1)


def on_gpu(base: str) -> bool:
    """Whether a plan assumes a GPU: there is one, or the base is too large for a CPU."""
    import torch

    return torch.cuda.is_available() or parameters(base) >= GPU_PARAMETERS
