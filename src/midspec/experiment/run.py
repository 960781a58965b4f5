"""Run a recipe: do what is missing in its graph, then write the report."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import Literal

import yaml
from filelock import FileLock, Timeout
from pydantic import Field

from midspec.errors import StoreError
from midspec.experiment.flow import Flow, build_flows
from midspec.experiment.graph import Observer, artifact_of, execute, in_order
from midspec.experiment.processes import perform_stage
from midspec.experiment.reasoning import FILE as REASONS
from midspec.experiment.recipe import Recipe
from midspec.records import Frozen
from midspec.store import Store, write_atomic

Executor = Literal["local", "ray"]


class Outcome(Frozen):
    """What a run ends with: the page, and its verdict in plain English."""

    page: Path
    verdict: str
    others: tuple[Outcome, ...] = Field(default=(), description="of the recipe's other bases")


def run(
    recipe: Recipe, artifacts: Path, out: Path, observer: Observer, executor: Executor = "local"
) -> Outcome:
    """Do every stage of the recipe that is not done, then write ``out/<name>/index.html``.

    Killed at any moment, the same call goes on where it was, by either executor: ``local`` does
    one stage at a time on this machine, ``ray`` as many as a cluster has room for. Two runs at once
    may not share an artifacts folder: the second raises StoreError.
    """
    store = Store(artifacts)
    artifacts.mkdir(parents=True, exist_ok=True)
    lock = FileLock(artifacts / "lock")
    try:
        with lock.acquire(timeout=0):
            flows = build_flows(recipe)
            _execute(recipe, flows, store, observer, executor)
            first, *others = [_report(flow, store, out / flow.recipe.name) for flow in flows]
            return first.model_copy(update={"others": tuple(others)})
    except Timeout as error:
        raise StoreError(
            f"{artifacts} is in use by another run; wait for it, or give another --artifacts"
        ) from error


def _execute(
    recipe: Recipe, flows: list[Flow], store: Store, observer: Observer, executor: Executor
) -> None:
    goals = [goal for flow in flows for goal in flow.goals]
    if executor == "ray":
        from midspec.experiment.cluster import execute_on_ray

        execute_on_ray(recipe, goals, store, observer)
        return
    execute(goals, store, observer, partial(perform_stage, recipe))


def rebuild_report(folder: Path) -> Outcome:
    """Write a run's report again from its ``inputs.json``."""
    from midspec.report import read_inputs, write_report

    return _outcome(write_report(read_inputs(folder), folder))


def _report(flow: Flow, store: Store, folder: Path) -> Outcome:
    from midspec.experiment.reporting import report_input
    from midspec.report import write_report

    recipe_yaml = yaml.safe_dump(flow.recipe.model_dump(mode="json"), sort_keys=False)
    write_atomic(folder / "recipe.yaml", recipe_yaml)
    inputs = report_input(flow, store, recipe_yaml)
    if flow.reasons:
        found = artifact_of(flow.reasons, store).path / REASONS
        write_atomic(folder / REASONS, found.read_text(encoding="utf-8"))
    page = write_report(inputs, folder)
    write_atomic(folder / "artifacts.txt", _artifact_list(flow, store))
    return _outcome(page)


def _outcome(page: Path) -> Outcome:
    analysis = json.loads((page.parent / "analysis.json").read_text())
    return Outcome(page=page, verdict=analysis["verdict"])


def _artifact_list(flow: Flow, store: Store) -> str:
    lines = [f"{artifact_of(s, store).path}\t{s.label}" for s in in_order(flow.goals)]
    return "\n".join(lines) + "\n"
