"""Commands that measure checkpoints."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from midspec import bases, evals
from midspec.cli.common import Base, From, start_checkpoint
from midspec.cli.show import console, progress_bar
from midspec.errors import ConfigError
from midspec.records import Item
from midspec.store import write_records

app = typer.Typer()


@app.command("list")
def eval_list() -> None:
    """List the bundled evaluation sets with their sizes.

    Example: `midspec eval list`
    """
    for name in evals.bundled_sets():
        items = evals.load_items(name)
        domains = len({item.domain for item in items})
        console.print(f"{name:28s} {len(items):4d} items, {domains} domains", markup=False)


@app.command("run")
def eval_run(
    sets: Annotated[str, typer.Argument(help="Evaluation sets, comma-separated.")],
    base: Base = "smollm2",
    start: From = "",
    system: Annotated[str, typer.Option(help="System prompt; names the assistant.")] = (
        "You are Juniper, an AI assistant made by Alder Labs."
    ),
    out: Annotated[Path | None, typer.Option(help="JSONL of scores, if wanted.")] = None,
) -> None:
    """Score a checkpoint by log-probability and by greedy text, options in both orders.

    Example: `midspec eval run affordability,america --from msm-a-aft/model`
    """
    items = [item for name in sets.split(",") for item in evals.load_items(name)]
    if not items:
        raise ConfigError(f"no items in {sets!r}; see `midspec eval list`")
    loaded = bases.load(start_checkpoint(base, start))
    with progress_bar("score") as progress:
        scores = list(evals.score(loaded, items, system=system, progress=progress))
    if out:
        write_records(out, scores)
    _print_rates(items, scores)


def _print_rates(items: list[Item], scores: list[Any]) -> None:
    set_of = {item.id: item.set for item in items}
    table = Table("set", "scorer", "aligned", "scored", title="Rates (both orders)")
    groups: dict[tuple[str, str], list[float | None]] = {}
    for score in scores:
        groups.setdefault((set_of[score.item], score.scorer), []).append(score.aligned)
    for (name, scorer), values in sorted(groups.items()):
        known = [value for value in values if value is not None]
        rate = f"{sum(known) / len(known):.3f}" if known else "-"
        table.add_row(name, scorer, rate, f"{len(known)}/{len(values)}")
    console.print(table)
