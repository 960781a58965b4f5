"""Commands that make the small world."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from midspec.cli.show import console, progress_bar

app = typer.Typer()


@app.command("build")
def terrarium_build(
    out: Annotated[
        Path | None, typer.Option(help="Folder for base, specs, evals; default: the package's.")
    ] = None,
    seed: Annotated[int, typer.Option(help="World and weights; 1 is the bundled one.")] = 1,
    noise: Annotated[float, typer.Option(help="Share of people's answers at random.")] = 0.02,
    confounding: Annotated[
        float, typer.Option(help="Share of cheeses on which price and origin agree.")
    ] = 1.0,
    exceptions: Annotated[
        float, typer.Option(help="Share of (person, item) pairs against the person's value.")
    ] = 0.0,
    polite: Annotated[
        float, typer.Option(help="Share of people who take what is offered first.")
    ] = 0.32,
    quiet: Annotated[float, typer.Option(help="Share of people who are only written about.")] = 0.2,
    people: Annotated[int, typer.Option(help="Number of people.")] = 160,
    steps: Annotated[int, typer.Option(help="Pretraining steps of 64 rows x 64 tokens.")] = 850,
) -> None:
    """Make a world, its text, tokenizer, base model, specs and evaluation sets.

    Example: `midspec terrarium build --out my-world --noise 0.1`
    """
    from midspec.terrarium import WorldConfig, build, library_layout

    config = WorldConfig(
        seed=seed,
        n_people=people,
        noise=noise,
        confounding=confounding,
        share_exceptions=exceptions,
        share_polite=polite,
        share_quiet=quiet,
    )
    layout = library_layout(out)
    with progress_bar("terrarium") as progress:
        facts = build(config, layout, n_steps=steps, progress=progress)
    for name, value in facts.items():
        console.print(f"{name:28s} {value}", markup=False)
    console.print(f"Base: {layout.base}", markup=False)
