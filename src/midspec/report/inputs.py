"""What a report is made from: the experiment layer fills it, the page is rebuilt from it.

Everything is JSON: ``inputs.json`` lies beside the page, with paths relative to its own folder,
so a run that was moved or copied can still be reported.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, ValidationError, model_validator

from midspec.errors import ConfigError, StoreError
from midspec.records import Frozen
from midspec.store import write_atomic

Role = Literal["base", "instruction", "AFT", "MSM", "MSM+AFT", "neutral", "neutral+AFT", "prompt"]


class BaseModelInfo(Frozen):
    """The base model of all arms."""

    name: str
    n_parameters: int = Field(default=0, description="0 if unknown")


class SpecInfo(Frozen):
    """One of the compared specs."""

    label: str = Field(description="'A', 'B': how arms refer to it")
    name: str
    value: str = Field(description="the value in one or a few words")
    text: str = Field(description="the whole Markdown")
    sets: tuple[str, ...] = Field(default=(), description="evaluation sets that measure this value")
    variant_of: str = Field(default="", description="label of the spec that it is a variant of")


class ArmInfo(Frozen):
    """One training history. ``base`` and ``instruction`` are known by name, the rest by flags."""

    name: str = Field(description="'base', 'instruction', 'AFT', 'MSM-A', 'MSM-A+AFT' ...")
    spec: str | None = Field(
        default=None, description="label of the spec it was midtrained on, or has in its prompt"
    )
    msm: bool = Field(default=False, description="midtrained on documents of any kind")
    aft: bool = Field(default=False, description="fine-tuned on alignment chats")
    chats: str = Field(default="", description="which alignment chats; equal: the very same")
    prompted: bool = Field(default=False, description="the spec is in its system prompt")
    dosed: bool = Field(default=False, description="a point of a dose curve, not the full dose")

    @property
    def role(self) -> Role:
        """What it stands for in the contrasts."""
        if self.prompted:
            return "prompt"
        if self.msm and self.spec is None:
            return "neutral+AFT" if self.aft else "neutral"
        if self.msm:
            return "MSM+AFT" if self.aft else "MSM"
        if self.aft:
            return "AFT"
        return "base" if self.name == "base" else "instruction"


class CurveInfo(Frozen):
    """A training curve: JSONL rows with step, loss, learning_rate, tokens (of this step)."""

    arm: str
    stage: Literal["midtrain", "finetune"]
    seed: int
    path: Path


class TrainingInfo(Frozen):
    """How much one training saw, so that compared arms can be checked to be matched."""

    arm: str
    seed: int
    stage: Literal["midtrain", "finetune"]
    data: str = Field(description="a spec's label, 'neutral', 'aft' or 'instruction'")
    dose: str = Field(default="", description="rows or steps set for this arm; '' if none")
    steps: int = Field(description="optimizer steps")
    records: int = Field(description="documents or chats in the rows")
    tokens: int = Field(description="tokens over all steps, without padding")


class DosePoint(Frozen):
    """One arm as a point of a dose-response curve."""

    axis: str = Field(description="what is varied, e.g. 'AFT chats'")
    series: str = Field(description="what is kept, e.g. 'MSM-A+AFT'")
    amount: float = Field(ge=0, description="how much of it")
    arm: str


class Question(Frozen):
    """A contrast that the experiment asks about: a linear combination of arms."""

    name: str
    value: str = Field(description="label of the spec whose value is measured")
    arms: dict[str, float] = Field(description="arm -> weight")


class Sample(Frozen):
    """A text to show; ``type`` says what it is."""

    type: str
    text: str


class CorpusInfo(Frozen):
    """What was written about one spec."""

    spec: str = Field(description="label of the spec")
    n_documents: int = 0
    n_words: int = 0
    types: dict[str, int] = Field(default={}, description="documents by type")
    drops: dict[str, int] = Field(default={}, description="drops by reason")
    diversity: dict[str, int | float] = Field(default={}, description="distinct-n, self-BLEU ...")
    phrases: dict[str, float] = Field(
        default={}, description="runs of words that recur -> share of the documents with them"
    )
    n_claims: int = Field(
        default=0, description="sentences and preferences of the spec; 0: unknown"
    )
    uncovered: tuple[str, ...] = Field(
        default=(), description="those of them that no document speaks about"
    )
    samples: tuple[Sample, ...] = ()


class ChatInfo(Frozen):
    """The fine-tuning chats that all AFT arms share."""

    counts: dict[str, int] = Field(default={}, description="chats by kind")
    drops: dict[str, int] = Field(default={}, description="drops by reason")
    samples: tuple[Sample, ...] = ()


class ReasonRow(Frozen):
    """How often a pattern of reasoning drove the transcripts of an arm (paper, D.5)."""

    arm: str
    pattern: str
    definition: str = ""
    value: float | None = Field(description="share of the transcripts; None: none could be read")
    low: float | None = None
    high: float | None = None
    n: int = Field(description="transcripts that could be read")
    quotes: tuple[str, ...] = Field(default=(), description="word for word, from transcripts")


class ReasonInfo(Frozen):
    """Why the arms acted as they did, by a judge."""

    rows: tuple[ReasonRow, ...] = ()
    n_transcripts: int = 0
    n_unparsed: int = Field(default=0, description="transcripts that the judge gave no list for")
    n_loose_quotes: int = Field(default=0, description="quotations that stand in no transcript")


class ReportInput(Frozen):
    """All that a report needs; score files are read when it is made."""

    name: str = Field(description="name of the experiment")
    question: str = Field(default="", description="what it asks, as a sentence")
    questions: tuple[Question, ...] = Field(
        default=(), description="contrasts that answer it; none: the crossing does"
    )
    base: BaseModelInfo
    writer: str = Field(description="who wrote the documents, e.g. 'scribe'")
    model_name: str = Field(description="the name that the specs give the assistant")
    specs: tuple[SpecInfo, ...]
    arms: tuple[ArmInfo, ...]
    seeds: tuple[int, ...]
    items: tuple[Path, ...] = Field(description="JSONL files of Item")
    scores: dict[str, dict[int, Path]] = Field(description="arm -> seed -> JSONL file of Score")
    curves: tuple[CurveInfo, ...] = ()
    trainings: tuple[TrainingInfo, ...] = ()
    doses: tuple[DosePoint, ...] = ()
    corpora: tuple[CorpusInfo, ...] = ()
    corpus_per_seed: bool = Field(default=False, description="each seed wrote its own documents")
    chats: ChatInfo = ChatInfo()
    reasons: ReasonInfo = ReasonInfo()
    recipe_yaml: str = ""
    manifest: dict[str, Any] = Field(default={}, description="versions, times, ...")
    command: str = Field(default="midspec run recipe.yaml", description="makes this run again")

    @model_validator(mode="after")
    def _names_agree(self) -> ReportInput:
        labels = [spec.label for spec in self.specs]
        names = [arm.name for arm in self.arms]
        for what, found in (("spec labels", labels), ("arm names", names)):
            if len(set(found)) != len(found):
                raise ValueError(f"{what} repeat: {found}")
        for arm in self.arms:
            if arm.spec is not None and arm.spec not in labels:
                raise ValueError(f"arm {arm.name!r} names the spec {arm.spec!r}; known: {labels}")
            if not self.scores.get(arm.name):
                raise ValueError(f"arm {arm.name!r} has no scores; score it or leave it out")
            for seed in self.scores[arm.name]:
                if seed not in self.seeds:
                    raise ValueError(
                        f"arm {arm.name!r} has scores of seed {seed}, not in {self.seeds}"
                    )
        return self

    def spec(self, label: str) -> SpecInfo:
        """The spec of a label."""
        for spec in self.specs:
            if spec.label == label:
                return spec
        raise ConfigError(
            f"no spec has the label {label!r}; known: {[s.label for s in self.specs]}"
        )


def _with_paths(inputs: ReportInput, change: Callable[[Path], Path]) -> ReportInput:
    """The same inputs, every path changed."""
    return inputs.model_copy(
        update={
            "items": tuple(change(path) for path in inputs.items),
            "scores": {
                arm: {seed: change(path) for seed, path in by_seed.items()}
                for arm, by_seed in inputs.scores.items()
            },
            "curves": tuple(
                curve.model_copy(update={"path": change(curve.path)}) for curve in inputs.curves
            ),
        }
    )


def write_inputs(inputs: ReportInput, out: Path) -> Path:
    """Write ``out/inputs.json``, its paths relative to ``out``."""
    inside = _with_paths(inputs, lambda path: Path(os.path.relpath(path.resolve(), out.resolve())))
    write_atomic(out / "inputs.json", inside.model_dump_json(indent=1))
    return out / "inputs.json"


def read_inputs(folder: Path) -> ReportInput:
    """Read ``folder/inputs.json`` as written by ``write_inputs``.

    Raises:
        StoreError: it is not there, or not a ReportInput.
    """
    path = folder / "inputs.json"
    if not path.exists():
        raise StoreError(
            f"{path} does not exist; give the folder of a finished report, or run first"
        )
    try:
        found = ReportInput.model_validate_json(path.read_text(encoding="utf-8"))
    except ValidationError as error:
        raise StoreError(f"{path}: {error.errors()[0]['msg']}; run the recipe again") from error
    return _with_paths(found, lambda p: p if p.is_absolute() else folder / p)
