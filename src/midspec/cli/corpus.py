"""Commands that write, look through and hand on documents."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from midspec import corpus
from midspec.cli import corpus_options as options
from midspec.cli import corpus_show as show
from midspec.cli import corpus_steps as steps
from midspec.cli.common import (
    ModelName,
    Provider,
    Seed,
    SpecFile,
    WriterName,
    read_named_spec,
)
from midspec.cli.show import console, progress_bar
from midspec.llm import read_ledger
from midspec.records import Document
from midspec.spec import bundled_specs, read_spec
from midspec.store import read_records

TOUR = """
The way, with a model of your own (set its key first, e.g. `export ANTHROPIC_API_KEY=...`):

1. `midspec corpus plan my-spec.md --writer anthropic/claude-opus-4-6 --out corpus/mine` prints the document tree, and what writing it will cost.

2. `midspec corpus write my-spec.md --writer anthropic/claude-opus-4-6 --out corpus/mine --max-cost 20` writes it.

3. `midspec corpus audit corpus/mine` shows what the documents cover, how diverse they are, what was dropped and why.

4. `midspec corpus export corpus/mine --format parquet --out for-others` hands them on.

Nothing is paid twice: every reply is on disk before it is used, and the same command goes on after any interruption. Without `--writer`, the offline scribe writes. All of it: docs/corpus.md.
"""

app = typer.Typer(epilog=TOUR, rich_markup_mode="markdown")

Out = Annotated[Path, typer.Option(help="Folder for the plan, the documents and the journals.")]
Kind = Annotated[
    str, typer.Option(help="value or rule: the prompts; auto: by the spec (see docs/corpus.md).")
]
Subdomains = Annotated[int, typer.Option(help="At most so many subdomains in a domain.")]
Types = Annotated[int, typer.Option(help="Document types in a subdomain (the paper: 20).")]
Ideas = Annotated[int, typer.Option(help="Ideas for each type (the paper: 25).")]
Drafts = Annotated[int, typer.Option(help="Documents from one idea.")]
MaxDocuments = Annotated[
    int, typer.Option(help="Documents at most, spread over the tree; 0: all ideas.")
]
Critique = Annotated[
    bool | None,
    typer.Option(
        "--critique/--no-critique",
        help="Examine and revise each draft: two more requests. On, unless the scribe writes.",
    ),
]
Avoid = Annotated[
    str,
    typer.Option(
        help="Phrases and names to write without: a file, one a line, or an earlier curation.json."
    ),
]
Concurrency = Annotated[int, typer.Option(min=1, help="Calls in flight at most.")]
Judge = Annotated[
    str, typer.Option(help="Drops what is unfaithful to the spec: a model name; empty: no judge.")
]
Against = Annotated[
    str,
    typer.Option(help="Comma-separated evaluation sets that will be asked: one option is a leak."),
]
Embed = Annotated[
    bool | None,
    typer.Option(
        "--embed/--no-embed",
        help="Drop documents that say the same. On if installed, unless the scribe writes.",
    ),
]
MaxCost = Annotated[
    float,
    typer.Option(help="US dollars that may be spent on OUT, runs before included; 0: no limit."),
]
PriceTable = Annotated[
    str, typer.Option("--prices", help="Your own price table; see docs/corpus.md.")
]
Batch = Annotated[
    bool, typer.Option("--batch", help="Ask in batches: half the price, hours instead of minutes.")
]
Language = Annotated[
    str, typer.Option(help="normative ('should') or descriptive ('does'); the paper's appendix H.")
]
About = Annotated[str, typer.Option(help="model, assistants, anyone or another-model.")]


@app.command("plan")
def corpus_plan(
    file: SpecFile,
    writer: WriterName = "scribe",
    out: Out = Path("corpus"),
    max_documents: MaxDocuments = 400,
    subdomains: Subdomains = 4,
    types: Types = 6,
    ideas: Ideas = 5,
    drafts: Drafts = 1,
    kind: Kind = "auto",
    critique: Critique = None,
    avoid: Avoid = "",
    concurrency: Concurrency = 16,
    max_cost: MaxCost = 0.0,
    prices: PriceTable = "",
    seed: Seed = 0,
    model_name: ModelName = "Juniper",
    provider_name: Provider = "Alder Labs",
) -> None:
    """Print the document tree, and what writing it will take, before it is written.

    Some pilot documents, 24 at most, are written to measure tokens; `corpus write` with the same
    OUT and options uses them, and the plan.

    Example: `midspec corpus plan my-spec.md --writer anthropic/claude-opus-4-6 --out corpus/mine`
    """
    found = read_named_spec(file, model_name, provider_name)
    plan = options.plan_config(subdomains, types, ideas, kind, seed)
    config = options.document_config(max_documents, drafts, kind, critique, avoid, seed)
    access = steps.Access(writer, concurrency, max_cost, prices=prices)
    tree, reasons, pilot = steps.run_with(
        access, out, lambda model: steps.measure(found, model, plan, config, out, concurrency)
    )
    show.print_tree(tree)
    show.print_reasons(reasons)
    table = options.read_table(prices)
    price = options.price_of(writer, table)
    planning = read_ledger([out / corpus.PLAN_REPLIES], table if price else None)
    show.print_projection(pilot, config.n_requested(len(tree.ideas)), planning, writer, price)
    console.print(
        f"plan -> {out / corpus.PLANS}; next: midspec corpus write, with the same options",
        markup=False,
    )


@app.command("write")
def corpus_write(
    file: SpecFile,
    out: Out,
    writer: WriterName = "scribe",
    judge: Judge = "",
    max_documents: MaxDocuments = 400,
    subdomains: Subdomains = 4,
    types: Types = 6,
    ideas: Ideas = 5,
    drafts: Drafts = 1,
    kind: Kind = "auto",
    critique: Critique = None,
    avoid: Avoid = "",
    against: Against = "",
    embed: Embed = None,
    language: Language = "",
    about: About = "",
    concurrency: Concurrency = 16,
    max_cost: MaxCost = 0.0,
    prices: PriceTable = "",
    batch: Batch = False,
    seed: Seed = 0,
    model_name: ModelName = "Juniper",
    provider_name: Provider = "Alder Labs",
) -> None:
    """Plan and write documents, drop the bad ones with reasons; resumes from OUT.

    With --language or --about, the documents are restated as well, into OUT/restated.

    Example: `midspec corpus write cheese-affordability --out corpus/affordability`
    """
    found = read_named_spec(file, model_name, provider_name)
    plan = options.plan_config(subdomains, types, ideas, kind, seed)
    config = options.document_config(max_documents, drafts, kind, critique, avoid, seed)
    restated = options.restate_config(language, about, seed)
    if language or about:
        corpus.refuse_scribe(writer)
    access = steps.Access(writer, concurrency, max_cost, batch, judge, prices)
    sets = tuple(name.strip() for name in against.split(",") if name.strip())
    tally = steps.write_corpus(found, access, plan, config, steps.Curating(sets, embed), out)
    show.say_tally(tally, out)
    if language or about:
        _restate(out, out / corpus.RESTATED, restated, access, paid_in=out)


@app.command("rewrite")
def corpus_rewrite(
    folder: Annotated[Path, typer.Argument(help="Folder that `corpus write` made.")],
    out: Out,
    writer: Annotated[str, typer.Option(help="An Inspect model name; the scribe cannot do it.")],
    language: Language = "",
    about: About = "",
    concurrency: Concurrency = 16,
    max_cost: MaxCost = 0.0,
    prices: PriceTable = "",
    batch: Batch = False,
    seed: Seed = 0,
) -> None:
    """Restate a corpus: as norms or as facts, about the model or about others (paper, H).

    Example: `midspec corpus rewrite corpus/mine --language normative --about assistants
    --writer anthropic/claude-opus-4-6 --out corpus/mine-normative`
    """
    config = options.restate_config(language, about, seed)
    access = steps.Access(writer, concurrency, max_cost, batch, prices=prices)
    _restate(folder, out, config, access, paid_in=out)


def _restate(
    folder: Path, out: Path, config: corpus.RestateConfig, access: steps.Access, paid_in: Path
) -> None:
    """Restate ``folder`` into ``out``; what ``paid_in`` cost so far counts for the limit."""
    found = corpus.read_saved_spec(folder)
    tally = steps.run_with(
        access,
        paid_in,
        lambda model: steps.restate_corpus(found, model, config, folder, out, access.concurrency),
        batches=(out / "batches").relative_to(paid_in).as_posix(),
    )
    show.say_tally(tally, out)


@app.command("audit")
def corpus_audit(
    folder: Annotated[Path, typer.Argument(help="Folder that `corpus write` made.")],
    reference: Annotated[
        str, typer.Option(help="Text, or JSONL with 'text', to compare diversity with.")
    ] = "",
    out: Annotated[str, typer.Option(help="Folder for the page; default: the corpus' own.")] = "",
    prices: PriceTable = "",
    sample: Annotated[
        int, typer.Option(min=2, help="Pieces of text that diversity is measured on.")
    ] = 200,
    embed: Annotated[
        bool, typer.Option(help="Measure dispersion, on 64 pieces: some seconds, the first time.")
    ] = True,
    seed: Seed = 0,
) -> None:
    """Write a page on a corpus: coverage of the spec, diversity, tokens, drops, cost.

    Example: `midspec corpus audit corpus/mine --reference some-web-text.txt`
    """
    table = options.read_table(prices)
    references = {"the other bundled specs": _bundled_prose(corpus.read_saved_spec(folder).name)}
    if reference:
        references[Path(reference).name] = corpus.read_texts(Path(reference))
    with progress_bar("audit") as progress:
        found = corpus.audit(
            folder,
            references,
            corpus.AuditConfig(sample=sample, seed=seed),
            prices=lambda name: options.price_of(name, table),
            embed=options.embedder() if embed else None,
            progress=progress,
        )
    page = corpus.write_audit(found, Path(out) if out else folder)
    missing = sum(not row.documents for row in found.coverage)
    console.print(
        f"{found.n_documents} documents, {missing} of {len(found.coverage)} spec sentences "
        f"not covered, {found.n_dropped} left out -> {page}",
        markup=False,
    )
    show.print_cost(found.usage)


@app.command("export")
def corpus_export(
    folder: Annotated[Path, typer.Argument(help="Folder with documents.jsonl or chats.jsonl.")],
    out: Annotated[Path, typer.Option(help="Folder for data/ and the dataset card.")],
    form: Annotated[str, typer.Option("--format", help="jsonl or parquet.")] = "jsonl",
) -> None:
    """Write plain rows for other trainers: {text, ...} or {messages, ...}, and a dataset card.

    Example: `midspec corpus export corpus/mine --format parquet --out for-others`
    """
    with progress_bar("export"):
        counts = corpus.export(folder, out, options.one_of("--format", form, ("jsonl", "parquet")))
    told = ", ".join(f"{n} {name}" for name, n in counts.items())
    console.print(f'{told} -> {out}; datasets.load_dataset("{out}") reads it', markup=False)


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


def _bundled_prose(own: str) -> Iterator[str]:
    """Sentences that people wrote: the bundled specs in English but for the corpus' own."""
    for name, path in bundled_specs().items():
        spec = read_spec(path, model_name="the assistant", provider_name="its maker")
        if name != own and spec.language == "english":
            yield from (section.text for section in spec.sections)
