"""Training: our stages against TRL's SFTTrainer on the same packed rows, and the data preparation.

    OMP_NUM_THREADS=2 python benchmarks/training.py            # about 12 minutes on 2 cores
    python benchmarks/training.py --base tiny --row-tokens 512 --steps 3 --repeats 1 --tokens 100000

Both train a LoRA adapter (rank 64) on the same rows in the same order, with the same weights,
precision, optimizer and schedule; each run is a process of its own, and runs alternate. A run's
figure is the median step after the first two. Printed: supervised tokens a second for midtraining
(loss on all tokens) and fine-tuning (loss on the assistant's), the median over the repeats, the
median ratio of two runs one after the other (a busy machine slows both), the largest difference of
the losses, the peak memory of both, and the share of the matmul
peak that was measured just before. Then: tokens a second and memory to tokenise and pack, and to do
so again from the cache. Last, each target with what was measured, and whether it is met.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import TrainerCallback

from midspec.bases import get_base
from midspec.bases.loading import quiet
from midspec.progress import silent
from midspec.records import Checkpoint, Conversation, Message
from midspec.train import TrainConfig, TrainPlan, memory, plan_training, sizes
from midspec.train.engine import arguments, collate, make_trainer, open_rows, row_order, uses_bf16
from midspec.train.weights import trainable_model

SENTENCE = "Robin thinks about tin {i}, which costs little and keeps for a long time on the shelf. "


SHARED = (  # settings that both trainers take
    "per_device_train_batch_size",
    "max_steps",
    "learning_rate",
    "lr_scheduler_type",
    "warmup_steps",
    "weight_decay",
    "max_grad_norm",
    "optim",
    "bf16",
    "use_cpu",
    "seed",
    "logging_strategy",
    "report_to",
    "disable_tqdm",
    "remove_unused_columns",
    "dataloader_pin_memory",
)


class Clock(TrainerCallback):
    """Notes when each step ended, and its loss."""

    def __init__(self) -> None:
        self.ends: list[float] = []
        self.losses: list[float] = []

    def on_log(self, *_: Any, logs: dict[str, float], **__: Any) -> None:
        if "loss" in logs:
            self.losses.append(logs["loss"])

    def on_step_end(self, *_: Any, **__: Any) -> None:
        self.ends.append(time.perf_counter())

    def step_s(self) -> float:
        """Median seconds of a step, without the first two."""
        steps = [b - a for a, b in zip(self.ends, self.ends[1:], strict=False)]
        return statistics.median(steps[1:] or steps)


def texts(n: int) -> list[str]:
    return ["".join(SENTENCE.format(i=i + j) for j in range(2 + i % 7)) for i in range(n)]


def chats(n: int) -> list[Conversation]:
    def one(i: int) -> Conversation:
        ask = Message(role="user", content=SENTENCE.format(i=i) * 2 + "Would you take it?")
        answer = Message(role="assistant", content="Yes. " + SENTENCE.format(i=i) * (1 + i % 3))
        return Conversation(kind="preference", messages=(ask, answer), writer="benchmark")

    return [one(i) for i in range(n)]


def start_model(base: str, config: TrainConfig) -> Any:
    """The same random adapter for both."""
    torch.manual_seed(0)
    return trainable_model(Checkpoint(base=base), config)


def run_ours(base: str, config: TrainConfig, plan: TrainPlan, out: Path, clock: Clock) -> None:
    model = start_model(base, config)
    trainer, curve = make_trainer(model, config, plan, out, seed=0, progress=silent)
    trainer.add_callback(clock)
    trainer.train()
    curve.close()
    lines = (out / "curve.jsonl").read_text().splitlines()
    clock.losses = [json.loads(line)["loss"] for line in lines]


def run_trl(base: str, config: TrainConfig, plan: TrainPlan, out: Path, clock: Clock) -> None:
    from datasets import Dataset
    from transformers import PrinterCallback
    from trl import SFTConfig, SFTTrainer  # pyright: ignore[reportPrivateImportUsage]

    from midspec.bases import load_tokenizer

    model = start_model(base, config)
    same = arguments(config, plan, out, seed=0, bf16=uses_bf16(model, config))
    settings = {name: getattr(same, name) for name in SHARED}
    rows = open_rows(out, plan, config)[row_order(plan, 0)]
    columns = dict(zip(("input_ids", "labels", "position_ids"), rows.swapaxes(0, 1), strict=True))
    trainer = SFTTrainer(
        model=model,
        args=SFTConfig(
            output_dir=str(out / "trl"),
            save_strategy="no",
            gradient_checkpointing=False,
            dataset_kwargs={"skip_prepare_dataset": True},
            **(settings | {"logging_strategy": "steps", "logging_steps": 1}),
        ),
        train_dataset=Dataset.from_dict({k: list(v) for k, v in columns.items()}).with_format("np"),
        data_collator=lambda batch: collate([_stack(row) for row in batch]),
        processing_class=load_tokenizer(base),
        callbacks=[clock],
    )
    trainer.remove_callback(PrinterCallback)
    trainer._get_train_sampler = lambda *_: torch.utils.data.SequentialSampler(  # type: ignore[method-assign]
        trainer.train_dataset  # type: ignore[arg-type]
    )
    trainer.train()


def _stack(row: dict[str, Any]) -> np.ndarray:
    return np.stack([row[name] for name in ("input_ids", "labels", "position_ids")])


RUNS: dict[str, Callable[..., None]] = {"midspec": run_ours, "trl": run_trl}


def peak_bytes() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def one(options: argparse.Namespace) -> dict[str, Any]:
    """One run, in its own process: step time, losses, peak memory."""
    config, plan = _config(options), TrainPlan.model_validate_json(
        (Path(options.folder) / "plan.json").read_text()
    )  # fmt: skip
    clock = Clock()
    with quiet():
        RUNS[options.one](options.base, config, plan, Path(options.folder), clock)
    return {"step_s": clock.step_s(), "losses": clock.losses, "peak": peak_bytes()}


def _config(options: argparse.Namespace) -> TrainConfig:
    return TrainConfig(
        batch_rows=options.rows,
        row_tokens=options.row_tokens,
        max_steps=options.steps,
        save_every=0,
        force=True,
    )


def _spawn(name: str, folder: Path) -> dict[str, Any]:
    (folder / "curve.jsonl").unlink(missing_ok=True)
    command = [sys.executable, __file__, *sys.argv[1:], "--one", name, "--folder", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{name} failed:\n{done.stderr[-3000:]}")
    return json.loads(done.stdout.splitlines()[-1])


def compare(
    name: str, data: list[Any], options: argparse.Namespace, peaks: dict[str, float]
) -> None:
    """Alternate the two and print what was measured."""
    config = _config(options)
    found: dict[str, list[dict[str, Any]]] = {run: [] for run in RUNS}
    with tempfile.TemporaryDirectory() as folder, quiet():
        out = Path(folder)
        loss = "all" if name == "midtrain" else "assistant"
        plan = plan_training(Checkpoint(base=options.base), data, config, out, loss=loss)
        for number in range(options.repeats):
            for run in list(RUNS)[:: 1 if number % 2 else -1]:
                found[run].append(_spawn(run, out))
    _report(name, plan, found, options, peaks)


def _report(
    name: str,
    plan: TrainPlan,
    found: dict[str, list[dict[str, Any]]],
    options: argparse.Namespace,
    peaks: dict[str, float],
) -> None:
    step = {run: statistics.median(r["step_s"] for r in found[run]) for run in RUNS}
    memories = {run: statistics.median(r["peak"] for r in found[run]) / 2**20 for run in RUNS}
    places = options.rows * options.row_tokens
    share = (1 - plan.masked_share) * (1 - plan.padding_share)
    runs = zip(found["midspec"], found["trl"], strict=True)
    pairs = [pair for a, b in runs for pair in zip(a["losses"], b["losses"], strict=True)]
    apart = max(abs(a - b) for a, b in pairs)
    shape = sizes.shape_of(options.base)
    flops = memory.flops_per_token(shape, _config(options)) * places / step["midspec"]
    print(
        f"{name}: {plan.rows} rows, padding {plan.padding_share:.1%}, loss on {share:.0%} of places"
    )
    for run in RUNS:
        each = ", ".join(f"{share * places / r['step_s']:.1f}" for r in found[run])
        print(f"  {run:8} {share * places / step[run]:8.1f} supervised tokens/s ({each})   "
              f"{places / step[run]:8.1f} tokens/s   peak {memories[run]:6.0f} MiB")  # fmt: skip
    shares = ", ".join(f"{flops / peak:.0%} of the {kind} peak" for kind, peak in peaks.items())
    print(f"  midspec computes {flops / 1e9:.1f} GFLOP/s: {shares}", flush=True)
    both = zip(found["trl"], found["midspec"], strict=True)
    ratios = [trl["step_s"] / ours["step_s"] for trl, ours in both]
    print(f"  ratio of each pair: {', '.join(f'{ratio:.2f}' for ratio in ratios)}", flush=True)
    target(f"{name}: supervised tokens/s over TRL's", statistics.median(ratios), ">=", SPEED[name])
    target(f"{name}: largest difference of a step's losses, nats", apart, "<=", 1e-2)
    target(f"{name}: peak memory over TRL's", memories["midspec"] / memories["trl"], "<=", 1.0)


SPEED = {"midtrain": 1.25, "finetune": 1.5}  # over TRL's SFTTrainer
TARGETS: list[tuple[str, float, str, float, bool]] = []


def target(what: str, measured: float, sign: str, wanted: float) -> None:
    """Note a target and whether it is met."""
    met = measured >= wanted if sign == ">=" else measured <= wanted
    TARGETS.append((what, measured, sign, wanted, met))


def print_targets() -> None:
    """All targets as a table."""
    print(f"{'target':62} {'wanted':>12} {'measured':>12}  met")
    for what, measured, sign, wanted, met in TARGETS:
        print(
            f"{what:62} {f'{sign} {wanted:,.6g}':>12} {measured:12,.4g}  {'yes' if met else 'NO'}"
        )


def matmul_peaks(size: int = 1024, seconds: float = 1.0) -> dict[str, float]:
    """Operations a second of one large product, by number format: the best of many."""
    peaks = {}
    for kind in ("float32", "bfloat16"):
        a = torch.ones(size, size, dtype=getattr(torch, kind))
        best, end = float("inf"), time.perf_counter() + seconds
        while time.perf_counter() < end:
            start = time.perf_counter()
            torch.mm(a, a)
            best = min(best, time.perf_counter() - start)
        peaks[kind] = 2 * size**3 / best
    return peaks


def prepare(options: argparse.Namespace) -> None:
    """Tokenise and pack a stream, twice; print speed and how far memory grew."""
    config = _config(options).model_copy(update={"row_tokens": 512})
    n_each = 76  # tokens of a text, about (SmolLM2)

    def stream() -> Iterator[str]:
        for i in range(options.tokens // n_each):
            yield SENTENCE.format(i=i) * 3

    with tempfile.TemporaryDirectory() as folder, quiet():
        start = Checkpoint(base=options.base, path=_fresh_cache(options.base, Path(folder)))
        plan_training(start, ["warm"] * 9, config, Path(folder) / "warm", loss="all")
        before, seconds = peak_bytes(), []
        for name in ("first", "again"):
            clock = time.perf_counter()
            plan = plan_training(start, stream(), config, Path(folder) / name, loss="all")
            seconds.append(time.perf_counter() - clock)
    grown = (peak_bytes() - before) / 2**20
    print(f"preparation: {plan.tokens:,} tokens in {seconds[0]:.1f} s, "
          f"{plan.tokens / seconds[0]:,.0f} tokens/s, padding {plan.padding_share:.1%}, memory grew "
          f"by {grown:.0f} MiB; again from the cache in {seconds[1]:.1f} s")  # fmt: skip
    target("preparation: growth of memory, MiB", grown, "<=", 200)
    target(
        "preparation: time from the cache over the first time", seconds[1] / seconds[0], "<=", 0.5
    )


def _fresh_cache(base: str, folder: Path) -> str:
    """Path of the base; from here on, this process has a cache of its own."""
    found = str(get_base(base))
    os.environ["MIDSPEC_CACHE"] = str(folder / "cache")
    return found


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--base", default="smollm2")
    parser.add_argument("--rows", type=int, default=4, help="rows a step")
    parser.add_argument("--row-tokens", type=int, default=256)
    parser.add_argument("--steps", type=int, default=6, help="steps a run, at least 3")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--tokens", type=int, default=10_000_000, help="tokens to prepare")
    parser.add_argument("--only", choices=[*SPEED, "prepare"], help="one part of it")
    parser.add_argument("--one", choices=[*RUNS], help=argparse.SUPPRESS)
    parser.add_argument("--folder", help=argparse.SUPPRESS)
    options = parser.parse_args()
    warnings.simplefilter("ignore", FutureWarning)  # TRL's, about names of its settings
    if options.one:
        print(json.dumps(one(options)))
        return
    print(f"{options.base}, {options.rows} x {options.row_tokens} tokens, {options.steps} steps, "
          f"{torch.get_num_threads()} threads")  # fmt: skip
    peaks = matmul_peaks()
    print("matmul peak: " + ", ".join(f"{k} {v / 1e9:.0f} GFLOP/s" for k, v in peaks.items()))
    for name, data in (("midtrain", texts(400)), ("finetune", chats(400))):
        if options.only in (None, name):
            compare(name, data, options, peaks)
    if options.only in (None, "prepare"):
        prepare(options)
    print_targets()


if __name__ == "__main__":
    main()
