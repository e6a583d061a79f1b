"""The operator's commands where the records are EE2's (``store.layout: ee2``): repair, reap, dry runs,
what is quarantined. Called by the commands of these names.
"""

from __future__ import annotations

from collections.abc import Sequence

from rich.text import Text

from controller.cli.output import Format, note, show
from controller.cli.session import ee2_application, ee2_desk
from controller.cli.standing_in import pass_for
from controller.cli.tables import table
from controller.config import Settings
from controller.ee2.desk import Finding
from controller.ee2.reap import would_reap
from controller.ee2.repair import repair as repair_all

LAYOUT = "ee2"


def holds(settings: Settings) -> bool:
    """Whether the records are EE2's."""
    return settings.store.layout == LAYOUT


async def rehearse(settings: Settings, form: Format) -> int:
    """What the daemon's next passes would do, and what they could not read by an index."""
    async with ee2_desk(settings, writes=False) as desk:
        findings = [*await repair_all(desk, dry_run=True), *await would_reap(desk)]
        missing = await desk.records.unserved()
    _show(findings, form, "a pass would do nothing now")
    for line in missing:
        note(line)
    _say_hook(settings)
    note("dry run: nothing was changed")
    return 0


async def repair(settings: Settings, dry_run: bool, form: Format) -> int:
    """Finish interrupted retries of EE2's."""
    async with ee2_desk(settings, writes=not dry_run) as desk:
        findings = await repair_all(desk, dry_run=dry_run)
    _show(findings, form, "every retry's lifecycle is complete: nothing to repair")
    if dry_run:
        note("dry run: nothing was changed; these steps would be done")
    return 0


async def reap(settings: Settings, dry_run: bool, form: Format) -> int:
    """Only who leads may reap, so a daemon that is there is left to do it."""
    async with ee2_desk(settings, writes=False) as desk:
        findings = await would_reap(desk)
    _show(findings, form, "no job is overdue")
    _say_hook(settings)
    if dry_run:
        note("dry run: nothing was changed")
        return 0
    return await pass_for(bool(findings), settings, ee2_application())


async def quarantined(settings: Settings, form: Format) -> int:
    """Records of EE2's that the passes leave alone, and why."""
    async with ee2_desk(settings, writes=False) as desk:
        found = await desk.records.all_set_aside()
    rows = [Finding(job, "quarantine", why) for job, reasons in found.items() for why in reasons]
    _show(rows, form, "nothing is quarantined")
    return 0


def _say_hook(settings: Settings) -> None:
    hook = settings.store.ee2.cancel
    if not (hook.command or hook.url):
        note("no cancel hook (store.ee2.cancel): nothing is reaped without one")


def _show(findings: Sequence[Finding], form: Format, nothing: str) -> None:
    made = table("JOB", "WOULD" if nothing.startswith("a pass") else "WHAT", "WHY")
    for one in findings:
        made.add_row(one.job, one.deed, one.why)
    documents = [{"job_id": one.job, "deed": one.deed, "reason": one.why} for one in findings]
    show(form, documents, lambda: made if findings else Text(nothing))
