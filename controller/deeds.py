"""Deeds: carrying out the steps of a plan, each idempotent, each outcome recorded.

Called by ``acting`` only. Every write to the cluster has three outcomes, and each has its branch
here: applied, refused, unknown. No policy lives here: where a fresh fact asks for a new decision, the
fact goes back to ``decide``.
"""

from __future__ import annotations

from collections.abc import Iterable

from controller import counting
from controller.core.change import Change
from controller.core.copying import replace
from controller.core.decide import (
    Act,
    Lifecycle,
    Move,
    Reason,
    Sight,
    accepted,
    ended,
    name_taken,
    next_move,
    refused,
    succeeded,
    throttled,
    unanswered,
)
from controller.core.evidence import with_log
from controller.core.machine import Event
from controller.core.model import Attempt, Foreign, ForeignKind, Status
from controller.core.plan import startable
from controller.core.sight import ClusterJob
from controller.core.verdict import evidence_of
from controller.core.view import View
from controller.engine import Engine
from controller.patterns import matched_patterns
from controller.ports import CreateResult, Invariant, NewJob, Rejected, StaleEpoch, Unavailable

THROTTLED = 429
"""The code of a refusal that heals by itself: too many requests, or a quota that is used up."""


async def carry_out(engine: Engine, view: View, job: Attempt, move: Move) -> bool:
    """One attempt's step. True when a record changed, so that more may be decided at once.

    One that is not written is no longer as this pass has read it: what follows from how it is now is decided.
    """
    match move.act:
        case Act.WRITE:
            assert move.change is not None
            await engine.apply(job, move.change)
            return True
        case Act.LOOK:
            if move.reason is Reason.NO_POD and not engine.inquiries.turn(job.id, engine.clock.monotonic()):
                return False
            return await _look_closer(engine, view, job)
        case Act.CREATE:
            return await create_again(engine, view, job)
        case Act.END:
            return await _end(engine, view, job, view.sight(job).job)
        case Act.DELETE:
            return await _delete(engine, view, job, view.sight(job).job)
        case Act.BURY:
            return await _bury(engine, view, job)
        case Act.EXPIRE:
            await _expire(engine, view, job, move)
            return False
        case Act.GHOST:
            return await _ghost(engine, view, job, move.uid)


# ------------------------------------------------------------------------------------- looking closer


async def _look_closer(engine: Engine, view: View, job: Attempt) -> bool:
    """Read the record again, then ask live, then decide again: in that order (R6, R11)."""
    record = await engine.store.job(job.id)
    if record is None:
        return False
    sight = await live_sight(engine, record)
    move = next_move(record, sight, engine.now(), view.life)
    if move is None or move.act is Act.LOOK:
        return False
    match move.act:
        case Act.END:
            return await _end(engine, view, record, sight.job)
        case Act.DELETE:
            return await _delete(engine, view, record, sight.job)
        case _:
            return await carry_out(engine, view, record, move)


async def live_sight(engine: Engine, job: Attempt) -> Sight:
    """What the cluster answers now about the attempt's object: by our job id, or for others' by uid."""
    if not job.kind:
        return Sight.answered(await engine.cluster.get(job.namespace, job.name, job.id))
    found = await engine.cluster.find_uid(job.namespace, job.name, job.kind, job.scheduler_id)
    return Sight(known=True, live=True, job=found)


# ------------------------------------------------------------------------------------------- creating


async def with_chains(engine: Engine, view: View, jobs: Iterable[Attempt]) -> View:
    """A view that knows the earlier attempts of these retries' tasks: none is to land where those failed."""
    roots = {job.root_id for job in jobs if job.attempt} - view.chains.keys()
    if not roots:
        return view
    return replace(view, chains={**view.chains, **await engine.store.chains(sorted(roots))})


def new_job(view: View, job: Attempt) -> NewJob:
    """What to ask the cluster for: all of it is on the records of its task (E1)."""
    chain = view.chains.get(job.root_id, ())
    avoid = tuple(dict.fromkeys(earlier.node for earlier in chain if earlier.node and earlier.id != job.id))
    return NewJob(
        name=job.name,
        namespace=job.namespace,
        batch=view.batch.name,
        batch_id=job.batch_id,
        task_id=job.task_id,
        attempt=job.attempt,
        job_id=job.id,
        input=job.job_input,
        avoid_nodes=avoid,
        image_digest=job.image_digest,
    )


async def submit(engine: Engine, view: View, job: Attempt, slot: int) -> bool:
    """A place is taken: record it with the create's token, then ask the cluster (R1, R5)."""
    view, token = await with_chains(engine, view, [job]), engine.new_token()
    fields = {"slot": slot, "epoch": engine.epoch}
    claimed = Change(job.id, Event.CLAIMED, Reason.PLACE_FREE, fields=fields, add_token=token)
    record = await engine.apply(job, claimed)
    if record is None:
        return False
    await _send(engine, view, record, token, Reason.PLACE_FREE)
    return True


async def create_again(engine: Engine, view: View, job: Attempt) -> bool:
    """A live look found nothing under the name: the same create with a token of its own (R5, R6).

    If it may start now, and there is a hand for it.
    """
    if job.id not in startable(view):
        return False
    if not free_hands(engine, job.batch_id):
        engine.posts.wanting[job.batch_id] = None
        return False
    with engine.posts.about_to(job.batch_id):
        view, token = await with_chains(engine, view, [job]), engine.new_token()
        opened = Change(job.id, Event.CREATE_OPENED, Reason.CREATING_AGAIN, add_token=token)
        record = await engine.apply(job, opened)
        if record is not None:
            await _send(engine, view, record, token, Reason.CREATING_AGAIN)
    return record is not None


async def _send(engine: Engine, view: View, job: Attempt, token: str, why: Reason) -> None:
    """Ask for the object beside the passes, where that may be: no other place waits for its answer."""
    if engine.posts.beside:
        post = _post_beside(engine, view, job, token, why, engine.epoch)
        engine.posts.begin(job.batch_id, job.id, post)
    else:
        await _post(engine, view, job, token, engine.epoch)


async def _post_beside(engine: Engine, view: View, job: Attempt, token: str, why: Reason, epoch: int) -> None:
    """Says when it is over, and asks for a pass where more follows than that the object is there.

    One without an answer is looked after once it is shown, or by the next full pass: whatever asked for the
    next try at once would have one that never gets any sent again and again without a pause.
    """
    there = answered = False
    try:
        with engine.guarded(f"job:{job.id}", batch=view.batch.name, reason=why.value):
            there = await _post(engine, view, job, token, epoch)
            answered = True
    except (Unavailable, StaleEpoch) as error:
        engine.journal.trouble("step", error, batch=view.batch.name, job=job.name)
    finally:
        news, focus = engine.posts.over(job.batch_id, job.id), frozenset({job.id})
        if answered:
            engine.sick.recovered(f"job:{job.id}")
        if there and not news:
            engine.later(job.batch_id, focus)
        elif answered or news:
            engine.again(job.batch_id, focus)
        _hands_again(engine, job.batch_id)
        counting.refilled(engine, job.id)


def free_hands(engine: Engine, batch_id: str) -> int:
    """How many creates of the batch may be begun now: none stands in line, where nothing reaches it that was
    ordered since. A pass that waits for its own creates is over before anything else is decided."""
    if not engine.posts.beside:
        return 1_000_000_000
    return max(0, engine.settings.concurrency - engine.posts.of(batch_id))


def _hands_again(engine: Engine, batch_id: str) -> None:
    """Who waits for a hand is looked at when half of them are free: few passes with much to do cost less."""
    if batch_id in engine.posts.wanting and 2 * free_hands(engine, batch_id) >= engine.settings.concurrency:
        engine.again(batch_id, engine.posts.wanting.pop(batch_id))


async def _post(engine: Engine, view: View, job: Attempt, token: str, epoch: int) -> bool:
    """Ask the cluster for the object; only a definite answer closes this create's token.

    True: it is there, and its record says so.
    """
    accepted_it = False
    try:
        answer = await engine.create(new_job(view, job), epoch)
        engine.must_lead(epoch)
    except Rejected as error:
        engine.must_lead(epoch)
        await _refused(engine, view.life, job, token, error)
    except Unavailable as error:
        engine.journal.submitted("unknown")
        engine.journal.unknown_outcome("create")
        if job.evidence.message != (message := str(error)):
            await engine.apply(job, unanswered(job, message))
        raise
    else:
        engine.journal.submitted(answer.result.value)
        if answer.result in (CreateResult.CREATED, CreateResult.EXISTS_OURS):
            change = accepted(job, answer.uid, token=token)
            accepted_it = await engine.apply(job, change) is not None
            if not accepted_it:
                await _close(engine, job, token)
        else:
            record = await _close(engine, job, token)
            if record and record.status is job.status and record.stop is None:
                await engine.apply(record, name_taken(record, engine.now(), view.life))
    return accepted_it


async def _refused(engine: Engine, life: Lifecycle, job: Attempt, token: str, error: Rejected) -> None:
    record = await _close(engine, job, token)
    if error.code == THROTTLED:
        engine.journal.submitted("throttled")
        if record and record.status is job.status and record.evidence.message != (message := str(error)):
            await engine.apply(record, throttled(record, message))
        return
    engine.journal.submitted("refused")
    if record and record.status is job.status and record.stop is None:
        await engine.apply(record, refused(record, str(error), engine.now(), life))


async def _close(engine: Engine, job: Attempt, token: str) -> Attempt | None:
    """The create with this token has its definite answer, whatever became of the record."""
    closed = Change(job.id, Event.CREATE_CLOSED, Reason.CREATE_ANSWERED, drop_token=token)
    return await engine.apply(job, closed)


# --------------------------------------------------------------------------------------------- ending


async def _end(engine: Engine, view: View, job: Attempt, found: ClusterJob | None) -> bool:
    """The object is finished: keep what its log says, then the one terminal write (R4, S8).

    A success is one whatever it said: its place goes to the next first, and its log is kept before it may
    expire. What is not ours may go at any time.
    """
    assert found is not None
    log_tail, matched = "", tuple[str, ...]()
    if job.kind or not succeeded(job, found):
        log_tail = await engine.cluster.log_tail(found, engine.settings.log_tail_bytes)
        matched = await matched_patterns(engine.journal, view.rules, log_tail)
    after = await engine.apply(job, ended(job, found, log_tail, matched))
    if after is None:
        return False
    engine.freed.setdefault(job.batch_id, []).append(engine.clock.monotonic())
    return True


async def _expire(engine: Engine, view: View, job: Attempt, move: Move) -> None:
    """The result is recorded: keep what its log says where that is still to be done, then it may go (S8)."""
    assert move.ttl is not None
    found = view.sight(job).job
    if found is not None and job.status is Status.COMPLETED and not job.evidence.log_tail:
        log_tail = await engine.cluster.log_tail(found, engine.settings.log_tail_bytes)
        if log_tail:
            fields = {"evidence": with_log(job.evidence, log_tail)}
            await engine.apply(job, Change(job.id, Event.LOG_KEPT, Reason.RESULT_KEPT, fields=fields))
    await engine.cluster.expire(job.namespace, job.name, move.uid, move.ttl)


async def _delete(engine: Engine, view: View, job: Attempt, found: ClusterJob | None) -> bool:
    """Stop is set: keep the evidence while there is some, then delete this very object (R4, S8)."""
    assert found is not None
    changed = False
    if not job.evidence.log_tail:
        log_tail = await engine.cluster.log_tail(found, engine.settings.log_tail_bytes)
        if log_tail:
            evidence = evidence_of(
                found, log_tail, await matched_patterns(engine.journal, view.rules, log_tail)
            )
            seen = Change(job.id, Event.SEEN, Reason.STOPPING, fields={"evidence": evidence})
            changed = await engine.apply(job, seen) is not None
    await engine.cluster.delete(job.namespace, job.name, found.uid)
    return changed


async def _bury(engine: Engine, view: View, job: Attempt) -> bool:
    """Occupy the name, so that no create that is still under way can land after the end (R5)."""
    try:
        answer = await engine.cluster.bury(new_job(view, job), view.life.hold)
    except Rejected as error:
        # The slot is held until it can be done, or until no create can land any more; people are told why.
        if job.evidence.message != (message := str(error)):
            await engine.apply(job, throttled(job, message))
        return False
    match answer.result:
        case CreateResult.CREATED | CreateResult.EXISTS_TOMBSTONE:
            buried = Change(job.id, Event.BURIED, Reason.NAME_BURIED, fields={"tombstone": True})
            if await engine.apply(job, buried) is None:
                return False
            return await _look_closer(engine, view, job)
        case CreateResult.EXISTS_OURS if job.stop:
            # A late create won. The slot is held until this very object is gone; then bury again.
            await engine.cluster.delete(job.namespace, job.name, answer.uid)
            return False
        case _:
            return False


async def _ghost(engine: Engine, view: View, job: Attempt, uid: str) -> bool:
    """A live object of ours whose record has ended: count it, then delete this very object (R13)."""
    if uid not in {foreign.uid for foreign in view.gate.foreign}:
        engine.journal.violated(Invariant.GHOST, batch=view.batch.name, job=job.name, uid=uid)
        await engine.store.enter_foreign(view.batch.id, [Foreign(uid, job.name, "Job", ForeignKind.GHOST)])
    await engine.cluster.delete(job.namespace, job.name, uid)
    return True
