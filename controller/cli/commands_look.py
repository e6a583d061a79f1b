"""Commands that show and change nothing: list, status, jobs, logs, explain, report."""

from __future__ import annotations

import asyncio
import sys
from typing import TYPE_CHECKING, Annotated

import typer
from rich.live import Live
from rich.text import Text

from controller.cli import ee2
from controller.cli.options import BatchName, Config, JobName, Output
from controller.cli.output import Format, clean_log, note, say, show, stdout
from controller.cli.reports import report_screen
from controller.cli.session import go, parts_of, settings_for
from controller.cli.status_screen import draw, screen_of
from controller.cli.tables import batches_table, jobs_table, table
from controller.config import Settings
from controller.core.model import Batch, Status, Verdict
from controller.core.quantities import parse_memory
from controller.core.statusfile import Progress
from controller.explaining import explanation_of_batch, explanation_of_job, log_of
from controller.finding import find_batch, find_either, find_job
from controller.ports import JobFilter
from controller.reporting import report_of
from controller.shapes import batch_document, explanation_document, job_document, report_document
from controller.standing import standing

if TYPE_CHECKING:
    from controller.app import Parts

WATCH_SECONDS = 1.0
PLAIN_SECONDS = 5.0
"""Between two looks when nobody's terminal is drawn on."""


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
    settings = settings_for(config)
    if quarantined and ee2.holds(settings):
        go(ee2.quarantined(settings, output))
        return
    go(_quarantined(settings, output) if quarantined else _list(settings, limit, output))


async def _list(settings: Settings, limit: int, form: Format) -> int:
    async with parts_of(settings) as parts:
        batches = await parts.store.batches(limit=limit)
        gates = await parts.store.gates([batch.id for batch in batches])
        standings = [standing(batch, gates.get(batch.id)) for batch in batches]
        documents = [
            batch_document(one.batch, one.gate, Progress(one.active, one.waiting)) for one in standings
        ]
        show(form, documents, lambda: batches_table(standings, parts.clock.now()))
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
    settings = settings_for(config)
    go(_watch(settings, batch) if watch else _status(settings, batch, output))


async def _status(settings: Settings, name: str, form: Format) -> int:
    async with parts_of(settings) as parts:
        screen = await screen_of(parts, (await find_batch(parts.store, name)).id)
        show(form, screen.document(), lambda: draw(screen))
    return 0


async def _watch(settings: Settings, name: str) -> int:
    """Draw anew every second; without a terminal, a line whenever something changed."""
    console = stdout()
    async with parts_of(settings) as parts:
        batch = await find_batch(parts.store, name)
        if not console.is_terminal:
            return await _follow(parts, batch)
        screen = await screen_of(parts, batch.id)
        with Live(draw(screen), console=console, auto_refresh=False) as live:
            while not screen.standing.batch.status.closed:
                await asyncio.sleep(WATCH_SECONDS)
                screen = await screen_of(parts, batch.id)
                live.update(draw(screen), refresh=True)
    return 0


async def _follow(parts: Parts, batch: Batch) -> int:
    last = ""
    while True:
        screen = await screen_of(parts, batch.id)
        one = screen.standing
        line = (
            f"{batch.name} {one.state}: {one.done} of {one.total} tasks done; {screen.explanation.sentence}"
        )
        if line != last:
            say(line)
        if one.batch.status.closed:
            return 0
        last = line
        await asyncio.sleep(PLAIN_SECONDS)


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
    go(_jobs(settings_for(config), batch, tuple(status or ()), tuple(verdict or ()), limit, output))


async def _jobs(
    settings: Settings,
    name: str,
    status: tuple[Status, ...],
    verdict: tuple[Verdict, ...],
    limit: int,
    form: Format,
) -> int:
    async with parts_of(settings) as parts:
        what = JobFilter(batch_id=(await find_batch(parts.store, name)).id, status=status, verdict=verdict)
        found = [job async for job in parts.store.find_jobs(what, limit=limit + 1)]
        shown, now = found[:limit], parts.clock.now()
        show(form, [job_document(job) for job in shown], lambda: jobs_table(shown, now))
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
    go(_logs(settings_for(config), job, most))


async def _logs(settings: Settings, name: str, most: int) -> int:
    async with parts_of(settings) as parts:
        job = await find_job(parts.store, name)
        tail, whence = await log_of(parts.engine, job, most)
    if not tail:
        note(
            f"{job.name} ({job.status.value}) has no output{'' if job.status.terminal else ' yet'}: {whence}"
        )
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
    go(_explain(settings_for(config), what, output))


async def _explain(settings: Settings, name: str, form: Format) -> int:
    async with parts_of(settings) as parts:
        found = await find_either(parts.store, name)
        if isinstance(found, Batch):
            why = await explanation_of_batch(parts.engine, found)
        else:
            why = await explanation_of_job(parts.engine, found)
        document = explanation_document(found.name, why)
        show(form, document, lambda: Text(why.sentence))
    return 0


# ------------------------------------------------------------------------------------------- report


def report(batch: BatchName, config: Config = None, output: Output = Format.TABLE) -> None:
    """Found, succeeded, retried, failed, skipped, each with its reason."""
    go(_report(settings_for(config), batch, output))


async def _report(settings: Settings, name: str, form: Format) -> int:
    async with parts_of(settings) as parts:
        made = await report_of(parts.store, await find_batch(parts.store, name))
    show(form, report_document(made), lambda: report_screen(made))
    return 0
