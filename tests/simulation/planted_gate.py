"""Bugs to plant in what the gate asks and counts; ``planted_rules`` lists them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

from controller import allowance, deeds, looking, places, reconcile, surroundings
from controller.core import plan
from controller.core.model import Attempt, Batch, Foreign, Gate, Halts, Holder
from controller.core.view import UNLIMITED, View
from controller.engine import Engine, EngineSettings
from controller.ports import Unavailable
from tests.fakes.memory_batches import MemoryBatches
from tests.fakes.memory_cluster import MemoryCluster
from tests.simulation.planted import Patch


def _claims_by(patch: Patch, refused: Any) -> None:
    """A claim whose guard is this, beside the epoch and what is in the gate already."""

    async def claim(
        store: MemoryBatches,
        batch_id: str,
        places: Sequence[tuple[str, int]],
        epoch: int,
        leaving: Iterable[str] = (),
    ) -> Gate | None:
        gate, gone = store._gates[batch_id], set(leaving)
        stay = tuple(holder for holder in gate.holders if holder.job not in gone)
        jobs, slots = {job for job, _ in places}, {slot for _, slot in places}
        taken = any(holder.job in jobs or holder.slot in slots for holder in stay)
        if gate.epoch > epoch or taken or refused(replace(gate, holders=stay), len(places)):
            return None
        holders = (*stay, *(Holder(job, slot) for job, slot in places))
        store._put_gate(replace(gate, holders=holders, epoch=epoch))
        return store._gates[batch_id]

    patch.setattr(MemoryBatches, "claim", claim)


def max_not_asked_again(patch: Patch) -> None:
    """A claim goes by the maximum that the plan has read."""
    _claims_by(patch, lambda gate, n: not gate.open)


def shut_not_asked_again(patch: Patch) -> None:
    """A claim goes by the pause, the hold and the cancel that the plan has read."""
    _claims_by(patch, lambda gate, n: gate.free < n)


def foreign_not_asked_again(patch: Patch) -> None:
    """A claim goes by our own places only."""
    _claims_by(patch, lambda gate, n: not gate.open or gate.max - len(gate.holders) < n)
    patch.setattr(Gate, "free", property(lambda gate: gate.max - len(gate.holders)))
    patch.setattr(plan, "room", lambda gate, view: gate.free)


def place_given_back(patch: Patch) -> None:
    """A create without an answer gives its place back."""
    original = deeds._post

    async def post(engine: Engine, view: View, job: Attempt, token: str, epoch: int) -> None:
        try:
            await original(engine, view, job, token, epoch)
        except Unavailable:
            await engine.store.leave(job.batch_id, [job.id])
            raise

    patch.setattr(deeds, "_post", post)


def old_list_will_do(patch: Patch) -> None:
    """However old the list of what others run is, places are taken by it."""
    patch.setattr(EngineSettings, "foreign_age", property(lambda settings: float("inf")))
    patch.setattr(surroundings, "_fresh", lambda engine, batch: engine.seen is not None)


def lost_gate_stays_lost(patch: Patch) -> None:
    """A recorded batch whose gate is gone gets no other one: nobody follows what it runs."""

    async def none(engine: Engine) -> None:
        return None

    patch.setattr(places, "_make_missing", none)


def owed_retry_lost_with_the_gate(patch: Patch) -> None:
    """Of a gate that was lost only those who are active get places: nothing remembers an owed retry."""

    async def none(engine: Engine, batch: Batch) -> tuple[Holder, ...]:
        return ()

    patch.setattr(places, "_failed", none)


def known_by_name(patch: Patch) -> None:
    """What others run is known by its name: its namesake is still the same."""
    original = MemoryBatches.enter_foreign

    async def enter(store: MemoryBatches, batch_id: str, foreign: Iterable[Foreign]) -> None:
        names = {known.name for known in store._gates[batch_id].foreign}
        await original(store, batch_id, [one for one in foreign if one.name not in names])

    async def get_uid(cluster: MemoryCluster, namespace: str, name: str, kind: str, uid: str) -> bool:
        cluster._reach(namespace)
        thing = cluster._things.get((namespace, name))
        return thing is not None and thing.active

    patch.setattr(MemoryBatches, "enter_foreign", enter)
    patch.setattr(MemoryCluster, "get_uid", get_uid)


def any_prefix(patch: Patch) -> None:
    """What others run counts under every prefix that it begins with."""
    patch.setattr(looking, "longest_prefix", lambda name, names: _shortest(name, names))


def _shortest(name: str, names: Iterable[str]) -> str:
    return min((one for one in names if name.startswith(f"{one}-")), key=len, default="")


def unanchored(patch: Patch) -> None:
    """A batch's prefix is looked for anywhere in a name."""

    def longest(name: str, names: Iterable[str]) -> str:
        return max((one for one in names if one in name), key=len, default="")

    patch.setattr(looking, "longest_prefix", longest)


def limits_forgotten(patch: Patch) -> None:
    """The operator's limit over several batches binds nobody."""

    async def unlimited(*_: object) -> Any:
        return UNLIMITED

    for module in (allowance, reconcile):
        patch.setattr(module, "allowance_of", unlimited)


def halts_ignored(patch: Patch) -> None:
    """The kill switch stops nothing."""

    async def none(store: MemoryBatches) -> Halts:
        return Halts()

    patch.setattr(MemoryBatches, "halts", none)
