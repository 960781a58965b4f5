"""Commands that write chats."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from midspec import chats, curate
from midspec.cli.common import (
    ModelName,
    Provider,
    Seed,
    WriterName,
    collect,
    curated,
    read_named_spec,
    say_kept,
)
from midspec.cli.show import progress_bar
from midspec.llm import open_writer
from midspec.store import write_records

app = typer.Typer()


@app.command("write")
def chats_write(
    specs: Annotated[list[str], typer.Argument(help="Specs that share their preferences.")],
    out: Annotated[Path, typer.Option(help="Folder for chats.jsonl and the rest.")],
    writer: WriterName = "scribe",
    n_per_preference: Annotated[int, typer.Option(help="Chats for each preference.")] = 40,
    seed: Seed = 0,
    model_name: ModelName = "Juniper",
    provider_name: Provider = "Alder Labs",
) -> None:
    """Write opaque preference chats (no reason stated or implied) and identity chats.

    Example: `midspec chats write cheese-affordability cheese-america --out chats`
    """
    found = [read_named_spec(name, model_name, provider_name) for name in specs]
    config = chats.ChatConfig(n_per_preference=n_per_preference, seed=seed)
    with progress_bar("chats") as progress:
        written = chats.write_chats(
            chats.shared_preferences(found),
            open_writer(writer),
            config,
            out / "replies.jsonl",
            progress,
        )
        made, drops = collect(written)
    kept = curated(made, curate.default_rules(found[0], []), drops)
    write_records(out / "chats.jsonl", kept)
    write_records(out / "drops.jsonl", drops)
    say_kept(len(kept), drops, out / "chats.jsonl")
