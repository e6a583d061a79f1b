"""Live progress of a run: a bar on a terminal, now and then a line anywhere else. All on stderr."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Protocol

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from controller.cli.output import clean, stderr
from controller.cli.status_screen import verdicts
from controller.cli.tables import styled
from controller.core.durations import format_duration, span
from controller.standing import Standing

PLAIN_SECONDS = 5.0
"""Between two lines when there is no terminal, unless a milestone comes first."""
MILESTONE = 10
"""Percent."""


class Progress(Protocol):
    """Told how the batch stands, again and again; ``why`` is the sentence of what it waits for."""

    def show(self, standing: Standing, why: str = "") -> None:
        """Show this now."""
        ...

    def close(self) -> None:
        """No more is coming."""
        ...


class Pace:
    """How long it has taken and how long it may still take, from what was done meanwhile."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._start = monotonic()
        self._first: int | None = None

    def elapsed(self) -> float:
        """Seconds since the first look."""
        return self._monotonic() - self._start

    def left(self, standing: Standing) -> float | None:
        """Seconds left at this pace; None while too little was done to tell."""
        if self._first is None:
            self._first = standing.done
        done = standing.done - self._first
        if done < 3 or standing.done >= standing.total:
            return None
        return self.elapsed() / done * (standing.total - standing.done)


def progress_for(monotonic: Callable[[], float]) -> Progress:
    """The progress that this stderr can show."""
    console = stderr()
    if console.is_terminal and not console.is_dumb_terminal:
        return Bar(console, Pace(monotonic))
    return Lines(console, Pace(monotonic))


class Bar:
    """A progress bar that is drawn over and over, and gone when the report comes."""

    def __init__(self, console: Console, pace: Pace) -> None:
        self._pace = pace
        self._live = Live(console=console, auto_refresh=False, transient=True)
        self._live.start()

    def show(self, standing: Standing, why: str = "") -> None:
        """Draw it."""
        self._live.update(drawn(standing, self._pace, why), refresh=True)

    def close(self) -> None:
        """Wipe it."""
        self._live.stop()


def drawn(standing: Standing, pace: Pace, why: str) -> RenderableType:
    """The bar and what stands below it."""
    row = Table.grid(padding=(0, 1))
    row.add_column(no_wrap=True)
    row.add_column(ratio=1, min_width=10)
    row.add_column(no_wrap=True)
    row.expand = True
    bar = ProgressBar(
        total=max(1, standing.total),
        completed=standing.done,
        complete_style="cyan",
        finished_style="green",
    )
    row.add_row(Text(standing.batch.name, style="bold"), bar, f"{_tasks(standing)}  {_time(standing, pace)}")
    parts: list[RenderableType] = [row, Text.assemble(styled(standing.state), f"  {_numbers(standing)}")]
    if failures := _failures(standing):
        parts.append(Text(failures, style="yellow"))
    if why:
        parts.append(Text(clean(why), style="dim", no_wrap=True, overflow="ellipsis"))
    return Group(*parts)


class Lines:
    """A plain line every few seconds, and at every tenth of the way."""

    def __init__(self, console: Console, pace: Pace) -> None:
        self._console, self._pace = console, pace
        self._said_at = -PLAIN_SECONDS
        self._milestone = -1
        self._last = ""

    def show(self, standing: Standing, why: str = "") -> None:
        """Say it, if it is time and there is something new."""
        milestone = 100 * standing.done // max(1, standing.total) // MILESTONE
        facts = f"{standing.batch.name} {standing.state}: {_tasks(standing)}, {_numbers(standing)}"
        due = self._pace.elapsed() - self._said_at >= PLAIN_SECONDS or standing.batch.status.closed
        if facts == self._last or not (due or milestone > self._milestone):
            self._pace.left(standing)
            return
        self._milestone, self._said_at, self._last = milestone, self._pace.elapsed(), facts
        failures = "".join(f", {text}" for text in [_failures(standing)] if text)
        line = f"{facts}{failures}, {_time(standing, self._pace)}"
        self._console.print(Text(clean(line)), soft_wrap=True)

    def close(self) -> None:
        """Nothing to wipe."""


def _tasks(standing: Standing) -> str:
    percent = 100 * standing.done // max(1, standing.total)
    return f"{standing.done}/{standing.total} tasks {percent}%"


def _numbers(standing: Standing) -> str:
    said = [
        f"active jobs in batch: {standing.places} of {standing.gate.max}",
        f"waiting: {standing.waiting}",
        *([f"retries in back-off: {standing.back_off}"] if standing.back_off else []),
    ]
    return ", ".join(said)


def _failures(standing: Standing) -> str:
    failed = verdicts({verdict.value: n for verdict, n in standing.failures.items()})
    return f"first attempts failed: {failed}" if failed else ""


def _time(standing: Standing, pace: Pace) -> str:
    left = pace.left(standing)
    about = f", about {span(timedelta(seconds=left))} left" if left is not None else ""
    return f"{format_duration(timedelta(seconds=int(pace.elapsed())))}{about}"
