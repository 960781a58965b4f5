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
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from midspec.experiment import Stage
from midspec.progress import Progress as Callback

console = Console(highlight=False, soft_wrap=True)
errors = Console(stderr=True, highlight=False, soft_wrap=True)


def _bars() -> Progress:
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


class Bars:
    """An observer of a run: one bar over all stages, one for the stage that runs.

    Without a terminal, one plain line for each finished stage.
    """

    def __init__(self, bars: Progress) -> None:
        self._bars = bars
        self._all: TaskID | None = None
        self._current: TaskID | None = None

    def stages(self, todo: list[Stage], done: list[Stage]) -> None:
        """Say how much there is to do."""
        if done:
            console.print(f"{len(done)} of {len(done) + len(todo)} stages are done already.")
        if todo:
            self._all = self._bars.add_task("all stages", total=len(todo), text="")

    def started(self, stage: Stage) -> Callback:
        """Show a bar for the stage."""
        self._current = self._bars.add_task(f"  {stage.label}"[:58], total=None, text="")
        task = self._current

        def progress(done: int, total: int, text: str = "") -> None:
            self._bars.update(task, completed=done, total=total or None, text=text)

        return progress

    def finished(self, stage: Stage, seconds: float) -> None:
        """Replace the stage's bar by progress on the whole."""
        if self._current is not None:
            self._bars.remove_task(self._current)
        if self._all is not None:
            self._bars.advance(self._all)
        if not console.is_terminal:
            console.print(f"{seconds:7.1f} s  {stage.label}")


@contextmanager
def observing() -> Iterator[Bars]:
    """Bars on the screen while a run goes on."""
    with _bars() as bars:
        yield Bars(bars)


@contextmanager
def progress_bar(description: str) -> Iterator[Callback]:
    """One bar for one long call."""
    started = time.monotonic()
    with _bars() as bars:
        task = bars.add_task(description, total=None, text="")

        def progress(done: int, total: int, text: str = "") -> None:
            bars.update(task, completed=done, total=total or None, text=text)

        yield progress
    if not console.is_terminal:
        console.print(f"{time.monotonic() - started:7.1f} s  {description}")
