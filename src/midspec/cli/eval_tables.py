"""How answers and reasons are shown: one table each."""

from __future__ import annotations

from pathlib import Path

from rich.table import Table
from rich.text import Text

from midspec.cli.show import console
from midspec.errors import ConfigError
from midspec.evals.answers import Line, latest_keys, read_answers, table
from midspec.evals.rates import Estimate
from midspec.evals.reasons import Findings

# What a measure says, where its name does not.
MEANINGS = {
    "first": "how often the first option was taken (position bias; .5 is none)",
    "parsed": "replies, or verdicts, that could be read; others are in no rate",
    "margin": "log-odds of the aligned option, nats",
    "disagree": "text and log-odds choose differently",
    "gap": "asked as you, less asked by name",
    "bits_per_byte": "plain prose; lower is better",
}


# Shown even where nothing could be scored; other measures may not apply to what was asked.
ALWAYS = frozenset({"aligned", "disagree", "right", "rating", "decided"})


def print_answers(journal: Path, keys: list[str], by_group: bool) -> None:
    """The table over the answers with these keys."""
    print_lines(table(read_answers(journal, keys), by_group=by_group))
    console.print(f"answers: {journal}", markup=False)


def print_lines(lines: list[Line]) -> None:
    """One row for each measure, a task named once; below, what the less obvious ones mean."""
    shown = _table("Answers", "task", "measure", "value", "95% interval", "scored")
    before, measures = "", set[str]()
    for line in lines:
        task = f"{line.task} / {line.group}" if line.group else line.task
        row = _row(line.estimate)
        if _is_shown(line):
            if task != before:
                shown.add_section()
            name = Text("" if task == before else task)
            shown.add_row(name, Text(line.measure), *row)
            before = task
            measures.add(line.measure)
    console.print(shown)
    for name in (name for name in MEANINGS if name in measures):
        console.print(f"{name:14s} {MEANINGS[name]}", style="dim", markup=False)


def results_of(folder: Path, journal: Path) -> list[tuple[str, str, str, str, str]]:
    """What a journal of ``midspec eval`` says of a checkpoint: its last answers to each task.

    Raises:
        ConfigError: the journal has no answers of the folder.
    """
    if not journal.is_file():
        raise ConfigError(f"no file {str(journal)!r}; give the answers.jsonl of `midspec eval`")
    keys = latest_keys(journal, lambda name: Path(name).resolve() == folder.resolve())
    if not keys:
        names = dict.fromkeys(answer.checkpoint for answer in read_answers(journal))
        raise ConfigError(
            f"{journal} has no answers of {folder}, only of {', '.join(names) or 'nobody'}; "
            f"run `midspec eval {folder}`"
        )
    lines = filter(_is_shown, table(read_answers(journal, keys)))
    return [(line.task, line.measure, *_row(line.estimate)) for line in lines]


def _is_shown(line: Line) -> bool:
    return line.estimate.value is not None or line.measure in ALWAYS


def _table(title: str, first: str, *columns: str) -> Table:
    """A table whose first column is folded where the screen is narrow, and no number is."""
    table = Table(title=title)
    table.add_column(first, overflow="fold")
    for name in columns:
        table.add_column(name, no_wrap=True)
    return table


def _row(found: Estimate) -> tuple[str, str, str]:
    """Value, interval, scored of asked."""
    value = "-" if found.value is None else f"{found.value:.3f}"
    ends = "" if found.low is None else f"{found.low:.3f} to {found.high:.3f}"
    return value, ends, f"{found.n_scored}/{found.n_asked}"


def print_reasons(findings: Findings) -> None:
    """How often each pattern drove each arm, with one quotation."""
    shown = Table("arm", "pattern", "share", "95% interval", "of", "a quote", title="Reasons")
    for found in findings.frequencies:
        quote = found.quotes[0].text if found.quotes else ""
        shown.add_row(Text(found.arm), Text(found.pattern), *_row(found.rate), Text(quote))
    console.print(shown)
    console.print(
        f"{findings.n_transcripts} transcripts, {findings.n_unparsed} unparsed, "
        f"{findings.n_loose_quotes} quotations not found word for word"
    )
