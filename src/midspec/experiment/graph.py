"""The graph of stages: each knows its inputs, its key, and how to do its work.

A stage's key digests its kind, code version, configuration and the keys of its inputs, so a
changed line of a recipe redoes exactly what depends on it, and equal stages of two arms are
one stage.
"""

from __future__ import annotations

import platform
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Protocol

from filelock import FileLock

import midspec
from midspec.progress import Progress
from midspec.records import digest
from midspec.store import Artifact, Store, read_rows

Work = Callable[[Artifact, tuple[Artifact, ...], Progress], Mapping[str, Any]]
"""Does a stage: its own artifact, its inputs' artifacts (in order), progress -> manifest facts."""
TRAININGS = ("midtrain", "finetune")
WRITTEN = ("plan", "documents", "chats", "restate")


@dataclass(frozen=True, eq=False)
class Stage:
    """One function over records whose result is an artifact.

    ``config`` is everything that decides the result besides the inputs; ``version`` is raised
    when the code behind ``work`` changes what comes out.
    """

    kind: str
    label: str
    version: int
    config: Mapping[str, Any]
    work: Work = field(repr=False)
    inputs: tuple[Stage, ...] = ()

    @cached_property
    def key(self) -> str:
        """The content key: equal keys mean equal results."""
        return digest(self.kind, self.version, dict(self.config), [i.key for i in self.inputs])


class Observer(Protocol):
    """Told what runs; the CLI draws progress bars from it."""

    def stages(self, todo: list[Stage], done: list[Stage]) -> None:
        """What will run and what is there already, before anything runs."""
        ...

    def started(self, stage: Stage) -> Progress:
        """A stage starts; the returned callback hears how far it is."""
        ...

    def finished(self, stage: Stage, seconds: float) -> None:
        """A stage is done."""
        ...


def in_order(goals: Iterable[Stage]) -> list[Stage]:
    """All stages that the goals need, inputs first, each key once."""
    found: dict[str, Stage] = {}

    def visit(stage: Stage) -> None:
        if stage.key not in found:
            for source in stage.inputs:
                visit(source)
            found[stage.key] = stage

    for goal in goals:
        visit(goal)
    return list(found.values())


def artifact_of(stage: Stage, store: Store) -> Artifact:
    """Where a stage's result is or will be."""
    return store.artifact(stage.kind, stage.key)


def begin(goals: Iterable[Stage], store: Store, observer: Observer) -> list[Stage]:
    """The stages that are not done, inputs first; the observer hears of both kinds."""
    order = in_order(goals)
    done = [stage for stage in order if artifact_of(stage, store).done]
    todo = [stage for stage in order if not artifact_of(stage, store).done]
    observer.stages(todo, done)
    return todo


def execute(
    goals: Iterable[Stage],
    store: Store,
    observer: Observer,
    do: Callable[[Stage, Store, Progress], None] | None = None,
) -> None:
    """Do every stage that the goals need and that is not done, one at a time.

    A stage that was interrupted finds its artifact folder as it left it, and resumes.
    """
    for stage in begin(goals, store, observer):
        started = time.monotonic()
        (do or perform)(stage, store, observer.started(stage))
        observer.finished(stage, time.monotonic() - started)


def perform(stage: Stage, store: Store, progress: Progress) -> None:
    """Do one stage, unless another process has done it meanwhile.

    The stage's own lock keeps a process that was given up (its node was lost to the run, but
    lives) and the one that does the stage again from writing to one folder at once.
    """
    artifact = artifact_of(stage, store)
    with FileLock(artifact.file("lock")):
        if not artifact.done:
            started = time.time()
            finish(stage, store, work(stage, store, progress), time.time() - started)


def work(stage: Stage, store: Store, progress: Progress) -> Mapping[str, Any]:
    """Do the work of a stage without finishing its artifact; the facts for its manifest."""
    inputs = tuple(artifact_of(source, store) for source in stage.inputs)
    return stage.work(artifact_of(stage, store), inputs, progress)


def finish(stage: Stage, store: Store, facts: Mapping[str, Any], seconds: float) -> None:
    """Write the manifest and the done marker of a stage."""
    artifact_of(stage, store).finish(
        {
            "stage": stage.kind,
            "label": stage.label,
            "key": stage.key,
            "version": stage.version,
            "config": dict(stage.config),
            "inputs": {source.label: f"{source.kind}/{source.key}" for source in stage.inputs},
            "midspec": midspec.__version__,
            "python": platform.python_version(),
            "seconds": round(seconds, 3),
            **facts,
        }
    )


def amount_done(artifact: Artifact, kind: str) -> int:
    """How far a stage that has begun is, from its files: steps, answers or replies; else 0."""
    if kind in TRAININGS:
        return max(
            (int(row["step"]) for row in read_rows(artifact.path / "curve.jsonl")), default=0
        )
    journals = {"answers": "answers.jsonl", "reasons": "judge.jsonl"}
    journal = journals.get(kind, "replies.jsonl")
    return sum(1 for _ in read_rows(artifact.path / journal))
