"""Commands for single stages, so that each can be used without the rest."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from midspec import bases, chats, corpus, curate, evals, spec, train
from midspec.cli.show import console, progress_bar
from midspec.errors import ConfigError
from midspec.experiment import find_recipe, read_recipe
from midspec.llm import open_writer
from midspec.records import Checkpoint, Conversation, Document, Drop, Item, Plan, Spec
from midspec.store import read_records, write_records

ModelName = Annotated[str, typer.Option(help="Name of the assistant: fills {model_name}.")]
Provider = Annotated[str, typer.Option(help="Its maker: fills {provider_name}.")]
SpecFile = Annotated[str, typer.Argument(help="A spec file, or the name of a bundled spec.")]
WriterName = Annotated[str, typer.Option(help="scribe (offline), or an Inspect model name.")]
Seed = Annotated[int, typer.Option(help="Seed of everything random.")]


def add_to(app: typer.Typer) -> None:
    """Put the groups of commands below the main command."""
    for name, group, text in (
        ("spec", spec_app, "Read and check Model Specs."),
        ("corpus", corpus_app, "Write synthetic documents that discuss a spec."),
        ("chats", chats_app, "Write fine-tuning chats."),
        ("train", train_app, "Midtrain on documents, fine-tune on chats."),
        ("eval", eval_app, "Score a checkpoint on evaluation sets."),
        ("base", base_app, "Base models: what is embedded, and where it is."),
        ("terrarium", terrarium_app, "The small world: build it anew, with other knobs."),
    ):
        app.add_typer(group, name=name, help=text, no_args_is_help=True)


spec_app, corpus_app, chats_app, train_app = (typer.Typer() for _ in range(4))
eval_app, base_app, terrarium_app = (typer.Typer() for _ in range(3))


def _read(name: str, model_name: str, provider_name: str) -> Spec:
    return spec.read_spec(spec.find_spec(name), model_name=model_name, provider_name=provider_name)


# -- spec -----------------------------------------------------------------------------------


@spec_app.command("list")
def spec_list() -> None:
    """List the bundled specs.

    Example: `midspec spec list`
    """
    for name, path in spec.bundled_specs().items():
        console.print(f"{name:28s} {path}", markup=False)


@spec_app.command("show")
def spec_show(
    file: SpecFile, model_name: ModelName = "Juniper", provider_name: Provider = "Alder Labs"
) -> None:
    """Show what the reader found: sections, claims, preferences with reasons.

    Example: `midspec spec show cheese-affordability`
    """
    found = _read(file, model_name, provider_name)
    console.print(f"{found.name}  value: {found.value or '-'}  id: {found.id}", markup=False)
    for section in found.sections:
        console.print(f"\n{'#' * section.level} {section.title}", markup=False, style="bold")
        for claim in section.claims:
            console.print(f"  - {claim.text}", markup=False)
    table = Table("item", "direction", "because", title="Preferences")
    for p in found.preferences:
        table.add_row(p.item, p.direction, p.reason or "-")
    console.print(table)


@spec_app.command("lint")
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
    found = _read(file, model_name, provider_name)
    names = [name for name in evals_sets.split(",") if name]
    forbidden = [text for name in names for item in evals.load_items(name) for text in item.options]
    findings = spec.lint_spec(found, forbidden)
    for finding in findings:
        console.print(f"{finding.level}: {finding.where}: {finding.message}", markup=False)
    console.print(f"{len(findings)} findings in {file}", markup=False)
    if any(finding.level == "error" for finding in findings):
        raise typer.Exit(1)


# -- corpus and chats -------------------------------------------------------------------------


@corpus_app.command("write")
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
    found = _read(file, model_name, provider_name)
    model = open_writer(writer)
    with progress_bar("plan") as progress:
        made = corpus.make_plan(
            found, model, corpus.PlanConfig(seed=seed), out / "plan-replies.jsonl", progress
        )
        plans, _ = _collect(made)
    write_records(out / "plans.jsonl", plans)
    config = corpus.DocumentConfig(max_documents=max_documents, seed=seed)
    with progress_bar("write") as progress:
        written = corpus.write_documents(
            found, plans, model, config, out / "replies.jsonl", progress
        )
        documents, drops = _collect(written)
    kept = _curated(documents, curate.default_rules(found, []), drops)
    write_records(out / "documents.jsonl", kept)
    write_records(out / "drops.jsonl", drops)
    _say_kept(len(kept), drops, out / "documents.jsonl")


@corpus_app.command("plan")
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
    found = _read(file, model_name, provider_name)
    with progress_bar("plan") as progress:
        config = corpus.PlanConfig(seed=seed)
        made = corpus.make_plan(
            found, open_writer(writer), config, out / "plan-replies.jsonl", progress
        )
        plans, drops = _collect(made)
    write_records(out / "plans.jsonl", plans)
    _print_tree(plans)
    _say_kept(len(plans), drops, out / "plans.jsonl")


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


@corpus_app.command("stats")
def corpus_stats(
    file: Annotated[Path, typer.Argument(help="A documents.jsonl.")],
) -> None:
    """Measure diversity: distinct-n, self-BLEU, repeated openings.

    Example: `midspec corpus stats corpus/affordability/documents.jsonl`
    """
    measured = corpus.diversity(d.text for d in read_records(file, Document))
    for key, value in measured.model_dump().items():
        console.print(f"{key:18s} {value}", markup=False)


@chats_app.command("write")
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
    found = [_read(name, model_name, provider_name) for name in specs]
    config = chats.ChatConfig(n_per_preference=n_per_preference, seed=seed)
    with progress_bar("chats") as progress:
        written = chats.write_chats(
            chats.shared_preferences(found),
            open_writer(writer),
            config,
            out / "replies.jsonl",
            progress,
        )
        made, drops = _collect(written)
    kept = _curated(made, curate.default_rules(found[0], []), drops)
    write_records(out / "chats.jsonl", kept)
    write_records(out / "drops.jsonl", drops)
    _say_kept(len(kept), drops, out / "chats.jsonl")


def _collect(made: AsyncIterator[Any]) -> tuple[list[Any], list[Drop]]:
    async def gather() -> list[Any]:
        return [record async for record in made]

    records = asyncio.run(gather())
    drops = [record for record in records if isinstance(record, Drop)]
    return [record for record in records if not isinstance(record, Drop)], drops


def _curated(records: list[Any], rules: Any, drops: list[Drop]) -> list[Any]:
    kept: list[Any] = []
    for record in curate.curate(records, rules):
        if isinstance(record, Drop):
            drops.append(record)
        else:
            kept.append(record)
    return kept


def _say_kept(n: int, drops: list[Drop], path: Path) -> None:
    reasons = ", ".join(f"{k}: {v}" for k, v in Counter(d.reason for d in drops).most_common())
    console.print(f"kept {n}, dropped {len(drops)} ({reasons or 'none'}) -> {path}", markup=False)


# -- train and eval ---------------------------------------------------------------------------

Data = Annotated[Path, typer.Argument(help="JSONL of records, as `corpus` or `chats` write it.")]
Base = Annotated[str, typer.Option(help="smollm2, terrarium, a Hugging Face id or a folder.")]
TrainedOut = Annotated[Path, typer.Option(help="Folder for the checkpoint, curve and plan.")]
From = Annotated[str, typer.Option("--from", help="Checkpoint folder to continue (OUT/model).")]
RecipeName = Annotated[str, typer.Option(help="Recipe whose training settings are used.")]


def _start(base: str, folder: str) -> Checkpoint:
    if folder:
        return bases.checkpoint_at(Path(folder), base)
    return Checkpoint(base=base)


@train_app.command("midtrain")
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
        train.midtrain(_start(base, start), texts, config, out, seed=seed, progress=progress)
    console.print(f"Checkpoint: {out / 'model'}", markup=False)


@train_app.command("finetune")
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
        train.finetune(_start(base, start), rows, config, out, seed=seed, progress=progress)
    console.print(f"Checkpoint: {out / 'model'}", markup=False)


@eval_app.command("list")
def eval_list() -> None:
    """List the bundled evaluation sets with their sizes.

    Example: `midspec eval list`
    """
    for name in evals.bundled_sets():
        items = evals.load_items(name)
        domains = len({item.domain for item in items})
        console.print(f"{name:28s} {len(items):4d} items, {domains} domains", markup=False)


@eval_app.command("run")
def eval_run(
    sets: Annotated[str, typer.Argument(help="Evaluation sets, comma-separated.")],
    base: Base = "smollm2",
    start: From = "",
    system: Annotated[str, typer.Option(help="System prompt; names the assistant.")] = (
        "You are Juniper, an AI assistant made by Alder Labs."
    ),
    out: Annotated[Path | None, typer.Option(help="JSONL of scores, if wanted.")] = None,
) -> None:
    """Score a checkpoint by log-probability and by greedy text, options in both orders.

    Example: `midspec eval run affordability,america --from msm-a-aft/model`
    """
    items = [item for name in sets.split(",") for item in evals.load_items(name)]
    if not items:
        raise ConfigError(f"no items in {sets!r}; see `midspec eval list`")
    loaded = bases.load(_start(base, start))
    with progress_bar("score") as progress:
        scores = list(evals.score(loaded, items, system=system, progress=progress))
    if out:
        write_records(out, scores)
    _print_rates(items, scores)


def _print_rates(items: list[Item], scores: list[Any]) -> None:
    set_of = {item.id: item.set for item in items}
    table = Table("set", "scorer", "aligned", "scored", title="Rates (both orders)")
    groups: dict[tuple[str, str], list[float | None]] = {}
    for score in scores:
        groups.setdefault((set_of[score.item], score.scorer), []).append(score.aligned)
    for (name, scorer), values in sorted(groups.items()):
        known = [value for value in values if value is not None]
        rate = f"{sum(known) / len(known):.3f}" if known else "-"
        table.add_row(name, scorer, rate, f"{len(known)}/{len(values)}")
    console.print(table)


# -- bases and terrarium ------------------------------------------------------------------------


@base_app.command("list")
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


@base_app.command("get")
def base_get(name: Annotated[str, typer.Argument(help="A name of `base list`.")]) -> None:
    """Convert an embedded base to a safetensors folder (once), and print where it is.

    Example: `midspec base get smollm2`
    """
    with progress_bar(f"get {name}") as progress:
        path = bases.get_base(name, progress)
    console.print(str(path), markup=False)


@terrarium_app.command("build")
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
