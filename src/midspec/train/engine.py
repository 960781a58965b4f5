"""The training loop: ``transformers.Trainer`` on packed rows, killed and resumed at will.

Why documents in one row do not see each other: positions restart with each document, no attention
mask is given and the cache is off; then transformers derives a block-causal mask for sdpa from the
positions. ``guards.check_isolation`` proves it on the model at hand before the first step.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils.data import Dataset, SequentialSampler
from transformers import PrinterCallback, Trainer, TrainingArguments
from transformers.trainer_callback import ProgressCallback

from midspec.errors import TrainError
from midspec.progress import Progress
from midspec.train.callbacks import Curve, Preemption, ResumePoints
from midspec.train.config import TrainConfig
from midspec.train.examples import IGNORE
from midspec.train.failures import Preempted, check_finite, explained, last_resume_point
from midspec.train.guards import (
    check_isolation,
    check_processes,
    check_reporter,
    check_shardable,
    check_wrapping,
    reporting,
)
from midspec.train.lora import add_in_place
from midspec.train.loss import LabelledLogits
from midspec.train.plan import TrainPlan, open_rows, row_order, warmup_steps

EMPTY = -1  # in an order: a row without labels, which fills up the last step


class Rows(Dataset[np.ndarray]):
    """Rows in the order of training, int32 [3, row_tokens] each."""

    def __init__(self, rows: np.ndarray, order: np.ndarray) -> None:
        self.rows, self.order = rows, order

    def __len__(self) -> int:
        return len(self.order)

    def __getitem__(self, index: int) -> np.ndarray:
        if self.order[index] == EMPTY:
            row = np.zeros_like(self.rows[0])
            row[1] = IGNORE
            return row
        return self.rows[self.order[index]]


def collate(rows: list[np.ndarray], *, flat: bool = False) -> dict[str, torch.Tensor]:
    """``input_ids``, ``labels``, ``position_ids``, each int64 [rows, row_tokens]; no mask.

    ``flat`` joins them to one row: flash attention finds documents by their positions only there.
    """
    ids_labels_positions = torch.from_numpy(np.stack(rows, axis=1).astype(np.int64))
    if flat:
        ids_labels_positions = ids_labels_positions.reshape(3, 1, -1)
    return dict(zip(("input_ids", "labels", "position_ids"), ids_labels_positions, strict=True))


def collate_flat(rows: list[np.ndarray]) -> dict[str, torch.Tensor]:
    """``collate`` to one row."""
    return collate(rows, flat=True)


class RowTrainer(Trainer):
    """The Trainer with our loss: the mean over all labelled tokens of a step, of all processes."""

    loss_is_scaled_for_ga = True  # compute_loss divides by the labels of the whole step

    def __init__(self, *args: Any, parallel: str = "ddp", **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        add_in_place(self.model)  # type: ignore[arg-type]
        self.parallel = parallel
        self.labelled = LabelledLogits(self.model)
        self.model_accepts_loss_kwargs = False
        self.last_step: dict[str, float] = {}
        self._counted_step = -1

    def _get_num_items_in_batch(self, batch_samples: list, device: torch.device) -> Any:
        n = sum((batch["labels"][:, 1:] != IGNORE).sum() for batch in batch_samples)
        return n.to(device) if isinstance(n, torch.Tensor) else None

    def compute_loss(  # noqa: D102
        self,
        model: torch.nn.Module,
        inputs: dict[str, Any],
        return_outputs: bool = False,  # noqa: ARG002
        num_items_in_batch: Any = None,
    ) -> Any:
        first = self._counted_step != self.state.global_step
        if self._counted_step < 0:
            check_wrapping(model, self.parallel, self.args.world_size)
        self._counted_step = self.state.global_step
        n_mean = self._mean(num_items_in_batch.float())
        loss = self.labelled.loss(model, inputs) / n_mean.clamp(min=1)
        whole = self._mean(loss.detach()).item()
        self._check("loss", whole)
        tokens = inputs["input_ids"].numel() * self.args.world_size
        optimizer: Any = self.optimizer
        rate = optimizer.param_groups[0]["lr"] if optimizer else 0.0
        before = {"loss": 0.0, "tokens": 0} if first else self.last_step
        self.last_step = {
            "loss": before["loss"] + whole,
            "learning_rate": rate,
            "tokens": before["tokens"] + tokens,
        }
        return loss

    def _check(self, name: str, value: float) -> None:
        resume, rate = Path(self.args.output_dir or "."), self.args.learning_rate
        check_finite(name, value, self.state.global_step + 1, rate, resume)

    def _clip_grad_norm(self, model: torch.nn.Module) -> Any:
        norm: Any = super()._clip_grad_norm(model)
        norm = norm.full_tensor() if hasattr(norm, "full_tensor") else norm
        self._check("norm of the gradients", float(norm))  # else the weights would be lost
        return norm

    def _mean(self, value: torch.Tensor) -> torch.Tensor:
        """Mean over the processes."""
        found: Any = self.accelerator.reduce(value, reduction="mean")
        return found

    def _get_train_sampler(self, *_: Any, **__: Any) -> SequentialSampler:
        return SequentialSampler(self.train_dataset)  # type: ignore[arg-type]

    def floating_point_ops(self, inputs: Any) -> int:  # noqa: ARG002, D102
        return 0  # the default walks over all parameters at every step


def uses_bf16(model: torch.nn.Module, config: TrainConfig) -> bool:
    """Whether to train under bf16 autocast (``TrainConfig.precision``)."""
    if config.precision != "auto":
        return config.precision == "bf16"
    if torch.cuda.is_available():
        able = torch.cuda.is_bf16_supported()
    else:
        able = bool(torch.cpu.get_capabilities().get("avx512_bf16"))
    return able and sum(p.numel() for p in model.parameters()) > 20_000_000


def world_size() -> int:
    """Processes that the launcher started (``torchrun``); 1 without one."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def micro_batches(config: TrainConfig) -> tuple[int, int]:
    """Rows of one forward pass of one process, and passes a step.

    Raises:
        TrainError: the rows of a step do not divide over processes and passes.
    """
    world = world_size()
    rows = config.micro_rows or max(1, config.batch_rows // world)
    passes = config.batch_rows // (rows * world)
    if passes * rows * world != config.batch_rows:
        over = f" of {config.micro_rows} rows" if config.micro_rows else ""
        raise TrainError(
            f"batch_rows {config.batch_rows} does not divide over {world} processes{over}"
        )
    return rows, passes


def arguments(
    config: TrainConfig, plan: TrainPlan, out: Path, *, seed: int, bf16: bool
) -> TrainingArguments:
    """The Trainer's arguments: quiet, without needless synchronization, fused AdamW."""
    rows, passes = micro_batches(config)
    return TrainingArguments(
        output_dir=str(out / "resume"),
        per_device_train_batch_size=rows,
        gradient_accumulation_steps=passes,
        activation_checkpointing=config.activation_checkpointing,
        max_steps=plan.steps,
        learning_rate=config.learning_rate,
        lr_scheduler_type="cosine",
        warmup_steps=warmup_steps(plan.steps, config),
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
        logging_steps=1,
        report_to=config.report_to,
        run_name=str(out),
        disable_tqdm=True,
        remove_unused_columns=False,
        dataloader_pin_memory=torch.cuda.is_available(),
        average_tokens_across_devices=False,  # done in compute_loss
        ddp_find_unused_parameters=False,
    )


def _order(plan: TrainPlan, config: TrainConfig, seed: int) -> np.ndarray:
    """The rows' order; several passes or processes need whole steps, so empty rows fill up."""
    order = row_order(plan, seed)
    rows, _ = micro_batches(config)
    missing = plan.steps * config.batch_rows - len(order) if rows != config.batch_rows else 0
    return np.concatenate([order, np.full(missing, EMPTY, dtype=order.dtype)])


def make_trainer(
    model: Any,
    config: TrainConfig,
    plan: TrainPlan,
    out: Path,
    *,
    seed: int,
    progress: Progress,
    finish: Callable[[Path], None] = lambda _: None,
) -> tuple[RowTrainer, Curve]:
    """The Trainer over ``out/rows.bin``, and its curve; nothing is printed.

    ``finish`` adds to each resume point what a checkpoint needs (tokenizer, base).
    """
    from midspec.train.sharded import ShardedTrainer

    check_shardable(config.parallel)
    rows = Rows(open_rows(out, plan, config), _order(plan, config, seed))
    check_reporter(config.report_to)
    curve = Curve(out / "curve.jsonl", plan.steps, progress)
    kind = ShardedTrainer if config.parallel == "fsdp" else RowTrainer
    with reporting(config.report_to):
        trainer = kind(
            model=model,
            args=arguments(config, plan, out, seed=seed, bf16=uses_bf16(model, config)),
            train_dataset=rows,
            data_collator=collate_flat if config.attention.startswith("flash") else collate,
            callbacks=[curve, ResumePoints(finish)],
            parallel=config.parallel,
        )
    curve.trainer = trainer
    trainer.remove_callback(PrinterCallback)
    trainer.remove_callback(ProgressCallback)
    check_processes(trainer)
    return trainer, curve


def run(
    model: Any,
    config: TrainConfig,
    plan: TrainPlan,
    out: Path,
    *,
    seed: int,
    progress: Progress,
    finish: Callable[[Path], None] = lambda _: None,
) -> RowTrainer:
    """Train to the end, from the last complete resume point if there is one.

    Raises:
        Preempted: SIGTERM came, and a resume point was written.
        TrainError: the loss is not finite, the disk is full or memory ran out; the message names
            the last resume point.
    """
    if config.packing:
        check_isolation(model, flat=config.attention.startswith("flash"))
    cached = model.config.use_cache
    trainer, curve = make_trainer(
        model, config, plan, out, seed=seed, progress=progress, finish=finish
    )
    preemption = Preemption()
    trainer.add_callback(preemption)
    point = last_resume_point(out / "resume")
    try:
        with explained(out), reporting(config.report_to), preemption.listening():
            trainer.train(resume_from_checkpoint=str(point) if point else None)
    finally:
        curve.close()
    if trainer.state.global_step < plan.steps:
        raise Preempted(trainer.state.global_step, plan.steps)
    model.config.use_cache = cached  # the Trainer turns it off; a saved model must generate fast
    return trainer
