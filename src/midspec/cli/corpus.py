"""Commands that write, look through and hand on documents."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import Annotated

import typer

from midspec import chats, corpus
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
from midspec.llm import Price
from midspec.records import Document
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
Concurrency = Annotated[int, typer.Option(help="Calls in flight at most.")]
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

    Three pilot documents are written to measure tokens; `corpus write` with the same OUT and
    options uses them, and the plan.

    Example: `midspec corpus plan my-spec.md --writer anthropic/claude-opus-4-6 --out corpus/mine`
    """
    found = read_named_spec(file, model_name, provider_name)
    plan = steps.config(
        corpus.PlanConfig,
        n_subdomains=subdomains,
        n_types=types,
        n_ideas=ideas,
        kind=kind,
        seed=seed,
    )
    config = steps.config(
        corpus.DocumentConfig,
        max_documents=max_documents,
        drafts=drafts,
        kind=kind,
        critique=critique,
        avoid=steps.read_avoid(avoid),
        seed=seed,
    )
    access = steps.Access(writer, concurrency, max_cost, prices=prices)
    tree, reasons, pilot = steps.run_with(
        access, out, lambda model: steps.measure(found, model, plan, config, out, concurrency)
    )
    _print_tree(tree)
    _print_reasons(reasons)
    price = steps.price_of(writer, steps.read_table(prices))
    _print_projection(pilot, config.n_requested(len(tree.ideas)), writer, price)
    console.print(f"plan -> {out / corpus.PLANS}", markup=False)


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
    plan = steps.config(
        corpus.PlanConfig,
        n_subdomains=subdomains,
        n_types=types,
        n_ideas=ideas,
        kind=kind,
        seed=seed,
    )
    config = steps.config(
        corpus.DocumentConfig,
        max_documents=max_documents,
        drafts=drafts,
        kind=kind,
        critique=critique,
        avoid=steps.read_avoid(avoid),
        seed=seed,
    )
    restated = steps.restate_config(language, about, seed)
    access = steps.Access(writer, concurrency, max_cost, batch, judge, prices)
    sets = tuple(name.strip() for name in against.split(",") if name.strip())
    tally = steps.write_corpus(found, access, plan, config, steps.Curating(sets, embed), out)
    _say_tally(tally, out)
    if language or about:
        _restate(out, out / "restated", restated, access)


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
    config = steps.restate_config(language, about, seed)
    _restate(folder, out, config, steps.Access(writer, concurrency, max_cost, batch, prices=prices))


def _restate(folder: Path, out: Path, config: corpus.RestateConfig, access: steps.Access) -> None:
    found = corpus.read_saved_spec(folder)
    tally = steps.run_with(
        access,
        out,
        lambda model: steps.restate_corpus(found, model, config, folder, out, access.concurrency),
    )
    _say_tally(tally, out)


@app.command("audit")
def corpus_audit(
    folder: Annotated[Path, typer.Argument(help="Folder that `corpus write` made.")],
    reference: Annotated[
        str, typer.Option(help="Text, or JSONL with 'text', to compare diversity with.")
    ] = "",
    out: Annotated[str, typer.Option(help="Folder for the page; default: the corpus' own.")] = "",
    prices: PriceTable = "",
    sample: Annotated[
        int, typer.Option(help="Pieces of text that diversity is measured on.")
    ] = 200,
    seed: Seed = 0,
) -> None:
    """Write a page on a corpus: coverage of the spec, diversity, tokens, drops, cost.

    Example: `midspec corpus audit corpus/mine --reference some-web-text.txt`
    """
    table = steps.read_table(prices)
    references = {"the bundled instruction replies": _instruction_replies()}
    if reference:
        references[Path(reference).name] = corpus.read_texts(Path(reference))
    with progress_bar("audit") as progress:
        found = corpus.audit(
            folder,
            references,
            corpus.AuditConfig(sample=sample, seed=seed),
            prices=lambda name: steps.price_of(name, table),
            embed=steps.embedder(),
            progress=progress,
        )
    page = corpus.write_audit(found, Path(out) if out else folder)
    missing = sum(not row.documents for row in found.coverage)
    console.print(
        f"{found.n_documents} documents, {missing} of {len(found.coverage)} spec sentences "
        f"not covered, {found.n_dropped} left out -> {page}",
        markup=False,
    )


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
        counts = corpus.export(folder, out, steps.one_of("--format", form, ("jsonl", "parquet")))
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


def _instruction_replies() -> Iterator[str]:
    kept = chats.instruction_chats("english", "the assistant", "its maker")
    turns = chain.from_iterable(chat.messages for chat in kept)
    return (turn.content for turn in turns if turn.role == "assistant")


def _print_tree(tree: corpus.Tree) -> None:
    below: dict[str, list[str]] = {}
    for node in tree.nodes.values():
        below.setdefault(node.parent, []).append(node.id)
    ideas = Counter(idea.parent for idea in tree.ideas)
    for domain in below.get("", []):
        console.print(tree.nodes[domain].title, style="bold", markup=False)
        for child in below.get(domain, []):
            nodes = [tree.nodes[id] for id in below.get(child, [])]
            kinds = Counter(node.level for node in nodes)
            n_ideas = sum(ideas[node.id] for node in nodes if node.level == "type")
            console.print(
                f"  {tree.nodes[child].title}: {kinds['assertion']} assertions, "
                f"{kinds['type']} types, {n_ideas} ideas",
                markup=False,
            )


def _print_reasons(reasons: Counter[str]) -> None:
    if reasons:
        told = ", ".join(f"{name}: {n}" for name, n in reasons.most_common())
        console.print(f"left out of the plan: {reasons.total()} ({told})", markup=False)


def _print_projection(pilot: corpus.Pilot, n: int, writer: str, price: Price | None) -> None:
    """What the corpus will take, from the pilot and the price table."""
    projected = corpus.project(pilot, n)
    console.print(
        f"\nprojected from {pilot.n_documents} pilot documents: {n} documents, "
        f"{projected.corpus_tokens:,} tokens of text; {projected.requests:,} requests, "
        f"{projected.input_tokens:,} tokens in, {projected.output_tokens:,} out",
        markup=False,
    )
    if pilot.n_written < pilot.n_documents:
        console.print(
            f"only {pilot.n_written} of them could be used: look at {corpus.REPLIES} first",
            markup=False,
        )
    if price:
        found = corpus.cost(pilot, n, price)
        console.print(
            f"projected cost: ${found.live:.2f} live, ${found.cached:.2f} with prompt caching, "
            f"${found.batch:.2f} as batch",
            markup=False,
        )
    else:
        console.print(
            f"projected cost: no price for {writer!r} is known; give a table with --prices",
            markup=False,
        )


def _say_tally(tally: corpus.Tally, out: Path) -> None:
    reasons = ", ".join(f"{name}: {n}" for name, n in tally.reasons.items())
    console.print(
        f"requested {tally.requested} = kept {tally.kept} + dropped {tally.dropped} "
        f"+ failed {tally.failed} ({reasons or 'nothing left out'}) -> {out / corpus.DOCUMENTS}",
        markup=False,
    )
    if tally.asked_again:
        console.print("Run the same command again to ask for what failed.")
