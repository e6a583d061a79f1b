"""Deeds for a batch as a whole: what counts in its gate, its hold, its cancel, its own status.

Called by ``acting`` only, after ``deeds`` has moved the attempts. Each is idempotent, and each asks
again for what may have changed since the plan was made, where acting on it would take something away.
"""

from __future__ import annotations

import asyncio

from controller import lifecycle
from controller.adopting import take_over
from controller.core.decide import Reason
from controller.core.model import Attempt, BatchStatus, Hold, Status
from controller.core.notices import notices
from controller.core.plan import (
    CheckForeign,
    CountForeign,
    HoldBatch,
    LookForOthers,
    MoveBatch,
    Remember,
    Step,
    WithdrawWaiting,
    withdrawal,
)
from controller.core.systemic import systemic_failure
from controller.core.telling import moved
from controller.core.view import View
from controller.engine import Engine
from controller.ports import Rejected, Unavailable

WITHDRAW_AT_ONCE = 500


async def take_for_batch(engine: Engine, view: View, step: Step) -> bool:
    """Take one step of the batch itself. True when something changed."""
    match step:
        case CountForeign(reason, objects):
            await engine.store.enter_foreign(view.batch.id, objects)
            engine.journal.said(reason.value, batch=view.batch.name, names=[thing.name for thing in objects])
            return True
        case CheckForeign():
            return await check_foreign(engine, view, step)
        case LookForOthers():
            return await take_over(engine, view)
        case HoldBatch():
            return await _hold(engine, view, step)
        case Remember(_, told):
            await engine.store.set_batch(view.batch.id, BatchStatus, {}, tuple(notices(told, view.channels)))
            return False
        case WithdrawWaiting():
            return await _withdraw_all(engine, view, step)
        case MoveBatch():
            return await _move_batch(engine, view, step)
    raise AssertionError(f"no deed for {step}")


async def check_foreign(engine: Engine, view: View, step: CheckForeign) -> bool:
    """The object is no longer listed: ask live, and only then stop counting it (R2)."""
    thing = step.object
    try:
        if await engine.cluster.get_uid(view.batch.namespace, thing.name, thing.kind, thing.uid):
            return False
    except Unavailable as error:
        if not await _ours_answer(engine, view):
            raise
        engine.journal.trouble("step", error, batch=view.batch.name, name=thing.name)
        return False  # this one alone can't be asked about: it goes on counting
    await engine.store.drop_foreign(view.batch.id, thing.uid)
    engine.journal.said("foreign-gone", batch=view.batch.name, name=thing.name)
    return True


async def _ours_answer(engine: Engine, view: View) -> bool:
    """Whether the store, and the cluster about a job of ours, can be asked."""
    ours = next((job for job in (*view.holders, *view.due, *view.others) if not job.kind), None)
    try:
        await engine.store.epoch()
        if ours is not None:
            await engine.cluster.get(ours.namespace, ours.name, ours.id)
    except Unavailable:
        return False
    return True


async def _hold(engine: Engine, view: View, step: HoldBatch) -> bool:
    """The counts that the plan saw are a cache, and may lag behind a ``resume``: they are counted anew.

    And a ``resume`` between the counting and the hold has the last word.
    """
    batch = view.batch
    counts = await engine.recount(batch.id)
    if systemic_failure(counts.first) is None:
        return False
    hold = f"{step.hold.value}: {step.sentence}"
    if not await engine.store.replace_hold(batch.id, "", hold):
        return False  # for something else by now
    again = await engine.store.batch(batch.id)
    if again and again.resumed != batch.resumed:
        return await engine.store.replace_hold(batch.id, hold, "")
    engine.journal.said("held", batch=batch.name, hold=step.hold.value, why=step.sentence)
    return True


async def _withdraw_all(engine: Engine, view: View, step: WithdrawWaiting) -> bool:
    """The batch is being cancelled: everything that waits ends, in portions. What is refused is told last."""
    withdrawn, refused = 0, None
    while ids := await engine.store.waiting_ids(view.batch.id, WITHDRAW_AT_ONCE):
        gate = (await engine.store.gates([view.batch.id])).get(view.batch.id)
        if gate is None or gate.cancel != step.stop:
            break  # that cancel is done: what waits now was asked for after it
        jobs = await engine.store.jobs(ids)
        changes = ((job, withdrawal(job, view, Reason.CANCEL, step.stop)) for job in jobs)
        ends = await asyncio.gather(*(engine.apply(*each) for each in changes), return_exceptions=True)
        for end in ends:
            if isinstance(end, Rejected):
                refused = end
            elif isinstance(end, BaseException):
                raise end
        now = sum(isinstance(end, Attempt) for end in ends)
        withdrawn += now
        if not now:
            break
    if refused:
        raise refused
    return withdrawn > 0


async def _move_batch(engine: Engine, view: View, step: MoveBatch) -> bool:
    move, batch = step.move, view.batch
    ends = move.status.closed
    fields: dict[str, object] = {
        "status": move.status,
        "reason": move.sentence,
        "result": move.result,
        "finished": view.now if ends else None,
    }
    # A cancel that was not lifted with the end that it led to: that end is in the records, and was told.
    repeated = move.lifts_cancel and batch.status is move.status
    if repeated:
        fields = {}
    reopens = batch.status.closed and not ends
    if reopens and view.gate.held_for(Hold.SYSTEMIC_FAILURE):
        return await engine.store.replace_hold(batch.id, view.gate.hold, "")  # and it is looked at again
    if reopens:
        # It saw the retry before whoever asked for it came to reopen the batch, as ``lifecycle`` does.
        fields["resumed"] = await lifecycle.tally_begins(engine.store)
    if batch.status is BatchStatus.EXPANDING and ends:  # whoever recorded its tasks never came to list them
        await engine.store.list_children(batch.id, await engine.store.roots(batch.id))
    told = () if repeated else tuple(notices(moved(view.gate, move), view.channels))
    for ending in engine.ending if ends else ():
        ending(batch.id)
    engine.must_lead()
    if not await engine.store.set_batch(batch.id, [batch.status], fields, told, engine.epoch):
        return True
    if reopens:
        await engine.recount(batch.id)
    engine.journal.said("batch", batch=batch.name, status=move.status.value, why=move.sentence)
    if move.lifts_cancel and view.gate.cancel:
        await engine.store.lift_cancel(batch.id, view.gate.cancel)
    if ends and await engine.store.has(batch.id, [Status.WAITING]):
        # A retry came between the look and the write, and found the batch still open.
        await lifecycle.reopen(engine.store, batch.id)
    return True
