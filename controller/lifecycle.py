"""The retry lifecycle after step 1: tell the batch parent, tell the root, set the toggle (R9, E3, E4).

Step 1, the child's durable record, is written by whoever asks for a retry: ``reconcile`` for a rule,
``requests`` for a person. Steps 2–4 follow at once, in bulk, and ``repair`` redoes them for every child
whose toggle still says that they were not all seen to be done. Nothing here touches the cluster.

Each step is a set operation on stable facts, so two repairers at once do no harm, and a crash between
any two leaves work that the next repair finds by the toggle.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from controller.core.model import LIVE, Attempt, BatchStatus, Hold
from controller.engine import Engine
from controller.ports import Rejected, Store

REPAIR_AT_ONCE = 1000
"""Children that the repair pass takes at a time, page by page: some can't be completed, and are met again."""
NO_LIST = "the list of their batch or root is full, or something else stands in its place, or nothing does"


@dataclass(frozen=True, slots=True)
class Completed:
    """What steps 2–4 came to. ``listed``: children that were read in both lists, each with its root's."""

    toggled: int
    """Toggles that this call set."""
    listed: Mapping[str, tuple[str, ...]]
    refused: Mapping[str, Rejected] = field(default_factory=dict)
    """Batches and roots, by id, that the store would not write; nothing of theirs is ``listed``."""


async def complete(store: Store, children: Sequence[Attempt]) -> Completed:
    """Steps 2–4 for these children.

    The batch is reopened before the toggle: while the toggle is false, repair knows that something is
    left to do, so a crash anywhere in between loses nothing. A parent that refuses costs its own children.
    """
    by_batch: dict[str, list[str]] = defaultdict(list)
    by_root: dict[str, list[str]] = defaultdict(list)
    for child in children:
        by_batch[child.batch_id].append(child.id)
        by_root[child.root_id].append(child.id)
    refused: dict[str, Rejected] = {}
    for batch_id, ids in by_batch.items():
        try:
            await store.list_children(batch_id, ids)
        except Rejected as error:
            refused[batch_id] = error
    await _list_retries(store, by_root, refused)
    for batch_id in by_batch:
        try:
            await reopen(store, batch_id)
        except Rejected as error:
            refused[batch_id] = error
    lost = {child.id for child in children if child.batch_id in refused or child.root_id in refused}
    found = await store.listed(children)
    listed = {child: retries for child, retries in found.items() if child not in lost}
    return Completed(await store.toggle(sorted(listed)) if listed else 0, listed, refused)


async def _list_retries(
    store: Store, by_root: Mapping[str, Iterable[str]], refused: dict[str, Rejected]
) -> None:
    """Step 3 for all roots together; root by root where that is refused, to find out whose fault it is."""
    try:
        await store.list_retries(by_root)
        return
    except Rejected:
        pass
    for root, ids in by_root.items():
        try:
            await store.list_retries({root: ids})
        except Rejected as error:
            refused[root] = error


def tell_unlisted(engine: Engine, children: Sequence[Attempt], done: Completed) -> None:
    """One line for each batch with children that are not in both lists: they run, and are not complete."""
    by_batch: dict[str, list[Attempt]] = defaultdict(list)
    for child in children:
        if child.id not in done.listed:
            by_batch[child.batch_id].append(child)
    for batch_id, left in by_batch.items():
        parents = (batch_id, *(child.root_id for child in left))
        reasons = (str(done.refused[parent]) for parent in parents if parent in done.refused)
        why = next(reasons, NO_LIST)
        engine.journal.said("unlisted", batch=batch_id, retries=len(left), first=left[0].name, why=why)


async def tally_begins(store: Store) -> datetime:
    """The instant from which like failures are counted (S7b): what ended in this very millisecond is past."""
    return await store.now() + timedelta(milliseconds=1)


async def reopen(store: Store, batch_id: str) -> bool:
    """A retry reopens its batch, a cancelled one too. True when it was closed.

    The gate's ``cancel`` goes first: a reopened batch whose gate still said cancel would end its retry.
    It is read before the batch, so the one that goes is the one that closed it, never a later one. The
    tally of like failures starts anew, and what held the batch for them is lifted (S7b): whoever retries
    after the end knows how it ended.

    Nothing is reopened by a retry that has ended: its batch closed after it, and would tell so twice.
    """
    gate = (await store.gates([batch_id])).get(batch_id)
    batch = await store.batch(batch_id)
    if batch is None or not batch.status.closed or not await store.has(batch_id, LIVE):
        return False
    if gate and gate.cancel:
        await store.lift_cancel(batch_id, gate.cancel)
    if gate and gate.held_for(Hold.SYSTEMIC_FAILURE):
        await store.replace_hold(batch_id, gate.hold, "")
    fields = {
        "status": BatchStatus.RUNNING,
        "reason": "reopened by a retry",
        "result": None,
        "finished": None,
        "resumed": await tally_begins(store),
    }
    if not await store.set_batch(batch_id, [BatchStatus.FINISHED, BatchStatus.CANCELLED], fields):
        return False
    await store.recount(batch_id)
    return True


async def repair(engine: Engine, *, dry_run: bool = False) -> Sequence[Attempt]:
    """Finish every lifecycle that was left unfinished for longer than the grace; returns its children.

    The grace spares children whose steps somebody else is doing at this moment. Their age is judged by
    the store's clock, like everything about records that several processes write.
    """
    before = await engine.store.now() - engine.settings.repair_after
    page = await engine.store.unfinished_lifecycles(before, REPAIR_AT_ONCE)
    oldest = (await engine.store.now() - page[0].inserted).total_seconds() if page else 0.0
    children: list[Attempt] = []
    while True:
        children += page
        engine.journal.gauge("retry_lifecycle_incomplete", len(children))
        engine.journal.gauge("oldest_incomplete_retry_seconds", oldest)
        if page and not dry_run:
            await _repair(engine, page)
        if len(page) < REPAIR_AT_ONCE:
            return children
        page = await engine.store.unfinished_lifecycles(before, REPAIR_AT_ONCE, page[-1])


async def _repair(engine: Engine, children: Sequence[Attempt]) -> None:
    done = await complete(engine.store, children)
    engine.journal.repaired("toggle", done.toggled)
    for child in (child for child in children if child.id in done.listed):
        engine.journal.said("repaired", batch=child.batch_id, task=child.task_id, attempt=child.attempt)
    tell_unlisted(engine, children, done)
