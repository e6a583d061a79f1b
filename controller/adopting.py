"""Taking over what others run under a batch's names: the look, the order, and the writes (S11).

The look and the writes are a step of the leader's pass, ``take_over``; ``ask_to_adopt`` is the order that
people give. Every line may be the last one before a crash: the gate stays held until everything is bound,
the place in the gate remembers the object, records are guarded by their status, and the hold is lifted
last, so that the next pass, or another order, ends in the same state. Nothing here writes to the cluster.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from controller import lifecycle
from controller.core.adoption import (
    Binding,
    about_others,
    adopted,
    adopting_sentence,
    bindings,
    fitting,
    half_done,
    hold_sentence,
    places,
)
from controller.core.copying import replace
from controller.core.model import Attempt, Batch, BatchStatus, Gate, Hold
from controller.core.naming import longest_prefix
from controller.core.sight import Adoptable
from controller.core.view import View
from controller.engine import Engine
from controller.former import nobodys
from controller.patterns import matched_patterns
from controller.people import Caller, NotAllowed, People, Refused, not_yours
from controller.places import give_places
from controller.ports import Store
from controller.specfile import rules_of

OPEN = tuple(status for status in BatchStatus if not status.closed)
BY_SPEC = "its spec"


@dataclass(frozen=True, slots=True)
class Look:
    """What a live look found: objects that are, or become, first attempts, and the rest under the prefix."""

    bound: tuple[Binding, ...]
    others: tuple[Adoptable, ...]
    """Objects under the prefix that are no waiting task's: while they are active they count as foreign."""


async def look_for_others(
    engine: Engine, batch: Batch, gate: Gate, *, names: frozenset[str] = frozenset()
) -> Look:
    """Ask the cluster live, now, for whatever others, or a former life, have under the batch's names.

    ``names``: of the unfinished batches of the namespace. Raises ``Unavailable``: it could not be seen.
    """
    found = await nobodys(engine, await engine.cluster.find(batch.namespace, f"{batch.name}-"))
    waiting = await _waiting_under(engine.store, batch, gate, found)
    bound = fitting(gate, bindings(waiting, found))
    bound += half_done(gate, waiting, {one.job.id for one in bound})
    uids = {one.found.job.uid for one in bound} | {holder.uid for holder in gate.holders}
    others = tuple(
        one
        for one in found
        if one.job.uid not in uids and longest_prefix(one.job.name, names | {batch.name}) == batch.name
    )
    rules = rules_of(batch.settings["retry"].value)
    limit = asyncio.Semaphore(engine.settings.concurrency)

    async def told(one: Binding) -> Binding:
        if one.status.active:
            return one
        async with limit:
            log_tail = await engine.cluster.log_tail(one.found.job, engine.settings.log_tail_bytes)
        return replace(
            one, log_tail=log_tail, matched=await matched_patterns(engine.journal, rules, log_tail)
        )

    return Look(tuple(await asyncio.gather(*map(told, bound))), others)


async def _waiting_under(
    store: Store, batch: Batch, gate: Gate, found: Sequence[Adoptable]
) -> Sequence[Attempt]:
    """The batch's waiting first attempts whose names are found, or whose places name an object."""
    named = [await store.job_named(batch.namespace, name) for name in sorted({one.job.name for one in found})]
    half = await store.jobs([holder.job for holder in gate.holders if holder.uid])
    mine = {job.id: job for job in (*named, *half) if job and job.batch_id == batch.id}
    return list(mine.values())


# ------------------------------------------------------------------------------------- the leader's step


async def take_over(engine: Engine, view: View) -> bool:
    """Look live; then open the gate, hold it as ``adoption-needed``, or take over. True: news.

    In a batch that is being cancelled nothing is taken over: only who has no place gets it back.
    """
    batch, gate = view.batch, view.gate
    if await give_places(engine, batch, gate):
        return True
    if gate.cancel:
        return False
    look = await look_for_others(engine, batch, gate)
    if gate.held_for(Hold.LOOKING) and not look.bound:
        return await engine.store.replace_hold(batch.id, gate.hold, "")
    if not gate.held_for(Hold.ADOPTING):
        wanted = bool(batch.spec.get("adopt"))
        hold = adopting_sentence(BY_SPEC) if wanted else hold_sentence(batch.name, look.bound)
        if not await engine.store.replace_hold(batch.id, gate.hold, hold):
            return True  # somebody was faster: look again
        engine.journal.said("held", batch=batch.name, hold=hold.partition(":")[0], why=hold)
        if not wanted:
            return True
        gate = replace(gate, hold=hold)
    return await _bind(engine, batch, gate, look.bound)


async def _bind(engine: Engine, batch: Batch, gate: Gate, bound: Sequence[Binding]) -> bool:
    """Places first, then the records, the batch's tally, and the hold last."""
    taking = places(gate, bound)
    if taking:
        async with engine.claims:  # a claim of another batch that has counted all places comes first
            given = await engine.store.take_over(batch.id, taking, gate.hold, engine.epoch)
        if not given:
            return True  # the gate moved on since it was read: look again
    slots = {holder.job: holder.slot for holder in (*gate.holders, *taking)}
    limit = asyncio.Semaphore(engine.settings.concurrency)

    async def record(one: Binding) -> Attempt | None:
        async with limit:
            return await engine.apply(one.job, adopted(one, slots))

    if None in await asyncio.gather(*map(record, bound)):
        return True  # a newer leader stamped it meanwhile, say: who only has a place keeps the hold
    await _new_tally(engine, batch)
    if await engine.store.replace_hold(batch.id, gate.hold, ""):
        names = [one.job.name for one in bound]
        engine.journal.said("adopted", batch=batch.name, jobs=names[:20], count=len(names))
    return True


async def _new_tally(engine: Engine, batch: Batch) -> None:
    """What others' jobs ended as tells nothing of what ours will: the tally of like failures starts now."""
    await engine.flush_counts(batch.id)
    begins = await lifecycle.tally_begins(engine.store)
    await engine.store.set_batch(batch.id, OPEN, {"resumed": begins})
    await engine.recount(batch.id)


# ------------------------------------------------------------------------------------ what people order


async def ask_to_adopt(people: People, caller: Caller, batch: Batch, *, dry_run: bool = False) -> str:
    """Order the take-over of what runs under the batch's names; whoever leads does it in its next pass.

    Raises ``NotAllowed`` and ``Refused``. Asked again, or of a batch that has nothing to take over, it
    changes nothing and says so.
    """
    if not caller.may(batch.user):
        raise NotAllowed(not_yours(caller, f"batch {batch.name}", batch.user))
    if batch.status.closed:
        raise Refused(f"batch {batch.name} has ended ({batch.status}): there is nothing to take over")
    gate = (await people.store.gates([batch.id])).get(batch.id)
    if gate is None:
        raise Refused(f"batch {batch.name} is still being taken in: ask again in a moment")
    if gate.cancel:
        raise Refused(f"batch {batch.name} is being cancelled by {gate.cancel.by}: nothing is taken over")
    if gate.held_for(Hold.ADOPTING):
        return "is being taken over already: the next pass goes on"
    if not about_others(gate):
        return "has nothing to take over: what ran under its names was looked for when it came in"
    order = adopting_sentence(caller.user)
    if not dry_run and not await people.store.replace_hold(batch.id, gate.hold, order):
        raise Refused(f"batch {batch.name} moved on while it was asked: ask again")
    return (
        "is taken over in the next pass: what has ended is recorded, what runs is followed, the rest starts"
    )
