"""Active records without a place, batches without a gate: what a backup that is of no one instant may hold.

A place is taken before its record is active, and left after it has ended. A copy of the database that has its
gates and its records of different instants may show it otherwise: such a job would count nowhere, and
nobody would follow its end up. ``hold_for_places`` is called by ``daemon`` once it leads and has stamped
everything, and when a claim met a slot that was taken, or a pass a batch without a gate; ``give_places`` by
``adopting`` before the hold goes.
"""

from __future__ import annotations

from collections.abc import Iterable

from controller.core.adoption import LOOKING, about_others
from controller.core.copying import replace
from controller.core.model import ACTIVE, Attempt, Batch, BatchStatus, Gate, Holder, Status
from controller.engine import Engine
from controller.intake import first_gate
from controller.ports import JobFilter


async def hold_for_places(engine: Engine) -> None:
    """Hold every batch that has such a record: nothing of it starts before all have their places again.

    This leader's own passes may go on meanwhile, so what seems to be without a place is looked at again: its
    gate, and then whether it is active still. It was so before too, hence when its gate was read.
    """
    live = await engine.store.batches_with_live_jobs()
    gates = await engine.store.gates(live)
    if engine.places_doubted or not gates.keys() >= set(live):
        await _make_missing(engine)
        gates = await engine.store.gates(live)
    placed = frozenset(holder.job for gate in gates.values() for holder in gate.holders)
    seem = [job for job in await engine.store.active(but=placed) if job.batch_id in gates]
    if not seem:
        return
    gates = await engine.store.gates(sorted({job.batch_id for job in seem}))
    active = [job for job in await engine.store.jobs([job.id for job in seem]) if job.status.active]
    for gate in gates.values():
        without = _without_place(gate, active)
        if not without or about_others(gate):
            continue
        await engine.store.replace_hold(gate.batch_id, gate.hold, LOOKING)
        engine.journal.said("places-missing", batch_id=gate.batch_id, jobs=[job.name for job in without])


async def _make_missing(engine: Engine) -> None:
    """Gates as new batches have them, held until it was looked at what runs, for recorded ones without.

    What has failed gets a place, too: until it leaves that, it is remembered that a retry may be owed.
    """
    store = engine.store
    batches = {batch.id: batch for batch in await store.batches(closed=False)}
    batches |= await store.batches_with(await store.batches_with_live_jobs())
    gates = await store.gates(batches)
    for batch in batches.values():
        if batch.id not in gates and may_miss_its_gate(engine, batch):
            gate = first_gate(batch, await store.epoch())
            await store.ensure_gate(replace(gate, holders=await _failed(engine, batch)))
            engine.journal.said("gate-missing", batch=batch.name)


async def _failed(engine: Engine, batch: Batch) -> tuple[Holder, ...]:
    """Places for its attempts that failed and that no other one followed, beside those of who is active."""
    what = JobFilter(batch.id, status=(Status.ERROR,), newest_only=True)
    failed = [job.id async for job in engine.store.find_jobs(what)]
    slots = [job.slot for job in await engine.store.active() if job.batch_id == batch.id]
    free = max((slot for slot in slots if slot is not None), default=-1) + 1
    return tuple(Holder(job, slot) for slot, job in enumerate(failed, free))


def may_miss_its_gate(engine: Engine, batch: Batch) -> bool:
    """Whether a batch whose gate was not found has none: its intake may be between its two writes, or the
    gate is there and can't be read."""
    return batch.status is not BatchStatus.EXPANDING and batch.id not in engine.store.quarantined()


async def give_places(engine: Engine, batch: Batch, gate: Gate) -> bool:
    """Give places back where the slots are free by now, also in a batch that is being cancelled: the cancel
    reaches who has a place. True: some were missing, so look again.

    A slot that another job holds is freed when that one's record only waits: where records are older than
    gates it had its place after whoever is without one now. It can't become active meanwhile, since no two
    active records have one slot, and it stands in line again.
    """
    if not await engine.store.has(batch.id, ACTIVE):
        return False
    without = _without_place(gate, await engine.store.active())
    taken = {holder.slot: holder.job for holder in gate.holders}
    wanted = [taken[job.slot] for job in without if job.slot in taken]
    if wanted:
        holders = await engine.store.jobs(wanted)
        waiting = [job.id for job in holders if job.status is Status.WAITING]
        await engine.store.leave(batch.id, waiting)
    places = [place for place in map(_place, without) if place.slot not in taken]
    if places:
        async with engine.claims:  # a claim of another batch that has counted all places comes first
            await engine.store.take_over(batch.id, places, gate.hold, engine.epoch, cancelled=True)
    return bool(without)


def _without_place(gate: Gate, active: Iterable[Attempt]) -> list[Attempt]:
    held = {holder.job for holder in gate.holders}
    return [job for job in active if job.batch_id == gate.batch_id and job.id not in held]


def _place(job: Attempt) -> Holder:
    assert job.slot is not None, "an active record has a slot"
    return Holder(job.id, job.slot, job.scheduler_id if job.kind else "", job.kind)
