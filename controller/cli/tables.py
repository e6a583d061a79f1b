"""Tables for people: plain columns that stay readable at 80 characters and in black and white."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime

from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.measure import Measurement
from rich.table import Column, Table
from rich.text import Text

from controller.cli.output import clean
from controller.core.durations import span
from controller.core.model import Attempt
from controller.core.quantities import format_cpu, format_memory
from controller.requests import Answer
from controller.standing import Standing

GAP = 2
"""Blanks between two columns."""

STYLES = {
    "completed": "green",
    "succeeded": "green",
    "finished (completed)": "green",
    "finished (partial)": "yellow",
    "finished (failed)": "red",
    "running": "cyan",
    "queued": "cyan",
    "created": "cyan",
    "expanding": "cyan",
    "waiting": "dim",
    "terminating": "yellow",
    "terminated": "yellow",
    "cancelling": "yellow",
    "cancelled": "yellow",
    "paused": "yellow",
    "held": "bold red",
    "error": "red",
    "failed": "red",
    "partial": "yellow",
}
"""Colours only repeat what the words say."""


def table(*columns: str, right: Iterable[str] = (), cut: bool = False) -> Table:
    """An empty table; the last column takes what room is left, the others stay whole.

    ``cut``: one line per row, whatever its last column says; without it that column folds.
    """
    kind = OneLineRows if cut else Table
    made = kind(box=None, pad_edge=False, padding=(0, GAP, 0, 0), header_style="bold")
    for name in columns:
        last = name == columns[-1]
        made.add_column(
            name,
            justify="right" if name in right else "left",
            no_wrap=cut or not last,
            overflow="ellipsis" if cut and last else "fold",
        )
    return made


class OneLineRows(Table):
    """A table whose last column is cut where the terminal ends; the others keep their width."""

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Give the last column what the others leave."""
        others = sum(self._widest(column, console, options) + GAP for column in self.columns[:-1])
        self.columns[-1].max_width = max(1, options.max_width - others)
        yield from super().__rich_console__(console, options)

    @staticmethod
    def _widest(column: Column, console: Console, options: ConsoleOptions) -> int:
        cells = (column.header, *column.cells)
        return max(Measurement.get(console, options, cell).maximum for cell in cells)


def pairs(rows: Iterable[tuple[str, str]]) -> Table:
    """Names and values, without a head."""
    made = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), show_header=False)
    made.add_column(style="dim", no_wrap=True)
    made.add_column(overflow="fold")
    for name, value in rows:
        made.add_row(name, styled(value))
    return made


def section(title: str, content: RenderableType) -> Group:
    """A part of a screen under its heading."""
    return Group(Text(f"\n{title}", style="bold"), content)


def styled(word: str) -> Text:
    """A word in its colour, if it has one."""
    return Text(clean(word), style=STYLES.get(word, ""))


def batches_table(standings: Sequence[Standing], now: datetime) -> RenderableType:
    """``list``."""
    if not standings:
        return Text("no batches yet: 'batchkeeper submit SPEC' makes one", style="dim")
    several = len({one.batch.namespace for one in standings}) > 1
    made = table(
        "BATCH", "STATE", "DONE", "FAILED", "ACTIVE", "WAITING", "AGE", right=("DONE", "FAILED", "WAITING")
    )
    for one in standings:
        batch = one.batch
        made.add_row(
            f"{batch.namespace}/{batch.name}" if several else batch.name,
            styled(one.state),
            f"{one.done}/{one.total}",
            Text(str(one.ended), style="red" if one.ended else "dim"),
            f"{one.places}/{one.gate.max}",
            str(one.waiting),
            span(now - batch.inserted),
        )
    return made


def jobs_table(jobs: Sequence[Attempt], now: datetime) -> RenderableType:
    """``jobs``, and the failures of ``status``: a line each; ``explain`` and ``logs`` tell the rest."""
    if not jobs:
        return Text("no such jobs", style="dim")
    made = table("JOB", "STATUS", "VERDICT", "EXIT", "TOOK", "WHY", right=("EXIT", "TOOK"), cut=True)
    for job in jobs:
        status = "terminating" if job.terminating else job.status.value
        made.add_row(
            job.name,
            styled(status),
            styled(job.verdict.value if job.verdict else ""),
            "" if job.exit_code is None else str(job.exit_code),
            took(job, now),
            clean(why(job, now)),
        )
    return made


def why(job: Attempt, now: datetime) -> str:
    """Why a job is where it is, as far as its record alone tells."""
    if job.not_before and job.not_before > now and not job.status.terminal:
        return f"retry by {job.rule or 'a person'} in {span(job.not_before - now)}"
    if job.stop and job.status.active:
        return f"ordered by {job.stop.by}: {job.stop.why}"
    if job.status.terminal:
        return job.error or (job.reason if job.verdict is None else "")
    return f"on {job.node}" if job.node else ""


def took(job: Attempt, now: datetime) -> str:
    """How long it ran, or has been running."""
    if job.running is None:
        return ""
    return span((job.finished or now) - job.running)


def answers_table(answers: Sequence[Answer]) -> RenderableType:
    """What became of each id of a request."""
    made = table("JOB", "DONE", "WHAT")
    for answer in answers:
        said = answer.error or answer.did
        warning = f" (note: {answer.warning})" if answer.warning else ""
        done = Text("no", style="red") if answer.error else Text("yes", style="green")
        made.add_row(clean(answer.name or answer.job_id), done, clean(said + warning))
    return made


def amounts(cpu: int, memory: int, gpu: int) -> str:
    """Resources as people say them."""
    parts = [f"{format_cpu(cpu)} CPU", format_memory(memory) if memory else "memory not limited"]
    return ", ".join([*parts, *([f"{gpu} GPU"] if gpu else [])])
