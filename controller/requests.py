"""What people and platforms ask for: retry, cancel, pause, resume, scale, halt. Never a decision.

Called by the command line and the API, in any process. Every write is guarded by status alone, so it
is harmless while another process leads, and the leader acts on it: nothing here touches the cluster or
waits for it (E7). Answers are per id; nothing is written for an id that fails preflight.
"""

from __future__ import annotations

from collections.abc import Sequence

from controller.core.adoption import about_others, not_ours_to_stop
from controller.core.change import Change
from controller.core.decide import Reason
from controller.core.machine import Event
from controller.core.model import (
    Attempt,
    Batch,
    BatchStatus,
    Halt,
    Hold,
    Origin,
    Status,
    Stop,
    TerminatedCode,
    Verdict,
)
from controller.core.settings import MOST_CONCURRENT
from controller.intake import change_setting
from controller.people import (
    Answer,
    Caller,
    NotAllowed,
    NotFound,
    People,
    Refused,
    count,
    not_theirs,
    not_there,
    not_yours,
)
from controller.ports import Store
from controller.retrying import hurry, retry, retry_or_hurry

__all__ = [
    "Answer",
    "Caller",
    "NotAllowed",
    "NotFound",
    "People",
    "Refused",
    "cancel_batch",
    "cancel_jobs",
    "halt",
    "hurry",
    "must_fit",
    "pause",
    "resume",
    "retry",
    "retry_or_hurry",
    "scale",
    "unhalt",
]

# ------------------------------------------------------------------------------------------- cancel


async def cancel_jobs(
    people: People, caller: Caller, job_ids: Sequence[str], why: str, *, dry_run: bool = False
) -> list[Answer]:
    """Cancel these attempts: what waits ends now, what is active is stopped, what ended is not retried."""
    found = {job.id: job for job in await people.store.jobs(job_ids)}
    failed = sorted({job.root_id for job in found.values() if job.status is Status.ERROR})
    chains = await people.store.chains(failed) if failed else {}
    answers, now = [], await people.store.now()
    for job_id in dict.fromkeys(job_ids):
        job = found.get(job_id)
        if job is None:
            answers.append(not_there(job_id))
        elif not caller.may(job.user):
            answers.append(not_theirs(caller, job))
        else:
            code = TerminatedCode.ADMIN if caller.admin and caller.user != job.user else TerminatedCode.USER
            stop = Stop(why=why, by=caller.user, at=now, code=code)
            answers.append(await _cancel(people, job, chains.get(job.root_id, ()), stop, dry_run))
    return answers


async def _cancel(
    people: People, job: Attempt, chain: Sequence[Attempt], stop: Stop, dry_run: bool
) -> Answer:
    for _ in range(4):  # a job may move on between the read and the write, at most along three statuses
        change, did = _cancelling(job, chain, stop)
        if change is None:
            return Answer(job.id, job.name, error=did, stage="preflight")
        if dry_run:
            return Answer(job.id, job.name, did=did)
        after = await people.store.change(change)
        if after:
            people.wrote(job, after, change)
            if after.status is not job.status:
                await count(people.store, [(job, after)])
            return Answer(job.id, job.name, did=did)
        again = await people.store.job(job.id)
        if again is None:
            break
        job = again
    return Answer(job.id, job.name, error=f"{job.name} kept moving: ask again", stage="write")


def _cancelling(job: Attempt, chain: Sequence[Attempt], stop: Stop) -> tuple[Change | None, str]:
    """The change that cancels an attempt in its present status, and what it does, or why there is none.

    ``chain``: all attempts of its task, where it had failed when it was read.
    """
    if job.status is Status.WAITING:
        fields = {
            "verdict": Verdict.CANCELLED,
            "terminated_code": stop.code,
            "error": f"withdrawn by {stop.by}: {stop.why}",
        }
        return Change(job.id, Event.WITHDRAWN, Reason.CANCEL, fields=fields), "withdrawn: it had not started"
    if job.status.active:
        if job.kind:
            return None, not_ours_to_stop(job)
        if job.stop and job.stop.code is not None:
            return None, f"{job.name} is being stopped already, by {job.stop.by}: {job.stop.why}"
        change = Change(job.id, Event.STOP_ASKED, Reason.CANCEL, fields={"stop": stop})
        return change, "is being stopped"
    if later := _retried_as(job, chain):
        goes_on = later.status is Status.ERROR or not later.status.terminal
        then = "cancel that one" if goes_on else "there is nothing to cancel"
        now = f"{later.name} ({later.id}) is {later.status}"
        return None, f"{job.name} has ended and was retried: {now}: {then}"
    if job.status is Status.ERROR and not job.no_retry:
        change = Change(job.id, Event.NO_RETRY, Reason.CANCEL, fields={"no_retry": True})
        return change, "has ended; it will not be retried automatically"
    return None, f"{job.name} has ended ({job.status}): there is nothing to cancel"


def _retried_as(job: Attempt, chain: Sequence[Attempt]) -> Attempt | None:
    """The newest attempt of its task, where that is a later one that no cancel of this one withdraws."""
    newest = chain[-1] if chain else job
    withdrawn = newest.attempt == job.attempt + 1 and newest.origin is Origin.AUTO
    if newest.attempt <= job.attempt or (newest.status is Status.WAITING and withdrawn):
        return None
    return newest


async def cancel_batch(
    people: People, caller: Caller, batch: Batch, why: str, *, dry_run: bool = False
) -> str:
    """Order the whole batch to end; the leader withdraws, stops and finally writes ``cancelled``.

    The order has the instant of the store's clock, by which the leader judges how old it is. The first one
    stands: asked again, it says so.
    """
    _must_be_allowed(caller, batch)
    if batch.status.closed:
        raise Refused(f"batch {batch.name} has ended ({batch.status}): there is nothing to cancel")
    gate = (await people.store.gates([batch.id])).get(batch.id)
    if gate and gate.cancel:
        return f"is being cancelled already, by {gate.cancel.by}: {gate.cancel.why}"
    now = await people.store.now()
    stop = Stop(why=why, by=caller.user, at=now, code=TerminatedCode.BATCH_ABORT)
    if not dry_run and not await people.store.set_gate(batch.id, {"cancel": stop}):
        raise Refused(
            f"batch {batch.name} is still being taken in and has no gate yet: ask again in a moment; was that"
            " broken off, submit its spec again first"
        )
    return "is being cancelled: nothing more starts, active jobs are stopped"


# ---------------------------------------------------------------------------- pause, resume, scale


async def pause(people: People, caller: Caller, batch: Batch, *, dry_run: bool = False) -> str:
    """Start nothing more; active jobs go on. Not so in a batch that is being cancelled, which is refused."""
    _must_be_open(caller, batch)
    gate = (await people.store.gates([batch.id])).get(batch.id)
    if gate and gate.cancel:
        why = f"is being cancelled by {gate.cancel.by}: active jobs are stopped, and nothing more starts"
        raise Refused(f"batch {batch.name} {why}")
    if not dry_run:
        await change_setting(people.store, batch, "paused", True, caller.user, await people.store.now())
    return "is paused: active jobs go on, nothing more starts"


async def resume(people: People, caller: Caller, batch: Batch, *, dry_run: bool = False) -> str:
    """Lift pause and hold; the tally of like failures starts anew (S7b)."""
    _must_be_open(caller, batch)
    gate = (await people.store.gates([batch.id])).get(batch.id)
    if gate and gate.cancel:
        raise Refused(
            f"batch {batch.name} is being cancelled by {gate.cancel.by} and can't go on: once it has ended, "
            "a retry of its jobs opens it again"
        )
    if gate and gate.held_for(Hold.ADOPTION_NEEDED):
        raise Refused(
            f"batch {batch.name} is held for jobs under its names that are not ours: "
            f"'batchkeeper adopt {batch.name}' takes over what is there, and then it goes on"
        )
    if not dry_run:
        now = await people.store.now()
        open_ones = [status for status in BatchStatus if not status.closed]
        await people.store.set_batch(batch.id, open_ones, {"resumed": now})  # it may be held by now
        await people.store.recount(batch.id)
        await _lift_hold(people.store, batch.id)
        await change_setting(people.store, batch, "paused", False, caller.user, now)
    return "goes on"


async def _lift_hold(store: Store, batch_id: str) -> None:
    """The one that is seen; another may take its place, and one about others is lifted by a look alone."""
    while (gate := (await store.gates([batch_id])).get(batch_id)) and gate.hold and not about_others(gate):
        if await store.replace_hold(batch_id, gate.hold, ""):
            return


async def scale(people: People, caller: Caller, batch: Batch, n: int, *, dry_run: bool = False) -> str:
    """Change maxConcurrent; lowering it stops nothing, but nothing starts until the count is below."""
    _must_be_open(caller, batch)
    must_fit(n)
    if not dry_run:
        await change_setting(people.store, batch, "maxConcurrent", n, caller.user, await people.store.now())
    return f"at most {n} active jobs from now on"


def must_fit(n: int) -> None:
    """Raises ``Refused`` for what no maxConcurrent can be."""
    if n < 1:
        raise Refused(
            f"maxConcurrent must be at least 1, not {n}: to stop submissions use 'batchkeeper pause'"
        )
    if n > MOST_CONCURRENT:
        raise Refused(f"maxConcurrent may be at most {MOST_CONCURRENT}, not {n}: write a smaller number")


def _must_be_allowed(caller: Caller, batch: Batch) -> None:
    if not caller.may(batch.user):
        raise NotAllowed(not_yours(caller, f"batch {batch.name}", batch.user))


def _must_be_open(caller: Caller, batch: Batch) -> None:
    _must_be_allowed(caller, batch)
    if batch.status.closed:
        raise Refused(f"batch {batch.name} has ended ({batch.status}): retry its failed jobs to reopen it")


# --------------------------------------------------------------------------------------------- halts


async def halt(people: People, caller: Caller, what: str, why: str, *, dry_run: bool = False) -> str:
    """The operator's kill switch for ``submissions`` or automatic ``retries`` of every batch (S13).

    Raises ``NotAllowed`` for anybody who does not act as an admin: it stops other people's jobs.
    """
    _must_be_operator(caller)
    if dry_run:
        return await _would(people, what, "be halted")
    await people.store.set_halt(what, Halt(by=caller.user, why=why, at=await people.store.now()))
    return f"{what} are halted for every batch until 'batchkeeper unhalt {what} --as-admin'"


def _must_be_operator(caller: Caller) -> None:
    if not caller.admin:
        raise NotAllowed(
            f"a halt is for every batch, and you are {caller.user}: ask an operator, or say --as-admin"
        )


async def unhalt(people: People, caller: Caller, what: str, *, dry_run: bool = False) -> str:
    """Lift a halt. Raises ``NotAllowed`` as ``halt`` does."""
    _must_be_operator(caller)
    if dry_run:
        return await _would(people, what, "go on")
    await people.store.set_halt(what, None)
    return f"{what} go on"


async def _would(people: People, what: str, then: str) -> str:
    halted = getattr(await people.store.halts(), what) is not None
    return f"{what} of every batch are {'' if halted else 'not '}halted; they would {then}"
