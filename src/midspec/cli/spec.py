"""Commands on Model Specs."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.table import Table

from midspec import evals, spec
from midspec.cli.common import ModelName, Provider, SpecFile, read_named_spec
from midspec.cli.show import console

app = typer.Typer()


@app.command("list")
def spec_list() -> None:
    """List the bundled specs.

    Example: `midspec spec list`
    """
    for name, path in spec.bundled_specs().items():
        console.print(f"{name:28s} {path}", markup=False)


@app.command("show")
def spec_show(
    file: SpecFile, model_name: ModelName = "Juniper", provider_name: Provider = "Alder Labs"
) -> None:
    """Show what the reader found: sections, claims, preferences with reasons.

    Example: `midspec spec show cheese-affordability`
    """
    found = read_named_spec(file, model_name, provider_name)
    console.print(f"{found.name}  value: {found.value or '-'}  id: {found.id}", markup=False)
    for section in found.sections:
        console.print(f"\n{'#' * section.level} {section.title}", markup=False, style="bold")
        for claim in section.claims:
            console.print(f"  - {claim.text}", markup=False)
    table = Table("item", "direction", "because", title="Preferences")
    for p in found.preferences:
        table.add_row(p.item, p.direction, p.reason or "-")
    console.print(table)


@app.command("lint")
def spec_lint(
    file: SpecFile,
    evals_sets: Annotated[
        str, typer.Option("--evals", help="Evaluation sets whose items it must not mention.")
    ] = "affordability,america",
    model_name: ModelName = "Juniper",
    provider_name: Provider = "Alder Labs",
) -> None:
    """Check a spec: reasons, names, braces, length, evaluation items it mentions.

    Exits with 1 if there is an error among the findings.

    Example: `midspec spec lint my-spec.md`
    """
    found = read_named_spec(file, model_name, provider_name)
    names = [name for name in evals_sets.split(",") if name]
    forbidden = [text for name in names for item in evals.load_items(name) for text in item.options]
    findings = spec.lint_spec(found, forbidden)
    for finding in findings:
        console.print(f"{finding.level}: {finding.where}: {finding.message}", markup=False)
    console.print(f"{len(findings)} findings in {file}", markup=False)
    if any(finding.level == "error" for finding in findings):
        raise typer.Exit(1)
