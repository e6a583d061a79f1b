"""Commands that ask for something of batches and jobs: retry, cancel, pause, resume, scale."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated

import typer

from controller import requests
from controller.cli.options import AsAdmin, BatchName, Config, DryRun, Output, Why
from controller.cli.output import Format, note, show
from controller.cli.retrying import Wish, failed_jobs, named_jobs, retry_all
from controller.cli.session import caller, go, parts_of, settings_for
from controller.cli.tables import answers_table
from controller.config import Settings
from controller.core.model import Batch, Verdict
from controller.core.quantities import parse_cpu, parse_memory
from controller.finding import Ambiguous, find_batch, find_either
from controller.ports import BatchkeeperError
from controller.requests import Answer, Caller, NotFound
from controller.shapes import answer_document

if TYPE_CHECKING:
    from controller.app import Parts

SOME_REFUSED = 3


def told(answers: Sequence[Answer], form: Format, dry_run: bool) -> int:
    """Show what became of each id; the exit code."""
    show(form, [answer_document(answer) for answer in answers], lambda: answers_table(answers))
    if dry_run:
        note("dry run: nothing was changed")
    return SOME_REFUSED if any(answer.error for answer in answers) else 0


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
    wish = Wish(now, _amount(parse_cpu, cpu, "--cpu"), _amount(parse_memory, memory, "--memory"), dry_run)
    who = caller(as_admin)
    settings = settings_for(config)
    if batch:
        go(_retry_batch(settings, who, batch, verdict, wish, output))
    else:
        go(_retry_jobs(settings, who, jobs or [], wish, output))


def _amount(parse: Callable[[str], int], text: str | None, option: str) -> int | None:
    if text is None:
        return None
    try:
        return parse(text)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint=option) from None


async def _retry_jobs(settings: Settings, who: Caller, names: Sequence[str], wish: Wish, form: Format) -> int:
    async with parts_of(settings) as parts:
        named = await named_jobs(parts, names)
        answers = await retry_all(parts, who, list(named.ids), wish)
    known = [replace(answer, name=answer.name or named.ids[answer.job_id]) for answer in answers]
    return told([*known, *named.unknown], form, wish.dry_run)


async def _retry_batch(
    settings: Settings, who: Caller, name: str, verdict: Verdict | None, wish: Wish, form: Format
) -> int:
    async with parts_of(settings) as parts:
        batch = await find_batch(parts.store, name)
        ids = await failed_jobs(parts, batch.id, verdict, wish.now)
        answers = await retry_all(parts, who, ids, wish)
    if not answers:
        so = f" as {verdict.value}" if verdict else ""
        note(f"no task of {batch.name} has failed{so} and waits for a retry: nothing to do")
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
    go(_cancel(settings_for(config), caller(as_admin), names, why, dry_run, output))


async def _cancel(
    settings: Settings, who: Caller, names: Sequence[str], why: str, dry_run: bool, form: Format
) -> int:
    answers = []
    async with parts_of(settings) as parts:
        for name in dict.fromkeys(names):
            answers.append(await _cancel_one(parts, who, name, why, dry_run))
    return told(answers, form, dry_run)


async def _cancel_one(parts: Parts, who: Caller, name: str, why: str, dry_run: bool) -> Answer:
    try:
        found = await find_either(parts.store, name)
    except (NotFound, Ambiguous) as error:
        return Answer(name, error=str(error), stage="preflight")
    if not isinstance(found, Batch):
        (answer,) = await requests.cancel_jobs(parts.people, who, [found.id], why, dry_run=dry_run)
        return answer
    return await _asked(found, requests.cancel_batch(parts.people, who, found, why, dry_run=dry_run))


async def _asked(batch: Batch, request: Awaitable[str]) -> Answer:
    """A request about a whole batch as an answer; what is refused is told like a refused id."""
    try:
        return Answer(batch.id, batch.name, did=await request)
    except (requests.Refused, requests.NotAllowed) as error:
        return Answer(batch.id, batch.name, error=str(error), stage="preflight")


# ---------------------------------------------------------------------------- pause, resume, scale


def pause(
    batch: BatchName,
    as_admin: AsAdmin = False,
    dry_run: DryRun = False,
    config: Config = None,
    output: Output = Format.TABLE,
) -> None:
    """Start nothing more of a batch; active jobs go on."""
    go(_change(settings_for(config), batch, as_admin, dry_run, output, requests.pause))


def resume(
    batch: BatchName,
    as_admin: AsAdmin = False,
    dry_run: DryRun = False,
    config: Config = None,
    output: Output = Format.TABLE,
) -> None:
    """Let a paused or held batch go on."""
    go(_change(settings_for(config), batch, as_admin, dry_run, output, requests.resume))


def scale(
    batch: BatchName,
    n: Annotated[int, typer.Argument(metavar="N", help="The new maxConcurrent.")],
    as_admin: AsAdmin = False,
    dry_run: DryRun = False,
    config: Config = None,
    output: Output = Format.TABLE,
) -> None:
    """Change how many jobs of a batch may be active at once; lowering it stops nothing."""

    async def scaled(people: requests.People, who: Caller, found: Batch, *, dry_run: bool = False) -> str:
        return await requests.scale(people, who, found, n, dry_run=dry_run)

    go(_change(settings_for(config), batch, as_admin, dry_run, output, scaled))


async def _change(
    settings: Settings,
    name: str,
    as_admin: bool,
    dry_run: bool,
    form: Format,
    request: Callable[..., Awaitable[str]],
) -> int:
    async with parts_of(settings) as parts:
        batch = await find_batch(parts.store, name)
        answer = await _asked(batch, request(parts.people, caller(as_admin), batch, dry_run=dry_run))
    if answer.error and form is Format.TABLE:
        raise BatchkeeperError(answer.error)
    return told([answer], form, dry_run)
