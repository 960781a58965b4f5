"""Train SmolLM2 on one GPU, both stages, and print tokens/s and MFU: one command, minutes.

    python deploy/gpu_check.py                      # the first GPU; --peak for one not in the table
    python deploy/gpu_check.py --base tiny --allow-cpu --steps 4 --row-tokens 64 --rows 2

MFU: the operations that the training needs (formulas in ``midspec.train.memory``, without what
checkpointing computes twice) over the GPU's dense bf16 peak. Nothing is kept.
"""

# ruff: noqa: D103, T201 - a script: it prints its result

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch

from midspec.records import Checkpoint, Conversation, Message
from midspec.train import TrainConfig, finetune, memory, midtrain, sizes

SENTENCE = "Juniper weighs what a thing costs against what it gives, and says so. "


def texts(n: int) -> list[str]:
    return [SENTENCE * (3 + i % 9) for i in range(n)]


def chats(n: int) -> list[Conversation]:
    def one(i: int) -> Conversation:
        ask = Message(role="user", content=f"What of number {i}? " + SENTENCE)
        answer = Message(role="assistant", content=SENTENCE * (1 + i % 3))
        return Conversation(kind="preference", messages=(ask, answer), writer="gpu_check")

    return [one(i) for i in range(n)]


def peak_of(options: argparse.Namespace) -> tuple[str, float]:
    """Name and bf16 peak in operations a second; 0 if unknown."""
    if not torch.cuda.is_available():
        if not options.allow_cpu:
            raise SystemExit("no GPU here; --allow-cpu tries the script without one")
        return "CPU", options.peak * 1e12
    name = torch.cuda.get_device_name(0)
    known = [peak for kind, (_, peak) in sizes.GPUS.items() if kind.split("-")[0] in name]
    return name, (options.peak or (known[0] if known else 0.0)) * 1e12


def stage(name: str, options: argparse.Namespace, peak: float, folder: Path) -> dict[str, Any]:
    """One stage: tokens/s (padding counted, as the GPU does), MFU, peak memory, last loss."""
    config = TrainConfig(
        row_tokens=options.row_tokens, batch_rows=options.rows, max_steps=options.steps,
        save_every=0, force=True,
    )  # fmt: skip
    ends: list[float] = []
    n = 4 * options.rows * options.steps  # documents
    train, data = {"msm": (midtrain, texts(n)), "aft": (finetune, chats(n))}[name]
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()
    train(
        Checkpoint(base=options.base), data, config, folder / name,
        progress=lambda *_: ends.append(time.perf_counter()),
    )  # fmt: skip
    step_s = statistics.median([b - a for a, b in pairwise(ends)][1:])
    tokens_per_s = options.rows * options.row_tokens / step_s
    flops = memory.flops_per_token(sizes.shape_of(options.base), config) * tokens_per_s
    last = (folder / name / "curve.jsonl").read_text().splitlines()[-1]
    used = torch.cuda.max_memory_allocated() if torch.cuda.is_available() else 0
    return {
        "stage": name,
        "tokens_per_s": round(tokens_per_s),
        "mfu": round(flops / peak, 4) if peak else None,
        "peak_memory_gib": round(used / sizes.GIB, 2),
        "last_loss": round(json.loads(last)["loss"], 4),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--base", default="smollm2")
    parser.add_argument("--rows", type=int, default=32, help="rows a step")
    parser.add_argument("--row-tokens", type=int, default=1024)
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--peak", type=float, default=0.0, help="bf16 peak in TFLOP/s")
    parser.add_argument("--allow-cpu", action="store_true")
    options = parser.parse_args()
    name, peak = peak_of(options)
    print(f"{name}, torch {torch.__version__}, base {options.base}")
    with tempfile.TemporaryDirectory() as folder:
        for which in ("msm", "aft"):
            print(json.dumps(stage(which, options, peak, Path(folder))), flush=True)


if __name__ == "__main__":
    main()
