"""What must not go wrong silently: packed documents and processes."""

from __future__ import annotations

import contextlib
import importlib.util
import os
from collections.abc import Iterator
from typing import Any

import torch
from transformers import Trainer

from midspec.errors import TrainError

REPORTERS = ("tensorboard", "wandb", "trackio", "mlflow")


@torch.no_grad()
def check_isolation(model: torch.nn.Module, *, flat: bool = False) -> None:
    """Prove that packed documents do not see each other in this architecture.

    Two rows that differ in their first document only must give the second the same logits;
    ``flat``: as one long row, the way flash attention takes them.

    Raises:
        TrainError: they differ.
    """
    was_training = model.training
    model.eval()
    ids = torch.arange(16).repeat(2, 1)
    ids[1, :8] += 16
    positions = torch.arange(8).repeat(2, 2)
    device = next(model.parameters()).device
    shape = (1, 32) if flat else (2, 16)
    output: Any = model(
        input_ids=ids.view(shape).to(device),
        position_ids=positions.view(shape).to(device),
        use_cache=False,
    )
    logits = output.logits.view(2, 16, -1)[:, 8:].float()
    model.train(was_training)
    if (logits[0] - logits[1]).abs().max() > 1e-3 * logits.abs().max():
        raise TrainError(
            f"{type(model).__name__} lets packed documents see each other; set packing=false"
        )


def check_reporter(name: str) -> None:
    """Refuse a reporter of ``REPORTERS`` whose package is not there.

    Raises:
        TrainError: it is not installed.
    """
    if name in REPORTERS and importlib.util.find_spec(name) is None:
        raise TrainError(f"report_to={name!r} is not installed; run `pip install {name}`")


@contextlib.contextmanager
def reporting(name: str) -> Iterator[None]:
    """A reporter that fails (unknown, no server, not logged in) as one line.

    Raises:
        TrainError: instead of an error that the reporter's package raised, or that names it.
    """
    try:
        yield
    except Exception as error:
        package = type(error).__module__.partition(".")[0]
        asked = isinstance(error, RuntimeError | ValueError | ImportError) and name in str(error)
        if name == "none" or not (package == name or asked):
            raise
        first = next(iter(str(error).splitlines()), type(error).__name__)
        raise TrainError(f"report_to={name!r}: {first}") from error


def check_shardable(parallel: str) -> None:
    """Refuse shards in one process, before there is an attempt to make them.

    Raises:
        TrainError: ``fsdp`` with nobody to share with.
    """
    if parallel == "fsdp" and int(os.environ.get("WORLD_SIZE", "1")) == 1:
        raise TrainError("parallel=fsdp with one process shards nothing; use torchrun or ddp")


def check_processes(trainer: Trainer) -> None:
    """Refuse launchers that silently run something else than was asked for (all seen on CPU).

    Raises:
        TrainError: another number of processes, or accelerate's own FSDP, which becomes DDP.
    """
    asked = int(os.environ.get("WORLD_SIZE", "1"))
    if trainer.args.world_size != asked:
        raise TrainError(
            f"{asked} processes asked for, {trainer.args.world_size} run; use torchrun"
        )
    # What `accelerate launch --cpu --num_processes 2` sets: where to meet, for one process.
    if asked == 1 and "ACCELERATE_USE_CPU" in os.environ and "MASTER_ADDR" in os.environ:
        raise TrainError("several processes asked for, 1 runs; use torchrun, not accelerate launch")
    if os.environ.get("ACCELERATE_USE_FSDP", "").lower() == "true":
        raise TrainError("ACCELERATE_USE_FSDP is set; unset it and set parallel=fsdp instead")


def check_wrapping(model: torch.nn.Module, parallel: str, world: int) -> None:
    """Refuse to train when the model is not wrapped as ``parallel`` says.

    ``model`` is what the Trainer calls: DDP's copy, a model of sharded tensors, or as it was.

    Raises:
        TrainError: it is something else.
    """
    from torch.distributed.tensor import DTensor

    copies = isinstance(model, torch.nn.parallel.DistributedDataParallel)
    shards = all(isinstance(p, DTensor) for p in model.parameters())
    found = "ddp" if copies else "fsdp" if shards else "one process"
    asked = parallel if world > 1 else "one process"
    if found != asked:
        raise TrainError(f"{asked} asked for, but {found} runs; start it with torchrun")
