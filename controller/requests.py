"""What people and platforms ask for: retry, cancel, pause, resume, scale, halt. Never a decision.

Called by the command line and the API, in any process. Every write is guarded by status alone, so it
is harmless while another process leads, and the leader acts on it: nothing here touches the cluster or
waits for it (E7). Answers are per id; nothing is written for an id that fails preflight.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from controller import lifecycle
from controller.core.change import Change
from controller.core.decide import Reason
from controller.core.machine import Event
from controller.core.model import (
    Attempt,
    Batch,
    Counts,
    Gate,
    Halt,
    Resources,
    Status,
    Stop,
    TerminatedCode,
    Verdict,
)
from controller.core.retry import ManualDecision, decide_manual, new_child
from controller.engine import counts_of
from controller.intake import change_setting
from controller.ports import BatchkeeperError, Clock, Store

NO_PARENTS = "Cannot retry batch job parents. Must retry individual jobs"
"""EE2's words, which its clients know."""


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks. ``admin``: asked to act as one, and was found to be one."""

    user: str
    admin: bool = False

    def may(self, owner: str) -> bool:
        """Whether this caller may change what belongs to this owner (E9)."""
        return self.admin or self.user == owner


@dataclass(frozen=True, slots=True)
class Answer:
    """What became of one id. ``error`` empty: done. ``stage``: preflight failures wrote nothing."""

    job_id: str
    name: str = ""
    error: str = ""
    stage: str = ""
    retry_id: str = ""
    did: str = ""
    warning: str = ""
    retry_toggle: bool | None = None


@dataclass(frozen=True, slots=True)
class People:
    """The store, the clock, and the operator's bound on retries by people."""

    store: Store
    clock: Clock
    max_retries: int | None = None


class NotAllowed(BatchkeeperError):
    """The caller is neither the owner nor an admin."""


class NotFound(BatchkeeperError):
    """There is no such batch or job."""


class Refused(BatchkeeperError):
    """The request as a whole makes no sense as things stand."""


# -------------------------------------------------------------------------------------------- retry


async def retry(
    people: People,
    caller: Caller,
    job_ids: Sequence[str],
    *,
    resources: Resources | None = None,
    request_id: str | None = None,
    dry_run: bool = False,
) -> list[Answer]:
    """Record one retry for each of these jobs; answers in the order of the ids (E1–E9).

    Raises ``Refused`` when an id is named twice: then nothing at all was done (E6).
    """
    if again := [job_id for job_id, n in Counter(job_ids).items() if n > 1]:
        raise Refused(
            "Retry of the same id in the same request is not supported. "
            f"Offending ids: {again}: name each id once"
        )
    planned: dict[str, tuple[Answer, Attempt | None]] = {}
    roots: set[str] = set()
    scene = await _scene(people, job_ids)
    for job_id in job_ids:
        answer, child = _preflight(people, caller, job_id, scene, roots, resources, request_id)
        planned[job_id] = (answer, child)
    if not dry_run:
        await _record(people, planned, request_id)
    return [planned[job_id][0] for job_id in job_ids]


@dataclass(frozen=True, slots=True)
class _Scene:
    now: datetime
    """By the store's clock, like everything that several machines write and compare."""
    jobs: Mapping[str, Attempt]
    chains: Mapping[str, Sequence[Attempt]]
    gates: Mapping[str, Gate]
    batches: Mapping[str, Batch]
    parents: frozenset[str]


async def _scene(people: People, job_ids: Sequence[str]) -> _Scene:
    store = people.store
    jobs = {job.id: job for job in await store.jobs(job_ids)}
    parents = {job_id for job_id in job_ids if job_id not in jobs and await store.batch(job_id)}
    chains = await store.chains(sorted({job.root_id for job in jobs.values()})) if jobs else {}
    batch_ids = sorted({job.batch_id for job in jobs.values()})
    gates = await store.gates(batch_ids) if jobs else {}
    batches = {batch_id: await store.batch(batch_id) for batch_id in batch_ids}
    known = {batch_id: batch for batch_id, batch in batches.items() if batch}
    return _Scene(await store.now(), jobs, chains, gates, known, frozenset(parents))


def _preflight(
    people: People,
    caller: Caller,
    job_id: str,
    scene: _Scene,
    roots: set[str],
    resources: Resources | None,
    request_id: str | None,
) -> tuple[Answer, Attempt | None]:
    job = scene.jobs.get(job_id)
    if job is None:
        error = NO_PARENTS if job_id in scene.parents else f"there is no job with id {job_id}"
        return Answer(job_id, error=error, stage="preflight"), None
    if not caller.may(job.user):
        return Answer(job_id, job.name, error=_not_yours(caller, job.name, job.user), stage="preflight"), None
    chain = scene.chains.get(job.root_id, ())
    if done := _same_request(chain, request_id):
        return _recorded(job.id, job.name, done, ""), None
    if job.root_id in roots:
        error = f"{job.name} and an earlier id of this request are attempts of one task: retry one of them"
        return Answer(job_id, job.name, error=error, stage="preflight"), None
    decision = _decision(people, job, chain, scene, resources)
    if not decision.child:
        return Answer(job_id, job.name, error=decision.sentence, stage="preflight"), None
    roots.add(job.root_id)
    child = new_child(chain, decision, id=people.store.new_id(), now=scene.now, request_id=request_id)
    return Answer(job_id, job.name, did=decision.sentence, warning=decision.warning), child


def _decision(
    people: People,
    job: Attempt,
    chain: Sequence[Attempt],
    scene: _Scene,
    resources: Resources | None,
) -> ManualDecision:
    gate, batch = scene.gates.get(job.batch_id), scene.batches.get(job.batch_id)
    cancelling = bool(gate and gate.cancel and batch and not batch.status.closed)
    return decide_manual(
        chain, asked=job, resources=resources, max_retries=people.max_retries, cancelling=cancelling
    )


def _same_request(chain: Sequence[Attempt], request_id: str | None) -> Attempt | None:
    return next((child for child in chain if request_id and child.request_id == request_id), None)


def _not_yours(caller: Caller, name: str, owner: str) -> str:
    return f"{name} belongs to {owner}, and you are {caller.user}: ask its owner, or an admin with --as-admin"


def _recorded(job_id: str, name: str, child: Attempt, warning: str) -> Answer:
    did = f"attempt {child.attempt} of task {child.task_id} stands in line as {child.name}"
    return Answer(job_id, name, retry_id=child.id, did=did, warning=warning, retry_toggle=True)


async def _record(
    people: People, planned: dict[str, tuple[Answer, Attempt | None]], request_id: str | None
) -> None:
    """Step 1 in bulk, then steps 2–4 in bulk; an id that lost a race names who won it."""
    asked = [(job_id, answer, child) for job_id, (answer, child) in planned.items() if child is not None]
    children = [child for _, child in planned.values() if child is not None]
    added = await people.store.add_jobs(children) if children else ()
    recorded: list[Attempt] = []
    for (job_id, answer, child), new in zip(asked, added, strict=True):
        winner = child if new else await _winner(people, child, request_id)
        if winner and (new or (request_id and winner.request_id == request_id)):
            recorded.append(winner)
            planned[job_id] = (_recorded(job_id, answer.name, winner, answer.warning), winner)
        else:
            name = f"{winner.name} ({winner.id})" if winner else "another one"
            error = f"another retry of this task was recorded at the same moment: {name} is in line"
            planned[job_id] = (Answer(job_id, answer.name, error=error, stage="record"), None)
    if recorded:
        await lifecycle.complete(people.store, recorded)
        await _count(people.store, [(None, child) for child in recorded])


async def _winner(people: People, child: Attempt, request_id: str | None) -> Attempt | None:
    chain = await people.store.chain(child.batch_id, child.task_id)
    return _same_request(chain, request_id) or (chain[-1] if chain else None)


async def _count(store: Store, moves: Sequence[tuple[Attempt | None, Attempt]]) -> None:
    by_batch: dict[str, list[tuple[Attempt | None, Attempt]]] = {}
    for before, after in moves:
        by_batch.setdefault(after.batch_id, []).append((before, after))
    for batch_id, mine in by_batch.items():
        delta = counts_of(mine)
        if delta != Counts():
            await store.add_counts(batch_id, delta)


async def hurry(
    people: People, caller: Caller, job_ids: Sequence[str], *, dry_run: bool = False
) -> list[Answer]:
    """Let the waiting retries of these jobs' tasks start as soon as there is a place (``retry --now``)."""
    answers = []
    for job in await people.store.jobs(job_ids):
        chain = await people.store.chain(job.batch_id, job.task_id)
        newest = chain[-1]
        if not caller.may(job.user):
            answers.append(
                Answer(job.id, job.name, error=_not_yours(caller, job.name, job.user), stage="preflight")
            )
        elif newest.status is not Status.WAITING or newest.not_before is None:
            error = f"{newest.name} is {newest.status} and waits for no time: there is nothing to hurry"
            answers.append(Answer(job.id, job.name, error=error, stage="preflight"))
        else:
            change = Change(newest.id, Event.HURRIED, Reason.HURRIED, fields={"not_before": None})
            if not dry_run:
                await people.store.change(change)
            answers.append(
                Answer(
                    job.id, job.name, retry_id=newest.id, did=f"{newest.name} starts with the next free place"
                )
            )
    return answers


# ------------------------------------------------------------------------------------------- cancel


async def cancel_jobs(
    people: People, caller: Caller, job_ids: Sequence[str], why: str, *, dry_run: bool = False
) -> list[Answer]:
    """Cancel these attempts: what waits ends now, what is active is stopped, what ended is not retried."""
    found = {job.id: job for job in await people.store.jobs(job_ids)}
    answers = []
    for job_id in dict.fromkeys(job_ids):
        job = found.get(job_id)
        if job is None:
            answers.append(Answer(job_id, error=f"there is no job with id {job_id}", stage="preflight"))
        elif not caller.may(job.user):
            answers.append(
                Answer(job_id, job.name, error=_not_yours(caller, job.name, job.user), stage="preflight")
            )
        else:
            answers.append(await _cancel(people, caller, job, why, dry_run))
    return answers


async def _cancel(people: People, caller: Caller, job: Attempt, why: str, dry_run: bool) -> Answer:
    code = TerminatedCode.ADMIN if caller.admin and caller.user != job.user else TerminatedCode.USER
    stop = Stop(why=why, by=caller.user, at=people.clock.now(), code=code)
    for _ in range(4):  # a job may move on between the read and the write, at most along three statuses
        change, did = _cancelling(job, stop)
        if change is None:
            return Answer(job.id, job.name, error=did, stage="preflight")
        if dry_run:
            return Answer(job.id, job.name, did=did)
        after = await people.store.change(change)
        if after:
            if after.status is not job.status:
                await _count(people.store, [(job, after)])
            return Answer(job.id, job.name, did=did)
        again = await people.store.job(job.id)
        if again is None:
            break
        job = again
    return Answer(job.id, job.name, error=f"{job.name} kept moving: ask again", stage="write")


def _cancelling(job: Attempt, stop: Stop) -> tuple[Change | None, str]:
    """The change that cancels an attempt in its present status, and what it does, or why there is none."""
    if job.status is Status.WAITING:
        fields = {
            "verdict": Verdict.CANCELLED,
            "terminated_code": stop.code,
            "error": f"withdrawn by {stop.by}: {stop.why}",
        }
        return Change(job.id, Event.WITHDRAWN, Reason.CANCEL, fields=fields), "withdrawn: it had not started"
    if job.status.active:
        if job.stop and job.stop.code is not None:
            return None, f"{job.name} is being stopped already, by {job.stop.by}: {job.stop.why}"
        change = Change(job.id, Event.STOP_ASKED, Reason.CANCEL, fields={"stop": stop})
        return change, "is being stopped"
    if job.status is Status.ERROR and not job.no_retry:
        change = Change(job.id, Event.NO_RETRY, Reason.CANCEL, fields={"no_retry": True})
        return change, "has ended; it will not be retried automatically"
    return None, f"{job.name} has ended ({job.status}): there is nothing to cancel"


async def cancel_batch(
    people: People, caller: Caller, batch: Batch, why: str, *, dry_run: bool = False
) -> str:
    """Order the whole batch to end; the leader withdraws, stops and finally writes ``cancelled``."""
    _must_be_allowed(caller, batch)
    if batch.status.closed:
        raise Refused(f"batch {batch.name} has ended ({batch.status}): there is nothing to cancel")
    stop = Stop(why=why, by=caller.user, at=people.clock.now(), code=TerminatedCode.BATCH_ABORT)
    if not dry_run:
        await people.store.set_gate(batch.id, {"cancel": stop})
    return "is being cancelled: nothing more starts, active jobs are stopped"


# ---------------------------------------------------------------------------- pause, resume, scale


async def pause(people: People, caller: Caller, batch: Batch, *, dry_run: bool = False) -> str:
    """Start nothing more; active jobs go on."""
    _must_be_open(caller, batch)
    if not dry_run:
        await change_setting(people.store, batch, "paused", True, caller.user, await people.store.now())
    return "is paused: active jobs go on, nothing more starts"


async def resume(people: People, caller: Caller, batch: Batch, *, dry_run: bool = False) -> str:
    """Lift pause and hold; the tally of like failures starts anew (S7b)."""
    _must_be_open(caller, batch)
    if not dry_run:
        now = await people.store.now()
        await people.store.set_batch(batch.id, [batch.status], {"resumed": now})
        await people.store.recount(batch.id)
        await people.store.set_gate(batch.id, {"hold": None})
        await change_setting(people.store, batch, "paused", False, caller.user, now)
    return "goes on"


async def scale(people: People, caller: Caller, batch: Batch, n: int, *, dry_run: bool = False) -> str:
    """Change maxConcurrent; lowering it stops nothing, but nothing starts until the count is below."""
    _must_be_open(caller, batch)
    if n < 1:
        raise Refused(
            f"maxConcurrent must be at least 1, not {n}: to stop submissions use 'batchkeeper pause'"
        )
    if not dry_run:
        await change_setting(people.store, batch, "maxConcurrent", n, caller.user, await people.store.now())
    return f"at most {n} active jobs from now on"


def _must_be_allowed(caller: Caller, batch: Batch) -> None:
    if not caller.may(batch.user):
        raise NotAllowed(_not_yours(caller, f"batch {batch.name}", batch.user))


def _must_be_open(caller: Caller, batch: Batch) -> None:
    _must_be_allowed(caller, batch)
    if batch.status.closed:
        raise Refused(f"batch {batch.name} has ended ({batch.status}): retry its failed jobs to reopen it")


# --------------------------------------------------------------------------------------------- halts


async def halt(people: People, caller: Caller, what: str, why: str) -> str:
    """The operator's kill switch for ``submissions`` or automatic ``retries`` of every batch (S13)."""
    await people.store.set_halt(what, Halt(by=caller.user, why=why, at=people.clock.now()))
    return f"{what} are halted for every batch until 'batchkeeper unhalt {what}'"


async def unhalt(people: People, what: str) -> str:
    """Lift a halt."""
    await people.store.set_halt(what, None)
    return f"{what} go on"
