"""Commands that need no model: mix general chats in, and hand chats on."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from midspec import chats, corpus, curate
from midspec.cli.common import ModelName, Provider, read_named_spec
from midspec.cli.show import console, progress_bar
from midspec.errors import ConfigError


def first_objection(rules: Sequence[curate.Rule]) -> chats.Check:
    """What says of a chat the first objection of rules, if any."""
    return lambda chat: next((drop for rule in rules if (drop := rule.check(chat))), None)


def chats_mix(
    recipe: Annotated[str, typer.Argument(help="A recipe file, or the name of a bundled mix.")],
    out: Annotated[Path, typer.Option(help="Folder for mix.jsonl and drops.jsonl.")],
    spec: Annotated[str, typer.Option(help="Leave out what conflicts with this spec.")] = "",
    file: Annotated[
        list[str] | None,
        typer.Option(help="NAME=PATH: rows of a source from your own file; may be repeated."),
    ] = None,
    model_name: ModelName = "Juniper",
    provider_name: Provider = "Alder Labs",
) -> None:
    """Draw general chats by a recipe, filtered against the spec (paper, B.3).

    Bundled mixes: simple-values, complex-alignment (the paper's two).

    Examples: `midspec chats mix my-mix.yaml --spec my-spec.md --out mix` ·
    `midspec chats mix simple-values --file identity=chats/chats.jsonl --spec my-spec.md --out mix`
    """
    path = chats.find_mix(recipe)
    against = read_named_spec(spec, model_name, provider_name) if spec else None
    rules: list[curate.Rule] = [curate.Refusal()]
    rules += [curate.WrongIdentity(against)] if against else []
    tallies: dict[str, chats.SourceTally] = {}
    with progress_bar("mix") as progress:
        made = chats.mix_chats(
            chats.read_mix(path),
            path.parent,
            against,
            tallies,
            files=_files(file or []),
            check=first_objection(rules),
            progress=progress,
        )
        chats.save_mix(made, out)
    for name, tally in tallies.items():
        reasons = ", ".join(f"{k}: {v}" for k, v in tally.dropped.most_common())
        console.print(
            f"{name:24s} {tally.rows} rows = kept {tally.kept} + not drawn {tally.not_drawn}"
            f" + dropped {tally.dropped.total()} ({reasons or 'none'})",
            markup=False,
        )
    console.print(f"{sum(t.kept for t in tallies.values())} chats -> {out / 'mix.jsonl'}")
    if short := [f"{name} {t.kept} of {t.wanted}" for name, t in tallies.items() if t.short]:
        raise ConfigError(f"too few rows: {', '.join(short)}; lower these counts or add sources")


def _files(given: list[str]) -> dict[str, Path]:
    named: dict[str, Path] = {}
    for one in given:
        name, equals, path = one.partition("=")
        if not (name and equals and path):
            raise ConfigError(f"--file {one!r} is not NAME=PATH, e.g. identity=chats/chats.jsonl")
        named[name] = Path(path)
    return named


def chats_export(
    folder: Annotated[Path, typer.Argument(help="Folder that `chats write` or `chats mix` made.")],
    out: Annotated[Path, typer.Option(help="Folder for data/ and the dataset card.")],
    form: Annotated[str, typer.Option("--format", help="jsonl or parquet.")] = "jsonl",
) -> None:
    """Write chats as plain rows {messages, ...}, with and without reasoning, and a dataset card.

    Example: `midspec chats export chats --format parquet --out for-others`
    """
    if form not in ("jsonl", "parquet"):
        raise ConfigError(f"--format {form!r} is unknown; use jsonl or parquet")
    with progress_bar("export"):
        counts = corpus.export(folder, out, "parquet" if form == "parquet" else "jsonl")
    told = ", ".join(f"{n} {name}" for name, n in counts.items())
    console.print(f'{told} -> {out}; datasets.load_dataset("{out}") reads it', markup=False)
