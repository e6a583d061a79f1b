"""What the world outside a batch's gate lets it start now: the submission rate, and operators' limits.

Called by ``reconcile`` before each plan. The limits bind over several batches (S13), so they are the
leader's arithmetic, before the gate; the gate stays the safety argument.
"""

from __future__ import annotations

from collections.abc import Sequence

from controller.core.copying import replace
from controller.core.model import ACTIVE, LIVE, Attempt, Batch, BatchStatus, Gate, When
from controller.core.naming import root_name
from controller.core.sharing import NO_LIMITS, Demand, share, why_not
from controller.core.view import UNLIMITED, Allowance
from controller.engine import Engine


async def allowance_of(
    engine: Engine, batch: Batch, gate: Gate, others: Sequence[Demand] | None = None
) -> Allowance:
    """How many attempts of this batch may start now, and the sentence if it is none.

    ``others``: every batch's demand as it was seen in this pass; None: read them now.
    """
    paced = engine.pacer.available(engine.clock.monotonic())
    if paced <= 0:
        rate = engine.settings.rate
        return Allowance(0, f"submissions go out at {rate:g} a second at most (submission.rate)")
    limits = engine.settings.limits
    if limits == NO_LIMITS:
        return Allowance(paced) if paced < UNLIMITED.places else UNLIMITED
    if others is None:
        others = await demands_of(engine)
    # Its own as it is now; also when it is closed, and a retry is about to reopen it.
    demands = [demand for demand in others if demand.batch_id != batch.id]
    demands.append(await _demand(engine, batch, gate))
    granted = share(demands, limits)
    places = granted.get(batch.id, 0)
    if places <= 0:
        shortage = why_not(batch.id, demands, limits, granted)
        return Allowance(0, shortage.sentence if shortage else "the batch asks for nothing")
    return Allowance(min(paced, places))


async def allowance_now(
    engine: Engine, batch: Batch, gate: Gate, demands: Sequence[Demand] | None
) -> Allowance:
    """The same for a claim, by what all gates hold at this instant, this batch's own among them.

    ``gate`` and ``demands`` are older: places may have been taken since, by others and by the batch itself
    in a pass that came between. Nobody else claims meanwhile.
    """
    if demands is None:  # there are no limits
        return await allowance_of(engine, batch, gate)
    own = (await engine.store.gates([batch.id])).get(batch.id, gate)
    return await allowance_of(engine, batch, own, await held_now(engine, demands))


async def demands_of(engine: Engine) -> list[Demand]:
    """What every unfinished batch holds and asks for; read from the gates and the waiting line."""
    batches = await engine.store.batches(closed=False)
    gates = await engine.store.gates([batch.id for batch in batches])
    demands = [await _of_any(engine, batch, gates[batch.id]) for batch in batches if batch.id in gates]
    return demands + await _of_unreadable(engine, demands)


async def held_now(engine: Engine, demands: Sequence[Demand]) -> list[Demand]:
    """The same demands with what their gates hold at this instant, and those of batches that came since.

    A batch that was over when the pass began may have been reopened by a retry, and hold places by now.
    """
    store, known = engine.store, [demand.batch_id for demand in demands]
    late = (await store.batches_with_live_jobs()).difference(known)
    gates = await store.gates([*known, *late])
    held = [
        replace(demand, active=len(gate.holders), free=_room(gate), max=gate.max)
        for demand in demands
        if (gate := gates.get(demand.batch_id))
    ]
    batches = await store.batches_with(late) if late else {}
    held += [await _of_any(engine, batch, gates[key]) for key, batch in batches.items() if key in gates]
    return held + await _of_unreadable(engine, held)


def _room(gate: Gate) -> int:
    return max(gate.free, 0) if gate.open else 0


def _can_start(engine: Engine, batch: Batch) -> bool:
    """Whether anything of the batch could start now if it got a place; else it asks for none."""
    blind = engine.seen is not None and batch.namespace in engine.seen.blind
    rests = engine.sick.rests(f"batch:{batch.id}", engine.clock.monotonic())
    return batch.status is not BatchStatus.EXPANDING and not blind and not rests


async def _of_any(engine: Engine, batch: Batch, gate: Gate) -> Demand:
    """What any batch holds and asks for; nothing, where its record was bent by hand: its pass names it."""
    try:
        return await _demand(engine, batch, gate)
    except (KeyError, TypeError, ValueError):
        active, user, namespace = len(gate.holders), batch.user, batch.namespace
        return Demand(batch.id, user, namespace, active, 0, 0, gate.max, 0, batch.inserted)


async def _of_unreadable(engine: Engine, known: Sequence[Demand]) -> list[Demand]:
    """What runs of batches whose record or gate can't be read: by the records of their jobs, one by one."""
    if not engine.store.quarantined():
        return []
    read = {demand.batch_id for demand in known}
    active = [job for job in await engine.store.active() if job.batch_id not in read]
    return [Demand(job.id, job.user, job.namespace, 1, 0, 0, 1, 0, job.inserted) for job in active]


async def _demand(engine: Engine, batch: Batch, gate: Gate) -> Demand:
    room = _room(gate)
    beside = {root_name(one.name, batch.name) for one in gate.foreign if one.ours}
    line = await _line(engine, batch.id, room + len(beside)) if room and _can_start(engine, batch) else ()
    held = {holder.job for holder in gate.holders}
    ready = (job for job in line if job.id not in held and root_name(job.name, batch.name) not in beside)
    return Demand(
        batch_id=batch.id,
        user=batch.user,
        namespace=batch.namespace,
        active=len(gate.holders),
        due=min(room, sum(1 for _ in ready)),
        free=room,
        max=gate.max,
        priority=int(batch.settings["priority"].value),
        age=batch.inserted,
    )


async def _line(engine: Engine, batch_id: str, room: int) -> Sequence[Attempt]:
    """What of the batch is due; its ``batch-end`` retries ask only once all else of it is over."""
    store, now = engine.store, engine.now()
    with_auto = (await store.halts()).retries is None
    if line := await store.waiting(batch_id, room, now, with_auto=with_auto):
        return line
    if not with_auto or await store.has(batch_id, LIVE, when=When.NOW) or await store.has(batch_id, ACTIVE):
        return ()
    return await store.waiting_for_end(batch_id, room, now)
