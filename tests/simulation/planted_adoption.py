"""Bugs to plant into the take-over of what others run: its look, its places, its records and what follows."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

from controller import adopting, batch_deeds, intake
from controller.core import adoption, decide, plan, reaping
from controller.core.adoption import Binding
from controller.core.decide import Act, Move, Reason, reaped
from controller.core.machine import Event, Guard
from controller.core.model import Attempt, Gate, Holder, Status
from controller.core.sight import Adoptable
from controller.core.view import View
from controller.engine import Engine
from tests.fakes.memory_batches import MemoryBatches
from tests.fakes.memory_cluster import MemoryCluster
from tests.simulation.planted import Bug, Patch, without_guards


def _bound_otherwise(patch: Patch, change: Any) -> None:
    """Every look's bindings go through ``change`` first."""
    original = adoption.bindings

    def bindings(waiting: Iterable[Attempt], found: Iterable[Adoptable]) -> tuple[Binding, ...]:
        return tuple(change(one) for one in original(waiting, found))

    patch.setattr(adopting, "bindings", bindings)


# --------------------------------------------------------------------------------------------- the look


def born_open(patch: Patch) -> None:
    """A batch comes in with its gate open: nothing is looked for first."""
    patch.setattr(intake, "LOOKING", "")


def opened_unseen(patch: Patch) -> None:
    """The gate is opened without a look at what runs under its names."""

    async def take_over(engine: Engine, view: View) -> bool:
        return await engine.store.replace_hold(view.batch.id, view.gate.hold, "")

    patch.setattr(batch_deeds, "take_over", take_over)


def bound_by_prefix(patch: Patch) -> None:
    """What only begins with a task's name is taken for it."""
    original = adoption.bindings

    def bindings(waiting: Iterable[Attempt], found: Sequence[Adoptable]) -> tuple[Binding, ...]:
        jobs = list(waiting)
        near = [
            replace(one, job=replace(one.job, name=job.name))
            for job in jobs
            for one in found
            if one.job.name.startswith(job.name)
        ]
        return original(jobs, near)

    patch.setattr(adopting, "bindings", bindings)


def pending_is_over(patch: Patch) -> None:
    """What has not started yet is taken for ended, and gets no place."""

    def over(one: Binding) -> Binding:
        thing = one.found.job
        if thing.started:
            return one
        return Binding(one.job, replace(one.found, job=replace(thing, finished=True, pod_unfinished=False)))

    _bound_otherwise(patch, over)


def ended_is_done(patch: Patch) -> None:
    """Whatever has ended was done."""

    def status(one: Binding) -> Status:
        if one.found.job.active:
            return Status.RUNNING if one.found.job.started else Status.QUEUED
        return Status.COMPLETED

    patch.setattr(Binding, "status", property(status))


# ------------------------------------------------------------------------------------- places and records


def place_without_uid(patch: Patch) -> None:
    """The place does not say which object it is for."""
    original = adoption.places

    def places(gate: Gate, bound: Sequence[Binding]) -> tuple[Holder, ...]:
        return tuple(Holder(place.job, place.slot) for place in original(gate, bound))

    patch.setattr(adopting, "places", places)


def left_in_foreign(patch: Patch) -> None:
    """What gets a place is still counted as foreign."""
    original = MemoryBatches.take_over

    async def take_over(store: MemoryBatches, batch_id: str, *more: Any) -> bool:
        before = store._gates[batch_id]
        taken = await original(store, batch_id, *more)
        if taken:
            store._put_gate(replace(store._gates[batch_id], foreign=before.foreign))
        return taken

    patch.setattr(MemoryBatches, "take_over", take_over)


def lifted_with_the_places(patch: Patch) -> None:
    """The hold is lifted when the places are given, before the records are written."""
    original = MemoryBatches.take_over

    async def take_over(store: MemoryBatches, batch_id: str, *more: Any) -> bool:
        taken = await original(store, batch_id, *more)
        if taken:
            await store.set_gate(batch_id, {"hold": None})
        return taken

    patch.setattr(MemoryBatches, "take_over", take_over)


def two_take_over(patch: Patch) -> None:
    """Nobody asks whether another leader has given these places already."""

    async def take_over(
        store: MemoryBatches, batch_id: str, places: Sequence[Holder], hold: str, epoch: int
    ) -> bool:
        gate, uids = store._gates[batch_id], {place.uid for place in places}
        foreign = tuple(item for item in gate.foreign if item.uid not in uids)
        store._put_gate(replace(gate, holders=(*gate.holders, *places), foreign=foreign))
        return True

    patch.setattr(MemoryBatches, "take_over", take_over)


def half_done_forgotten(patch: Patch) -> None:
    """After a crash nobody remembers a place whose record was not written."""
    patch.setattr(adopting, "half_done", lambda gate, waiting, bound: ())


# --------------------------------------------------------------------------------------------- afterwards


def deleted_on_cancel(patch: Patch) -> None:
    """A cancel stops and deletes what was taken over like anything else."""
    without_guards(patch, Event.STOP_ASKED, Guard.OURS)
    orders, follow = plan._orders, adoption.next_move

    def all_are_ours(view: View) -> Any:
        return orders(replace(view, holders=tuple(replace(job, kind="") for job in view.holders)))

    def next_move(job: Attempt, sight: Any) -> Move | None:
        if job.status.active and job.stop and sight.job:
            return Move(Act.DELETE, Reason.STOPPING, uid=sight.job.uid)
        return follow(job, sight)

    patch.setattr(plan, "_orders", all_are_ours)
    patch.setattr(adoption, "next_move", next_move)
    patch.setattr(MemoryCluster, "_mine", MemoryCluster._held)


def reaped_too(patch: Patch) -> None:
    """The reaper stops what was taken over like anything else."""
    without_guards(patch, Event.OVERDUE, Guard.OURS)
    original = decide.next_move

    def next_move(job: Attempt, sight: Any, now: Any, life: Any) -> Move | None:
        limit = reaping.overdue(replace(job, kind=""), now, life.reaper) if job.kind else None
        if limit is None or job.stop:
            return original(job, sight, now, life)
        return Move(Act.WRITE, Reason.OVERDUE, reaped(job, limit, now))

    patch.setattr(plan, "next_move", next_move)


def gone_from_the_list(patch: Patch) -> None:
    """What a list does not show is believed to be gone, without asking live."""
    follow = adoption.next_move

    def next_move(job: Attempt, sight: Any) -> Move | None:
        return follow(job, replace(sight, live=True) if sight.known and sight.job is None else sight)

    patch.setattr(adoption, "next_move", next_move)


_LEFT: dict[str, Any] = {"leftovers": True}
_CANCELS = _LEFT | {"requests": 30}
_TWO = _LEFT | {"replicas": 3, "split_brain": True, "skews": (), "latency": 0.4}
_REAPED = _LEFT | {"running_after": 60.0, "requests": 0}

HALF_DONE = Bug("half a take-over is forgotten", half_done_forgotten, {})
ADOPTION_BUGS: tuple[Bug, ...] = (
    Bug("a gate is born open", born_open, _LEFT),
    Bug("opened without a look", opened_unseen, _LEFT),
    Bug("taken over by prefix", bound_by_prefix, _LEFT),
    Bug("pending is taken over as ended", pending_is_over, _LEFT),
    Bug("ended is taken over as done", ended_is_done, _LEFT),
    Bug("place without its object", place_without_uid, _LEFT),
    Bug("taken over and counted as foreign", left_in_foreign, _LEFT),
    Bug("hold lifted before the records", lifted_with_the_places, _LEFT),
    Bug("two leaders take over", two_take_over, _TWO),
    Bug("taken over, then cancelled", deleted_on_cancel, _CANCELS),
    Bug("taken over, then reaped", reaped_too, _REAPED),
    Bug("taken over, gone from the list", gone_from_the_list, _LEFT),
)
