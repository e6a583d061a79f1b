"""The situations that are crashed at every side effect: together they strike every kind that there is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from controller import intake, requests
from controller.adopting import ask_to_adopt
from controller.core.model import BatchStatus, Hold, Result, Status, Verdict
from tests.fakes.memory_objects import End
from tests.simulation.clerk import GOOD
from tests.simulation.faults import Fault
from tests.simulation.people import NAMESPACE, spec_of
from tests.simulation.scenario import BatchPlan
from tests.simulation.situation import (
    DONE,
    ENDED,
    ERROR,
    FINISHED,
    OK,
    Ask,
    Asker,
    Happening,
    Rule,
    Situation,
    Weather,
    batch_of,
    gate_of,
    ids_of,
    is_in,
    record,
)
from tests.simulation.world import World

LONG = End(0.0, 100_000.0)
NEVER = End(None, None, waiting="ContainerCreating")
PARTIAL = (BatchStatus.FINISHED, Result.PARTIAL)
FAILED = (BatchStatus.FINISHED, Result.FAILED)
CANCELLED = (ENDED, Verdict.CANCELLED)
REAPED = (ENDED, Verdict.REAPED)


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


def _leftovers(world: World) -> None:
    """Others run t0, and have done t1; a third object is nobody's task."""
    world.cluster.add_foreign(NAMESPACE, "scan-t0", end=End(0.0, 30.0))
    world.cluster.add_foreign(NAMESPACE, "scan-t1", active=False, end=End(0.0, 1.0))
    world.cluster.add_foreign(NAMESPACE, "scan-other")


# ------------------------------------------------------------------------------------------ the weather


def creates(first: Fault, rest: Fault | None = None) -> Weather:
    """What strikes the first create that is made, and what strikes all others."""
    return lambda name, n: None if name != "create" else first if n == 0 else rest


# --------------------------------------------------------------------------------------- the situations

CREATE = Situation("create", wanted={"scan-t0": DONE})
RETRY = Situation(
    "retry",
    ends={"scan-t0": End(0.0, 3.0, 2)},
    rules={Verdict.MOUNT_FAILURE: Rule()},
    wanted={"scan-t0": (ERROR, Verdict.MOUNT_FAILURE), "scan-t0-r1": DONE},
)
REAPED_CREATED = Situation(
    "reaped while created",
    weather=creates(Fault.LATE, Fault.FAILED),
    late=150.0,
    figures={"created_after": 20.0, "tells": True},
    wanted={"scan-t0": REAPED},
    results={"scan": FAILED},
    spared=frozenset({"scan-t0"}),
)
REAPED_QUEUED = Situation(
    "reaped while queued",
    ends={"scan-t0": NEVER},
    figures={"queued_after": 20.0},
    wanted={"scan-t0": REAPED},
    results={"scan": FAILED},
)
PAIRS = (CREATE, RETRY, REAPED_CREATED, REAPED_QUEUED)
"""Small enough that every ordered pair of crashes can be played."""

SMALL = Situation(
    "retried and cancelled",
    tasks=3,
    most=2,
    ends={
        "scan-t0": End(0.0, 3.0, 2, log="files not found"),
        "scan-t1": End(0.0, 5.0, log="done"),
        "scan-t2": LONG,
    },
    asks=(cancel("scan-t2"), retry("scan-t2")),
    figures={"explain_every": 29, "tells": True},
    wanted={
        "scan-t0": (ERROR, Verdict.MOUNT_FAILURE),
        "scan-t0-r1": DONE,
        "scan-t1": DONE,
        "scan-t2": CANCELLED,
        "scan-t2-r1": DONE,
    },
)
"""A little of everything; what people are told is judged too."""

SITUATIONS: Sequence[Situation] = (
    SMALL,
    Situation(
        "a retry at the batch's end",
        tasks=2,
        ends={"scan-t0": End(0.0, 3.0, 2)},
        rules={Verdict.MOUNT_FAILURE: Rule(when="batch-end")},
        wanted={"scan-t0": (ERROR, Verdict.MOUNT_FAILURE), "scan-t0-r1": DONE, "scan-t1": DONE},
    ),
    REAPED_CREATED,
    REAPED_QUEUED,
    Situation(
        "never starts",
        ends={"scan-t0": NEVER},
        rules={Verdict.START_TIMEOUT: Rule()},
        figures={"start_deadline": 10.0},
        wanted={"scan-t0": (ERROR, Verdict.START_TIMEOUT), "scan-t0-r1": DONE},
    ),
    Situation(
        "cancelled, and reopened by a retry",
        tasks=2,
        ends={"scan-t0": LONG},
        asks=(cancel_batch, once_closed(retry("scan-t0"))),
        figures={"tells": True},
        wanted={"scan-t0": CANCELLED, "scan-t1": CANCELLED, "scan-t0-r1": DONE},
        results={"scan": PARTIAL},
    ),
    Situation(
        "cancelled while a create is under way",
        weather=creates(Fault.LATE, Fault.FAILED),
        late=40.0,
        asks=(cancel("scan-t0", Status.CREATED),),
        wanted={"scan-t0": CANCELLED},
        results={"scan": FAILED},
        spared=frozenset({"scan-t0"}),
    ),
    Situation(
        "lost",
        ends={"scan-t0": LONG},
        rules={Verdict.LOST: Rule()},
        others=(by_hand("scan-t0", Status.RUNNING),),
        wanted={"scan-t0": (ERROR, Verdict.LOST), "scan-t0-r1": DONE},
    ),
    Situation(
        "re-pointed",
        ends={"scan-t0": End(0.0, 60.0)},
        weather=creates(Fault.LATE),
        late=18.0,
        figures={"hints_lost": 1.0},
        others=(by_hand("scan-t0", Status.RUNNING, age=17.0),),
        wanted={"scan-t0": DONE},
        spared=frozenset({"scan-t0", "scan-t0-r1", "scan-t0-r2"}),
    ),
    Situation(
        "cancelled while its retry waits",
        ends={"scan-t0": End(0.0, 3.0, 2)},
        rules={Verdict.MOUNT_FAILURE: Rule(20)},
        asks=(cancel("scan-t0", ERROR),),
        wanted={"scan-t0": (ERROR, Verdict.MOUNT_FAILURE), "scan-t0-r1": CANCELLED},
        results={"scan": FAILED},
        spared=frozenset({"scan-t0-r1"}),
    ),
    Situation(
        "retried in bulk, and hurried",
        tasks=3,
        most=3,
        ends={
            "scan-t0": End(0.0, 3.0, 2),
            "scan-t1": End(0.0, 3.0, 3),
            "scan-t2": End(0.0, 3.0, 3),
        },
        rules={Verdict.MOUNT_FAILURE: Rule(40)},
        asks=(hurry, retry("scan-t1", "scan-t2")),
        wanted={
            "scan-t0": (ERROR, Verdict.MOUNT_FAILURE),
            "scan-t0-r1": DONE,
            "scan-t1": (ERROR, Verdict.APPLICATION_ERROR),
            "scan-t1-r1": DONE,
            "scan-t2": (ERROR, Verdict.APPLICATION_ERROR),
            "scan-t2-r1": DONE,
        },
    ),
    Situation(
        "closed and reopened",
        ends={"scan-t0": End(0.0, 1.0, 3)},
        asks=(once_closed(retry("scan-t0")),),
        wanted={"scan-t0": (ERROR, Verdict.APPLICATION_ERROR), "scan-t0-r1": DONE},
    ),
    Situation(
        "edited, scaled, paused, halted",
        tasks=2,
        ends={"scan-t0": End(0.0, 40.0), "scan-t1": End(0.0, 20.0)},
        asks=(edit, lower, halt, unhalt, nudge, pause, resume),
        wanted={"scan-t0": DONE, "scan-t1": DONE},
    ),
    Situation(
        "taken over",
        tasks=3,
        most=2,
        before=_leftovers,
        asks=(adopt,),
        others=(go("scan-other", 30.0),),
        wanted={"scan-t0": DONE, "scan-t1": DONE, "scan-t2": DONE},
    ),
    Situation(
        "ended while a create is under way",
        weather=creates(Fault.LATE),
        late=60.0,
        figures={"hold": 90.0},
        wanted={"scan-t0": DONE},
    ),
    Situation(
        "two batches under one limit",
        more=(BatchPlan("leaf", 1, 1),),
        figures={"total": 1},
        wanted={"scan-t0": DONE, "leaf-t0": DONE},
        results={"scan": FINISHED, "leaf": FINISHED},
    ),
    Situation(
        "others' objects, a taken name, a refusal",
        tasks=2,
        most=3,
        ends={"scan-t0": End(0.0, 3.0, 2)},
        rules={Verdict.MOUNT_FAILURE: Rule(20)},
        refused={"scan-t1": "admission webhook denied the request"},
        others=(come("scan-t0-r1", 1.0), come("scan-other"), go("scan-other", 40.0), go("scan-t0-r1", 60.0)),
        wanted={
            "scan-t0": (ERROR, Verdict.MOUNT_FAILURE),
            "scan-t0-r1": (ERROR, Verdict.NAME_COLLISION),
            "scan-t1": (ERROR, Verdict.REJECTED),
        },
        results={"scan": FAILED},
    ),
    Situation(
        "a spec that is refused at first",
        specs=((0.0, b"nonsense"), (15.0, GOOD)),
        asks=(until_closed,),
        figures={"batches": (), "tells": True},
        wanted={"scan-t0": DONE},
    ),
    Situation(
        "a ghost",
        weather=creates(Fault.LATE),
        ends={"scan-t0": End(0.0, 2.0)},
        late=30.0,
        others=(by_hand("scan-t0", OK),),
        wanted={"scan-t0": DONE},
    ),
    Situation("two that lead by turns", figures={"replicas": 2}, wanted={"scan-t0": DONE}),
    Situation(
        "two that believe they lead",
        tasks=2,
        ends={"scan-t0": End(0.0, 3.0, 2)},
        rules={Verdict.MOUNT_FAILURE: Rule()},
        figures={"replicas": 2, "split_brain": True},
        others=(time_passes(30.0),),
        wanted={"scan-t0": (ERROR, Verdict.MOUNT_FAILURE), "scan-t0-r1": DONE, "scan-t1": DONE},
    ),
)

BESIDE_A_GHOST = Situation(
    "a ghost that runs for a minute",
    tasks=3,
    weather=creates(Fault.LATE),
    ends={name: End(0.0, runs) for name, runs in (("scan-t0", 60.0), ("scan-t1", 30.0))},
    late=80.0,
    figures={"patience": 5.0},
    others=(by_hand("scan-t0", OK),),
    wanted={"scan-t0": DONE, "scan-t1": DONE, "scan-t2": DONE},
)
"""Somebody takes away what kept a name, and the late create lands: nothing starts beside it uncounted."""
