"""Commands that show and change nothing: list, status, jobs, logs, explain, report."""

from __future__ import annotations

import sys
from asyncio import sleep
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from time import monotonic
from typing import Annotated

import typer
from rich.console import Group
from rich.live import Live
from rich.text import Text

from controller.cli import ee2
from controller.cli.options import BatchName, Config, JobName, Output
from controller.cli.output import Format, clean, clean_log, note, say, show, stdout
from controller.cli.reports import report_screen
from controller.cli.session import go, parts_of, settings_for
from controller.cli.status_screen import OVER, draw, why_of
from controller.cli.tables import batches_table, jobs_table, name_of, state_of, table
from controller.cli.ways import Way, only_here, open_way
from controller.config import Settings
from controller.core.model import Status, Verdict
from controller.core.quantities import parse_memory
from controller.people import NotFound
from controller.ports import JobFilter, Unavailable
from controller.shapes import Document

WATCH_SECONDS = 1.0
PLAIN_SECONDS = 5.0
"""Between two looks when nobody's terminal is drawn on."""
JUST_DROPPED = 15.0
"""Seconds for which a batch that is to be watched is waited for: two looks, and its tasks' records."""
PATIENCE_MINUTES = 5
"""For which a batch that is watched may be unreadable: a controller that is gone for good never answers."""


# --------------------------------------------------------------------------------------------- list


def list_batches(
    quarantined: Annotated[
        bool, typer.Option("--quarantined", help="Specs and records that can't be used, and why.")
    ] = False,
    limit: Annotated[int, typer.Option("--limit", min=1, help="The newest so many.")] = 100,
    config: Config = None,
    output: Output = Format.TABLE,
) -> None:
    """Batches, the newest first: state, tasks done, active jobs, age."""
    if not quarantined:
        go(_list(config, limit, output))
        return
    only_here("the API does not tell what is quarantined", "and ask beside the controller")
    settings = settings_for(config)
    go((ee2.quarantined if ee2.holds(settings) else _quarantined)(settings, output))


async def _list(config: Path | None, limit: int, form: Format) -> int:
    async with open_way(config) as way:
        batches = await way.batches(limit)
        show(form, batches, lambda: batches_table(batches, way.now()))
    return 0


async def _quarantined(settings: Settings, form: Format) -> int:
    """Specs are remembered by the daemon; records are met by reading the unfinished batches through."""
    async with parts_of(settings) as parts:
        store = parts.store
        for batch in await store.batches():
            if not batch.status.closed:
                async for _ in store.find_jobs(JobFilter(batch_id=batch.id)):
                    pass
        specs = [("spec", key, list(problems)) for key, problems in (await store.quarantine()).items()]
        records = [("record", key, [why]) for key, why in store.quarantined().items()]
    found = [{"kind": kind, "item": item, "problems": why} for kind, item, why in specs + records]
    made = table("WHAT", "WHICH", "WHY")
    for kind, item, why in specs + records:
        made.add_row(kind, item, "\n".join(why))
    show(form, found, lambda: made if found else Text("nothing is quarantined", style="dim"))
    return 0


# ------------------------------------------------------------------------------------------- status


def status(
    batch: BatchName,
    watch: Annotated[bool, typer.Option("--watch", help="Keep showing it until it is over.")] = False,
    config: Config = None,
    output: Output = Format.TABLE,
) -> None:
    """One batch: how far it is, why it waits, what failed last, its settings and whence they are."""
    if watch and output is not Format.TABLE:
        raise typer.BadParameter("is for people: ask again and again with -o instead", param_hint="--watch")
    go(_watch(config, batch) if watch else _status(config, batch, output))


async def _status(config: Path | None, name: str, form: Format) -> int:
    async with open_way(config) as way:
        batch = await way.batch(name)
        show(form, batch, lambda: draw(batch, way.now()))
    return 0


async def _watch(config: Path | None, name: str) -> int:
    """Draw anew every second; without a terminal, a line whenever something changed."""
    console = stdout()
    async with open_way(config) as way:
        batch = await _awaited(way, name)
        if not console.is_terminal or console.is_dumb_terminal:
            return await _follow(way, batch)
        with Live(draw(batch, way.now()), console=console, auto_refresh=False) as live:
            async for newest, trouble in _looks(way, batch, WATCH_SECONDS):
                told = [Text(f"\n{clean(trouble)}", style="yellow")] if trouble else []
                live.update(Group(draw(newest, way.now()), *told), refresh=True)
    return 0


async def _awaited(way: Way, name: str) -> Document:
    """The batch, whose spec may just have been dropped. Raises ``NotFound`` when it does not come."""
    until, told = monotonic() + JUST_DROPPED, False
    while True:
        try:
            return await way.batch(name)
        except NotFound as error:
            if monotonic() >= until:
                raise
            if not told:
                note(f"waiting {JUST_DROPPED:g} s for its spec to be taken in: {error}")
            told = True
        await sleep(WATCH_SECONDS)


async def _looks(way: Way, batch: Document, seconds: float) -> AsyncIterator[tuple[Document, str]]:
    """The batch again and again until it is over. While it can't be read: what was read last, and why.

    Raises ``Unavailable`` when that lasts.
    """
    trouble, since = "", 0.0
    while True:
        yield batch, trouble
        if batch["state"] in OVER:
            return
        await sleep(seconds)
        try:
            batch, trouble = await way.batch(batch["batchId"]), ""
        except Unavailable as error:
            since = since if trouble else monotonic()
            if monotonic() - since >= PATIENCE_MINUTES * 60:
                raise Unavailable(
                    f"{name_of(batch)} could not be read for {PATIENCE_MINUTES} minutes; "
                    f"watch it again when this is mended: {error}"
                ) from error
            trouble = f"nothing newer is known: {error}"


async def _follow(way: Way, batch: Document) -> int:
    last = ""
    async for newest, trouble in _looks(way, batch, PLAIN_SECONDS):
        tasks = newest["tasks"]
        done = tasks["completed"] + tasks["endedWithoutSuccess"]
        line = (
            f"{name_of(newest)} {state_of(newest)}: {done} of {tasks['total']} tasks done; {why_of(newest)}"
        )
        if last != (last := trouble or line):
            say(last)
    return 0


# --------------------------------------------------------------------------------------------- jobs


def jobs(
    batch: BatchName,
    status: Annotated[
        list[Status] | None, typer.Option("--status", help="Only in this status; may be repeated.")
    ] = None,
    verdict: Annotated[
        list[Verdict] | None, typer.Option("--verdict", help="Only with this verdict; may be repeated.")
    ] = None,
    limit: Annotated[int, typer.Option("--limit", min=1, help="At most so many.")] = 1000,
    config: Config = None,
    output: Output = Format.TABLE,
) -> None:
    """The jobs of a batch in the order of its spec, every attempt a line."""
    go(_jobs(config, batch, status or [], verdict or [], limit, output))


async def _jobs(
    config: Path | None,
    name: str,
    status: Sequence[Status],
    verdict: Sequence[Verdict],
    limit: int,
    form: Format,
) -> int:
    async with open_way(config) as way:
        found = await way.jobs(name, status, verdict, limit + 1)
        shown = found[:limit]
        show(form, shown, lambda: jobs_table(shown, way.now()))
    if len(found) > limit:
        note(f"there are more than {limit}: --limit shows more, --status and --verdict choose")
    return 0


# --------------------------------------------------------------------------------------------- logs


def logs(
    job: JobName,
    size: Annotated[
        str, typer.Option("--bytes", metavar="SIZE", help="How much of its end, as 64Ki.")
    ] = "64Ki",
    config: Config = None,
) -> None:
    """The end of a job's output: live from the cluster, else what was kept with its record."""
    try:
        most = parse_memory(size)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--bytes") from None
    if most < 1:
        raise typer.BadParameter("at least 1 byte is wanted", param_hint="--bytes")
    go(_logs(config, job, most))


async def _logs(config: Path | None, name: str, most: int) -> int:
    async with open_way(config) as way:
        log = await way.log(name, most)
    tail, whence = log["text"], log["from"]
    if not tail:
        yet = "" if Status(log["status"]).terminal else " yet"
        note(f"{log['job']} ({log['status']}) has no output{yet}: {whence}")
        return 0
    note(whence)
    text = clean_log(tail) if sys.stdout.isatty() else tail
    sys.stdout.write(text if text.endswith("\n") else text + "\n")
    return 0


# ------------------------------------------------------------------------------------------ explain


def explain(
    what: Annotated[str, typer.Argument(metavar="BATCH|JOB", help="Name or id of a batch or a job.")],
    config: Config = None,
    output: Output = Format.TABLE,
) -> None:
    """Why it waits, runs or failed, in one sentence: the cause, the number, what will change it."""
    go(_explain(config, what, output))


async def _explain(config: Path | None, name: str, form: Format) -> int:
    async with open_way(config) as way:
        why = await way.explain(name)
        show(form, why, lambda: Text(clean(why["sentence"])))
    return 0


# ------------------------------------------------------------------------------------------- report


def report(batch: BatchName, config: Config = None, output: Output = Format.TABLE) -> None:
    """Found, succeeded, retried, failed, skipped, each with its reason."""
    go(_report(config, batch, output))


async def _report(config: Path | None, name: str, form: Format) -> int:
    async with open_way(config) as way:
        made = await way.report(name)
    show(form, made, lambda: report_screen(made))
    return 0
