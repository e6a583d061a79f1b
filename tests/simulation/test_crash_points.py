"""One small batch, crashed at every single side effect: before it, before its reply, and after its reply."""

from __future__ import annotations

import asyncio
import inspect
import random
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

import pytest

from controller import requests
from controller.core.model import Attempt, BatchStatus, Result, Status, Verdict
from controller.ports import BatchkeeperError, Cluster, Store
from controller.requests import Caller, People
from tests.fakes.memory_objects import End
from tests.simulation.faults import Fault, Faults
from tests.simulation.loop import VirtualLoop, run
from tests.simulation.people import OWNER, Intake
from tests.simulation.play import settle
from tests.simulation.process import Process, owned_tasks
from tests.simulation.replica import Replica
from tests.simulation.scenario import BatchPlan, Scenario
from tests.simulation.told import wrongly_told
from tests.simulation.world import World

READS = frozenset(
    """now epoch halts blind_gaps batch batch_named batches batches_with_live_jobs gates job jobs job_named
    waiting waiting_for_end next_due has waiting_ids active roots chain chains listed unfinished_lifecycles
    last_failures quarantine recorded untold observe get get_uid find find_uid log_tail close""".split()
)
"""Calls that change nothing. All others, new ones too, are side effects."""
ENDS = {
    "scan-t0": End(0.0, 3.0, 2, log="files not found"),
    "scan-t2": End(0.0, 100_000.0),
}
"""The first attempt of t0 meets a failing mount, t2 runs until it is cancelled; all others complete."""


class Moment(StrEnum):
    """When the process dies."""

    BEFORE = "before the call"
    UNANSWERED = "applied, before the reply"
    AFTER = "after the reply, before the next call"


@dataclass(slots=True)
class CrashAt(Faults):
    """Kills whoever makes the side effect of this number. ``writes``: all that were made, in order."""

    number: int = 0
    moment: Moment = Moment.BEFORE
    writes: list[str] = field(default_factory=list)
    doomed: Process | None = None

    def draw(self, process: Process, side: str, name: str) -> Fault | None:
        """Counts side effects, and strikes once."""
        if process is self.doomed:
            self.doomed = None
            return Fault.CRASH_BEFORE
        if name in READS:
            return None
        self.writes.append(f"{process.name} {side}.{name}")
        if len(self.writes) != self.number:
            return None
        if self.moment is Moment.AFTER:
            self.doomed = process
            return None
        return Fault.CRASH_BEFORE if self.moment is Moment.BEFORE else Fault.CRASH_AFTER


class Person:
    """Cancels t2 once it runs, retries it once it has ended; after each death does what is left to do."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.done = False
        self.process = self._boot()

    def _boot(self) -> Process:
        process = Process("person", self.world.loop, random.Random(0))
        _, store = self.world.ports(process)
        process.spawn(self._ask(process, People(store, process)))
        return process

    async def watch_over(self) -> None:
        """Comes back after each death."""
        while not self.done:
            await asyncio.sleep(1)
            if self.process.dead:
                self.process = self._boot()

    async def _ask(self, process: Process, people: People) -> None:
        caller = Caller(OWNER)
        while not self.done:
            await process.sleep(1)
            job = self._job("scan-t2")
            if job is None or job.status is Status.WAITING:
                continue
            try:
                if job.status is Status.RUNNING and job.stop is None:
                    await requests.cancel_jobs(people, caller, [job.id], "not needed")
                elif job.status.terminal:
                    (answer,) = await requests.retry(people, caller, [job.id], request_id="once")
                    self.done = not answer.error
            except BatchkeeperError:
                continue

    def _job(self, name: str) -> Attempt | None:
        return next((job for job in self.world.records() if job.name == name), None)


SCENARIO = Scenario(
    seed=0,
    batches=(BatchPlan("scan", 3, 2),),
    duration=0.0,
    interval=5.0,
    latency=0.001,
    repair_after=5.0,
    ttl=10.0,
    hold=300.0,
    created_after=10_000.0,
    queued_after=10_000.0,
    start_deadline=10_000.0,
    hints_lost=0.0,
    patience=30.0,
    explain_every=13,
    tells=True,
)


def perform(number: int, moment: Moment) -> tuple[World, CrashAt]:
    """The scenario with a crash at this side effect; 0: with none."""
    faults = CrashAt(random.Random(0), {}, number=number, moment=moment)

    async def main(loop: VirtualLoop) -> World:
        loop.set_task_factory(owned_tasks)
        world = World(SCENARIO, loop, faults, random.Random(0))
        world.cluster.ends = lambda job: ENDS.get(job.name, End(0.0, 5.0))
        world.cluster.deletion = lambda job: 0.0
        world.cluster.refuse = lambda job: ""
        await _until_the_end(world)
        return world

    return run(main, random.Random(0)), faults


async def _until_the_end(world: World) -> None:
    replica, intake, person = Replica(0, world), Intake(world), Person(world)
    guards = [asyncio.ensure_future(who.watch_over()) for who in (replica, intake, person)]
    async with asyncio.timeout(3000):
        while not person.done:
            await asyncio.sleep(1)
    await settle(world, intake)
    for guard in guards:
        guard.cancel()
    for process in (replica.process, intake.process, person.process):
        process.kill()


def wrong(world: World) -> list[str]:
    """What is not as it must be at the end, whatever happened on the way."""
    (batch,) = world.store._batches.values()
    ends = {job.name: (job.status, job.verdict) for job in world.records()}
    completed = (Status.COMPLETED, Verdict.SUCCEEDED)
    wanted = {
        "scan-t0": (Status.ERROR, Verdict.MOUNT_FAILURE),
        "scan-t0-r1": completed,
        "scan-t1": completed,
        "scan-t2": (Status.TERMINATED, Verdict.CANCELLED),
        "scan-t2-r1": completed,
    }
    found = [*world.trouble, *map(str, world.oracle.violations), *wrongly_told(world, twice=1)]
    if ends != wanted:
        found.append(f"the records ended as {ends}")
    if (batch.status, batch.result) != (BatchStatus.FINISHED, Result.COMPLETED):
        found.append(f"the batch is {batch.status} {batch.result}")
    return found


def test_without_a_crash() -> None:
    """The scenario itself: every kind of record comes to its end, and much is written on the way."""
    world, faults = perform(0, Moment.BEFORE)
    assert not wrong(world)
    who = {write.split()[0] for write in faults.writes}
    assert who == {"replica-0", "intake", "person"}
    assert len(faults.writes) > 50
    told = {write.split(".")[1] for write in faults.writes}
    assert {"move_notice", "write", "post"} <= told
    assert not list(wrongly_told(world, twice=0)), "without a crash every message comes once"


@pytest.mark.parametrize("moment", Moment)
def test_a_crash_at_any_side_effect_is_made_good(moment: Moment) -> None:
    """Whoever makes it (the replica, the intake, a person) dies there, comes back, and all ends the same."""
    _, undisturbed = perform(0, moment)
    bad: list[str] = []
    for number, write in enumerate(undisturbed.writes, start=1):
        world, faults = perform(number, moment)
        assert faults.writes[number - 1] == write
        bad += [f"{number} ({write}): {line}" for line in wrong(world)]
    assert not bad, "\n".join(bad[:5])


def test_every_side_effect_is_known_as_one() -> None:
    """What is taken for a read is a call of a port: no renamed write is left out by its old name."""
    calls = {name for port in (Store, Cluster) for name, what in vars(port).items() if _is_call(what)}
    assert calls >= READS


def _is_call(what: Callable[..., Coroutine[Any, Any, Any]] | object) -> bool:
    return inspect.iscoroutinefunction(what)
