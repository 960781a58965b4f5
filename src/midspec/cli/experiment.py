"""Commands over experiments: what a recipe will do, do it, and where it is."""

from __future__ import annotations

import time
from collections import Counter
from pathlib import Path
from typing import Annotated

import typer
from rich.live import Live
from rich.table import Table
from rich.text import Text

from midspec.cli.show import console
from midspec.cli.watching import observing
from midspec.experiment import (
    Executor,
    ExperimentPlan,
    Outcome,
    Recipe,
    StagePlan,
    find_recipe,
    make_recipe,
    plan_experiment,
    progress_of,
    read_recipe,
    run,
)

app = typer.Typer()

RecipeName = Annotated[str, typer.Argument(help="A recipe file, or the name of a bundled one.")]
Artifacts = Annotated[
    Path, typer.Option(help="Folder for the results of stages, shared by all runs.")
]
Seeds = Annotated[str, typer.Option(help="Comma-separated training seeds.")]
Force = Annotated[bool, typer.Option("--force", help="Train even with fewer than 20 steps.")]
ExecutorName = Annotated[
    Executor,
    typer.Option(help="local: one stage at a time; ray: as many as a cluster has room for."),
]
MARKS = {"done": "[green]done[/green]", "begun": "[yellow]begun[/yellow]", "waiting": "to do"}


@app.command()
def plan(
    recipe: RecipeName,
    artifacts: Artifacts = Path("artifacts"),
    seeds: Seeds = "",
    force: Force = False,
    all_stages: Annotated[bool, typer.Option("--all", help="Every stage on its own line.")] = False,
    json_output: Annotated[bool, typer.Option("--json", help="The whole plan as JSON.")] = False,
) -> None:
    """Show what a recipe would do: stages, tokens, steps, time, and what it can detect.

    Nothing is written and nothing is asked of a model. Times are measured from earlier artifacts
    where there are any (marked *), else from stated defaults.

    Example: `midspec experiment plan cheese-terrarium`
    """
    found = plan_experiment(_recipe(recipe, seeds, force), artifacts)
    if json_output:
        console.print_json(found.model_dump_json())
        return
    console.print(_stage_table(found) if all_stages else _kind_table(found))
    for line in _summary(found):
        console.print(line, markup=False)
    for text in found.warnings:
        console.print(f"[yellow]warning:[/yellow] {text}")


@app.command(name="run")
def run_command(
    recipe: RecipeName,
    out: Annotated[Path, typer.Option(help="Folder for reports: OUT/NAME/index.html.")] = Path(
        "runs"
    ),
    artifacts: Artifacts = Path("artifacts"),
    seeds: Seeds = "",
    force: Force = False,
    executor: ExecutorName = "local",
) -> None:
    """Do what is missing, then write the report: the same as `midspec run RECIPE`.

    Stop it with Ctrl-C, kill it, or lose power: the same command goes on where it was.

    Example: `midspec experiment run cheese-terrarium --seeds 0,1,2`
    """
    show(do(_recipe(recipe, seeds, force), out, artifacts, executor))


def do(recipe: Recipe, out: Path, artifacts: Path, executor: Executor = "local") -> Outcome:
    """Run a recipe under bars, whose time left is weighed by the plan."""
    with observing(plan_experiment(recipe, artifacts).seconds) as bars:
        return run(recipe, artifacts, out, bars, executor)


def show(outcome: Outcome) -> None:
    """The verdict, and where the page is; of every base."""
    for one in (outcome, *outcome.others):
        console.print()
        console.print(one.verdict, markup=False)
        console.print(f"Report: {one.page}", markup=False)


@app.command()
def status(
    recipe: RecipeName,
    artifacts: Artifacts = Path("artifacts"),
    seeds: Seeds = "",
    watch: Annotated[
        bool, typer.Option("--watch", help="Refresh until all is done (Ctrl-C ends it).")
    ] = False,
) -> None:
    """Show where a run is: what is done, what goes on and how far, what is left, and the ETA.

    It only reads, so it can be asked at any time, also while the run goes on elsewhere.

    Example: `midspec experiment status cheese-terrarium --watch`
    """
    chosen = _recipe(recipe, seeds, False)
    found = plan_experiment(chosen, artifacts)
    if not watch:
        console.print(_status(found, artifacts))
        return
    with Live(_status(found, artifacts), console=console, refresh_per_second=2) as live:
        while found.todo:
            time.sleep(2)
            found = plan_experiment(chosen, artifacts)
            live.update(_status(found, artifacts))


def _recipe(name: str, seeds: str, force: bool) -> Recipe:
    chosen = read_recipe(find_recipe(name))
    changes: dict[str, object] = {}
    if seeds:
        try:
            changes["seeds"] = [int(seed) for seed in seeds.split(",")]
        except ValueError as error:
            raise typer.BadParameter(f"--seeds {seeds!r}: write numbers, as in 0,1,2") from error
    if force:
        changes |= {
            stage: {**getattr(chosen, stage).model_dump(), "force": True}
            for stage in ("midtrain", "finetune")
        }
    return make_recipe({**chosen.model_dump(), **changes}) if changes else chosen


# -- plan ---------------------------------------------------------------------------------


def _kind_table(found: ExperimentPlan) -> Table:
    """One row for each kind of stage, in the order of the graph."""
    table = _table("stage", "needs", "done", "to do", "records", "tokens", "steps", "calls", "time")
    kinds = {stage.key: stage.kind for stage in found.stages}
    for kind in dict.fromkeys(stage.kind for stage in found.stages):
        all_ = [stage for stage in found.stages if stage.kind == kind]
        todo = [stage for stage in all_ if stage.state != "done"]
        table.add_row(
            kind,
            ", ".join(dict.fromkeys(kinds[key] for stage in all_ for key in stage.inputs)),
            str(len(all_) - len(todo)),
            str(len(todo)),
            *(_count(sum(getattr(s, f) for s in todo)) for f in ("records", "tokens")),
            _steps(todo),
            _count(sum(stage.calls for stage in todo)),
            _duration(sum(stage.seconds for stage in todo))
            + ("*" if todo and all(stage.measured for stage in todo) else ""),
        )
    return table


def _steps(stages: list[StagePlan]) -> str:
    """Steps of one training each; a range if they differ."""
    found = sorted({stage.steps for stage in stages if stage.steps})
    if not found:
        return ""
    return f"{found[0]} each" if len(found) == 1 else f"{found[0]} to {found[-1]}"


def _stage_table(found: ExperimentPlan) -> Table:
    table = _table("", "stage", "records", "tokens", "steps", "time")
    for stage in found.stages:
        table.add_row(
            MARKS[stage.state],
            Text(stage.label),
            _count(stage.records),
            _count(stage.tokens),
            _count(stage.steps),
            _duration(stage.seconds) + ("*" if stage.measured and stage.seconds else ""),
        )
    return table


def _table(*columns: str) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for at, name in enumerate(columns):
        left = name in ("stage", "needs", "") or at == 0
        table.add_column(name, justify="left" if left else "right", overflow="fold")
    return table


def _summary(found: ExperimentPlan) -> list[str]:
    todo = found.todo
    rough = any(not stage.measured and stage.seconds for stage in todo)
    lines = [
        f"{len(found.stages) - len(todo)} of {len(found.stages)} stages are done; "
        f"{len(todo)} to do, about {_duration(found.total('seconds'))}"
        + (f" (defaults for {found.device} where not measured*)" if rough else ""),
        _cost(found),
    ]
    for value, design in found.detectable:
        over = "items only, one seed" if design.items_only else f"{design.n_seeds} seeds"
        lines.append(
            f"can detect on {value}: a difference of {design.effect:.2f} in rate with 80% power "
            f"({design.n_items} items, {over}"
            + (f", {design.n_values} tests, Holm)" if design.n_values > 1 else ")")
        )
    return lines


def _cost(found: ExperimentPlan) -> str:
    calls = found.total("calls")
    if not calls:
        return f"writer {found.writer}: no calls to a language model, no cost"
    asked = ", ".join(dict.fromkeys(stage.asked for stage in found.todo if stage.asked))
    return (
        f"{asked}: {_count(calls)} calls, {_count(found.total('input_tokens'))} input "
        f"and {_count(found.total('output_tokens'))} output tokens, "
        + (
            "cost unknown: no price for a model (see MIDSPEC_PRICES)"
            if found.cost is None
            else f"about ${found.cost:,.2f} before prompt caching and batch discounts"
        )
    )


def _count(n: float) -> str:
    if not n:
        return ""
    for size, unit in ((1e9, "G"), (1e6, "M"), (1e4, "k")):
        if n >= size:
            return f"{n / (1e3 if unit == 'k' else size):.3g}{unit}"
    return str(round(n))


def _duration(seconds: float) -> str:
    """A time to the precision it deserves.

    Example:
        >>> _duration(0), _duration(42), _duration(600), _duration(90000)
        ('', '42 s', '10 min', '25 h')
    """
    if not seconds:
        return ""
    if seconds < 90:
        return f"{seconds:.0f} s" if seconds >= 1 else "< 1 s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.3g} h"


# -- status -------------------------------------------------------------------------------


def _status(found: ExperimentPlan, artifacts: Path) -> Table:
    """A line for all, lines for what has begun, and the number that wait, by kind."""
    table = _table("", "stage", "progress", "left")
    n_done = len(found.stages) - len(found.todo)
    total = found.total("seconds")
    table.add_row("", f"all of {found.name}", f"{n_done}/{len(found.stages)}", _duration(total))
    for stage in found.todo:
        if stage.state == "begun":
            done, of = progress_of(stage, artifacts)
            left = stage.seconds * (1 - done / of if of else 1)
            table.add_row(MARKS["begun"], Text(stage.label), f"{done}/{of}", _duration(left))
    waiting = Counter(stage.kind for stage in found.todo if stage.state == "waiting")
    for kind, n in waiting.items():
        seconds = sum(s.seconds for s in found.todo if s.kind == kind and s.state == "waiting")
        table.add_row(MARKS["waiting"], kind, str(n), _duration(seconds))
    return table
