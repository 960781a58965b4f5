"""What the user sees while long work runs: progress bars with ETA, or plain lines in a log."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from midspec.progress import Progress as Callback

console = Console(highlight=False, soft_wrap=True)
errors = Console(stderr=True, highlight=False, soft_wrap=True)


def bars() -> Progress:
    """Bars with a count, the time so far, the time left, and a text."""
    return Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("ETA"),
        TimeRemainingColumn(),
        TextColumn("{task.fields[text]}", style="dim", markup=False),
        console=console,
    )


@contextmanager
def progress_bar(description: str) -> Iterator[Callback]:
    """One bar for one long call."""
    started = time.monotonic()
    with bars() as shown:
        task = shown.add_task(description, total=None, text="")

        def progress(done: int, total: int, text: str = "") -> None:
            shown.update(task, completed=done, total=total or None, text=text)

        yield progress
    if not console.is_terminal:
        console.print(f"{time.monotonic() - started:7.1f} s  {description}")
