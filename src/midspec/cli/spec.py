"""Commands on Model Specs."""

from __future__ import annotations

import difflib
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Annotated, Any, Protocol, TypeVar, cast, runtime_checkable

import typer
from rich.table import Table
from typer.core import TyperGroup

from midspec import evals, spec
from midspec.cli.common import ModelName, Provider, Seed, SpecFile, read_named_spec
from midspec.cli.show import console
from midspec.cli.spec_show import (
    comparison_rows,
    differences,
    say_made,
    show_diff,
    show_preferences,
    show_rules,
)
from midspec.errors import ConfigError
from midspec.llm import Writer, open_writer, run_until_done
from midspec.store import write_atomic

T = TypeVar("T")
HELP = """
Read, check, compare and vary Model Specs.

A spec is a Markdown file: who the assistant is, and why. Prose is taught sentence by sentence;
three headings have a meaning of their own:

    ---
    value: thrift                  # optional front matter: name, value, language, kind
    ---
    # Core philosophy
    {model_name}, made by {provider_name}, values thrift, since waste helps nobody.
    # Likes
    - **Colby**: it costs little, which is what thrift asks for
    # Dislikes
    - **Brie**: it is dear
    # Rules
    1. {model_name} names the price first, because people decide better when they know it.
       - {model_name} says so when a price is an estimate.

A good way: `show` what the reader finds, `lint` until it is clean, `derive` the variants that an
experiment compares, `compare` them to see that they differ in one thing. See docs/specs.md.
"""


class _Teaching(TyperGroup):
    """A group whose own help stands, whatever one line it is added with."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**{**settings, "help": HELP})


app = typer.Typer(cls=_Teaching, rich_markup_mode="markdown")
Tokenizer = Annotated[
    str,
    typer.Option(
        "--tokenizer",
        help="What counts tokens: 'pieces' (words and marks), or a base such as smollm2.",
    ),
]


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
    """Show what the reader found: sections, claims, rules, preferences with reasons.

    Example: `midspec spec show cheese-affordability`
    """
    found = read_named_spec(file, model_name, provider_name)
    kind = f"  kind: {found.kind}" if found.kind else ""
    console.print(f"{found.name}  value: {found.value or '-'}{kind}  id: {found.id}", markup=False)
    for section in found.sections:
        console.print(f"\n{'#' * section.level} {section.title}", markup=False, style="bold")
        for claim in section.claims:
            console.print(f"  - {claim.text}", markup=False)
    show_rules(found)
    show_preferences(found)


@app.command("lint")
def spec_lint(
    file: SpecFile,
    evals_sets: Annotated[
        str,
        typer.Option(
            "--evals",
            help="Evaluation sets whose items and domains it must not mention, by comma; "
            "all: every bundled set in the spec's language; none.",
        ),
    ] = "all",
    judge: Annotated[
        str, typer.Option(help="An Inspect model name: asked for contradictions as well.")
    ] = "",
    model_name: ModelName = "Juniper",
    provider_name: Provider = "Alder Labs",
) -> None:
    """Check a spec: contradictions, reasons, names, braces, length, evaluations it mentions.

    Exits with 1 if there is an error among the findings.

    Example: `midspec spec lint my-spec.md --judge anthropic/claude-opus-4-6`
    """
    found = read_named_spec(file, model_name, provider_name)
    findings = spec.lint_spec(found, *_of_evaluations(evals_sets, found.language))
    if judge:
        with tempfile.TemporaryDirectory() as folder:
            journal = Path(folder) / "replies.jsonl"
            findings += run_until_done(
                _asking(judge, lambda model: spec.judge_spec(found, model, journal))
            )
    for finding in findings:
        console.print(f"{finding.level}: {finding.where}: {finding.message}", markup=False)
    console.print(f"{len(findings)} findings in {file}", markup=False)
    if any(finding.level == "error" for finding in findings):
        raise typer.Exit(1)


def _of_evaluations(chosen: str, language: str) -> tuple[list[str], dict[str, list[str]]]:
    """Items of evaluation sets, and their domains with the sets that have them."""
    names = [name.strip() for name in chosen.split(",") if name.strip() not in ("", "none")]
    if chosen == "all":
        small = language == "terrarium"
        names = [name for name in evals.bundled_sets() if name.startswith("terrarium/") == small]
    options: list[str] = []
    domains: dict[str, list[str]] = {}
    for name in names:
        items = evals.load_items(name)
        options += [o for item in items if item.kind == "preference" for o in item.options]
        for domain in sorted({item.domain for item in items}):
            domains.setdefault(domain, []).append(name)
    return options, domains


@app.command("compare")
def spec_compare(
    a: SpecFile,
    b: SpecFile,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
    tokenizer: Tokenizer = "pieces",
    model_name: ModelName = "Juniper",
    provider_name: Provider = "Alder Labs",
) -> None:
    """Show what differs: sections, claims, preferences, reasons, rules, length.

    Example: `midspec spec compare cheese-affordability cheese-america`
    """
    one, two = (read_named_spec(name, model_name, provider_name) for name in (a, b))
    made = spec.compare_specs(one, two, spec.token_counter(tokenizer))
    if as_json:
        console.print(made.model_dump_json(indent=1), markup=False)
        return
    table = Table("", made.a, made.b)
    for row in comparison_rows(made):
        table.add_row(*row)
    console.print(table)
    for line in differences(made):
        console.print(line, markup=False)


@app.command("derive")
def spec_derive(
    file: SpecFile,
    variant: Annotated[str, typer.Option(help=f"One of: {', '.join(spec.VARIANTS)}.")],
    out: Annotated[Path, typer.Option(help="The file to freeze it as.")],
    writer: Annotated[
        str, typer.Option(help="An Inspect model name, for variants that have to be drafted.")
    ] = "",
    match: Annotated[
        str, typer.Option(help="A spec to be as long as (5%), if not the usual one.")
    ] = "",
    yes: Annotated[bool, typer.Option("--yes", help="Freeze without asking.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Overwrite OUT if it exists.")] = False,
    rounds: Annotated[int, typer.Option(help="Drafts at most, the first included.")] = 4,
    tokenizer: Tokenizer = "pieces",
    seed: Seed = 0,
) -> None:
    """Derive a variant, show it as a diff, and freeze it as a file when you agree.

    `rules` (of a spec with rules), `ablated` and `neutral` need no model; the others are drafted
    by --writer, checked, and sent back at most --rounds times. Drafts are kept beside OUT
    (`.replies.jsonl`), so the same command shows the same draft again; another --seed, another.

    Example: `midspec spec derive cheese-america --variant ablated --out ablated.md --yes`
    """
    if variant not in spec.VARIANTS:
        near = difflib.get_close_matches(variant, spec.VARIANTS, n=1, cutoff=0.0)
        raise ConfigError(f"no variant {variant!r}; did you mean {near[0]!r}?")
    if out.exists() and not force:
        raise ConfigError(f"{out} exists; give another --out, or --force to overwrite it")
    source, other = _text_of(file), _text_of(match) if match else ""

    async def make(model: Writer | None) -> spec.Variant:
        return await spec.derive(
            source,
            cast(spec.VariantKind, variant),
            name=Path(file).stem,
            writer=model,
            journal=out.with_suffix(".replies.jsonl"),
            config=spec.VariantConfig(seed=seed, max_rounds=rounds),
            count=spec.token_counter(tokenizer),
            match=other,
        )

    made = run_until_done(_asking(writer, make) if writer else make(None))
    show_diff(out.read_text(encoding="utf-8") if out.exists() else source, made.text)
    say_made(made)
    if not yes and not typer.confirm(f"Freeze it as {out}?"):
        console.print("Not written.")
        raise typer.Exit(1)
    write_atomic(out, made.text)
    console.print(f"Written: {out}", markup=False)


async def _asking(name: str, use: Callable[[Writer], Awaitable[T]]) -> T:
    """What ``use`` makes of a writer, whose connections are closed afterwards."""
    model = open_writer(name)
    try:
        return await use(model)
    finally:
        if isinstance(model, Closes):
            await model.close()


@runtime_checkable
class Closes(Protocol):
    """A writer that holds connections."""

    async def close(self) -> None:
        """Give them up."""
        ...


def _text_of(name: str) -> str:
    """Text of a spec file, read once as a spec so that its errors are a spec's."""
    read_named_spec(name, "Juniper", "Alder Labs")
    return spec.find_spec(name).read_text(encoding="utf-8-sig")
