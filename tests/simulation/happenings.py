"""What people ask and what others do in the situations that are crashed, each once the world is so far."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from controller import intake, requests
from controller.adopting import ask_to_adopt
from controller.core.model import BatchStatus, Hold, Status
from tests.fakes.memory_objects import End
from tests.simulation.faults import Fault
from tests.simulation.people import NAMESPACE, spec_of
from tests.simulation.situation import (
    ENDED,
    ERROR,
    OK,
    Ask,
    Asker,
    Happening,
    Weather,
    batch_of,
    gate_of,
    ids_of,
    is_in,
    record,
)
from tests.simulation.world import World

# ------------------------------------------------------------------------------------------ what is asked


def cancel(name: str, once: Status = Status.RUNNING) -> Ask:
    """Cancel a job once it is so far."""

    async def ask(who: Asker) -> bool:
        job = record(who.world, name)
        if job is None or not (job.status is once or job.status.terminal):
            return False
        if not job.stop and not job.no_retry and (job.status is once):
            await requests.cancel_jobs(who.people, who.caller, [job.id], "not needed")
        return True

    return ask


def retry(*names: str) -> Ask:
    """Retry jobs, once all of them have ended and their batch is closed or nothing else is under way."""

    async def ask(who: Asker) -> bool:
        if not all(is_in(who.world, name, ERROR, ENDED) for name in names):
            return False
        ids = ids_of(who.world, names)
        answers = await requests.retry(who.people, who.caller, ids, request_id="once")
        return not any(answer.error for answer in answers)

    return ask


def once_closed(then: Ask) -> Ask:
    """Ask when the batch has come to its end."""

    async def ask(who: Asker) -> bool:
        batch = batch_of(who.world)
        reopened = any(job.attempt for job in who.world.records())
        return bool(batch and (batch.status.closed or reopened)) and await then(who)

    return ask


async def cancel_batch(who: Asker) -> bool:
    """Cancel the batch once a job of it runs."""
    batch, gate = batch_of(who.world), gate_of(who.world)
    if not batch or not gate or not is_in(who.world, "scan-t0", Status.RUNNING, ENDED):
        return False
    if not gate.cancel and not batch.status.closed:
        await requests.cancel_batch(who.people, who.caller, batch, "not needed")
    return True


async def hurry(who: Asker) -> bool:
    """Let the retry of t0 start at once."""
    job = record(who.world, "scan-t0-r1")
    if job and job.status is Status.WAITING and job.not_before:
        await requests.hurry(who.people, who.caller, [job.id])
    return job is not None


async def edit(who: Asker) -> bool:
    """The spec says two instead of one."""
    plan = next(plan for plan in who.world.scenario.batches if plan.name == "scan")
    if not is_in(who.world, "scan-t0", Status.RUNNING):
        return False
    await intake.accept(who.people.store, spec_of(plan, who.world.scenario, 2), source="scan.yaml")
    return True


async def lower(who: Asker) -> bool:
    """A command says one again."""
    batch = batch_of(who.world)
    if not batch or not is_in(who.world, "scan-t1", Status.RUNNING, OK):
        return False
    await requests.scale(who.people, who.caller, batch, 1)
    return True


async def pause(who: Asker) -> bool:
    """Nothing more starts."""
    batch = batch_of(who.world)
    assert batch
    await requests.pause(who.people, who.caller, batch)
    return True


async def resume(who: Asker) -> bool:
    """It goes on, once everybody sees that it is paused."""
    batch, gate = batch_of(who.world), gate_of(who.world)
    if not batch or not gate or (gate.paused and batch.status is not BatchStatus.PAUSED):
        return False
    if gate.paused or batch.settings["paused"].value:
        await requests.resume(who.people, who.caller, batch)
    return True


async def halt(who: Asker) -> bool:
    """An operator stops everything."""
    await requests.halt(who.people, replace(who.caller, admin=True), "submissions", "maintenance")
    return True


async def unhalt(who: Asker) -> bool:
    """And lets it go on."""
    await requests.unhalt(who.people, replace(who.caller, admin=True), "submissions")
    return True


async def nudge(who: Asker) -> bool:
    """Somebody wants everything looked at now."""
    await who.people.store.nudge()
    return True


async def until_closed(who: Asker) -> bool:
    """Wait for the batch."""
    batch = batch_of(who.world)
    return batch is not None and batch.status.closed


async def adopt(who: Asker) -> bool:
    """Take over what others run, once the batch is held for that."""
    batch, gate = batch_of(who.world), gate_of(who.world)
    if not batch or not gate or gate.held_for(Hold.LOOKING):
        return False
    if gate.held_for(Hold.ADOPTION_NEEDED):
        await ask_to_adopt(who.people, who.caller, batch)
    return True


# -------------------------------------------------------------------------------------- what others do


def by_hand(name: str, status: Status, age: float = 0.0) -> Happening:
    """Somebody deletes an object of ours, once its record is so, and has been claimed for so long."""

    def happen(world: World) -> bool:
        job = record(world, name)
        there = any(taken == name and mine for _, taken, mine in world.objects())
        if not there or job is None or job.status is not status or job.created is None:
            return False
        if (world.clock.now() - job.created).total_seconds() < age:
            return False
        world.recorder.deleted_by_hand(NAMESPACE, name)
        world.cluster.delete_by_hand(NAMESPACE, name)
        return True

    return happen


def come(name: str, after: float = 0.0, **more: Any) -> Happening:
    """Others start an object."""

    def happen(world: World) -> bool:
        if world.loop.time() < after or any(taken == name for _, taken, _ in world.objects()):
            return False
        world.cluster.add_foreign(NAMESPACE, name, **more)
        return True

    return happen


def go(name: str, after: float) -> Happening:
    """And it goes."""

    def happen(world: World) -> bool:
        if world.loop.time() < after:
            return False
        world.cluster.remove_foreign(NAMESPACE, name)
        return True

    return happen


def time_passes(until: float) -> Happening:
    """Nobody does anything."""
    return lambda world: world.loop.time() >= until


def leftovers(world: World) -> None:
    """Others run t0, and have done t1; a third object is nobody's task."""
    world.cluster.add_foreign(NAMESPACE, "scan-t0", end=End(0.0, 30.0))
    world.cluster.add_foreign(NAMESPACE, "scan-t1", active=False, end=End(0.0, 1.0))
    world.cluster.add_foreign(NAMESPACE, "scan-other")


# ------------------------------------------------------------------------------------------ the weather


def creates(first: Fault, rest: Fault | None = None) -> Weather:
    """What strikes the first create that is made, and what strikes all others."""
    return lambda name, n: None if name != "create" else first if n == 0 else rest
