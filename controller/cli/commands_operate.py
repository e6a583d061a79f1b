"""Commands for whoever looks after the place: controller, repair, reap, halt, unhalt."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.text import Text

from controller import lifecycle, reconcile, requests
from controller.cli import ee2
from controller.cli.options import AsAdmin, Config, DryRun, Output, Why
from controller.cli.output import Format, note, say, show
from controller.cli.session import (
    application,
    caller,
    ee2_application,
    go,
    parts_of,
    settings_for,
)
from controller.cli.tables import styled, table
from controller.config import Settings, load
from controller.explaining import view_of
from controller.rehearsal import Rehearsed, rehearse
from controller.shapes import job_document
from controller.stuck import overdue_jobs
from controller.telemetry import set_up_logs

if TYPE_CHECKING:
    pass


# --------------------------------------------------------------------------------------- controller


def controller(
    once: Annotated[bool, typer.Option("--once", help="One complete pass of everything, then end.")] = False,
    dry_run: DryRun = False,
    config: Config = None,
    output: Output = Format.TABLE,
) -> None:
    """The daemon: watch the folder of specs, keep the batches going, until it is told to end."""
    if dry_run:
        settings = settings_for(config)
        go(ee2.rehearse(settings, output) if ee2.holds(settings) else _rehearse(settings, output))
        return
    if output is not Format.TABLE:
        raise typer.BadParameter("goes with --dry-run: a daemon has logs (log.format)", param_hint="--output")
    settings = load(config)
    set_up_logs(settings.log.format, settings.log.level)
    app = ee2_application() if ee2.holds(settings) else application()
    go(app.run_controller(settings, once=once))


async def _rehearse(settings: Settings, form: Format) -> int:
    """What a pass would do now, batch by batch, and what the repair pass would finish."""
    async with parts_of(settings) as parts:
        steps: list[Rehearsed] = []
        for batch in await reconcile.open_batches(parts.engine):
            view = await view_of(parts.engine, batch)
            steps += [step async for step in rehearse(parts.engine, view)]
        for child in await lifecycle.repair(parts.engine, dry_run=True):
            steps.append(Rehearsed(child.batch_id, "repair", child.name, "lifecycle-unfinished"))
    documents = [
        {"batch": step.batch, "deed": step.deed, "subject": step.subject, "reason": step.reason}
        for step in steps
    ]
    made = table("BATCH", "WOULD", "WHY", "WHAT")
    for step in steps:
        made.add_row(step.batch, step.deed, step.reason, step.subject)
    show(form, documents, lambda: made if steps else Text("a pass would do nothing now"))
    note("dry run: nothing was changed")
    return 0


# ------------------------------------------------------------------------------------------- repair


def repair(dry_run: DryRun = False, config: Config = None, output: Output = Format.TABLE) -> None:
    """Finish retries whose bookkeeping was interrupted; the daemon does so by itself, too."""
    settings = settings_for(config)
    go((ee2.repair if ee2.holds(settings) else _repair)(settings, dry_run, output))


async def _repair(settings: Settings, dry_run: bool, form: Format) -> int:
    async with parts_of(settings) as parts:
        children = await lifecycle.repair(parts.engine, dry_run=dry_run)
        after = {job.id: job for job in await parts.store.jobs([child.id for child in children])}
    now_complete = [after.get(child.id, child) for child in children]
    made = table("JOB", "RETRY OF", "COMPLETE")
    for child in now_complete:
        made.add_row(child.name, child.task_id, styled("yes" if child.retry_toggle else "no"))
    nothing = Text("every retry's lifecycle is complete: nothing to repair")
    show(form, [job_document(child) for child in now_complete], lambda: made if children else nothing)
    if dry_run:
        note("dry run: nothing was changed; these would be completed")
    return 0


# --------------------------------------------------------------------------------------------- reap


def reap(dry_run: DryRun = False, config: Config = None, output: Output = Format.TABLE) -> None:
    """End jobs that are stuck: too long created or queued (reap.* in the configuration)."""
    settings = settings_for(config)
    go((ee2.reap if ee2.holds(settings) else _reap)(settings, dry_run, output))


async def _reap(settings: Settings, dry_run: bool, form: Format) -> int:
    """Only who leads may reap, so a daemon that is there is left to do it, and none is stood in for."""
    async with parts_of(settings) as parts:
        found = await overdue_jobs(parts.engine)
    _show_overdue(found, form)
    if dry_run:
        note("dry run: nothing was changed")
        return 0
    if application().daemon_is_there(settings):
        note("the daemon reaps by itself, in its next pass")
        return 0
    if found:
        note("no daemon is there: one complete pass is made now; time without passes does not count")
        return int(await application().run_controller(settings, once=True))
    return 0


def _show_overdue(found: list[dict[str, Any]], form: Format) -> None:
    made = table("JOB", "STATUS", "FOR", "LIMIT")
    for one in found:
        made.add_row(one["job"], styled(one["status"]), one["for"], one["limit"] or "")
    show(form, found, lambda: made if found else Text("no job is overdue"))


# ------------------------------------------------------------------------------------- halt, unhalt


class What(StrEnum):
    """What can be halted."""

    SUBMISSIONS = "submissions"
    RETRIES = "retries"


Halted = Annotated[What, typer.Argument(metavar="submissions|retries", help="What of every batch.")]


def halt(
    what: Halted,
    why: Why = "halted by hand",
    as_admin: AsAdmin = False,
    dry_run: DryRun = False,
    config: Config = None,
) -> None:
    """The operator's kill switch: no submissions, or no automatic retries, of any batch until unhalt."""
    go(_halt(settings_for(config), caller(as_admin), what, why, dry_run))


def unhalt(what: Halted, as_admin: AsAdmin = False, dry_run: DryRun = False, config: Config = None) -> None:
    """Lift a halt."""
    go(_halt(settings_for(config), caller(as_admin), what, None, dry_run))


async def _halt(settings: Settings, who: requests.Caller, what: What, why: str | None, dry_run: bool) -> int:
    async with parts_of(settings, create=not dry_run) as parts:
        before = getattr(await parts.store.halts(), what.value)
        if dry_run:
            say(_would(what, why, before is not None))
            note("dry run: nothing was changed")
        elif why is None:
            say(await requests.unhalt(parts.people, who, what.value))
        else:
            say(await requests.halt(parts.people, who, what.value, why))
    return 0


def _would(what: What, why: str | None, halted: bool) -> str:
    now = "halted" if halted else "not halted"
    return f"{what.value} of every batch are {now}; they would {'go on' if why is None else 'be halted'}"
