"""One screen about one batch: where it stands, why it waits, what failed last, what may be changed.

``status`` prints it once; with ``--watch`` it is drawn again and again until the batch is over.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from rich.console import Group, RenderableType
from rich.text import Text

from controller.cli.output import clean
from controller.cli.tables import age, instant, pairs, section, state_of, styled, table
from controller.core.durations import span
from controller.core.model import Verdict
from controller.shapes import Document

SHOWN_FAILURES = 8
OVER = ("finished", "cancelled")
"""States after which nothing changes by itself."""


def draw(batch: Document, now: datetime) -> RenderableType:
    """The screen for people."""
    parts: list[RenderableType] = [
        Text.assemble((clean(batch["batch"]), "bold"), "  ", styled(state_of(batch))),
        pairs(_facts(batch, now)),
    ]
    if failures := batch.get("failures"):
        parts.append(section("Last failures", _failures(failures[:SHOWN_FAILURES], now)))
    parts.append(section("Settings", _settings(batch.get("settings", {}), now)))
    return Group(*parts)


def why_of(batch: Document) -> str:
    """Why a batch is as it is, in one sentence."""
    return " ".join(batch.get("waits", ()))


def _facts(batch: Document, now: datetime) -> Iterator[tuple[str, str]]:
    yield "tasks", _tasks(batch["tasks"])
    if batch["state"] not in OVER:
        yield "active jobs in batch", f"{batch['activeJobsInBatch']}{_besides(batch)}"
        yield "waiting", f"{batch['tasks']['waiting']}{_in_back_off(batch)}"
    if failed := verdicts(batch["firstAttempts"]):
        yield "first attempts failed", failed
    yield "why", why_of(batch)
    yield "owner", batch["owner"]
    ended = f", over since {age(batch['finished'], now)}" if "finished" in batch else ""
    yield "accepted", f"{age(batch['accepted'], now)} ago from {batch.get('source', '')}{ended}"
    if ignored := batch["ignoredHere"]:
        yield "ignored here", ", ".join(ignored)


def _tasks(tasks: Mapping[str, int]) -> str:
    completed, ended = tasks["completed"], tasks["endedWithoutSuccess"]
    failed = f", {ended} ended without success" if ended else ""
    return f"{completed + ended} of {tasks['total']} done: {completed} completed{failed}"


def _besides(batch: Document) -> str:
    terminating, foreign = batch["tasks"].get("terminating"), batch.get("foreign")
    said = [f"{terminating} terminating"] if terminating else []
    return ", ".join(["", *said, *([f"{foreign} of others count too"] if foreign else [])])


def _in_back_off(batch: Document) -> str:
    return f", {batch['backOff']} of them retries in back-off" if batch.get("backOff") else ""


def verdicts(first: Mapping[str, int]) -> str:
    """Failures by verdict, most first, as ``mount-failure 3, out-of-memory 1``."""
    failed = [(verdict, n) for verdict, n in first.items() if verdict != Verdict.SUCCEEDED.value]
    return ", ".join(f"{verdict} {n}" for verdict, n in sorted(failed, key=lambda one: (-one[1], one[0])))


def _failures(failures: Sequence[Document], now: datetime) -> RenderableType:
    made = table("JOB", "VERDICT", "EXIT", "ENDED", "WHY", right=("EXIT",), cut=True)
    for one in failures:
        ended = f"{span(now - instant(one['ended']))} ago" if "ended" in one else ""
        code = str(one["exitCode"]) if "exitCode" in one else ""
        why = clean(one.get("message", ""))
        made.add_row(clean(one["job"]), styled(one.get("verdict", "")), code, ended, why)
    return made


def _settings(settings: Mapping[str, Document], now: datetime) -> RenderableType:
    made = table("SETTING", "VALUE", "SINCE", "FROM")
    for name, setting in sorted(settings.items()):
        since = f"{age(setting['since'], now)} ago"
        made.add_row(clean(name), clean(_value(setting["value"])), since, clean(setting["from"]))
    return made


def _value(value: Any) -> str:
    """Plain values as they are, of rules their number: ``plan`` shows them."""
    if isinstance(value, list):
        return f"{len(value)} rule{'' if len(value) == 1 else 's'} of its own"
    return str(value).lower() if isinstance(value, bool) else str(value)
