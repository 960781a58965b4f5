"""The training loop: ``transformers.Trainer`` on packed rows, killed and resumed at will.

Why documents in one row do not see each other: positions restart with each document, no attention
mask is given and the cache is off; then transformers derives a block-causal mask for sdpa from the
positions. ``check_isolation`` proves it on the model at hand before the first step.
"""

from __future__ import annotations

import json
import math
import os
import shutil
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn import functional
from torch.utils.data import Dataset, SequentialSampler
from transformers import PrinterCallback, Trainer, TrainerCallback, TrainingArguments
from transformers.trainer_callback import ProgressCallback

from midspec.errors import TrainError
from midspec.progress import Progress
from midspec.store import Journal, read_rows, write_atomic
from midspec.train.config import TrainConfig
from midspec.train.examples import IGNORE
from midspec.train.plan import TrainPlan, open_rows, row_order

COMPLETE = "complete"  # in a resume point: everything was written


class Rows(Dataset[np.ndarray]):
    """Rows in the order of training, int32 [3, row_tokens] each."""

    def __init__(self, rows: np.ndarray, order: np.ndarray) -> None:
        self.rows, self.order = rows, order

    def __len__(self) -> int:
        return len(self.order)

    def __getitem__(self, index: int) -> np.ndarray:
        return self.rows[self.order[index]]


def collate(rows: list[np.ndarray]) -> dict[str, torch.Tensor]:
    """``input_ids``, ``labels``, ``position_ids``, each int64 [rows, row_tokens]; no mask."""
    ids_labels_positions = torch.from_numpy(np.stack(rows, axis=1).astype(np.int64))
    return dict(zip(("input_ids", "labels", "position_ids"), ids_labels_positions, strict=True))


class LabelledLogits:
    """Compute logits only where a label is: less work and memory with a large vocabulary.

    A hook cuts the hidden states [rows, tokens, width] to [labelled, width] on their way into the
    output layer. It works inside PEFT, DDP and FSDP wrappers, whatever the architecture.
    """

    def __init__(self, model: Any) -> None:
        head: torch.nn.Module = model.get_output_embeddings()
        self._chosen: torch.Tensor | None = None
        head.register_forward_pre_hook(self._select)

    def _select(self, _module: torch.nn.Module, args: tuple[torch.Tensor]) -> tuple | None:
        if self._chosen is None:
            return None
        return (args[0][:, :-1][self._chosen].unsqueeze(0),)

    def loss(self, model: torch.nn.Module, inputs: dict[str, torch.Tensor]) -> torch.Tensor:
        """Summed cross entropy in nats over the labelled tokens, in float32."""
        targets = inputs["labels"][:, 1:]
        self._chosen = targets != IGNORE
        try:
            output: Any = model(
                input_ids=inputs["input_ids"],
                position_ids=inputs["position_ids"],
                use_cache=False,
            )
        finally:
            chosen, self._chosen = self._chosen, None
        return functional.cross_entropy(output.logits[0].float(), targets[chosen], reduction="sum")


class RowTrainer(Trainer):
    """The Trainer with our loss: the mean over all labelled tokens of a step, of all processes."""

    loss_is_scaled_for_ga = True  # one forward pass a step; nothing left to divide

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.labelled = LabelledLogits(self.model)
        self.model_accepts_loss_kwargs = False
        self.last_step: dict[str, float] = {}

    def compute_loss(  # noqa: D102
        self,
        model: torch.nn.Module,
        inputs: dict[str, Any],
        return_outputs: bool = False,  # noqa: ARG002
        num_items_in_batch: Any = None,  # noqa: ARG002
    ) -> Any:
        n_local = (inputs["labels"][:, 1:] != IGNORE).sum()
        n_mean = self._mean(n_local.float())
        loss = self.labelled.loss(model, inputs) / n_mean.clamp(min=1)
        whole = self._mean(loss.detach()).item()
        if not math.isfinite(whole):
            raise TrainError(
                f"loss is {whole} at step {self.state.global_step + 1}; lower learning_rate "
                f"({self.args.learning_rate:g}) or set precision=fp32"
            )
        tokens = inputs["input_ids"].numel() * self.args.world_size
        optimizer: Any = self.optimizer
        rate = optimizer.param_groups[0]["lr"] if optimizer else 0.0
        self.last_step = {"loss": whole, "learning_rate": rate, "tokens": tokens}
        return loss

    def _mean(self, value: torch.Tensor) -> torch.Tensor:
        """Mean over the processes."""
        found: Any = self.accelerator.reduce(value, reduction="mean")
        return found

    def _get_train_sampler(self, *_: Any, **__: Any) -> SequentialSampler:
        return SequentialSampler(self.train_dataset)  # type: ignore[arg-type]

    def floating_point_ops(self, inputs: Any) -> int:  # noqa: ARG002, D102
        return 0  # the default walks over all parameters at every step


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

    def on_save(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:  # noqa: ARG002, D102
        point = Path(args.output_dir) / f"checkpoint-{state.global_step}"
        if state.is_world_process_zero and point.is_dir():
            write_atomic(point / COMPLETE, "")

    def close(self) -> None:
        """Close the file."""
        if self._journal is not None:
            self._journal.close()


def _cut_curve(path: Path, step: int) -> None:
    """Keep the rows up to ``step``: what follows a resume point is written again."""
    kept = [row for row in read_rows(path) if row["step"] <= step]
    if kept or path.exists():
        write_atomic(path, "".join(json.dumps(row) + "\n" for row in kept))


def uses_bf16(model: torch.nn.Module, config: TrainConfig) -> bool:
    """Whether to train under bf16 autocast (``TrainConfig.precision``)."""
    if config.precision != "auto":
        return config.precision == "bf16"
    if torch.cuda.is_available():
        able = torch.cuda.is_bf16_supported()
    else:
        able = bool(torch.cpu.get_capabilities().get("avx512_bf16"))
    return able and sum(p.numel() for p in model.parameters()) > 20_000_000


@torch.no_grad()
def check_isolation(model: torch.nn.Module) -> None:
    """Prove that packed documents do not see each other in this architecture.

    Two rows that differ in their first document only must give the second the same logits.

    Raises:
        TrainError: they differ.
    """
    was_training = model.training
    model.eval()
    ids = torch.arange(16).repeat(2, 1)
    ids[1, :8] += 16
    positions = torch.arange(8).repeat(2, 2)
    device = next(model.parameters()).device
    output: Any = model(
        input_ids=ids.to(device), position_ids=positions.to(device), use_cache=False
    )
    logits = output.logits[:, 8:].float()
    model.train(was_training)
    if (logits[0] - logits[1]).abs().max() > 1e-3 * logits.abs().max():
        raise TrainError(
            f"{type(model).__name__} lets packed documents see each other; set packing=false"
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


def arguments(
    config: TrainConfig, plan: TrainPlan, out: Path, *, seed: int, bf16: bool
) -> TrainingArguments:
    """The Trainer's arguments: quiet, without needless synchronization, fused AdamW."""
    world = int(os.environ.get("WORLD_SIZE", "1"))
    if config.batch_rows % world:
        raise TrainError(f"batch_rows {config.batch_rows} does not divide over {world} processes")
    return TrainingArguments(
        output_dir=str(out / "resume"),
        per_device_train_batch_size=config.batch_rows // world,
        max_steps=plan.steps,
        learning_rate=config.learning_rate,
        lr_scheduler_type="cosine",
        warmup_steps=math.ceil(plan.steps * config.warmup_share),
        weight_decay=config.weight_decay,
        max_grad_norm=config.max_grad_norm,
        optim="adamw_torch_fused",
        bf16=bf16,
        use_cpu=not torch.cuda.is_available(),
        seed=seed,
        save_strategy="steps" if config.save_every else "no",
        save_steps=config.save_every or 500,
        save_total_limit=2,  # the newest may be torn by a kill
        logging_strategy="no" if config.report_to == "none" else "steps",
        report_to=config.report_to,
        disable_tqdm=True,
        remove_unused_columns=False,
        dataloader_pin_memory=torch.cuda.is_available(),
        average_tokens_across_devices=False,  # done in compute_loss
        ddp_find_unused_parameters=False,
    )


def make_trainer(
    model: Any, config: TrainConfig, plan: TrainPlan, out: Path, *, seed: int, progress: Progress
) -> tuple[RowTrainer, Curve]:
    """The Trainer over ``out/rows.bin``, and its curve; nothing is printed."""
    rows = Rows(open_rows(out, plan, config), row_order(plan, seed))
    curve = Curve(out / "curve.jsonl", plan.steps, progress)
    trainer = RowTrainer(
        model=model,
        args=arguments(config, plan, out, seed=seed, bf16=uses_bf16(model, config)),
        train_dataset=rows,
        data_collator=collate,
        callbacks=[curve],
    )
    curve.trainer = trainer
    trainer.remove_callback(PrinterCallback)
    trainer.remove_callback(ProgressCallback)
    _check_processes(trainer)
    return trainer, curve


def _check_processes(trainer: Trainer) -> None:
    """Launchers that silently do something else are refused (both seen on CPU)."""
    asked = int(os.environ.get("WORLD_SIZE", "1"))
    if trainer.args.world_size != asked:
        raise TrainError(
            f"{asked} processes asked for, {trainer.args.world_size} run; use torchrun"
        )
    kind = trainer.accelerator.distributed_type.value
    if os.environ.get("ACCELERATE_USE_FSDP", "").lower() == "true" and kind != "FSDP":
        raise TrainError(f"FSDP asked for, but accelerate runs {kind}; unset ACCELERATE_USE_FSDP")


def run(
    model: Any, config: TrainConfig, plan: TrainPlan, out: Path, *, seed: int, progress: Progress
) -> RowTrainer:
    """Train to the end, from the last complete resume point if there is one."""
    if config.packing:
        check_isolation(model)
    cached = model.config.use_cache
    trainer, curve = make_trainer(model, config, plan, out, seed=seed, progress=progress)
    point = last_resume_point(out / "resume")
    try:
        trainer.train(resume_from_checkpoint=str(point) if point else None)
    finally:
        curve.close()
    model.config.use_cache = cached  # the Trainer turns it off; a saved model must generate fast
    return trainer
