"""The two training stages of the method (paper, section 2): midtrain, then finetune."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from midspec.bases import load_tokenizer
from midspec.bases.loading import quiet
from midspec.errors import TrainError
from midspec.progress import Progress, silent
from midspec.records import Checkpoint, Conversation, digest
from midspec.train.config import TrainConfig
from midspec.train.examples import Examples
from midspec.train.plan import TrainPlan, write_plan
from midspec.train.weights import (
    check_row_length,
    save_model,
    source_of,
    trainable_model,
    weights_digest,
)

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
    chats: Iterable[str | Conversation],
    config: TrainConfig,
    out: Path,
    *,
    seed: int = 0,
    progress: Progress = silent,
) -> Checkpoint:
    """Train on chats with loss on the assistant's turns; otherwise as ``midtrain``.

    Plain texts among the chats are trained on whole.

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
    tokenizer = load_tokenizer(source_of(start))
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
            model = trainable_model(start, config)
            check_row_length(model, config)
            trainer = run(model, config, plan, out, seed=seed, progress=progress)
            save_model(trainer, start, out)
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
    settings = config.model_dump(exclude=set(config.cosmetic))
    return digest(start.base, start.adapter, weights_digest(start), settings, loss, seed)


def _read_plan(out: Path) -> TrainPlan | None:
    path = out / "plan.json"
    return TrainPlan.model_validate_json(path.read_text()) if path.exists() else None


def _same_settings(plan: TrainPlan | None, settings: str, out: Path) -> None:
    if plan is not None and plan.settings != settings:
        raise TrainError(
            f"{out} holds a training with another start, config or seed; "
            "choose another folder or delete it"
        )


def _pad(tokenizer: PreTrainedTokenizerBase) -> int:
    pad: Any = tokenizer.pad_token_id
    return 0 if pad is None else int(pad)  # any token will do: no loss, and nobody sees it


def _result(start: Checkpoint, config: TrainConfig, out: Path) -> Checkpoint:
    adapter = config.method == "lora"
    return Checkpoint(
        base=source_of(start) if adapter else start.base,
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
