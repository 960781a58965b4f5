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

import midspec
from midspec.progress import Progress
from midspec.records import digest
from midspec.store import Artifact, Store

Work = Callable[[Artifact, tuple[Artifact, ...], Progress], Mapping[str, Any]]
"""Does a stage: its own artifact, its inputs' artifacts (in order), progress -> manifest facts."""


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


def execute(goals: Iterable[Stage], store: Store, observer: Observer) -> None:
    """Do every stage that the goals need and that is not done, one at a time.

    A stage that was interrupted finds its artifact folder as it left it, and resumes.
    """
    order = in_order(goals)
    done = [stage for stage in order if artifact_of(stage, store).done]
    todo = [stage for stage in order if not artifact_of(stage, store).done]
    observer.stages(todo, done)
    for stage in todo:
        started = time.monotonic()
        _do(stage, store, observer.started(stage))
        observer.finished(stage, time.monotonic() - started)


def _do(stage: Stage, store: Store, progress: Progress) -> None:
    artifact = artifact_of(stage, store)
    inputs = tuple(artifact_of(source, store) for source in stage.inputs)
    started = time.time()
    facts = stage.work(artifact, inputs, progress)
    artifact.finish(
        {
            "stage": stage.kind,
            "label": stage.label,
            "key": stage.key,
            "version": stage.version,
            "config": dict(stage.config),
            "inputs": {source.label: f"{source.kind}/{source.key}" for source in stage.inputs},
            "midspec": midspec.__version__,
            "python": platform.python_version(),
            "seconds": round(time.time() - started, 3),
            **facts,
        }
    )
