"""Run a recipe: do what is missing in its graph, then write the report."""

from __future__ import annotations

import json
from pathlib import Path

import yaml
from filelock import FileLock, Timeout

from midspec.errors import StoreError
from midspec.experiment.flow import Flow, build_flow
from midspec.experiment.graph import Observer, artifact_of, execute, in_order
from midspec.experiment.recipe import Recipe
from midspec.records import Frozen
from midspec.store import Store, write_atomic


class Outcome(Frozen):
    """What a run ends with: the page, and its verdict in plain English."""

    page: Path
    verdict: str


def run(recipe: Recipe, artifacts: Path, out: Path, observer: Observer) -> Outcome:
    """Do every stage of the recipe that is not done, then write ``out/<name>/index.html``.

    Killed at any moment, the same call goes on where it was. Two runs at once may not share
    an artifacts folder: the second raises StoreError.
    """
    store = Store(artifacts)
    artifacts.mkdir(parents=True, exist_ok=True)
    lock = FileLock(artifacts / "lock")
    try:
        with lock.acquire(timeout=0):
            flow = build_flow(recipe)
            execute(flow.goals, store, observer)
            return _report(flow, store, out / recipe.name)
    except Timeout as error:
        raise StoreError(
            f"{artifacts} is in use by another run; wait for it, or give another --artifacts"
        ) from error


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
    page = write_report(inputs, folder)
    write_atomic(folder / "artifacts.txt", _artifact_list(flow, store))
    return _outcome(page)


def _outcome(page: Path) -> Outcome:
    analysis = json.loads((page.parent / "analysis.json").read_text())
    return Outcome(page=page, verdict=analysis["verdict"])


def _artifact_list(flow: Flow, store: Store) -> str:
    lines = [f"{artifact_of(s, store).path}\t{s.label}" for s in in_order(flow.goals)]
    return "\n".join(lines) + "\n"
