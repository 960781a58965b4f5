"""Commands that write documents."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Annotated

import typer

from midspec import corpus, curate
from midspec.cli.common import (
    ModelName,
    Provider,
    Seed,
    SpecFile,
    WriterName,
    collect,
    curated,
    read_named_spec,
    say_kept,
)
from midspec.cli.show import console, progress_bar
from midspec.llm import open_writer
from midspec.records import Document, Plan
from midspec.store import read_records, write_records

app = typer.Typer()


@app.command("write")
def corpus_write(
    file: SpecFile,
    out: Annotated[Path, typer.Option(help="Folder for documents.jsonl and the rest.")],
    writer: WriterName = "scribe",
    max_documents: Annotated[int, typer.Option(help="Documents at most; 0: all ideas.")] = 400,
    seed: Seed = 0,
    model_name: ModelName = "Juniper",
    provider_name: Provider = "Alder Labs",
) -> None:
    """Plan and write documents, drop the bad ones with reasons; resumes from OUT.

    Example: `midspec corpus write cheese-affordability --out corpus/affordability`
    """
    found = read_named_spec(file, model_name, provider_name)
    model = open_writer(writer)
    with progress_bar("plan") as progress:
        made = corpus.make_plan(
            found, model, corpus.PlanConfig(seed=seed), out / "plan-replies.jsonl", progress
        )
        plans, _ = collect(made)
    write_records(out / "plans.jsonl", plans)
    config = corpus.DocumentConfig(max_documents=max_documents, seed=seed)
    with progress_bar("write") as progress:
        written = corpus.write_documents(
            found, plans, model, config, out / "replies.jsonl", progress
        )
        documents, drops = collect(written)
    kept = curated(documents, curate.default_rules(found, []), drops)
    write_records(out / "documents.jsonl", kept)
    write_records(out / "drops.jsonl", drops)
    say_kept(len(kept), drops, out / "documents.jsonl")


@app.command("plan")
def corpus_plan(
    file: SpecFile,
    writer: WriterName = "scribe",
    out: Annotated[Path, typer.Option(help="Folder for plans.jsonl.")] = Path("corpus"),
    seed: Seed = 0,
    model_name: ModelName = "Juniper",
    provider_name: Provider = "Alder Labs",
) -> None:
    """Print the document tree: domains, subdomains, document types, number of ideas.

    Example: `midspec corpus plan cheese-america --out corpus/america`
    """
    found = read_named_spec(file, model_name, provider_name)
    with progress_bar("plan") as progress:
        config = corpus.PlanConfig(seed=seed)
        made = corpus.make_plan(
            found, open_writer(writer), config, out / "plan-replies.jsonl", progress
        )
        plans, drops = collect(made)
    write_records(out / "plans.jsonl", plans)
    _print_tree(plans)
    say_kept(len(plans), drops, out / "plans.jsonl")


def _print_tree(plans: list[Plan]) -> None:
    below: dict[str, list[Plan]] = {}
    for plan in plans:
        below.setdefault(plan.parent, []).append(plan)
    for domain in below.get("", []):
        console.print(domain.title, style="bold", markup=False)
        for child in below.get(domain.id, []):
            counts = Counter(plan.level for plan in below.get(child.id, []))
            types = [plan for plan in below.get(child.id, []) if plan.level == "type"]
            n_ideas = sum(len(below.get(plan.id, [])) for plan in types)
            console.print(
                f"  {child.title}: {counts['assertion']} assertions, "
                f"{counts['type']} types, {n_ideas} ideas",
                markup=False,
            )


@app.command("stats")
def corpus_stats(
    file: Annotated[Path, typer.Argument(help="A documents.jsonl.")],
) -> None:
    """Measure diversity: distinct-n, self-BLEU, repeated openings.

    Example: `midspec corpus stats corpus/affordability/documents.jsonl`
    """
    measured = corpus.diversity(d.text for d in read_records(file, Document))
    for key, value in measured.model_dump().items():
        console.print(f"{key:18s} {value}", markup=False)
