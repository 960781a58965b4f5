"""From the names that ``midspec eval`` is given to answers in the journal."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from inspect_ai import Task
from inspect_ai.model import GenerateConfig, get_model
from pydantic import Field

from midspec import bases, evals
from midspec.cli import inspect_tasks
from midspec.errors import ConfigError, EvalError
from midspec.evals.fakes import open_model
from midspec.evals.run import answer_items, answer_numbers, answer_task, checkpoint_id
from midspec.evals.spread import spread
from midspec.evals.tasks import choices
from midspec.evals.tasks.capability import lm_eval_scores, perplexity
from midspec.progress import Progress
from midspec.records import Frozen, Item

# Which of its own options a task takes.
TASKS: dict[str, tuple[str, ...]] = {
    "scenarios": (),
    "capability": (),
    "pushback": ("spec",),
    "spec_recall": ("spec",),
    "recall": ("spec",),
    "open_qa": ("judge", "judge_repeats", "epochs", "standard"),
    "agentic_misalignment": ("judge", "epochs", "scratchpad"),
}
LM_EVAL = "lm-eval:"

Made = Task | list[Item] | None  # a task, the items of a set, or a task of lm-eval


class Options(Frozen):
    """What the flags say about tasks."""

    who: dict[str, str] = Field(description="names and in-context spec, for every task")
    own: dict[str, Any] = Field(description="options that some tasks take")
    limit: int = Field(default=0, description="so many items of each task, spread; 0: all")
    max_tokens: int = Field(default=0, description="longest reply; 0: each task's own limit")
    lm_eval_path: Path | None = Field(default=None, description="folder of lm-eval task files")


class Subject:
    """What is measured: a local checkpoint, or a model that Inspect reaches."""

    def __init__(self, name: str, base: str, temperature: float) -> None:
        self.name, self.temperature = name, temperature
        config = GenerateConfig(temperature=temperature, max_retries=5, timeout=1800)
        self.loaded: bases.Loaded | None = None
        if Path(name).is_dir() or name in {info.name for info in bases.list_bases()}:
            self.model = get_model(f"midspec/{name}", config=config, memoize=False, base=base)
            self.loaded = self.model.api.loaded  # type: ignore[attr-defined]
        else:
            self.model = open_model(name, config)

    @property
    def id(self) -> str:
        """What tells its answers apart from those of other checkpoints."""
        return checkpoint_id(self.loaded.checkpoint) if self.loaded else self.name


def make(name: str, options: Options) -> Made:
    """A task by name, or the items of a set.

    Raises:
        ConfigError: an option that the task needs is missing.
        EvalError: there is no such task or set.
    """
    if name.startswith(LM_EVAL):
        return None
    if name not in TASKS:
        return _items(name)
    if "judge" in TASKS[name] and not options.own["judge"]:
        raise ConfigError(f"task {name!r} needs a judge; give --judge and an Inspect model name")
    if name in ("spec_recall", "recall") and not options.own["spec"]:
        raise ConfigError(f"task {name!r} needs --spec, a bundled name or a file")
    own = {option: options.own[option] for option in TASKS[name]}
    return _limited(getattr(inspect_tasks, name)(**own, **options.who), options)


def _limited(task: Task, options: Options) -> Task:
    if options.max_tokens:
        task.config.max_tokens = options.max_tokens
    return task


def _items(name: str) -> list[Item]:
    try:
        return evals.load_items(name)
    except EvalError as error:
        raise EvalError(f"{error}; tasks: {', '.join(TASKS)}") from error


def answer(
    subject: Subject, name: str, made: Made, journal: Path, options: Options, progress: Progress
) -> list[str]:
    """Answer one task into the journal; the keys of its answers.

    Raises:
        EvalError: samples failed, or lm-eval cannot be used.
    """
    if made is None:
        return [_lm_eval(subject, name, journal, options)]
    if isinstance(made, list):
        part = spread(made, options.limit, item=lambda one: one.id, group=lambda one: one.domain)
        return [_answer_set(subject, part, journal, options, progress)]
    key = answer_task(
        made,
        subject.model,
        journal,
        model_id=subject.id,
        name=_called(subject, options),
        settings={"temperature": subject.temperature, **_judged(name, options)},
        limit=options.limit,
        progress=progress,
    )
    return [key, *_plain_text(subject, name, journal)]


def _called(subject: Subject, options: Options) -> str:
    """What answers call it: a checkpoint that has a spec before it is an arm of its own."""
    spec = options.who["in_context"]
    return f"{subject.name} with {spec} in its prompt" if spec else subject.name


def _judged(name: str, options: Options) -> dict[str, Any]:
    """What verdicts depend on besides the answers: judges, repeats, the standard's content."""
    if "judge" not in TASKS[name]:
        return {}
    own, who = options.own, inspect_tasks.setup(**options.who)
    standard = inspect_tasks.named_spec(own["standard"], who).id if own["standard"] else ""
    return {"judge": own["judge"], "judge_repeats": own["judge_repeats"], "standard": standard}


def _plain_text(subject: Subject, name: str, journal: Path) -> list[str]:
    """Bits per byte of plain prose go with ``capability``, where the weights are here."""
    loaded = subject.loaded
    if name != "capability" or not loaded:
        return []
    return [
        answer_numbers(
            journal,
            name,
            subject.name,
            measure="bits_per_byte",
            depends=(subject.id, evals.set_hash("capability")),
            compute=lambda: [perplexity(loaded)],
        )
    ]


def _answer_set(
    subject: Subject, items: list[Item], journal: Path, options: Options, progress: Progress
) -> str:
    """By log-probability and greedy text where the weights are here, else in text."""
    who = inspect_tasks.setup(**options.who)
    if subject.loaded:
        name = _called(subject, options)
        return answer_items(
            subject.loaded, items, journal, system=who.system, name=name, progress=progress
        )
    return answer_task(
        _limited(choices(items, who), options),
        subject.model,
        journal,
        model_id=subject.id,
        name=_called(subject, options),
        settings={"temperature": subject.temperature},
        progress=progress,
    )


def _lm_eval(subject: Subject, name: str, journal: Path, options: Options) -> str:
    loaded, task = subject.loaded, name.removeprefix(LM_EVAL)
    if not loaded:
        raise EvalError(f"{name!r} needs a local checkpoint, not {subject.name!r}")
    return answer_numbers(
        journal,
        name,
        subject.name,
        measure="score",
        depends=(subject.id, options.limit, str(options.lm_eval_path)),
        compute=lambda: lm_eval_scores(loaded, task, options.limit, options.lm_eval_path),
    )
