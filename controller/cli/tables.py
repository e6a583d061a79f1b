"""Tables for people: plain columns that stay readable at 80 characters and in black and white."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime

from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.measure import Measurement
from rich.table import Column, Table
from rich.text import Text

from controller.cli.output import WIDE, clean
from controller.core.durations import span
from controller.core.model import Status
from controller.shapes import Document

GAP = 2
"""Blanks between two columns."""
LEAST = 20
"""Columns that a sentence gets, however narrow the terminal."""

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
    made = WholeColumns(box=None, pad_edge=False, padding=(0, GAP, 0, 0), header_style="bold")
    for name in columns:
        last = name == columns[-1]
        made.add_column(
            name,
            justify="right" if name in right else "left",
            no_wrap=cut or not last,
            overflow="ellipsis" if cut and last else "fold",
        )
    return made


class WholeColumns(Table):
    """A table whose last column takes what the others leave; the others keep their width, and nothing of a
    name or a number is lost: where they do not fit, the terminal breaks the lines."""

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Give the last column what is left, or as much as is worth reading."""
        *widths, last_width = [self._widest(column, console, options) for column in self.columns]
        others, last = sum(widths) + GAP * len(widths), self.columns[-1]
        left = max(min(last_width, LEAST), options.max_width - others)
        if last.overflow == "ellipsis":
            last.max_width = left
        yield from super().__rich_console__(console, options.update(max_width=others + left))

    @staticmethod
    def _widest(column: Column, console: Console, options: ConsoleOptions) -> int:
        unbounded = options.update(max_width=WIDE)
        cells = (column.header, *column.cells)
        return max(Measurement.get(console, unbounded, cell).maximum for cell in cells)


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


def batches_table(batches: Sequence[Document], now: datetime) -> RenderableType:
    """``list``."""
    if not batches:
        return Text("no batches yet: 'batchkeeper submit SPEC' makes one", style="dim")
    several = len({batch["batch"].partition("/")[0] for batch in batches}) > 1
    made = table(
        "BATCH", "STATE", "DONE", "FAILED", "ACTIVE", "WAITING", "AGE", right=("DONE", "FAILED", "WAITING")
    )
    for batch in batches:
        tasks = batch["tasks"]
        ended = tasks["endedWithoutSuccess"]
        made.add_row(
            clean(batch["batch"] if several else name_of(batch)),
            styled(state_of(batch)),
            f"{tasks['completed'] + ended}/{tasks['total']}",
            Text(str(ended), style="red" if ended else "dim"),
            batch["activeJobsInBatch"].replace(" of ", "/"),
            str(tasks["waiting"]),
            age(batch["accepted"], now),
        )
    return made


def name_of(batch: Document) -> str:
    """The name of a batch without its namespace."""
    return str(batch["batch"]).partition("/")[2]


def state_of(batch: Document) -> str:
    """How a batch stands, with its result once it is over."""
    state = str(batch["state"])
    if batch.get("cancelling"):
        return "cancelling"
    return f"{state} ({batch['result']})" if state == "finished" and "result" in batch else state


def instant(text: str) -> datetime:
    """An instant of a document."""
    return datetime.fromisoformat(text)


def age(since: str, now: datetime) -> str:
    """How long ago that was."""
    return span(now - instant(since))


def jobs_table(jobs: Sequence[Document], now: datetime) -> RenderableType:
    """``jobs``: a line each; ``explain`` and ``logs`` tell the rest."""
    if not jobs:
        return Text("no such jobs", style="dim")
    made = table("JOB", "STATUS", "VERDICT", "EXIT", "TOOK", "WHY", right=("EXIT", "TOOK"), cut=True)
    for job in jobs:
        made.add_row(
            clean(job["name"]),
            styled("terminating" if job["terminating"] else job["status"]),
            styled(job["verdict"] or ""),
            "" if job["exit_code"] is None else str(job["exit_code"]),
            _took(job, now),
            clean(_why(job, now)),
        )
    return made


def _why(job: Document, now: datetime) -> str:
    """Why a job is where it is, as far as its record alone tells."""
    status, due, stop = Status(job["status"]), job["not_before"], job["stop"]
    if due and instant(due) > now and not status.terminal:
        return f"retry by {job['rule'] or 'a person'} in {span(instant(due) - now)}"
    if stop and status.active:
        return f"ordered by {stop['by']}: {stop['why']}"
    if status.terminal:
        return str(job["error"] or (job["reason"] if job["verdict"] is None else ""))
    return f"on {job['node']}" if job["node"] else ""


def _took(job: Document, now: datetime) -> str:
    """How long it ran, or has been running."""
    if job["running"] is None:
        return ""
    return span((instant(job["finished"]) if job["finished"] else now) - instant(job["running"]))


def answers_table(answers: Sequence[Document]) -> RenderableType:
    """What became of each id of a request."""
    made = table("JOB", "DONE", "WHAT")
    for answer in answers:
        warning = f" (note: {answer['warning']})" if answer["warning"] else ""
        done = Text("no", style="red") if answer["error"] else Text("yes", style="green")
        said = f"{answer['error'] or answer['did']}{warning}"
        made.add_row(clean(answer["name"] or answer["job_id"]), done, clean(said))
    return made


def amounts(resources: Document) -> str:
    """Resources as people say them."""
    memory = resources["memory"] if resources["memory"] != "0" else "memory not limited"
    gpus = [f"{resources['gpu']} GPU"] if resources["gpu"] else []
    return ", ".join([f"{resources['cpu']} CPU", memory, *gpus])
