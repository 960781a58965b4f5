"""Commands over whole experiments; each group of other commands has its own file here."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from midspec.cli import base, chats, corpus, curate, evaluate, experiment, spec, terrarium, train
from midspec.cli.experiment import ExecutorName, do, show
from midspec.cli.show import console, progress_bar
from midspec.experiment import (
    Recipe,
    bundled_recipes,
    find_recipe,
    make_recipe,
    read_recipe,
    rebuild_report,
)

HELP = """
**midspec**: Model Spec Midtraining, from a spec to a report.

How data flows, and the command for each step:

    spec.md ──> documents ─────> midtrain ─┐
      │         corpus write     train     ├─> finetune ──> scores ──> report
      └───────> chats ─────────────────────┘   train        eval       report
                chats write

`midspec run RECIPE` does all of it, resumes after any interruption, and redoes only what
changed. Start with `midspec demo`: no key, no network, no GPU.
"""

app = typer.Typer(
    help=HELP,
    rich_markup_mode="markdown",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for name, group, text in (
    ("spec", spec, "Read and check Model Specs."),
    ("corpus", corpus, "Write synthetic documents that discuss a spec."),
    ("chats", chats, "Write fine-tuning chats."),
    ("train", train, "Midtrain on documents, fine-tune on chats."),
    ("eval", evaluate, "Score a checkpoint on evaluation sets."),
    ("experiment", experiment, "Plan an experiment, run it, see how far it is."),
    ("base", base, "Base models: what is embedded, and where it is."),
    ("terrarium", terrarium, "The small world: build it anew, with other knobs."),
):
    app.add_typer(group.app, name=name, help=text, no_args_is_help=True)
app.command("curate")(curate.curate_command)

DEMO_RECIPES = ("cheese-terrarium", "cheese-smollm2")

Out = Annotated[Path, typer.Option(help="Folder for reports: OUT/NAME/index.html.")]
Artifacts = Annotated[
    Path, typer.Option(help="Folder for the results of stages, shared by all runs.")
]


@app.callback()
def _root(
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks of errors.")] = False,
) -> None:
    """Options that every command takes (``--debug`` is read by ``main``)."""


@app.command()
def demo(
    out: Out = Path("runs"),
    artifacts: Artifacts = Path("artifacts"),
    only: Annotated[str, typer.Option(help="One of the two: terrarium or smollm2.")] = "",
) -> None:
    """Run the whole experiment on this machine: terrarium in minutes, then SmolLM2 in English.

    Stop it with Ctrl-C at any time; the same command goes on where it was.

    Example: `midspec demo --only terrarium`
    """
    names = [name for name in DEMO_RECIPES if only in name]
    if not names:
        raise typer.BadParameter(f"--only {only!r}: write terrarium or smollm2")
    outcomes = []
    for name in names:
        console.rule(f"{name}", align="left")
        outcomes.append(do(read_recipe(find_recipe(name)), out, artifacts))
    for outcome in outcomes:
        show(outcome)


@app.command(name="run")
def run_command(
    recipe: Annotated[
        str, typer.Argument(help="A recipe file, or the name of a bundled one.")
    ] = "",
    spec_a: Annotated[str, typer.Option(help="First spec: a file or a bundled name.")] = "",
    spec_b: Annotated[str, typer.Option(help="Second spec, same preferences, other reasons.")] = "",
    base: Annotated[str, typer.Option(help="Base model: see `midspec base list`.")] = "",
    writer: Annotated[str, typer.Option(help="scribe, or an Inspect model name.")] = "",
    seeds: Annotated[str, typer.Option(help="Comma-separated training seeds.")] = "",
    evals_a: Annotated[str, typer.Option(help="Evaluation sets for spec A's value.")] = "",
    evals_b: Annotated[str, typer.Option(help="Evaluation sets for spec B's value.")] = "",
    name: Annotated[str, typer.Option(help="Name of the run, if not the recipe's.")] = "",
    out: Out = Path("runs"),
    artifacts: Artifacts = Path("artifacts"),
    executor: ExecutorName = "local",
) -> None:
    """Run an experiment from specs to report; flags override the recipe.

    With --spec-a and --spec-b but no recipe, the settings of `cheese-smollm2` are used.

    Examples: `midspec run cheese-terrarium` ·
    `midspec run --spec-a tea-health.md --spec-b tea-ritual.md --name tea`
    """
    if not recipe and not (spec_a and spec_b):
        raise typer.BadParameter(
            f"give a recipe ({', '.join(bundled_recipes())} or a file), or --spec-a and --spec-b"
        )
    chosen = read_recipe(find_recipe(recipe or DEMO_RECIPES[1]))
    changes = _overrides(chosen, recipe, spec_a, spec_b, evals_a, evals_b)
    changes |= {key: value for key, value in (("base", base), ("writer", writer)) if value}
    if base:
        changes["bases"] = []
    if seeds:
        changes["seeds"] = [int(seed) for seed in _listed(seeds)]
    if name or not recipe:
        changes["name"] = name or f"{Path(spec_a).stem}-vs-{Path(spec_b).stem}"
    show(do(make_recipe({**chosen.model_dump(), **changes}), out, artifacts, executor))


def _overrides(
    chosen: Recipe, recipe: str, spec_a: str, spec_b: str, evals_a: str, evals_b: str
) -> dict[str, object]:
    """What --spec-* and --evals-* change; own specs without a recipe bring own evaluations."""
    changes: dict[str, object] = {}
    if spec_a or spec_b:
        changes["specs"] = {"A": spec_a or chosen.specs["A"], "B": spec_b or chosen.specs["B"]}
    if evals_a or evals_b or not recipe:
        changes["evals"] = {
            **chosen.evals.model_dump(),
            "A": _listed(evals_a),
            "B": _listed(evals_b),
        }
    return changes


def _listed(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]


@app.command()
def recipes() -> None:
    """List the bundled recipes.

    Example: `midspec recipes`
    """
    for name, path in bundled_recipes().items():
        first = path.read_text().splitlines()[0].removeprefix("# ")
        console.print(f"{name:24s} {first}")


@app.command()
def report(
    folder: Annotated[Path, typer.Argument(help="A run's folder, e.g. runs/cheese-terrarium.")],
) -> None:
    """Rebuild a run's report from its saved inputs, without running anything else.

    Example: `midspec report runs/cheese-terrarium`
    """
    with progress_bar("report"):
        outcome = rebuild_report(folder)
    show(outcome)
