"""Options and small steps that several commands share."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Annotated, Any

import typer

from midspec import bases, curate, spec
from midspec.cli.show import console
from midspec.llm import run_until_done
from midspec.records import Checkpoint, Drop, Spec

ModelName = Annotated[str, typer.Option(help="Name of the assistant: fills {model_name}.")]
Provider = Annotated[str, typer.Option(help="Its maker: fills {provider_name}.")]
SpecFile = Annotated[str, typer.Argument(help="A spec file, or the name of a bundled spec.")]
WriterName = Annotated[str, typer.Option(help="scribe (offline), or an Inspect model name.")]
Seed = Annotated[int, typer.Option(help="Seed of everything random.")]
Base = Annotated[str, typer.Option(help="smollm2, terrarium, a Hugging Face id or a folder.")]
From = Annotated[str, typer.Option("--from", help="Checkpoint folder to continue (OUT/model).")]


def read_named_spec(name: str, model_name: str, provider_name: str) -> Spec:
    """A spec by file or bundled name, with the names filled in."""
    return spec.read_spec(spec.find_spec(name), model_name=model_name, provider_name=provider_name)


def start_checkpoint(base: str, folder: str) -> Checkpoint:
    """The checkpoint in ``folder``, or the untouched base."""
    return bases.checkpoint_at(Path(folder), base) if folder else Checkpoint(base=base)


def collect(made: AsyncIterator[Any]) -> tuple[list[Any], list[Drop]]:
    """The records of a stage, and apart from them what it dropped."""

    async def gather() -> list[Any]:
        return [record async for record in made]

    records = run_until_done(gather())
    drops = [record for record in records if isinstance(record, Drop)]
    return [record for record in records if not isinstance(record, Drop)], drops


def curated(records: list[Any], rules: Any, drops: list[Drop]) -> list[Any]:
    """The records that pass the rules; the others go to ``drops``."""
    kept: list[Any] = []
    for record in curate.curate(records, rules):
        if isinstance(record, Drop):
            drops.append(record)
        else:
            kept.append(record)
    return kept


def say_kept(n: int, drops: list[Drop], path: Path) -> None:
    """Print how many records were kept and why others were not."""
    reasons = ", ".join(f"{k}: {v}" for k, v in Counter(d.reason for d in drops).most_common())
    console.print(f"kept {n}, dropped {len(drops)} ({reasons or 'none'}) -> {path}", markup=False)
