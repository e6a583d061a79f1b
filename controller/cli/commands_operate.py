"""Commands for whoever looks after the place: controller, repair, reap, halt, unhalt."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from controller import lifecycle, reconcile
from controller.cli import ee2
from controller.cli.options import AsAdmin, Config, DryRun, Output, Why
from controller.cli.output import Format, note, say, show
from controller.cli.session import application, ee2_application, go, parts_of, settings_for
from controller.cli.standing_in import BY_ITSELF, pass_for
from controller.cli.tables import styled, table
from controller.cli.ways import only_here, open_way, over_api
from controller.config import Settings, load
from controller.explaining import view_of
from controller.rehearsal import Rehearsed, rehearse
from controller.shapes import Document
from controller.telemetry import set_up_logs

# --------------------------------------------------------------------------------------- controller


def controller(
    once: Annotated[bool, typer.Option("--once", help="One complete pass of everything, then end.")] = False,
    dry_run: DryRun = False,
    config: Config = None,
    output: Output = Format.TABLE,
) -> None:
    """The daemon: watch the folder of specs, keep the batches going, until it is told to end."""
    only_here("the controller is for this machine", "and start it where its configuration is")
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
        children = await lifecycle.repair(parts.engine, dry_run=True)
        batches = await parts.store.batches_with({child.batch_id for child in children}) if children else {}
        for child in children:
            found = batches.get(child.batch_id)
            name = found.name if found else child.batch_id  # its parent is gone, or can't be read
            steps.append(Rehearsed(name, "repair", child.name, "lifecycle-unfinished"))
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


def repair(
    as_admin: AsAdmin = False,
    dry_run: DryRun = False,
    config: Config = None,
    output: Output = Format.TABLE,
) -> None:
    """Finish retries whose bookkeeping was interrupted; the daemon does so by itself, too."""
    if not over_api() and ee2.holds(settings := settings_for(config)):
        go(ee2.repair(settings, dry_run, output))
    else:
        go(_repair(config, as_admin, dry_run, output))


async def _repair(config: Path | None, as_admin: bool, dry_run: bool, form: Format) -> int:
    async with open_way(config, as_admin=as_admin) as way:
        children = await way.repair(dry_run=dry_run)
    made = table("JOB", "RETRY OF", "COMPLETE")
    for child in children:
        made.add_row(child["name"], child["task_id"], styled("yes" if child["retry_toggle"] else "no"))
    nothing = Text("every retry's lifecycle is complete: nothing to repair")
    show(form, children, lambda: made if children else nothing)
    if dry_run:
        note("dry run: nothing was changed; these would be completed")
    return 0


# --------------------------------------------------------------------------------------------- reap


def reap(
    as_admin: AsAdmin = False,
    dry_run: DryRun = False,
    config: Config = None,
    output: Output = Format.TABLE,
) -> None:
    """End jobs that are stuck: too long created or queued (reap.* in the configuration)."""
    if not over_api() and ee2.holds(settings := settings_for(config)):
        go(ee2.reap(settings, dry_run, output))
    else:
        go(_reap(config, as_admin, dry_run, output))


async def _reap(config: Path | None, as_admin: bool, dry_run: bool, form: Format) -> int:
    """Only who leads may reap, so a daemon that is there is left to do it, and none is stood in for."""
    async with open_way(config, as_admin=as_admin) as way:
        found = await way.reap(dry_run=dry_run)
    _show_overdue(found, form)
    if dry_run:
        note("dry run: nothing was changed")
        return 0
    if over_api():
        note(BY_ITSELF)
        return 0
    return await pass_for(bool(found), settings_for(config), application())


def _show_overdue(found: list[Document], form: Format) -> None:
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
    go(_halt(config, as_admin, what, why, dry_run))


def unhalt(what: Halted, as_admin: AsAdmin = False, dry_run: DryRun = False, config: Config = None) -> None:
    """Lift a halt."""
    go(_halt(config, as_admin, what, None, dry_run))


async def _halt(config: Path | None, as_admin: bool, what: What, why: str | None, dry_run: bool) -> int:
    async with open_way(config, as_admin=as_admin, create=not dry_run) as way:
        if why is None:
            say(await way.unhalt(what.value, dry_run=dry_run))
        else:
            say(await way.halt(what.value, why, dry_run=dry_run))
    if dry_run:
        note("dry run: nothing was changed")
    return 0
