"""Training speed: our stages against TRL's SFTTrainer on the same packed rows.

    OMP_NUM_THREADS=2 python benchmarks/training.py            # about 5 minutes on 2 cores
    python benchmarks/training.py --base tiny --row-tokens 512 --steps 4 --repeats 1

Both train a LoRA adapter (rank 64) on the same rows in the same order, with the same precision,
optimizer and schedule. Runs alternate; a run's figure is the median step after the first two.
Printed: tokens (with padding) per second for midtraining (loss on all tokens) and fine-tuning
(loss on the assistant's), median over the repeats, and the ratio.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import TrainerCallback

from midspec.bases.loading import quiet
from midspec.progress import silent
from midspec.records import Checkpoint, Conversation, Message
from midspec.train import TrainConfig, TrainPlan, plan_training
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
    """Notes when each step ended."""

    def __init__(self) -> None:
        self.ends: list[float] = []

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


def time_ours(base: str, config: TrainConfig, plan: TrainPlan, out: Path) -> float:
    clock = Clock()
    model = trainable_model(Checkpoint(base=base), config)
    trainer, curve = make_trainer(model, config, plan, out, seed=0, progress=silent)
    trainer.add_callback(clock)
    trainer.train()
    curve.close()
    return clock.step_s()


def time_trl(base: str, config: TrainConfig, plan: TrainPlan, out: Path) -> float:
    from datasets import Dataset
    from transformers import PrinterCallback
    from trl import SFTConfig, SFTTrainer  # pyright: ignore[reportPrivateImportUsage]

    from midspec.bases import load_tokenizer

    clock = Clock()
    model = trainable_model(Checkpoint(base=base), config)
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
            **settings,
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
    return clock.step_s()


def _stack(row: dict[str, Any]) -> np.ndarray:
    return np.stack([row[name] for name in ("input_ids", "labels", "position_ids")])


def compare(name: str, data: list[Any], options: argparse.Namespace, deadline: float) -> None:
    """Alternate the two and print one line."""
    config = TrainConfig(
        batch_rows=options.rows,
        row_tokens=options.row_tokens,
        max_steps=options.steps,
        save_every=0,
        force=True,
    )
    runs: dict[str, Callable[..., float]] = {"midspec": time_ours, "trl": time_trl}
    found: dict[str, list[float]] = {run: [] for run in runs}
    with tempfile.TemporaryDirectory() as folder, quiet():
        out = Path(folder)
        loss = "all" if name == "midtrain" else "assistant"
        plan = plan_training(Checkpoint(base=options.base), data, config, out, loss=loss)
        for _ in range(options.repeats):
            for run, measure in runs.items():
                seconds = measure(options.base, config, plan, out)
                found[run].append(options.rows * options.row_tokens / seconds)
            if time.monotonic() > deadline:
                break
    ours, theirs = (statistics.median(found[run]) for run in runs)
    print(
        f"{name:9} midspec {ours:8.1f} tokens/s   trl {theirs:8.1f} tokens/s   "
        f"ratio {ours / theirs:.2f}   (repeats {len(found['trl'])}, supervised "
        f"{1 - plan.masked_share:.0%} of tokens, padding {plan.padding_share:.0%})",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--base", default="smollm2")
    parser.add_argument("--rows", type=int, default=4, help="rows a step")
    parser.add_argument("--row-tokens", type=int, default=256)
    parser.add_argument("--steps", type=int, default=6, help="steps a run, at least 3")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--max-seconds", type=float, default=300, help="no new repeat after this")
    options = parser.parse_args()
    warnings.simplefilter("ignore", FutureWarning)  # TRL's, about names of its settings
    print(f"{options.base}, {options.rows} x {options.row_tokens} tokens, {options.steps} steps, "
          f"{torch.get_num_threads()} threads")  # fmt: skip
    start = time.monotonic()
    compare("midtrain", texts(400), options, start + options.max_seconds / 2)
    compare("finetune", chats(400), options, start + options.max_seconds)


if __name__ == "__main__":
    main()
