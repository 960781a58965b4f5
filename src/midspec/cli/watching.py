"""What the user sees of a run: a bar over all stages, weighed by time, and one for each that runs."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from midspec.cli.show import console
from midspec.experiment import Stage
from midspec.progress import Progress as Callback

LEAST_SECONDS = 0.05  # a planned stage of no time still counts


class Eta:
    """The time left of a run: planned seconds of what is left, at the speed measured so far.

    A plan's rates may be far off on this machine, but one stage against another they are not:
    what ran took ``elapsed`` for its planned seconds, and the rest will take the same for its own.

    Example:
        >>> now = iter([0.0, 10.0]).__next__
        >>> eta = Eta({"short": 1.0, "long": 4.0}, clock=now)
        >>> eta.begin("short"); eta.end("short"); eta.left()
        40.0
    """

    def __init__(
        self, planned: Mapping[str, float], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.planned = {key: max(LEAST_SECONDS, seconds) for key, seconds in planned.items()}
        self.total = sum(self.planned.values())
        self._clock = clock
        self._started = clock()
        self._shares: dict[str, float] = {}

    def begin(self, key: str) -> None:
        """A stage starts."""
        self._shares.setdefault(key, 0.0)

    def at(self, key: str, share: float) -> None:
        """A share of a stage is done."""
        self._shares[key] = min(1.0, max(self._shares.get(key, 0.0), share))

    def end(self, key: str) -> None:
        """A stage is done."""
        self._shares[key] = 1.0

    @property
    def done(self) -> float:
        """Planned seconds of what is done."""
        return sum(self.planned.get(key, 0.0) * share for key, share in self._shares.items())

    def left(self) -> float | None:
        """Seconds left; None before anything is done."""
        done, elapsed = self.done, self._clock() - self._started
        return (self.total - done) * elapsed / done if done else None


class Bars:
    """An observer of a run; without a terminal, one plain line for each finished stage."""

    def __init__(self, bars: Progress, planned: Mapping[str, float]) -> None:
        self._bars = bars
        self._eta = Eta(planned)
        self._all: TaskID | None = None
        self._running: dict[str, TaskID] = {}
        self._n_done, self._n = 0, 0

    def stages(self, todo: list[Stage], done: list[Stage]) -> None:
        """Say how much there is to do."""
        self._n = len(todo)
        if done:
            console.print(f"{len(done)} of {len(done) + len(todo)} stages are done already.")
        if todo:
            self._all = self._bars.add_task("all stages", total=self._eta.total or 1, text="")
            self._tell()

    def started(self, stage: Stage) -> Callback:
        """Show a bar for the stage."""
        self._eta.begin(stage.key)
        task = self._bars.add_task(f"  {stage.label}"[:58], total=None, text="")
        self._running[stage.key] = task

        def progress(done: int, total: int, text: str = "") -> None:
            count = f"{done}/{total} {text}" if total else f"{done or ''} {text}"
            self._bars.update(task, completed=done, total=total or None, text=count.strip())
            if total:
                self._eta.at(stage.key, done / total)
                self._tell()

        return progress

    def finished(self, stage: Stage, seconds: float) -> None:
        """Replace the stage's bar by progress on the whole."""
        if (task := self._running.pop(stage.key, None)) is not None:
            self._bars.remove_task(task)
        self._eta.end(stage.key)
        self._n_done += 1
        self._tell()
        if not console.is_terminal:
            console.print(f"{seconds:7.1f} s  {stage.label}")

    def _tell(self) -> None:
        if self._all is not None:
            left = self._eta.left()
            text = f"{self._n_done}/{self._n} stages"
            text += "" if left is None else f", about {clock(left)} left"
            self._bars.update(self._all, completed=self._eta.done, text=text)


def clock(seconds: float) -> str:
    """A time as hours, minutes and seconds.

    Example:
        >>> clock(7), clock(3725)
        ('0:07', '1:02:05')
    """
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


@contextmanager
def observing(planned: Mapping[str, float]) -> Iterator[Bars]:
    """Bars on the screen while a run goes on; ``planned`` are seconds by the stages' keys."""
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=24),
        TimeElapsedColumn(),
        TextColumn("{task.fields[text]}", style="dim", markup=False),
    )
    with Progress(*columns, console=console) as bars:
        yield Bars(bars, planned)
