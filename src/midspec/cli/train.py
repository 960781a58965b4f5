"""Commands that train."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from midspec import train
from midspec.cli.common import Base, From, Seed, start_checkpoint
from midspec.cli.show import console, progress_bar
from midspec.experiment import find_recipe, read_recipe
from midspec.records import Conversation, Document
from midspec.store import read_records

app = typer.Typer()


Data = Annotated[Path, typer.Argument(help="JSONL of records, as `corpus` or `chats` write it.")]
TrainedOut = Annotated[Path, typer.Option(help="Folder for the checkpoint, curve and plan.")]
RecipeName = Annotated[str, typer.Option(help="Recipe whose training settings are used.")]


@app.command("midtrain")
def train_midtrain(
    documents: Data,
    out: TrainedOut,
    base: Base = "smollm2",
    start: From = "",
    recipe: RecipeName = "cheese-smollm2",
    seed: Seed = 0,
) -> None:
    """Train on documents with the next-token loss (MSM). Resumes from OUT after a kill.

    Example: `midspec train midtrain corpus/affordability/documents.jsonl --out msm-a`
    """
    config = read_recipe(find_recipe(recipe)).midtrain
    texts = (d.text for d in read_records(documents, Document))
    with progress_bar("midtrain") as progress:
        train.midtrain(
            start_checkpoint(base, start), texts, config, out, seed=seed, progress=progress
        )
    console.print(f"Checkpoint: {out / 'model'}", markup=False)


@app.command("finetune")
def train_finetune(
    chats_file: Data,
    out: TrainedOut,
    base: Base = "smollm2",
    start: From = "",
    recipe: RecipeName = "cheese-smollm2",
    seed: Seed = 0,
) -> None:
    """Train on chats with the loss on assistant turns (AFT). Resumes from OUT after a kill.

    Example: `midspec train finetune chats/chats.jsonl --from msm-a/model --out msm-a-aft`
    """
    config = read_recipe(find_recipe(recipe)).finetune
    rows = read_records(chats_file, Conversation)
    with progress_bar("finetune") as progress:
        train.finetune(
            start_checkpoint(base, start), rows, config, out, seed=seed, progress=progress
        )
    console.print(f"Checkpoint: {out / 'model'}", markup=False)
