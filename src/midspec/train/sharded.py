"""FSDP2 (``fully_shard``) under the Trainer: each process holds a part of every weight.

Accelerate's own FSDP silently becomes DDP on CPU, so the model is sharded here, on any device, and
the Trainer is told that it owns its placement. Weights are saved whole, so that a checkpoint loads
in one process; resume points hold each process's own part beside them.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from midspec.errors import TrainError
from midspec.train.engine import RowTrainer


def shard(model: Any, *, bf16: bool) -> None:
    """Shard a model in place, layer by layer, over all processes.

    Under bf16 the weights are gathered in bf16 and the gradients reduced in float32.
    """
    from torch.distributed.fsdp import MixedPrecisionPolicy, fully_shard

    policy = MixedPrecisionPolicy()
    if bf16:
        policy = MixedPrecisionPolicy(param_dtype=torch.bfloat16, reduce_dtype=torch.float32)
    names = set(getattr(model, "_no_split_modules", None) or ())
    layers = [m for m in model.modules() if type(m).__name__ in names]
    if not layers:
        raise TrainError(f"{type(model).__name__} names no layers to shard; set parallel=ddp")
    for layer in layers:
        fully_shard(layer, mp_policy=policy)
    fully_shard(model, mp_policy=policy)


class ShardedTrainer(RowTrainer):
    """The Trainer over a sharded model."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        shard(self.model, bf16=self.args.bf16)
        model: Any = self.model
        model._is_fsdp_managed_module = True  # transformers then defers the reduction of gradients
        self.is_distributed_loading_by_transformers = True

    def _move_model_to_device(self, model: Any, device: Any) -> None:
        """Leave it where it is: the whole model may not fit on one device, and shards move."""

    def _sync_replicated_trainable_parameters(self, model: Any) -> None:
        """Nothing is replicated."""

    @contextlib.contextmanager
    def _defer_fsdp_gradient_reduction(self) -> Iterator[None]:
        model: Any = self.model
        model.set_requires_gradient_sync(False)
        try:
            yield
        finally:
            model.set_requires_gradient_sync(True)

    def _save(self, output_dir: str | None = None, state_dict: dict | None = None) -> None:
        """Gather the weights (all processes take part); the first one writes them."""
        from torch.distributed.checkpoint.state_dict import StateDictOptions, get_model_state_dict

        model: Any = self.model
        options = StateDictOptions(full_state_dict=True, cpu_offload=True)
        state_dict = get_model_state_dict(model, options=options)
        if self.args.should_save:
            super()._save(output_dir, state_dict)

    def _part(self, folder: str) -> Path:
        return Path(folder) / f"part-{self.args.process_index}-of-{self.args.world_size}.pt"

    def _save_optimizer_and_scheduler(self, output_dir: str) -> None:
        model: Any = self.model
        weights = {n: p.detach() for n, p in model.named_parameters() if p.requires_grad}
        optimizer: Any = self.optimizer
        scheduler: Any = self.lr_scheduler
        Path(output_dir).mkdir(parents=True, exist_ok=True)
        torch.save(
            {
                "weights": weights,
                "optimizer": optimizer.state_dict(),
                "scheduler": scheduler.state_dict(),
            },
            self._part(output_dir),
        )

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: Any = None) -> None:
        """Weights come with the optimizer, from this process's part."""

    def _load_optimizer_and_scheduler(self, checkpoint: str | None) -> None:
        if checkpoint is None:
            return
        part = self._part(checkpoint)
        if not part.exists():
            raise TrainError(
                f"{checkpoint} was saved by another number of processes; start as many as then"
            )
        device = self.args.device  # torch cannot restore to an indexed CPU ("cpu:0")
        where = "cpu" if device.type == "cpu" else device
        saved = torch.load(part, map_location=where, weights_only=True)
        model: Any = self.model
        parameters = dict(model.named_parameters())
        with torch.no_grad():
            for name, weight in saved["weights"].items():
                parameters[name].to_local().copy_(weight.to_local())
        optimizer: Any = self.optimizer
        scheduler: Any = self.lr_scheduler
        optimizer.load_state_dict(saved["optimizer"])
        scheduler.load_state_dict(saved["scheduler"])
