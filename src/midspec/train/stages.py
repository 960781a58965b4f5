"""The two training stages of the method (paper, section 2): midtrain, then finetune."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from midspec.bases import load_tokenizer
from midspec.bases.loading import quiet
from midspec.errors import TrainError
from midspec.progress import Progress, silent
from midspec.records import Checkpoint, Conversation, digest
from midspec.train import prepared
from midspec.train.card import Lineage, read_lineage
from midspec.train.config import TrainConfig
from midspec.train.examples import Examples
from midspec.train.failures import explained
from midspec.train.plan import TrainPlan, rescheduled, write_plan
from midspec.train.weights import (
    check_row_length,
    complete,
    has_gpu,
    hub_id,
    save_model,
    source_of,
    trainable_model,
    weights_digest,
)

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

Loss = Literal["all", "assistant"]
Planned = Callable[[TrainPlan], None]


def ignore(plan: TrainPlan) -> None:
    """Take no note of the plan."""


def midtrain(
    start: Checkpoint,
    texts: Iterable[str | Conversation],
    config: TrainConfig,
    out: Path,
    *,
    seed: int = 0,
    progress: Progress = silent,
    plain: Iterable[str] = (),
    names: Mapping[str, str] | None = None,
    planned: Planned = ignore,
) -> Checkpoint:
    """Train on texts with the plain next-token loss; the checkpoint is ``out/model``.

    Conversations among the texts are rendered by the chat template, with loss on every token.
    ``out`` also gets ``plan.json`` and ``curve.jsonl``. A killed run goes on from its last resume
    point; a finished one is not done again. ``plain`` texts are mixed in as
    ``config.plain_share`` says; ``names`` (spec, corpus, recipe ...) go into the model card;
    ``planned`` is told the plan before the first step.

    Raises:
        TrainError: too few steps, nothing to train on, a loss that is not finite, a full disk, no
            memory, or ``out`` holds another training.
        Preempted: SIGTERM came; the next call goes on from there.
    """
    job = _Job(start, config, out, "all", seed, dict(names or {}))
    return _train(job, texts, plain, progress, planned)


def finetune(
    start: Checkpoint,
    chats: Iterable[str | Conversation],
    config: TrainConfig,
    out: Path,
    *,
    seed: int = 0,
    progress: Progress = silent,
    plain: Iterable[str] = (),
    names: Mapping[str, str] | None = None,
    planned: Planned = ignore,
) -> Checkpoint:
    """Train on chats with loss on the assistant's turns; otherwise as ``midtrain``.

    Plain texts among the chats are trained on whole.

    With ``method="lora"`` a start that has an adapter goes on with that adapter (paper, B.4), or
    with ``config.merge`` its adapter is merged and a fresh one trained: another experiment, whose
    checkpoint is full weights.
    """
    job = _Job(start, config, out, "assistant", seed, dict(names or {}))
    return _train(job, chats, plain, progress, planned)


def plan_training(
    start: Checkpoint,
    data: Iterable[str | Conversation],
    config: TrainConfig,
    out: Path,
    *,
    loss: Loss,
    seed: int = 0,
    plain: Iterable[str] = (),
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
    with explained(out):
        if config.plain_share:  # how much plain text is read depends on the rest
            examples = Examples(tokenizer, data, config, all_tokens=loss == "all", plain=plain)
            plan = write_plan(examples, config, out, settings=settings, pad=_pad(tokenizer))
        else:
            plan = _plan_by_content(tokenizer, data, config, out, settings, loss == "all")
    if before is not None and before.data != plan.data:
        shutil.rmtree(out / "resume", ignore_errors=True)
    plan.check(config)
    return plan


def _plan_by_content(
    tokenizer: PreTrainedTokenizerBase,
    data: Iterable[str | Conversation],
    config: TrainConfig,
    out: Path,
    settings: str,
    all_tokens: bool,
) -> TrainPlan:
    """The plan and rows as they were made before from the same data, or made now and kept."""
    spool = out / f".data.{os.getpid()}.jsonl"
    try:
        content = prepared.spool(data, spool)
        key = prepared.rows_key(tokenizer, config, content, all_tokens=all_tokens)
        fields = prepared.recall(key, out, config.row_tokens) if key else None
        if fields is not None:
            return rescheduled(fields, config, out, settings=settings)
        examples = Examples(tokenizer, prepared.spooled(spool), config, all_tokens=all_tokens)
        plan = write_plan(examples, config, out, settings=settings, pad=_pad(tokenizer))
        if key:
            prepared.keep(key, out)
        return plan
    finally:
        spool.unlink(missing_ok=True)


@dataclass(frozen=True)
class _Job:
    """One call of a stage, without its data."""

    start: Checkpoint
    config: TrainConfig
    out: Path
    loss: Loss
    seed: int
    names: dict[str, str]

    def settings(self) -> str:
        return _settings(self.start, self.config, self.loss, self.seed)

    def lineage(self, plan: TrainPlan) -> Lineage:
        """What goes into the model card."""
        start = self.start
        return Lineage(
            stage="midtrain" if self.loss == "all" else "finetune",
            base=hub_id(start.base),
            start=weights_digest(start),
            data=plan.data,
            documents=plan.documents,
            tokens=plan.tokens,
            supervised_tokens=plan.supervised_tokens,
            steps=plan.steps,
            seed=self.seed,
            config=self.config.model_dump(exclude=set(self.config.cosmetic)),
            names=self.names,
            before=read_lineage(Path(start.path)) if start.path else None,
        )

    def result(self) -> Checkpoint:
        """The checkpoint that is, or will be, in ``out/model``."""
        merges = self.config.merge and self.start.adapter
        adapter = self.config.method == "lora" and not merges
        return Checkpoint(
            base=source_of(self.start) if adapter else self.start.base,
            path=str(self.out / "model"),
            adapter=adapter,
            model_name=self.start.model_name,
        )


def _train(
    job: _Job,
    data: Iterable[str | Conversation],
    plain: Iterable[str],
    progress: Progress,
    planned: Planned,
) -> Checkpoint:
    from transformers import set_seed

    from midspec.train.engine import run

    if (job.out / "model").exists():
        _same_settings(_read_plan(job.out), job.settings(), job.out)
        return job.result()
    with _calm():
        plan = _plan_once(job, data, plain)
        planned(plan)
        set_seed(job.seed)
        with quiet(), explained(job.out):
            model = trainable_model(job.start, job.config)
            check_row_length(model, job.config)
            trainer = run(
                model,
                job.config,
                plan,
                job.out,
                seed=job.seed,
                progress=progress,
                finish=lambda point: complete(point, job.start),
            )
            save_model(trainer, job.start, job.config, job.lineage(plan), job.out)
    return job.result()


def _plan_once(job: _Job, data: Iterable[str | Conversation], plain: Iterable[str]) -> TrainPlan:
    """The first process packs; the others wait and read."""
    from accelerate import PartialState

    state = PartialState(cpu=True) if not has_gpu() else PartialState()
    if state.is_main_process:
        plan_training(
            job.start, data, job.config, job.out, loss=job.loss, seed=job.seed, plain=plain
        )
    state.wait_for_everyone()
    plan = _read_plan(job.out)
    if plan is None:
        raise TrainError(f"the first process wrote no plan in {job.out}; see its error")
    return plan


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
