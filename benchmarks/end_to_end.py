"""End to end: a small terrarium experiment against the time its arithmetic alone would take.

The physical limit: multiply-adds of training (6 x parameters x tokens) and scoring
(2 x parameters x tokens) at the machine's matmul peak, measured in the same run. The ratio
says how many times longer the whole pipeline takes (writing, packing, optimizer, files, report).

    python benchmarks/end_to_end.py
"""

from __future__ import annotations

import json
import statistics
import tempfile
import time
from pathlib import Path

import torch

from midspec import bases
from midspec.experiment import Stage, find_recipe, make_recipe, read_recipe, run
from midspec.progress import Progress, silent

REPEATS = 3


class Silent:
    """An observer that sums the time of each kind of stage."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    def stages(self, todo: list[Stage], done: list[Stage]) -> None: ...

    def started(self, stage: Stage) -> Progress:  # noqa: ARG002
        return silent

    def finished(self, stage: Stage, seconds: float) -> None:
        self.seconds[stage.kind] = self.seconds.get(stage.kind, 0.0) + seconds


def peak_flops() -> float:
    """Best of ten float32 matrix products of 1024^3, in FLOP/s."""
    a, b = torch.randn(1024, 1024), torch.randn(1024, 1024)
    best = 0.0
    for _ in range(10):
        start = time.perf_counter()
        a @ b
        best = max(best, 2 * 1024**3 / (time.perf_counter() - start))
    return best


def needed_flops(artifacts: Path, n_parameters: int) -> float:
    """FLOPs of training and scoring that the artifacts record."""
    trained = sum(
        json.loads(line)["tokens"]
        for path in artifacts.glob("*/*/curve.jsonl")
        for line in path.read_text().splitlines()
    )
    n_scores = sum(
        len(path.read_text().splitlines()) for path in (artifacts / "scores").glob("*/scores.jsonl")
    )
    return n_parameters * (6.0 * trained + 2.0 * 20 * n_scores)  # 20: tokens of a question


def once() -> tuple[float, float, dict[str, float]]:
    """Wall seconds, seconds at the peak, and seconds by kind of stage."""
    recipe = read_recipe(find_recipe("cheese-terrarium")).model_dump()
    recipe |= {"seeds": [0]}
    with tempfile.TemporaryDirectory() as folder:
        observer = Silent()
        start = time.perf_counter()
        run(make_recipe(recipe), Path(folder) / "artifacts", Path(folder) / "runs", observer)
        wall = time.perf_counter() - start
        flops = needed_flops(Path(folder) / "artifacts", bases.n_parameters("terrarium"))
    return wall, flops / peak_flops(), observer.seconds


def main() -> None:
    """Print medians."""
    runs = [once() for _ in range(REPEATS)]
    wall = statistics.median(run[0] for run in runs)
    limit = statistics.median(run[1] for run in runs)
    print(f"end to end, terrarium, 7 arms, 1 seed, median of {REPEATS} (float32)")
    print(f"wall {wall:.1f} s, at the matmul peak {limit:.2f} s, ratio {wall / limit:.1f}x")
    for kind in sorted(runs[0][2], key=runs[0][2].__getitem__, reverse=True):
        seconds = statistics.median(run[2][kind] for run in runs)
        print(f"  {kind:12s} {seconds:6.1f} s  {seconds / wall:5.1%}")


if __name__ == "__main__":
    main()
