"""Commands that ask for something of batches and jobs: retry, cancel, pause, resume, scale."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated

import typer

from controller.cli.options import AsAdmin, BatchName, Config, DryRun, Output, Why
from controller.cli.output import Format, note, show
from controller.cli.session import go
from controller.cli.tables import answers_table
from controller.cli.ways import Change, Wish, open_way
from controller.core.model import Verdict
from controller.core.quantities import parse_memory, parse_some_cpu
from controller.ports import BatchkeeperError
from controller.retrying import NO_PARENTS
from controller.shapes import Document

SOME_REFUSED = 3


def told(answers: Sequence[Document], form: Format, dry_run: bool) -> int:
    """Show what became of each id; the exit code."""
    show(form, answers, lambda: answers_table(answers))
    if dry_run:
        note("dry run: nothing was changed")
    return SOME_REFUSED if any(answer["error"] for answer in answers) else 0


# -------------------------------------------------------------------------------------------- retry


def retry(
    jobs: Annotated[
        list[str] | None,
        typer.Argument(metavar="JOB...", show_default=False, help="Names or ids of jobs that failed."),
    ] = None,
    batch: Annotated[
        str | None,
        typer.Option("--batch", metavar="BATCH", show_default=False, help="Every failed task of a batch."),
    ] = None,
    verdict: Annotated[
        Verdict | None,
        typer.Option(
            "--verdict", metavar="VERDICT", show_default=False, help="Of the batch, those that failed so."
        ),
    ] = None,
    now: Annotated[
        bool, typer.Option("--now", help="A retry that already waits out its back-off starts at once.")
    ] = False,
    memory: Annotated[
        str | None,
        typer.Option("--memory", metavar="SIZE", show_default=False, help="Other memory than before: 64Gi."),
    ] = None,
    cpu: Annotated[
        str | None,
        typer.Option("--cpu", metavar="CORES", show_default=False, help="Other CPU than before: 4, 500m."),
    ] = None,
    as_admin: AsAdmin = False,
    dry_run: DryRun = False,
    config: Config = None,
    output: Output = Format.TABLE,
) -> None:
    """Run failed jobs again: each as the next attempt of its task, with the same input."""
    if bool(jobs) == bool(batch):
        raise typer.BadParameter("name either jobs, or a batch with --batch", param_hint="JOB...")
    if verdict and not batch:
        raise typer.BadParameter("chooses among the jobs of a --batch", param_hint="--verdict")
    wish = Wish(
        now, _amount(parse_some_cpu, cpu, "--cpu"), _amount(parse_memory, memory, "--memory"), dry_run
    )
    if batch:
        go(_retry_batch(config, as_admin, batch, verdict, wish, output))
    else:
        go(_retry_jobs(config, as_admin, jobs or [], wish, output))


def _amount(parse: Callable[[str], int], text: str | None, option: str) -> int | None:
    if text is None:
        return None
    try:
        return parse(text)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint=option) from None


async def _retry_jobs(
    config: Path | None, as_admin: bool, names: Sequence[str], wish: Wish, form: Format
) -> int:
    async with open_way(config, as_admin=as_admin) as way:
        answers = await way.retry_jobs(names, wish)
    if parents := [answer["name"] or answer["job_id"] for answer in answers if answer["error"] == NO_PARENTS]:
        note(f"'batchkeeper retry --batch {parents[0]}' retries every failed task of that batch")
    return told(answers, form, wish.dry_run)


async def _retry_batch(
    config: Path | None, as_admin: bool, name: str, verdict: Verdict | None, wish: Wish, form: Format
) -> int:
    async with open_way(config, as_admin=as_admin) as way:
        batch, answers = await way.retry_batch(name, verdict, wish)
    if not answers:
        so = f" as {verdict.value}" if verdict else ""
        note(f"no task of {batch} has failed{so} and waits for a retry: nothing to do")
    return told(answers, form, wish.dry_run) if answers or form is not Format.TABLE else 0


# ------------------------------------------------------------------------------------------- cancel


def cancel(
    names: Annotated[list[str], typer.Argument(metavar="BATCH|JOB...", help="Names or ids.")],
    why: Why = "cancelled by hand",
    as_admin: AsAdmin = False,
    dry_run: DryRun = False,
    config: Config = None,
    output: Output = Format.TABLE,
) -> None:
    """End batches or jobs: what waits is withdrawn, what runs is stopped, what failed stays failed."""
    go(_cancel(config, as_admin, names, why, dry_run, output))


async def _cancel(
    config: Path | None, as_admin: bool, names: Sequence[str], why: str, dry_run: bool, form: Format
) -> int:
    async with open_way(config, as_admin=as_admin) as way:
        answers = await way.cancel(names, why, dry_run=dry_run)
    return told(answers, form, dry_run)


# ---------------------------------------------------------------------------- pause, resume, scale


def pause(
    batch: BatchName,
    as_admin: AsAdmin = False,
    dry_run: DryRun = False,
    config: Config = None,
    output: Output = Format.TABLE,
) -> None:
    """Start nothing more of a batch; active jobs go on."""
    go(_change(config, as_admin, batch, Change("pause", dry_run=dry_run), output))


def resume(
    batch: BatchName,
    as_admin: AsAdmin = False,
    dry_run: DryRun = False,
    config: Config = None,
    output: Output = Format.TABLE,
) -> None:
    """Let a batch go on that is paused, or held for a systemic failure; `adopt` is for others' jobs."""
    go(_change(config, as_admin, batch, Change("resume", dry_run=dry_run), output))


def scale(
    batch: BatchName,
    n: Annotated[int, typer.Argument(metavar="N", help="The new maxConcurrent.")],
    as_admin: AsAdmin = False,
    dry_run: DryRun = False,
    config: Config = None,
    output: Output = Format.TABLE,
) -> None:
    """Change how many jobs of a batch may be active at once; lowering it stops nothing."""
    go(_change(config, as_admin, batch, Change("scale", n, dry_run), output))


async def _change(config: Path | None, as_admin: bool, name: str, change: Change, form: Format) -> int:
    async with open_way(config, as_admin=as_admin) as way:
        answer = await way.change(name, change)
    if answer["error"] and form is Format.TABLE:
        raise BatchkeeperError(answer["error"])
    told([answer], form, change.dry_run)
    return 1 if answer["error"] else 0
