"""The weights of a stage: set up for training, and saved so that any loader takes them."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from pathlib import Path
from typing import Any

from midspec.bases import load_model, load_tokenizer
from midspec.bases.loading import attach_adapter
from midspec.errors import TrainError
from midspec.records import Checkpoint
from midspec.train.card import Lineage, write_card
from midspec.train.config import TrainConfig

HUB_IDS = {"smollm2": "HuggingFaceTB/SmolLM2-135M-Instruct"}  # embedded bases that have one
SNAPSHOT = re.compile(r"/models--([^/]+?)--([^/]+)/snapshots/")  # the hub's cache of a model


def source_of(start: Checkpoint) -> str:
    """Where the weights and tokenizer under the adapter come from."""
    return start.path if start.path and not start.adapter else start.base


def hub_id(source: str) -> str:
    """The hub id of a base that has one, whatever it is called here; else ``source`` itself.

    Example:
        >>> hub_id("smollm2"), hub_id("/cache/models--org--name/snapshots/0a1b"), hub_id("tiny")
        ('HuggingFaceTB/SmolLM2-135M-Instruct', 'org/name', 'tiny')
    """
    cached = SNAPSHOT.search(source)
    return "/".join(cached.groups()) if cached else HUB_IDS.get(source, source)


def weights_digest(start: Checkpoint) -> str:
    """Digest of the start's own weight files, wherever they lie; ``""`` for a bare base."""
    found = hashlib.blake2b(digest_size=8)
    files = sorted(Path(start.path).glob("*.safetensors")) if start.path else []
    for file in files:
        with file.open("rb") as opened:
            found.update(hashlib.file_digest(opened, "blake2b").digest())
    return found.hexdigest() if files else ""


def check_row_length(model: Any, config: TrainConfig) -> None:
    """Refuse rows longer than the model's positions."""
    limit = getattr(model.config, "max_position_embeddings", None)
    if limit is not None and config.row_tokens > limit:
        raise TrainError(f"row_tokens {config.row_tokens} is more than the model's {limit}")


def trainable_model(start: Checkpoint, config: TrainConfig) -> Any:
    """The model, with the weights that ``config`` trains set to be trained.

    Full weights stay float32 (pure bf16 learns worse: loss 5.43 against 4.71); under an adapter
    the frozen base is bf16 where training is.
    """
    import torch

    from midspec.train.engine import uses_bf16

    model = load_model(source_of(start))
    if config.attention != "sdpa":
        _set_attention(model, config.attention)
    if start.adapter and (config.method == "full" or config.merge):
        model = merged(model, start)
    if config.method == "full":
        model.requires_grad_(True)  # a merged adapter had frozen it
        if config.freeze_embeddings:
            model.get_input_embeddings().requires_grad_(False)
        return model
    if uses_bf16(model, config):
        model = model.to(torch.bfloat16)  # frozen: fp32 masters would only cost memory
    model = _with_adapter(model, start, config)
    if config.activation_checkpointing:
        model.enable_input_require_grads()  # else nothing below the first adapter has gradients
    return model


def merged(model: Any, start: Checkpoint) -> Any:
    """A base with the start's adapter added into its weights."""
    return attach_adapter(model, Path(start.path)).merge_and_unload()


def _set_attention(model: Any, name: str) -> None:
    if name == "flex_attention" and not has_gpu():
        raise TrainError(
            "attention=flex_attention needs a GPU: on CPU PyTorch has no backward pass for it; "
            "use sdpa"
        )
    try:
        model.set_attn_implementation(name)
    except (ImportError, ValueError) as error:
        first = str(error).splitlines()[0]
        raise TrainError(f"attention={name}: {first}; install it or use sdpa") from error


def has_gpu() -> bool:
    """Whether training runs on a GPU."""
    import torch

    return torch.cuda.is_available()


def _with_adapter(model: Any, start: Checkpoint, config: TrainConfig) -> Any:
    """A new adapter on all attention and MLP projections, or the start's own to go on with."""
    from peft import LoraConfig, get_peft_model

    if start.adapter and not config.merge:
        model = attach_adapter(model, Path(start.path), trainable=True)
        found = model.peft_config["default"]
        if (found.r, found.lora_alpha) != (config.lora_rank, config.lora_alpha):
            raise TrainError(
                f"the adapter in {start.path} has rank {found.r} and alpha {found.lora_alpha}; "
                f"set lora_rank={found.r} and lora_alpha={found.lora_alpha} to go on with it, or "
                "merge=true for a fresh one"
            )
        return model
    lora = LoraConfig(
        r=config.lora_rank,
        lora_alpha=config.lora_alpha,
        target_modules="all-linear",
        task_type="CAUSAL_LM",
    )
    return get_peft_model(model, lora)


def save_model(
    trainer: Any, start: Checkpoint, config: TrainConfig, lineage: Lineage, out: Path
) -> None:
    """A plain Hugging Face folder at ``out/model``, there at once; then the scratch files go.

    Weights or adapter, tokenizer with chat template, generation config, model card.
    """
    scratch = out / ".model.new"
    if trainer.is_world_process_zero():
        shutil.rmtree(scratch, ignore_errors=True)
    trainer.accelerator.wait_for_everyone()
    trainer.save_model(str(scratch))
    trainer.accelerator.wait_for_everyone()
    if trainer.is_world_process_zero():
        if config.merge and start.adapter:
            _merge_again(scratch, start)
        complete(scratch, start)
        _save_generation_config(trainer.model, scratch)
        write_card(scratch, lineage)
        scratch.rename(out / "model")
        _keep_reports(out)
        shutil.rmtree(out / "resume", ignore_errors=True)
        (out / "rows.bin").unlink()
    trainer.accelerator.wait_for_everyone()


def _keep_reports(out: Path) -> None:
    """A reporter that writes files (TensorBoard) does so beside the resume points."""
    written = out / "resume" / "runs"
    if written.exists():
        shutil.rmtree(out / "reports", ignore_errors=True)
        written.rename(out / "reports")


def _merge_again(folder: Path, start: Checkpoint) -> None:
    """Replace the fresh adapter in ``folder`` by full float32 weights: base + both adapters."""
    model = merged(load_model(source_of(start)), start)
    fresh = Checkpoint(base=start.base, path=str(folder), adapter=True)
    model = merged(model, fresh)
    for name in ("adapter_model.safetensors", "adapter_config.json"):
        (folder / name).unlink()
    model.save_pretrained(folder)


def complete(folder: Path, start: Checkpoint) -> None:
    """Make a folder of weights a checkpoint: with tokenizer, and without paths of this machine."""
    load_tokenizer(source_of(start)).save_pretrained(folder)
    for name in ("training_args.bin", "README.md"):
        (folder / name).unlink(missing_ok=True)
    path = folder / "adapter_config.json"
    if path.exists():
        adapter = json.loads(path.read_text())
        adapter["base_model_name_or_path"] = hub_id(source_of(start))
        adapter["target_modules"] = sorted(adapter["target_modules"])  # peft writes a set
        path.write_text(json.dumps(adapter, indent=2, sort_keys=True))


def _save_generation_config(model: Any, folder: Path) -> None:
    """Beside an adapter too: peft leaves it out, and servers read it from the folder."""
    found = getattr(model, "generation_config", None)
    if found is not None and not (folder / "generation_config.json").exists():
        found.save_pretrained(folder)
