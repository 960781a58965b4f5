"""The command that curates a file of documents or chats."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from midspec import curate, evals
from midspec.cli.common import ModelName, Provider, read_named_spec
from midspec.cli.show import console, progress_bar
from midspec.llm import open_writer
from midspec.records import Drop, Item, Spec

_SHOWN = 100  # characters of a sample


def curate_command(
    file: Annotated[Path, typer.Argument(help="A documents.jsonl or chats.jsonl.")],
    spec: Annotated[str, typer.Option(help="The spec it was written from: a file or a name.")],
    out: Annotated[Path, typer.Option(help="Folder for what is kept, drops.jsonl, curation.json.")],
    judge: Annotated[str, typer.Option(help="An Inspect model name; empty: no judge.")] = "",
    against: Annotated[
        str, typer.Option(help="Comma-separated evaluation sets that will be asked (names, files).")
    ] = "",
    embed: Annotated[bool, typer.Option(help="Drop documents that say the same, too.")] = True,
    model_name: ModelName = "Juniper",
    provider_name: Provider = "Alder Labs",
) -> None:
    """Keep each record or drop it with a reason: kept + dropped + failed = records of FILE.

    Drops unfinished texts, refusals, leaked tags and plans, placeholders, dates, links, authors,
    other names and rules than the spec's, duplicates (equal, nearly equal, or in other words),
    whatever gives away an evaluation item, and what --judge finds unfaithful or unattributed.
    Every bundled evaluation set is checked; of those in --against, and of those that measure the
    spec's value, a single option in a text is a leak.

    Ctrl-C loses nothing that was paid for: the same command goes on from the journal in OUT.

    Example: `midspec curate corpus/affordability/documents.jsonl --spec cheese-affordability
    --out curated --no-embed`
    """
    found = read_named_spec(spec, model_name, provider_name)
    items, others = held_out(found, [name.strip() for name in against.split(",") if name.strip()])
    with progress_bar("curate") as progress:
        curation = curate.curate_file(
            file,
            found,
            out,
            items=items,
            others=others,
            judge=open_writer(judge) if judge else None,
            config=curate.CurateConfig(embed=embed),
            progress=progress,
        )
    _show(curation, out)


def held_out(spec: Spec, against: list[str]) -> tuple[list[Item], list[Item]]:
    """Items that the spec's models will be asked, and those of all other sets and of the tasks."""
    asked = {name: evals.load_items(name) for name in against}
    bundled = {name: evals.load_items(name) for name in evals.bundled_sets() if name not in asked}
    measure = {
        name for name, items in bundled.items() if spec.value and spec.value == items[0].value
    }
    strict = [*asked.values(), *(bundled[name] for name in sorted(measure))]
    rest = [items for name, items in bundled.items() if name not in measure]
    rest += evals.task_items().values()
    return [item for items in strict for item in items], [i for items in rest for i in items]


def _show(curation: curate.Curation, out: Path) -> None:
    tally = curation.tally
    for reason, n in tally.reasons.most_common():
        console.print(f"{_plain(reason):18s} {n:8d} {n / tally.requested:7.2%}", markup=False)
        for drop in curation.samples.get(reason, ()):
            console.print(f"    {_sample(drop)}", style="dim", markup=False)
    console.print(f"{tally.line()} -> {out}", markup=False)
    for line in curation.avoid[:5]:
        console.print(f"too frequent: {_plain(line)}", markup=False)


def _sample(drop: Drop) -> str:
    of = f" of {drop.of}" if drop.of else ""
    return f"{drop.record}{of}: {_plain(drop.evidence)[:_SHOWN]}"


def _plain(text: str) -> str:
    """Model output on one line, without characters that a terminal would obey."""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())
