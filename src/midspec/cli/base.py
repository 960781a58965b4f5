"""Commands on base models."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.table import Table

from midspec import bases
from midspec.cli.show import console, progress_bar
from midspec.errors import ConfigError

app = typer.Typer()


@app.command("list")
def base_list() -> None:
    """List the embedded base models.

    Example: `midspec base list`
    """
    table = Table("name", "parameters", "licence", "ready", "description")
    for info in bases.list_bases():
        parameters = f"{info.parameters:,}" if info.parameters else "-"
        ready = "yes" if info.ready else "no"
        table.add_row(info.name, parameters, info.licence, ready, info.description)
    console.print(table)


@app.command("get")
def base_get(name: Annotated[str, typer.Argument(help="A name of `base list`.")]) -> None:
    """Convert an embedded base to a safetensors folder (once), and print where it is.

    Example: `midspec base get smollm2`
    """
    with progress_bar(f"get {name}") as progress:
        path = bases.get_base(name, progress)
    console.print(str(path), markup=False)


@app.command("template")
def base_template(
    name: Annotated[str, typer.Argument(help="chatml, qwen3 or smollm2.")] = "chatml",
) -> None:
    """Print a chat template, for a base that has none: write it into the base's folder.

    Example: `midspec base template chatml > my-base/chat_template.jinja`
    """
    found = sorted(path.stem for path in bases.TEMPLATES.glob("*.jinja"))
    if name not in found:
        raise ConfigError(f"no chat template {name!r}; there are {', '.join(found)}")
    typer.echo(bases.template(name))
