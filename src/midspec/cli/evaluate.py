"""Commands that measure checkpoints."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from midspec import evals
from midspec.cli.common import Base, ModelName, Provider
from midspec.cli.eval_tables import print_answers, print_reasons
from midspec.cli.show import console, progress_bar
from midspec.llm import run_until_done
from midspec.store import write_atomic


class CheckpointFirst(TyperGroup):
    """``midspec eval X`` is ``midspec eval checkpoint X``, unless X is a command."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """The command that the first argument names, or ``checkpoint`` with all arguments."""
        if args and args[0] not in self.commands:
            args = ["checkpoint", *args]
        return super().resolve_command(ctx, args)


app = typer.Typer(cls=CheckpointFirst)


@app.command("list")
def eval_list() -> None:
    """List the bundled evaluation sets with their sizes, and the tasks.

    NAME@VALUE is a set without the pairs in which the other value is on the same side.

    Example: `midspec eval list`
    """
    from midspec.cli.measuring import LM_EVAL, TASKS

    for name in evals.bundled_sets():
        items = evals.load_items(name)
        domains = len({item.domain for item in items})
        parts = [f"; @{value}: {n}" for value, n in evals.overlaps(items).items()]
        line = f"{name:28s} {len(items):4d} items, {domains} domains{''.join(parts)}"
        console.print(line, markup=False, highlight=False)
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


@app.command("checkpoint")
def eval_checkpoint(
    checkpoint: Annotated[
        str, typer.Argument(help="A base, a folder of weights (OUT/model), or an Inspect model.")
    ],
    tasks: Annotated[str, typer.Option(help="Sets and tasks, comma-separated: `eval list`.")] = (
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
    lm_eval_path: Annotated[
        Path | None, typer.Option(help="Folder of task files of your own, for lm-eval:NAME.")
    ] = None,
    temperature: Annotated[float, typer.Option(help="Of sampling; 0 is greedy.")] = 0.0,
    max_tokens: Annotated[
        int, typer.Option(min=0, help="Longest reply of a task; 0: the task's own limit.")
    ] = 0,
    limit: Annotated[
        int, typer.Option(help="So many items of each task, from all its parts; 0: all.")
    ] = 0,
    model_name: ModelName = "Juniper",
    provider_name: Provider = "Alder Labs",
    by_group: Annotated[bool, typer.Option(help="A line for each domain or harm too.")] = False,
) -> None:
    """Measure a checkpoint on sets and tasks; stop it at any time, the same command goes on.

    Examples: `midspec eval smollm2 --tasks scenarios,america --limit 20` ·
    `midspec eval out/model --tasks agentic_misalignment --judge anthropic/claude-sonnet-4-6`
    """
    from midspec.cli import measuring

    options = measuring.Options(
        who={"model_name": model_name, "provider_name": provider_name, "in_context": in_context},
        own={
            "spec": spec,
            "standard": standard,
            "judge": judge,
            "judge_repeats": judge_repeats,
            "epochs": epochs,
            "scratchpad": scratchpad,
        },
        limit=limit,
        max_tokens=max_tokens,
        lm_eval_path=lm_eval_path,
    )
    names = [name.strip() for name in tasks.split(",") if name.strip()]
    made = {name: measuring.make(name, options) for name in names}  # wrong names fail at once
    subject = measuring.Subject(checkpoint, base, temperature)
    journal = out / "answers.jsonl"
    keys: list[str] = []
    for name in names:
        with progress_bar(name) as progress:
            keys += measuring.answer(subject, name, made[name], journal, options, progress)
    print_answers(journal, keys, by_group)


@app.command("reasons")
def eval_reasons(
    sources: Annotated[
        list[Path], typer.Argument(help="Journals (answers.jsonl), Inspect logs, folders of logs.")
    ],
    judge: Annotated[str, typer.Option(help="Inspect name of the judge.")],
    task: Annotated[str, typer.Option(help="Answers of this task only.")] = "",
    out: Annotated[Path, typer.Option(help="Folder for the judge's replies and reasons.json.")] = (
        Path("reasons")
    ),
    most_patterns: Annotated[int, typer.Option(help="At most so many patterns.")] = 16,
) -> None:
    """Why models acted as they did: patterns of reasoning, how often in each arm, with quotes.

    Example: `midspec eval reasons evals/answers.jsonl --judge anthropic/claude-sonnet-4-6`
    """
    from inspect_ai.model import GenerateConfig

    from midspec.evals.fakes import open_model
    from midspec.evals.reasons import find_reasons
    from midspec.evals.transcripts import read_transcripts

    config = GenerateConfig(max_retries=5, timeout=1800, max_tokens=4096)
    transcripts = list(read_transcripts(sources, task))
    with progress_bar("reasons") as progress:
        findings = run_until_done(
            find_reasons(
                transcripts,
                open_model(judge, config),
                out / "judge.jsonl",
                most_patterns=most_patterns,
                progress=progress,
            )
        )
    write_atomic(out / "reasons.json", findings.model_dump_json(indent=1))
    print_reasons(findings)
    console.print(f"all quotes: {out / 'reasons.json'}", markup=False)
