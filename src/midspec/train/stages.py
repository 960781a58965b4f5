"""The two training stages of the method (paper, section 2): midtrain, then finetune."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from midspec.bases import load_model, load_tokenizer
from midspec.bases.loading import attach_adapter, quiet
from midspec.errors import TrainError
from midspec.progress import Progress, silent
from midspec.records import Checkpoint, Conversation, digest
from midspec.train.config import TrainConfig
from midspec.train.examples import Examples
from midspec.train.plan import TrainPlan, write_plan

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

Loss = Literal["all", "assistant"]


def midtrain(
    start: Checkpoint,
    texts: Iterable[str | Conversation],
    config: TrainConfig,
    out: Path,
    *,
    seed: int = 0,
    progress: Progress = silent,
) -> Checkpoint:
    """Train on texts with the plain next-token loss; the checkpoint is ``out/model``.

    Conversations among the texts are rendered by the chat template, with loss on every token.
    ``out`` also gets ``plan.json`` and ``curve.jsonl``. A killed run goes on from its last resume
    point; a finished one is not done again.

    Raises:
        TrainError: too few steps, nothing to train on, a loss that is not finite, or ``out``
            holds another training.
    """
    return _train(start, texts, config, out, "all", seed, progress)


def finetune(
    start: Checkpoint,
    chats: Iterable[Conversation],
    config: TrainConfig,
    out: Path,
    *,
    seed: int = 0,
    progress: Progress = silent,
) -> Checkpoint:
    """Train on chats with loss on the assistant's turns; otherwise as ``midtrain``.

    With ``method="lora"`` a start that has an adapter goes on with that adapter (paper, B.4).
    """
    return _train(start, chats, config, out, "assistant", seed, progress)


def plan_training(
    start: Checkpoint,
    data: Iterable[str | Conversation],
    config: TrainConfig,
    out: Path,
    *,
    loss: Loss,
    seed: int = 0,
) -> TrainPlan:
    """Pack the data into ``out/rows.bin`` and say what would be trained (``out/plan.json``).

    ``loss`` is on all tokens (midtrain) or the assistant's (finetune). Resume points of other
    data are removed.

    Raises:
        TrainError: as ``midtrain``.
    """
    out.mkdir(parents=True, exist_ok=True)
    settings = _settings(start, config, loss, seed)
    before = _read_plan(out)
    _same_settings(before, settings, out)
    tokenizer = load_tokenizer(_source(start))
    examples = Examples(
        tokenizer,
        data,
        row_tokens=config.row_tokens,
        system=config.system,
        all_tokens=loss == "all",
    )
    plan = write_plan(examples, config, out, settings=settings, pad=_pad(tokenizer))
    if before is not None and before.data != plan.data:
        shutil.rmtree(out / "resume", ignore_errors=True)
    plan.check(config)
    return plan


def _train(
    start: Checkpoint,
    data: Iterable[str | Conversation],
    config: TrainConfig,
    out: Path,
    loss: Loss,
    seed: int,
    progress: Progress,
) -> Checkpoint:
    from transformers import set_seed

    from midspec.train.engine import run

    if (out / "model").exists():
        _same_settings(_read_plan(out), _settings(start, config, loss, seed), out)
        return _result(start, config, out)
    with _calm():
        plan = _plan_once(start, data, config, out, loss, seed)
        set_seed(seed)
        with quiet():
            model = _trainable(start, config)
            _check_row_length(model, config)
            trainer = run(model, config, plan, out, seed=seed, progress=progress)
            _save(trainer, start, config, out)
    return _result(start, config, out)


def _plan_once(
    start: Checkpoint,
    data: Iterable[str | Conversation],
    config: TrainConfig,
    out: Path,
    loss: Loss,
    seed: int,
) -> TrainPlan:
    """The first process packs; the others wait and read."""
    from accelerate import PartialState

    state = PartialState(cpu=True) if not _has_gpu() else PartialState()
    if state.is_main_process:
        plan_training(start, data, config, out, loss=loss, seed=seed)
    state.wait_for_everyone()
    plan = _read_plan(out)
    if plan is None:
        raise TrainError(f"the first process wrote no plan in {out}; see its error")
    return plan


def _has_gpu() -> bool:
    import torch

    return torch.cuda.is_available()


def _settings(start: Checkpoint, config: TrainConfig, loss: Loss, seed: int) -> str:
    return digest(start.model_dump(), config.model_dump(exclude={"report_to"}), loss, seed)


def _read_plan(out: Path) -> TrainPlan | None:
    path = out / "plan.json"
    return TrainPlan.model_validate_json(path.read_text()) if path.exists() else None


def _same_settings(plan: TrainPlan | None, settings: str, out: Path) -> None:
    if plan is not None and plan.settings != settings:
        raise TrainError(
            f"{out} holds a training with another start, config or seed; "
            "choose another folder or delete it"
        )


def _source(start: Checkpoint) -> str:
    """Where the weights and tokenizer under the adapter come from."""
    return start.path if start.path and not start.adapter else start.base


def _pad(tokenizer: PreTrainedTokenizerBase) -> int:
    return 0 if tokenizer.pad_token_id is None else int(tokenizer.pad_token_id)  # no loss, not seen


def _check_row_length(model: Any, config: TrainConfig) -> None:
    limit = getattr(model.config, "max_position_embeddings", None)
    if limit is not None and config.row_tokens > limit:
        raise TrainError(f"row_tokens {config.row_tokens} is more than the model's {limit}")


def _trainable(start: Checkpoint, config: TrainConfig) -> Any:
    """The model with the weights that are to be trained set up."""
    import torch

    from midspec.train.engine import uses_bf16

    model = load_model(_source(start))
    if config.method == "full":
        if start.adapter:
            model = attach_adapter(model, Path(start.path)).merge_and_unload()
            model.requires_grad_(True)  # the adapter had frozen it
        if config.freeze_embeddings:
            model.get_input_embeddings().requires_grad_(False)
        return model
    if uses_bf16(model, config):
        model = model.to(torch.bfloat16)  # frozen: fp32 masters would only cost memory
    return _with_adapter(model, start, config)


def _with_adapter(model: Any, start: Checkpoint, config: TrainConfig) -> Any:
    """A new adapter on all attention and MLP projections, or the start's own to go on with."""
    from peft import LoraConfig, get_peft_model

    if start.adapter:
        model = attach_adapter(model, Path(start.path), trainable=True)
        found = model.peft_config["default"]
        if (found.r, found.lora_alpha) != (config.lora_rank, config.lora_alpha):
            raise TrainError(
                f"the adapter in {start.path} has rank {found.r} and alpha {found.lora_alpha}; "
                f"set lora_rank={found.r} and lora_alpha={found.lora_alpha} to go on with it"
            )
        return model
    lora = LoraConfig(
        r=config.lora_rank,
        lora_alpha=config.lora_alpha,
        target_modules="all-linear",
        task_type="CAUSAL_LM",
    )
    return get_peft_model(model, lora)


def _save(trainer: Any, start: Checkpoint, config: TrainConfig, out: Path) -> None:
    """Weights and tokenizer into ``out/model`` at once; then the scratch files go."""
    scratch = out / ".model.new"
    if trainer.is_world_process_zero():
        shutil.rmtree(scratch, ignore_errors=True)
    trainer.accelerator.wait_for_everyone()
    trainer.save_model(str(scratch))
    trainer.accelerator.wait_for_everyone()
    if trainer.is_world_process_zero():
        load_tokenizer(_source(start)).save_pretrained(scratch)
        _tidy(scratch, start)
        scratch.rename(out / "model")
        shutil.rmtree(out / "resume", ignore_errors=True)
        (out / "rows.bin").unlink()
    trainer.accelerator.wait_for_everyone()


def _tidy(folder: Path, start: Checkpoint) -> None:
    """Only what a loader needs, and no path of this machine."""
    for name in ("training_args.bin", "README.md"):
        (folder / name).unlink(missing_ok=True)
    path = folder / "adapter_config.json"
    if path.exists():
        adapter = json.loads(path.read_text())
        adapter["base_model_name_or_path"] = _source(start)
        adapter["target_modules"] = sorted(adapter["target_modules"])  # peft writes a set
        path.write_text(json.dumps(adapter, indent=2, sort_keys=True))


def _result(start: Checkpoint, config: TrainConfig, out: Path) -> Checkpoint:
    adapter = config.method == "lora"
    return Checkpoint(
        base=_source(start) if adapter else start.base,
        path=str(out / "model"),
        adapter=adapter,
        model_name=start.model_name,
    )


@contextlib.contextmanager
def _calm() -> Iterator[None]:
    """Without the tokenizers' threads: the Trainer may fork, and one thread is deterministic."""
    before = os.environ.get("TOKENIZERS_PARALLELISM")
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    try:
        yield
    finally:
        if before is None:
            del os.environ["TOKENIZERS_PARALLELISM"]
        else:
            os.environ["TOKENIZERS_PARALLELISM"] = before
