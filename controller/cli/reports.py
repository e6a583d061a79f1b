"""The report of a batch, for ``report`` and for the end of ``run``."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta

from rich.console import Group, RenderableType
from rich.text import Text

from controller.cli.output import clean
from controller.cli.tables import pairs, section, styled, table
from controller.core.durations import span
from controller.core.model import Status
from controller.shapes import TOTALS, Document

MOST_ROWS = 40
"""Tasks listed on a screen; ``-o json`` has all."""
FAILED = (Status.ERROR.value, Status.TERMINATED.value)
Row = tuple[str, Document]
"""A task's id and what became of it."""


def report_screen(report: Document) -> RenderableType:
    """The report as people read it: the sum first, then whatever did not go smoothly."""
    head = Text.assemble((clean(report["batch"]), "bold"), "  ", styled(report["result"] or "not over yet"))
    parts: list[RenderableType] = [head, pairs(_totals(report["totals"]))]
    if report["verdicts"]:
        parts.append(section("How tasks ended", _verdicts(report["verdicts"])))
    rows = list(report["tasks"].items())
    failed = [row for row in rows if row[1]["status"] in FAILED]
    again = [row for row in rows if row[1]["status"] == Status.COMPLETED.value and row[1]["attempts"] > 1]
    if failed:
        parts.append(section("Failed", _rows(failed)))
    if again:
        parts.append(section("Succeeded after a retry", _rows(again)))
    return Group(*parts)


def _totals(totals: Mapping[str, int]) -> Iterable[tuple[str, str]]:
    for name in TOTALS:
        if totals[name] or name in ("found", "succeeded", "failed"):
            yield name.replace("_", " "), str(totals[name])


def _verdicts(verdicts: Mapping[str, int]) -> RenderableType:
    made = table("VERDICT", "TASKS", right=("TASKS",))
    for verdict, n in verdicts.items():
        made.add_row(styled(verdict), str(n))
    return made


def _rows(rows: Sequence[Row]) -> RenderableType:
    made = table("TASK", "VERDICT", "ATTEMPTS", "TOOK", "WHY", right=("ATTEMPTS", "TOOK"))
    for task_id, row in rows[:MOST_ROWS]:
        made.add_row(
            clean(task_id),
            styled(row["verdict"] or row["status"]),
            str(row["attempts"]),
            "" if row["seconds"] is None else span(timedelta(seconds=row["seconds"])),
            clean(row["reason"]),
        )
    if len(rows) <= MOST_ROWS:
        return made
    return Group(made, Text(f"and {len(rows) - MOST_ROWS} more: -o json lists all", style="dim"))
