"""Commands that measure checkpoints."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table
from rich.text import Text
from typer.core import TyperGroup

from midspec import bases, evals
from midspec.cli.common import Base, From, ModelName, Provider, start_checkpoint
from midspec.cli.show import console, progress_bar
from midspec.errors import ConfigError, EvalError
from midspec.records import Item
from midspec.store import write_atomic, write_records

if TYPE_CHECKING:
    from inspect_ai import Task

    from midspec.evals.answers import Answer, Line
    from midspec.evals.rates import Estimate
    from midspec.evals.reasons import Findings


class CheckpointFirst(TyperGroup):
    """``midspec eval X`` is ``midspec eval checkpoint X``, unless X is a command."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """The command that the first argument names, or ``checkpoint`` with all arguments."""
        if args and args[0] not in self.commands:
            args = ["checkpoint", *args]
        return super().resolve_command(ctx, args)


app = typer.Typer(cls=CheckpointFirst)

# Which of the options below a task takes; all take the names and --in-context.
TASKS: dict[str, tuple[str, ...]] = {
    "scenarios": (),
    "capability": (),
    "pushback": ("spec",),
    "spec_recall": ("spec",),
    "recall": ("spec",),
    "open_qa": ("judge", "judge_repeats", "epochs", "standard"),
    "agentic_misalignment": ("judge", "epochs", "scratchpad"),
}
LM_EVAL = "lm-eval:"


@app.command("list")
def eval_list() -> None:
    """List the bundled evaluation sets with their sizes, and the tasks.

    Example: `midspec eval list`
    """
    for name in evals.bundled_sets():
        items = evals.load_items(name)
        domains = len({item.domain for item in items})
        console.print(f"{name:28s} {len(items):4d} items, {domains} domains", markup=False)
    console.print(f"tasks: {', '.join(TASKS)}; {LM_EVAL}NAME where lm-eval is installed")


@app.command("card")
def eval_card(
    name: Annotated[str, typer.Argument(help="A bundled set, or the set of a task.")],
) -> None:
    """Show how a set was written, what it cannot show, its canary and its content hash.

    Example: `midspec eval card scenarios`
    """
    for field, value in evals.card(name).model_dump().items():
        console.print(f"{field:9s} {value}", markup=False)
    console.print(f"{'hash':9s} {evals.set_hash(name)}")


@app.command("run")
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
    loaded = bases.load(start_checkpoint(base, start))
    with progress_bar("score") as progress:
        scores = list(evals.score(loaded, items, system=system, progress=progress))
    if out:
        write_records(out, scores)
    _print_rates(items, scores)


def _print_rates(items: list[Item], scores: list[Any]) -> None:
    from midspec.evals.answers import of_score, table

    by_id = {item.id: item for item in items}
    _print_table(table(of_score(score, by_id[score.item], "", "") for score in scores))


# -- tasks --------------------------------------------------------------------------------


@app.command("checkpoint")
def eval_checkpoint(
    checkpoint: Annotated[
        str, typer.Argument(help="A base, a folder of weights (OUT/model), or an Inspect model.")
    ],
    tasks: Annotated[str, typer.Option(help="Sets and tasks, comma-separated.")] = (
        "scenarios,capability"
    ),
    out: Annotated[Path, typer.Option(help="Folder for answers.jsonl and logs.")] = Path("evals"),
    base: Base = "smollm2",
    spec: Annotated[str, typer.Option(help="The spec of spec_recall, recall, pushback.")] = "",
    standard: Annotated[str, typer.Option(help="The spec that open_qa rates against.")] = "",
    in_context: Annotated[
        str, typer.Option(help="A spec for the system prompt: the in-context ceiling.")
    ] = "",
    judge: Annotated[str, typer.Option(help="Inspect names of judges, comma-separated.")] = "",
    judge_repeats: Annotated[int, typer.Option(help="Ratings of each answer by a judge.")] = 1,
    epochs: Annotated[int, typer.Option(help="Repeats of open_qa and misalignment.")] = 1,
    scratchpad: Annotated[bool, typer.Option(help="Hidden reasoning in misalignment.")] = True,
    temperature: Annotated[float, typer.Option(help="Of sampling; 0 is greedy.")] = 0.0,
    limit: Annotated[int, typer.Option(help="First so many questions of each task; 0: all.")] = 0,
    model_name: ModelName = "Juniper",
    provider_name: Provider = "Alder Labs",
    by_group: Annotated[bool, typer.Option(help="A line for each domain or harm too.")] = False,
) -> None:
    """Measure a checkpoint on sets and tasks; stop it at any time, the same command goes on.

    Examples: `midspec eval smollm2 --tasks scenarios,america --limit 20` ·
    `midspec eval out/model --tasks agentic_misalignment --judge anthropic/claude-sonnet-4-6`
    """
    names = [name.strip() for name in tasks.split(",") if name.strip()]
    options = {
        "spec": spec,
        "standard": standard,
        "judge": judge,
        "judge_repeats": judge_repeats,
        "epochs": epochs,
        "scratchpad": scratchpad,
        "in_context": in_context,
        "model_name": model_name,
        "provider_name": provider_name,
    }
    made = {name: _task(name, options) for name in names if not name.startswith(LM_EVAL)}
    subject = _Subject(checkpoint, base, temperature)
    journal = out / "answers.jsonl"
    keys = [
        key
        for name in names
        for key in _answer(subject, name, made.get(name), journal, options, limit)
    ]
    _print_answers(journal, keys, by_group)


def _task(name: str, options: dict[str, Any]) -> Task | list[Item]:
    """A task by name, or the items of a set."""
    from midspec.cli import inspect_tasks

    if name not in TASKS:
        return evals.load_items(name)
    if "judge" in TASKS[name] and not options["judge"]:
        raise ConfigError(f"task {name!r} needs a judge; give --judge and an Inspect model name")
    if name in ("spec_recall", "recall") and not options["spec"]:
        raise ConfigError(f"task {name!r} needs --spec, a bundled name or a file")
    taken = (*TASKS[name], "model_name", "provider_name", "in_context")
    return getattr(inspect_tasks, name)(**{option: options[option] for option in taken})


class _Subject:
    """What is measured: a local checkpoint, or a model that Inspect reaches."""

    def __init__(self, name: str, base: str, temperature: float) -> None:
        from inspect_ai.model import GenerateConfig, get_model

        from midspec.evals.fakes import open_model

        self.name, self.temperature = name, temperature
        config = GenerateConfig(temperature=temperature, max_retries=5, timeout=1800)
        self.loaded: bases.Loaded | None = None
        if Path(name).is_dir() or name in {info.name for info in bases.list_bases()}:
            import midspec.evals.provider  # noqa: F401

            self.model = get_model(f"midspec/{name}", config=config, memoize=False, base=base)
            self.loaded = self.model.api.loaded  # type: ignore[attr-defined]
        else:
            self.model = open_model(name, config)

    @property
    def id(self) -> str:
        """What tells its answers apart from those of other checkpoints."""
        from midspec.evals.run import checkpoint_id

        return checkpoint_id(self.loaded.checkpoint) if self.loaded else self.name


def _answer(
    subject: _Subject,
    name: str,
    made: Task | list[Item] | None,
    journal: Path,
    options: dict[str, Any],
    limit: int,
) -> list[str]:
    """Answer one task; the keys of its answers."""
    from midspec.cli import inspect_tasks
    from midspec.evals.run import answer_items, answer_number, answer_task
    from midspec.evals.tasks import choices
    from midspec.evals.tasks.capability import lm_eval_scores, perplexity

    setup = inspect_tasks.setup(
        options["model_name"], options["provider_name"], options["in_context"]
    )
    settings = {"judge": options["judge"], "temperature": subject.temperature}
    with progress_bar(name) as progress:
        if made is None:
            if not subject.loaded:
                raise EvalError(f"{name!r} needs a local checkpoint, not {subject.name!r}")
            task = name.removeprefix(LM_EVAL)
            scores = lm_eval_scores(subject.loaded, [task], limit or None)
            return [answer_number(journal, name, subject.name, subject.id, "score", scores[task])]
        if isinstance(made, list):
            items = made[: limit or None]
            if subject.loaded:
                return [
                    answer_items(
                        subject.loaded, items, journal, system=setup.system, progress=progress
                    )
                ]
            made = choices(items, setup)
            limit = 0
        key = answer_task(
            made,
            subject.model,
            journal,
            model_id=subject.id,
            settings=settings,
            limit=limit,
            progress=progress,
        )
        if name != "capability" or not subject.loaded:
            return [key]
        bits = perplexity(subject.loaded)
        plain = answer_number(journal, name, subject.name, subject.id, "bits_per_byte", bits)
        return [key, plain]


def _print_answers(journal: Path, keys: list[str], by_group: bool) -> None:
    from midspec.evals.answers import disagreement, read_answers, table

    answers: list[Answer] = list(read_answers(journal, keys))
    _print_table(table(answers, by_group=by_group))
    for name in sorted({a.task.removesuffix(":greedy") for a in answers if ":greedy" in a.task}):
        found = disagreement(answers, name)
        console.print(f"{name}: text and log-odds disagree in {_number(found)}", markup=False)
    console.print(f"answers: {journal}", markup=False)


def _print_table(lines: list[Line]) -> None:
    table = Table("task", "measure", "value", "95% interval", "scored", title="Answers")
    for line in lines:
        found = line.estimate
        if found.value is None:
            continue
        task = f"{line.task} / {line.group}" if line.group else line.task
        ends = "" if found.low is None else f"{found.low:.3f} to {found.high:.3f}"
        scored = f"{found.n_scored}/{found.n_asked}"
        table.add_row(Text(task), Text(line.measure), f"{found.value:.3f}", ends, scored)
    console.print(table)


def _number(found: Estimate) -> str:
    if found.value is None:
        return "no question that has both"
    return f"{found.value:.3f} ({found.low:.3f} to {found.high:.3f}) of {found.n_scored}"


# -- reasons ------------------------------------------------------------------------------


@app.command("reasons")
def eval_reasons(
    logs: Annotated[list[Path], typer.Argument(help="Inspect logs, or folders of them.")],
    judge: Annotated[str, typer.Option(help="Inspect name of the judge.")],
    out: Annotated[Path, typer.Option(help="Folder for the judge's replies and reasons.json.")] = (
        Path("reasons")
    ),
    most_patterns: Annotated[int, typer.Option(help="At most so many patterns.")] = 16,
) -> None:
    """Why models acted as they did: patterns of reasoning, how often in each arm, with quotes.

    Example: `midspec eval reasons evals/logs --judge anthropic/claude-sonnet-4-6`
    """
    from inspect_ai.model import GenerateConfig

    from midspec.evals.fakes import open_model
    from midspec.evals.reasons import find_reasons, read_transcripts

    config = GenerateConfig(max_retries=5, timeout=1800, max_tokens=4096)
    transcripts = list(read_transcripts(logs))
    with progress_bar("reasons") as progress:
        findings = asyncio.run(
            find_reasons(
                transcripts,
                open_model(judge, config),
                out / "judge.jsonl",
                most_patterns=most_patterns,
                progress=progress,
            )
        )
    write_atomic(out / "reasons.json", findings.model_dump_json(indent=1))
    _print_reasons(findings)


def _print_reasons(findings: Findings) -> None:
    table = Table("arm", "pattern", "share", "a quote", title="Reasons")
    for row in findings.frequencies:
        quote = row.quotes[0].text if row.quotes else ""
        table.add_row(Text(row.arm), Text(row.pattern), _number(row.rate), Text(quote))
    console.print(table)
    console.print(
        f"{findings.n_transcripts} transcripts, {findings.n_unparsed} unparsed, "
        f"{findings.n_loose_quotes} quotations not found word for word"
    )
