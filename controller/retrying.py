"""A person's retry: preflight everything, record all children in bulk, never wait for the cluster (E1–E9).

Called by the command line and the API through ``requests``. Nothing is written for an id that fails
preflight; an id that loses a race is told who won it.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from controller import lifecycle
from controller.core.change import Change
from controller.core.decide import Reason
from controller.core.machine import Event
from controller.core.model import (
    Attempt,
    Batch,
    Gate,
    Resources,
    Status,
    When,
)
from controller.core.retry import (
    BEING_CANCELLED,
    ManualDecision,
    decide_manual,
    forbidden,
    new_child,
    to_be_withdrawn,
)
from controller.core.waits import AT_END, halted
from controller.people import Answer, Caller, People, Refused, count, not_theirs, not_there

AT_ONCE = 200
"""Ids that are judged before the event loop gets its turn."""
Override = Resources | Callable[[Resources], Resources]
"""Other resources; or how they are made from those of the attempt before."""
NO_PARENTS = "Cannot retry batch job parents. Must retry individual jobs"
"""EE2's words, which its clients know."""


async def retry(
    people: People,
    caller: Caller,
    job_ids: Sequence[str],
    *,
    resources: Override | None = None,
    request_id: str | None = None,
    dry_run: bool = False,
) -> list[Answer]:
    """Record one retry for each of these jobs; answers in the order of the ids (E1–E9).

    ``resources``: what the retries request instead of what each task's newest attempt did.
    Raises ``Refused`` when an id is named twice: then nothing at all was done (E6).
    """
    _must_be_named_once(job_ids)
    planned: dict[str, tuple[Answer, Attempt | None]] = {}
    roots: set[str] = set()
    scene = await _scene(people, job_ids)
    for n, job_id in enumerate(job_ids, 1):
        if n % AT_ONCE == 0:
            await asyncio.sleep(0)  # ten thousand ids must not hold up everybody else on this loop
        answer, child = _preflight(people, caller, job_id, scene, roots, resources, request_id)
        planned[job_id] = (answer, child)
    if not dry_run:
        await _record(people, planned, request_id)
    return [planned[job_id][0] for job_id in job_ids]


def _must_be_named_once(job_ids: Sequence[str]) -> None:
    if again := [job_id for job_id, n in Counter(job_ids).items() if n > 1]:
        raise Refused(
            "Retry of the same id in the same request is not supported. "
            f"Offending ids: {again}: name each id once"
        )


@dataclass(frozen=True, slots=True)
class _Scene:
    now: datetime
    """By the store's clock, like everything that several machines write and compare."""
    jobs: Mapping[str, Attempt]
    chains: Mapping[str, Sequence[Attempt]]
    gates: Mapping[str, Gate]
    batches: Mapping[str, Batch]
    parents: Mapping[str, Batch]


async def _scene(people: People, job_ids: Sequence[str]) -> _Scene:
    store = people.store
    roots = await store.roots_of(job_ids)
    parents = await store.batches_with(job_id for job_id in job_ids if job_id not in roots)
    chains = await store.chains(sorted(set(roots.values()))) if roots else {}
    read = {job.id: job for chain in chains.values() for job in chain}
    jobs = {job_id: read[job_id] for job_id in roots if job_id in read}
    batch_ids = sorted({job.batch_id for job in jobs.values()})
    gates = await store.gates(batch_ids) if jobs else {}
    batches = await store.batches_with(batch_ids)
    return _Scene(await store.now(), jobs, chains, gates, batches, parents)


def _preflight(
    people: People,
    caller: Caller,
    job_id: str,
    scene: _Scene,
    roots: set[str],
    resources: Override | None,
    request_id: str | None,
) -> tuple[Answer, Attempt | None]:
    job = scene.jobs.get(job_id)
    if job is None:
        parent = scene.parents.get(job_id)
        if parent is None or (caller.blind and not caller.may(parent.user)):
            return not_there(job_id), None
        return Answer(job_id, error=NO_PARENTS, stage="preflight"), None
    if not caller.may(job.user):
        return not_theirs(caller, job), None
    chain = scene.chains.get(job.root_id, ())
    if not any(attempt.id == job.root_id for attempt in chain):
        error = (
            f"the first attempt of {job.name} can't be read ('batchkeeper list --quarantined'): mend it first"
        )
        return Answer(job_id, job.name, error=error, stage="preflight"), None
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
    resources: Override | None,
) -> ManualDecision:
    return decide_manual(
        chain,
        asked=job,
        resources=_wanted(resources, chain[-1]),
        max_retries=people.max_retries,
        cancelling=_cancelling(job, scene.gates, scene.batches),
    )


def _cancelling(job: Attempt, gates: Mapping[str, Gate], batches: Mapping[str, Batch]) -> bool:
    """Whether its batch's cancel has not come to its end."""
    gate, batch = gates.get(job.batch_id), batches.get(job.batch_id)
    return bool(gate and gate.cancel and batch and not batch.status.closed)


def _wanted(resources: Override | None, before: Attempt) -> Resources | None:
    return resources(before.job_input.resources) if callable(resources) else resources


def _same_request(chain: Sequence[Attempt], request_id: str | None) -> Attempt | None:
    return next((child for child in chain if request_id and child.request_id == request_id), None)


def _recorded(job_id: str, name: str, child: Attempt, warning: str) -> Answer:
    did = f"attempt {child.attempt} of task {child.task_id} stands in line as {child.name}"
    return Answer(
        job_id,
        name,
        retry_id=child.id,
        root_id=child.root_id,
        did=did,
        warning=warning,
        retry_toggle=child.retry_toggle,
    )


async def _record(
    people: People, planned: dict[str, tuple[Answer, Attempt | None]], request_id: str | None
) -> None:
    """Step 1 in bulk, then steps 2–4 in bulk; an id that lost a race names who won it."""
    asked = [(job_id, answer, child) for job_id, (answer, child) in planned.items() if child is not None]
    children = [child for _, child in planned.values() if child is not None]
    added = await people.store.add_jobs(children) if children else ()
    recorded: dict[str, Attempt] = {}
    fresh: list[Attempt] = []
    for (job_id, answer, child), new in zip(asked, added, strict=True):
        winner = child if new else await _winner(people, child, request_id)
        if winner and (new or (request_id and winner.request_id == request_id)):
            recorded[job_id] = winner
            fresh.extend([winner] if new else [])
            planned[job_id] = (answer, winner)
        else:
            error = await _why_not_added(people, child, winner)
            planned[job_id] = (Answer(job_id, answer.name, error=error, stage="record"), None)
    if recorded:
        # First, for a batch that is reopened is counted anew, and they with it.
        await count(people.store, [(None, child) for child in fresh])
        done = await lifecycle.complete(people.store, list(recorded.values()))
        await _answer(planned, recorded, done.listed)


async def _answer(
    planned: dict[str, tuple[Answer, Attempt | None]],
    recorded: Mapping[str, Attempt],
    listed: Mapping[str, tuple[str, ...]],
) -> None:
    """Answer with both lists as they were read back from the store, and the toggle that followed (E7b)."""
    for n, (job_id, child) in enumerate(recorded.items(), 1):
        if n % AT_ONCE == 0:
            await asyncio.sleep(0)
        before, there = planned[job_id][0], child.id in listed
        now = replace(child, retry_toggle=True) if there else child
        answer = replace(
            _recorded(job_id, before.name, now, before.warning),
            retry_ids=listed.get(child.id, ()),
            child_jobs=(child.id,) if there else (),
        )
        planned[job_id] = (answer, now)


async def _why_not_added(people: People, child: Attempt, winner: Attempt | None) -> str:
    """Whose record kept this child out; ``winner`` is the newest attempt of its task since."""
    other = await people.store.job_named(child.namespace, child.name)
    if other is not None and other.batch_id != child.batch_id:
        who = f"the job name {child.name} is taken by a job of another batch"
        return f"{who}: submit the task under another name"
    name = f"{winner.name} ({winner.id})" if winner else "another one"
    return f"another retry of this task was recorded at the same moment: {name} is in line"


async def _winner(people: People, child: Attempt, request_id: str | None) -> Attempt | None:
    chain = await people.store.chain(child.batch_id, child.task_id)
    return _same_request(chain, request_id) or (chain[-1] if chain else None)


async def hurry(
    people: People,
    caller: Caller,
    job_ids: Sequence[str],
    *,
    resources: Override | None = None,
    dry_run: bool = False,
) -> list[Answer]:
    """Let the waiting retries of these jobs' tasks start as soon as there is a place (``retry --now``).

    The answer says what keeps one all the same: a halt, a pause, a hold, or all that must end before it.
    Refused for one that was recorded with other ``resources`` than these, for one that is to be withdrawn,
    and in a batch that is being cancelled, as a retry is.
    """
    answers, jobs = [], await people.store.jobs(job_ids)
    batch_ids = sorted({job.batch_id for job in jobs})
    gates = await people.store.gates(batch_ids) if jobs else {}
    batches, halts = await people.store.batches_with(batch_ids), await people.store.halts()
    chains = await people.store.chains(sorted({job.root_id for job in jobs})) if jobs else {}
    for job in jobs:
        chain = chains.get(job.root_id) or (job,)
        newest = chain[-1]
        if not caller.may(job.user):
            answers.append(not_theirs(caller, job))
        elif error := _not_hurried(chain, resources, _cancelling(job, gates, batches)):
            answers.append(Answer(job.id, job.name, error=error, stage="preflight"))
        else:
            kept = halted(newest, halts) or _shut(gates.get(job.batch_id))
            answers.append(await _hurry(people, job, newest, kept, dry_run))
    return answers


def _not_hurried(chain: Sequence[Attempt], resources: Override | None, cancelling: bool) -> str:
    """Why the newest attempt of a task is not hurried; empty: it may be."""
    newest = chain[-1]
    if not waits_out_back_off(newest):
        return f"{newest.name} is {newest.status} and waits for no time: there is nothing to hurry"
    if cancelling:
        return BEING_CANCELLED
    if forbidden(newest, chain):
        return to_be_withdrawn(newest)
    if _wanted(resources, newest) not in (None, newest.job_input.resources):
        return (
            f"{newest.name} ({newest.id}) is in line with the resources that it was recorded with: "
            "cancel it, then retry it with others"
        )
    return ""


def _shut(gate: Gate | None) -> str:
    """Why nothing of its batch starts until somebody says so; empty: something may."""
    if gate and gate.waits_for_people:
        return f"its batch is held as {gate.hold}"
    return "its batch is paused: until 'batchkeeper resume'" if gate and gate.paused else ""


async def _hurry(people: People, job: Attempt, newest: Attempt, kept: str, dry_run: bool) -> Answer:
    change = Change(newest.id, Event.HURRIED, Reason.HURRIED, fields={"not_before": None})
    if not dry_run:
        after = await people.store.change(change)
        if after is None:
            error = f"{newest.name} moved on while it was asked and waits no more: look at it, then ask again"
            return Answer(job.id, job.name, error=error, stage="record")
        people.wrote(newest, after, change)
    did = f"starts {AT_END if newest.when is When.BATCH_END else 'with the next free place'}"
    if kept:
        did = f"waits for no time any more, but {kept}"
    return Answer(job.id, job.name, retry_id=newest.id, did=f"{newest.name} {did}")


async def retry_or_hurry(
    people: People,
    caller: Caller,
    job_ids: Sequence[str],
    *,
    resources: Override | None = None,
    request_id: str | None = None,
    dry_run: bool = False,
) -> list[Answer]:
    """As ``retry``; but where a retry of the task waits out its back-off, ``hurry`` that one.

    Raises ``Refused`` as ``retry`` does.
    """
    _must_be_named_once(job_ids)
    jobs = await people.store.jobs(job_ids)
    chains = await people.store.chains(sorted({job.root_id for job in jobs})) if jobs else {}
    waiting = [job.id for job in jobs if waits_out_back_off((chains.get(job.root_id) or (job,))[-1])]
    rest = [job_id for job_id in job_ids if job_id not in set(waiting)]
    answers = await retry(people, caller, rest, resources=resources, request_id=request_id, dry_run=dry_run)
    answers += await hurry(people, caller, waiting, resources=resources, dry_run=dry_run)
    by_id = {answer.job_id: answer for answer in answers}
    return [by_id[job_id] for job_id in job_ids if job_id in by_id]


def waits_out_back_off(newest: Attempt) -> bool:
    """Whether a task's newest attempt is a retry that has a time to wait for."""
    return newest.status is Status.WAITING and newest.not_before is not None
