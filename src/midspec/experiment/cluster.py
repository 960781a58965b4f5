"""The Ray executor: every stage is a Ray task with the resources it asks for.

All nodes must see the artifacts folder (a shared file system) and have midspec. A task that is
lost with its node runs again elsewhere and goes on from what is in the artifact: replies, answers
or the last resume point. A stage with several workers is one task, whose processes share a node.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from midspec.errors import ConfigError, MidspecError
from midspec.experiment.flow import Flow, build_flows, find_stage
from midspec.experiment.graph import (
    TRAININGS,
    WRITTEN,
    Observer,
    Stage,
    amount_done,
    artifact_of,
    begin,
)
from midspec.experiment.processes import perform_stage
from midspec.experiment.recipe import Recipe, make_recipe
from midspec.progress import Progress, silent
from midspec.records import Frozen
from midspec.store import Store

if TYPE_CHECKING:
    from ray import ObjectRef

RETRIES = 5  # of a task whose node was lost; errors of the work itself are not retried
POLL_SECONDS = 2.0
ON_DEVICE = (*TRAININGS, "scores", "answers")


class Job(Frozen):
    """What a task has to know besides the stage's key."""

    recipe: str
    artifacts: str
    folder: str


def execute_on_ray(
    recipe: Recipe, goals: Iterable[Stage], store: Store, observer: Observer
) -> None:
    """Do what is missing, each stage as soon as its inputs are done and a node has room.

    Connects to the cluster that ``RAY_ADDRESS`` names, to one on this machine, or starts one.

    Raises:
        ConfigError: ray is not installed, or a stage asks for more than any node has.
        MidspecError: a stage failed, or its node was lost too often; the others are cancelled.
    """
    ray = _connect()
    todo = begin(goals, store, observer)
    job = Job(
        recipe=recipe.model_dump_json(),
        artifacts=str(store.root.resolve()),
        folder=str(Path.cwd()),
    )
    kinds = {stage.key: stage.kind for stage in todo}
    requests = {stage.kind: _request(recipe, stage.kind, ray.nodes()) for stage in todo}
    remote = ray.remote(_task)
    running: dict[ObjectRef, Stage] = {}
    refs: dict[str, ObjectRef] = {}
    try:
        for stage in todo:
            before = [refs[source.key] for source in stage.inputs if source.key in refs]
            if recipe.budget and stage.kind in WRITTEN:  # so that each sees what is spent
                before += [refs[key] for key in refs if kinds[key] in WRITTEN][-1:]
            asked = remote.options(name=stage.label, max_retries=RETRIES, **requests[stage.kind])
            refs[stage.key] = asked.remote(job, stage.key, *before)
            running[refs[stage.key]] = stage
        _follow(ray, running, store, observer)
    finally:
        for ref in running:
            ray.cancel(ref, force=True)


def _connect() -> Any:
    try:
        import ray
    except ImportError as error:
        raise ConfigError("ray is not installed; pip install 'midspec[ray]'") from error
    if not ray.is_initialized():
        ray.init(log_to_driver=False, logging_level=logging.ERROR)
    return ray


def _request(recipe: Recipe, kind: str, nodes: list[dict[str, Any]]) -> dict[str, float]:
    """Cores and GPUs of a task; refused if no node has them, since Ray would wait for ever."""
    wanted = recipe.resources_of(kind)
    alive = [node["Resources"] for node in nodes if node["Alive"]]
    gpus = wanted.gpus
    if gpus is None:
        gpus = float(kind in ON_DEVICE and any(node.get("GPU") for node in alive))
    found = {"num_cpus": wanted.cpus * wanted.workers, "num_gpus": gpus * wanted.workers}
    names = {"num_cpus": "CPU", "num_gpus": "GPU"}
    if not any(all(node.get(names[k], 0) >= n for k, n in found.items()) for node in alive):
        raise ConfigError(
            f"{kind} asks for {found['num_cpus']:g} cores and {found['num_gpus']:g} GPUs on one "
            f"node, and none has them; change resources: {{{kind}: ...}} in the recipe"
        )
    return found


def _follow(ray: Any, running: dict[ObjectRef, Stage], store: Store, observer: Observer) -> None:
    """Until all is done, tell the observer what the artifacts show; finished tasks leave."""
    from ray.exceptions import NodeDiedError, OutOfMemoryError, WorkerCrashedError

    shown: dict[str, Progress] = {}
    while running:
        ready, _ = ray.wait(list(running), timeout=POLL_SECONDS)
        for stage in running.values():
            artifact = artifact_of(stage, store)
            if stage.key not in shown and (artifact.path.exists() or artifact.done):
                shown[stage.key] = observer.started(stage)
            if stage.key in shown:
                shown[stage.key](amount_done(artifact, stage.kind), 0)
        for ref in ready:
            stage = running.pop(ref)
            try:
                failed = ray.get(ref)
            except (NodeDiedError, OutOfMemoryError, WorkerCrashedError) as error:
                raise MidspecError(
                    f"{stage.label}: lost {RETRIES + 1} times with its node or for want of memory "
                    f"({type(error).__name__}); what it wrote is kept, run again to go on"
                ) from error
            if failed:
                raise failed
            observer.finished(stage, artifact_of(stage, store).manifest()["seconds"])


# -- on a node ----------------------------------------------------------------------------


def _task(job: Job, key: str, *before: MidspecError | None) -> MidspecError | None:
    """Do one stage on this node; errors on purpose are returned, so that they stay one line."""
    if failed := next((error for error in before if error), None):
        return failed
    if Path(job.folder).is_dir():
        os.chdir(job.folder)  # file names in a recipe may be relative to where it was started
    try:
        recipe, flows = _flows(job.recipe)
        perform_stage(recipe, find_stage(flows, key), Store(Path(job.artifacts)), silent)
    except MidspecError as error:
        return error
    return None


@lru_cache(maxsize=2)
def _flows(recipe: str) -> tuple[Recipe, list[Flow]]:
    """The graph, built once in each of Ray's processes."""
    made = make_recipe(json.loads(recipe))
    return made, build_flows(made)
