"""Parts of a recipe: what is measured, what is asked, what is restated, what stages need."""

from __future__ import annotations

import re
from typing import Any, Literal

from pydantic import Field, model_validator

from midspec.corpus import RestateConfig
from midspec.experiment.graph import TRAININGS
from midspec.experiment.tasks import TASK_NAMES, TaskName, about_spec, needs_judge
from midspec.records import Frozen

SpecLabel = str
REASONED_TASK: TaskName = "agentic_misalignment"  # in whose answers patterns of reasoning are found


class Evaluation(Frozen):
    """Which evaluation sets measure which spec's value.

    ``{A: [affordability], B: [america]}`` is short for ``{sets: {A: [...], B: [...]}}``.
    """

    sets: dict[SpecLabel, tuple[str, ...]] = Field(
        default={},
        description="label of a spec -> sets (bundled names, 'scenarios', or JSONL files) and "
        "tasks (agentic_misalignment, open_qa, pushback, spec_recall, capability)",
    )
    also: tuple[str, ...] = Field(
        default=(), description="sets and tasks that are measured, but show no spec's value"
    )
    judge: str = Field(default="", description="Inspect model that judges answers to tasks")
    epochs: int = Field(default=1, ge=1, description="answers to each sample of a task")
    temperature: float = Field(
        default=0.0, ge=0, description="of answers to tasks; 0: the likeliest, each time the same"
    )
    reasons: bool = Field(
        default=False,
        description="let the judge find patterns of reasoning in answers to agentic_misalignment",
    )
    recall: bool = Field(
        default=True, description="add 'why do you like X?' items made from the specs"
    )
    scorers: tuple[Literal["logprob", "greedy"], ...] = ("logprob", "greedy")
    reply_start: str = Field(
        default="",
        description="what the reply to a preference question starts with, before the option "
        "('I prefer '), for the log-probability scorer: as the chats answer",
    )
    max_items: int = Field(
        default=0, ge=0, description="items of each set or samples of each task; 0: all"
    )
    max_greedy: int = Field(
        default=0, ge=0, description="items of each set that are also asked for text; 0: all"
    )

    @model_validator(mode="before")
    @classmethod
    def _read_short(cls, value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        short = {k: v for k, v in value.items() if k not in cls.model_fields and is_names(v)}
        rest = {k: v for k, v in value.items() if k not in short}
        return {**rest, "sets": {**value.get("sets", {}), **short}} if short else value

    @model_validator(mode="after")
    def _askable(self) -> Evaluation:
        for _, name in self.tasks():
            if needs_judge(name) and not self.judge:
                raise ValueError(f"{name} needs a judge; write judge: MODEL under evals")
        if self.reasons and REASONED_TASK not in {name for _, name in self.tasks()}:
            raise ValueError(f"reasons are found in answers to {REASONED_TASK}; ask it as well")
        own = [name for names in self.sets.values() for name in names if name in TASK_NAMES]
        if own and "logprob" in self.scorers:
            raise ValueError(
                f"{own[0]} is answered in text; write scorers: [greedy], so that all of a value "
                "is measured one way"
            )
        if "spec_recall" in self.also:
            raise ValueError("spec_recall asks about one spec; write it under that spec's label")
        return self

    def tasks(self) -> list[tuple[SpecLabel, TaskName]]:
        """Every task once for each spec that it is asked about; the label is empty for others."""
        asked = [(label, name) for label, names in self.sets.items() for name in names]
        asked += [("", name) for name in self.also]
        found: dict[tuple[SpecLabel, TaskName], None] = {}
        for label, name in asked:
            for task in TASK_NAMES:
                if name == task:
                    found[label if about_spec(name) else "", task] = None
        return list(found)

    def of(self, label: SpecLabel) -> tuple[str, ...]:
        """The sets of one spec; none for a spec that is not measured by any of its own."""
        return self.sets.get(label, ())


def is_names(value: Any) -> bool:
    """Whether a value of YAML is a list of names."""
    return isinstance(value, list | tuple) and all(isinstance(name, str) for name in value)


class Comparison(Frozen):
    """A contrast that a recipe asks about, as weights of arms on one spec's items.

    Example:
        >>> Comparison(name="AFT adds", value="A", arms={"AFT": 1, "base": -1}).arms["AFT"]
        1.0
    """

    name: str = Field(min_length=1, description="what it is called in the report")
    value: SpecLabel = Field(description="label of the spec whose evaluation sets are measured")
    arms: dict[str, float] = Field(min_length=2, description="arm -> weight; weights sum to zero")

    @model_validator(mode="after")
    def _balanced(self) -> Comparison:
        if abs(sum(self.arms.values())) > 1e-9:
            raise ValueError(f"weights of {self.name!r} sum to {sum(self.arms.values())}, not 0")
        return self


class Restated(Frozen):
    """Documents of a spec in other words: as norms or facts, about the model or others (H)."""

    of: SpecLabel = Field(description="label of the spec whose documents are restated")
    how: RestateConfig = RestateConfig()


class Resources(Frozen):
    """What a stage asks of the machine it runs on; it does not change what comes out."""

    cpus: float = Field(default=1, gt=0, description="cores for each process (Ray)")
    gpus: float | None = Field(
        default=None,
        ge=0,
        description="GPUs for each process (Ray); empty: one to train or score, if there are any",
    )
    workers: int = Field(
        default=1, ge=1, description="processes on one node that share a training (any executor)"
    )


StageKind = Literal[
    "items", "given", "plan", "documents", "chats", "restate", "curate", "match",
    "midtrain", "finetune", "scores", "answers", "join", "reasons",
]  # fmt: skip


def check_resources(wanted: dict[StageKind, Resources]) -> dict[StageKind, Resources]:
    """Only trainings can be shared by several processes; ValueError otherwise."""
    for kind, one in wanted.items():
        if one.workers > 1 and kind not in TRAININGS:
            raise ValueError(f"{kind} runs in one process; only {' and '.join(TRAININGS)} share")
    return wanted


def file_name(base: str) -> str:
    """The last part of a base's name, as a file may be called.

    Example:
        >>> file_name("Qwen/Qwen2.5-32B-Instruct")
        'Qwen2.5-32B-Instruct'
    """
    return re.sub(r"[^\w.-]", "-", base.rstrip("/").rpartition("/")[2])
