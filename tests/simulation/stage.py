"""A stage for single traces: the same world and the same daemon, but every fault is written in the script."""

from __future__ import annotations

import asyncio
import itertools
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import cast

from controller import intake, requests
from controller.core.model import Attempt, Batch, Gate
from controller.core.sight import ClusterJob
from controller.daemon import Daemon
from controller.engine import Engine
from controller.ports import Journal
from controller.requests import Caller, People
from tests.fakes.memory_objects import End
from tests.simulation.explaining import drive
from tests.simulation.faults import Fault, Faults
from tests.simulation.journal import StrictJournal
from tests.simulation.loop import VirtualLoop, run
from tests.simulation.people import OWNER, spec_of
from tests.simulation.process import Process, owned_tasks
from tests.simulation.scenario import BatchPlan, Scenario
from tests.simulation.world import World, settings_of


class Longest(random.Random):
    """Every duration is the longest one."""

    def uniform(self, a: float, b: float) -> float:
        return b


@dataclass(slots=True)
class Script(Faults):
    """Faults and happenings by the name of the call that they strike next, in the order of writing.

    A happening may return the fault that strikes the call right after it.
    """

    lines: list[tuple[str, Fault | Callable[[], object]]] = field(default_factory=list)

    def draw(self, process: Process, side: str, name: str) -> Fault | None:
        """What the script says about this call."""
        for at, (call, what) in enumerate(self.lines):
            if call == name:
                del self.lines[at]
                if isinstance(what, Fault):
                    return what
                said = what()
                return said if isinstance(said, Fault) else None
        return None


@dataclass(slots=True)
class Stage:
    """One batch ``scan`` and one controller (or more), moved by hand."""

    world: World
    script: Script
    ends: dict[str, End] = field(default_factory=dict)
    """By attempt name; everything else completes after five seconds."""

    def controller(self, name: str = "one") -> Daemon:
        """A daemon that does nothing by itself."""
        process = Process(name, self.world.loop, random.Random(f"stage {name}"))
        cluster, store = self.world.ports(process)
        tokens = itertools.count(1)
        journal = cast(Journal, StrictJournal(name, self.world.trouble, frozenset({"ghost"})))
        engine = Engine(
            cluster,
            store,
            process,
            journal,
            settings_of(self.world.scenario),
            jitter=lambda _: 0.0,
            new_token=lambda: f"{name} {next(tokens)}",
        )
        return Daemon(engine)

    async def leader(self, name: str = "one") -> Daemon:
        """A controller that leads."""
        daemon = self.controller(name)
        await daemon.lead(name)
        return daemon

    async def drop(self, tasks: int, most: int) -> None:
        """The spec is taken in."""
        plan = BatchPlan("scan", tasks, most)
        await intake.accept(self.world.store, spec_of(plan, self.world.scenario), source="scan.yaml")
        self.world.recorder.catch_up()

    async def passes(self, daemon: Daemon, seconds: float, every: float = 5.0) -> None:
        """Full passes and repairs for so long."""
        until = self.world.loop.time() + seconds
        while self.world.loop.time() < until:
            await daemon.full_pass()
            await daemon.repair_pass()
            await asyncio.sleep(every)

    async def until_over(self, daemon: Daemon, within: float = 3000.0) -> None:
        """Passes until the batch is closed, then the end is judged."""
        until = self.world.loop.time() + within
        while not self.batch.status.closed and self.world.loop.time() < until:
            await self.passes(daemon, 1)
        await self.passes(daemon, 60)
        self.world.recorder.catch_up()
        self.world.oracle.finish()

    # -- what is there now

    @property
    def batch(self) -> Batch:
        """The batch."""
        return next(iter(self.world.store._batches.values()))

    @property
    def gate(self) -> Gate:
        """Its gate."""
        return self.world.store._gates[self.batch.id]

    def job(self, name: str) -> Attempt:
        """The record of this cluster name."""
        return next(job for job in self.world.records() if job.name == name)

    def names(self) -> list[str]:
        """All records' names."""
        return [job.name for job in self.world.records()]

    def found(self, name: str) -> ClusterJob | None:
        """The object of ours under this name."""
        return drive(self.world.cluster.get("lab", name, self.job(name).id)).job

    def set_gate(self, **fields: object) -> None:
        """Somebody changes the gate, now."""
        drive(self.world.store.set_gate(self.batch.id, fields))

    def by_hand(self, name: str, *, lingers: float = 0.0) -> None:
        """A third party deletes an object, now."""
        self.world.recorder.deleted_by_hand("lab", name)
        self.world.cluster.delete_by_hand("lab", name, pod_lingers=lingers)

    # -- what people ask

    @property
    def people(self) -> People:
        """People reach the store without faults."""
        return People(self.world.store, self.world.clock)

    async def cancel(self, name: str) -> None:
        """Cancel one job."""
        await requests.cancel_jobs(self.people, Caller(OWNER), [self.job(name).id], "not needed")

    async def retry(self, name: str) -> requests.Answer:
        """Retry one job."""
        (answer,) = await requests.retry(self.people, Caller(OWNER), [self.job(name).id])
        return answer


def perform(
    trace: Callable[[Stage], Awaitable[None]],
    *,
    ends: dict[str, End] | None = None,
    late: float = 60.0,
    deletion: float = 0.0,
    created_after: float = 100_000.0,
    running_after: float = 0.0,
) -> Stage:
    """Play a trace on a fresh stage; an invariant that breaks on the way fails the test."""
    scenario = Scenario(
        seed=0,
        batches=(BatchPlan("scan", 1, 1),),
        interval=5.0,
        latency=0.001,
        repair_after=5.0,
        late=late,
        ttl=10.0,
        hold=300.0,
        created_after=created_after,
        running_after=running_after,
        patience=5.0,
    )

    async def main(loop: VirtualLoop) -> Stage:
        loop.set_task_factory(owned_tasks)
        script = Script(Longest(0), {}, late=late)
        stage = Stage(World(scenario, loop, script, random.Random(0)), script, dict(ends or {}))
        stage.world.cluster.ends = lambda job: stage.ends.get(job.name, End(0.0, 5.0))
        stage.world.cluster.deletion = lambda job: deletion
        await trace(stage)
        return stage

    stage = run(main, random.Random(0))
    wrong = [*stage.world.trouble, *map(str, stage.world.oracle.violations)]
    assert not wrong, "\n".join(wrong)
    return stage
