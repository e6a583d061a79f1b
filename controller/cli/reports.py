"""The report of a batch, for ``report`` and for the end of ``run``."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import timedelta

from rich.console import Group, RenderableType
from rich.text import Text

from controller.cli.output import clean
from controller.cli.tables import pairs, section, styled, table
from controller.core.durations import span
from controller.core.model import Status
from controller.core.report import Report, TaskRow
from controller.shapes import TOTALS

MOST_ROWS = 40
"""Tasks listed on a screen; ``-o json`` has all."""


def report_screen(report: Report) -> RenderableType:
    """The report as people read it: the sum first, then whatever did not go smoothly."""
    result = report.result.value if report.result else "not over yet"
    head = Text.assemble((report.batch, "bold"), "  ", styled(result))
    parts: list[RenderableType] = [head, pairs(_totals(report))]
    if report.verdicts:
        parts.append(section("How tasks ended", _verdicts(report)))
    failed = [row for row in report.rows if row.status in (Status.ERROR, Status.TERMINATED)]
    again = [row for row in report.rows if row.status is Status.COMPLETED and row.attempts > 1]
    if failed:
        parts.append(section("Failed", _rows(failed)))
    if again:
        parts.append(section("Succeeded after a retry", _rows(again)))
    return Group(*parts)


def _totals(report: Report) -> Iterable[tuple[str, str]]:
    for name in TOTALS:
        number = getattr(report, name)
        if number or name in ("found", "succeeded", "failed"):
            yield name.replace("_", " "), str(number)


def _verdicts(report: Report) -> RenderableType:
    made = table("VERDICT", "TASKS", right=("TASKS",))
    for verdict, n in sorted(report.verdicts.items(), key=lambda item: (-item[1], item[0].value)):
        made.add_row(styled(verdict.value), str(n))
    return made


def _rows(rows: Sequence[TaskRow]) -> RenderableType:
    made = table("TASK", "VERDICT", "ATTEMPTS", "TOOK", "WHY", right=("ATTEMPTS", "TOOK"))
    for row in rows[:MOST_ROWS]:
        made.add_row(
            row.task_id,
            styled(row.verdict.value if row.verdict else row.status.value),
            str(row.attempts),
            "" if row.seconds is None else span(timedelta(seconds=row.seconds)),
            clean(row.reason),
        )
    if len(rows) <= MOST_ROWS:
        return made
    return Group(made, Text(f"and {len(rows) - MOST_ROWS} more: -o json lists all", style="dim"))
