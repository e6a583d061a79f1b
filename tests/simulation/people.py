"""Everybody who asks: who drops the specs, and people with their requests, at drawn instants."""

from __future__ import annotations

import asyncio
import contextlib
import random
from dataclasses import replace
from datetime import timedelta
from typing import Any

from controller import intake, requests
from controller.adopting import ask_to_adopt
from controller.core.model import Batch, Hold, JobInput, Resources, Status
from controller.core.spec import BatchSpec, Task
from controller.ports import BatchkeeperError, Unavailable
from controller.requests import Caller, People
from controller.specfile import rules_of
from tests.simulation.process import Process
from tests.simulation.scenario import BatchPlan, Scenario
from tests.simulation.telling import crashed
from tests.simulation.world import World

NAMESPACE = "lab"
OWNER = "local:alice"


def spec_of(
    plan: BatchPlan, scenario: Scenario, most: int | None = None, *, paused: bool = False
) -> BatchSpec:
    """The spec as ``specfile`` would hand it out; ``most``: another maxConcurrent."""
    document: dict[str, Any] = {
        "name": plan.name,
        "tasks": plan.tasks,
        "maxConcurrent": most or plan.max,
        "priority": plan.priority,
        "paused": paused,
        "retry": [dict(rule) for rule in plan.retry],
        "maxAutoRetries": 6,
    }
    return BatchSpec(
        name=plan.name,
        namespace=plan.namespace,
        owner=plan.owner,
        max_concurrent=most or plan.max,
        job=JobInput("image@sha256:1", start_deadline=timedelta(seconds=scenario.start_deadline)),
        tasks=tuple(Task(f"t{number}", number, {"TRAIT": str(number)}) for number in range(plan.tasks)),
        priority=plan.priority,
        retry=rules_of(document["retry"]),
        paused=paused,
        document=document,
        hash=f"{plan.name} {plan.tasks} {document}",
    )


class Intake:
    """Drops each spec at its time, again after each crash, until it was accepted; sometimes edits one."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.lives = 0
        self.process = self._boot()
        self.accepted: set[str] = set()

    def _boot(self) -> Process:
        self.lives += 1
        seed = f"{self.world.scenario.seed} intake life {self.lives}"
        process = Process("intake", self.world.loop, random.Random(seed))
        process.spawn(self._run(process))
        return process

    async def watch_over(self) -> None:
        """Start it again after each death."""
        while True:
            await self.process.over.wait()
            if self.process.failure is not None:
                self.world.trouble.append(crashed("the intake", self.process.failure))
                return
            await asyncio.sleep(3)
            self.process = self._boot()

    async def _run(self, process: Process) -> None:
        scenario = self.world.scenario
        _, store = self.world.ports(process)
        for plan in sorted(scenario.batches, key=lambda plan: plan.at):
            while process.monotonic() < plan.at:
                await process.sleep(plan.at - process.monotonic())
            await self._until_accepted(process, store, spec_of(plan, scenario))
        rng = random.Random(f"{scenario.seed} edits")
        for plan in scenario.batches:
            await process.sleep(rng.uniform(5, 60))
            if rng.random() < 0.4 and not self.world.faults.healed:
                await self._until_accepted(process, store, spec_of(plan, scenario, rng.randint(1, 6)))
        for _ in range(scenario.edits):
            await process.sleep(rng.uniform(1, 40))
            if not self.world.faults.healed:
                await self._edit(rng, store)

    async def _edit(self, rng: random.Random, store: Any) -> None:
        """One edit of one spec, as it comes: what may change, or other tasks, which are refused."""
        plan = rng.choice(self.world.scenario.batches)
        rules = tuple({**rule, "when": rng.choice(("now", "batch-end"))} for rule in plan.retry)
        edited = replace(plan, priority=rng.randint(0, 9), retry=rules)
        refused = rng.random() < 0.2
        if refused:
            edited = replace(edited, tasks=plan.tasks + rng.randint(1, 5))
        paused = rng.random() < 0.3
        if not self.world.faults.note("edits a spec", f"{plan.name}.yaml"):
            return
        spec = spec_of(edited, self.world.scenario, rng.randint(1, 6), paused=paused)
        with contextlib.suppress(BatchkeeperError):
            taken = await intake.accept(store, spec, source=f"{spec.name}.yaml")
            if refused and taken.outcome is not intake.Outcome.REFUSED:
                self.world.trouble.append(f"other tasks for {plan.name} were {taken.outcome}")

    async def _until_accepted(self, process: Process, store: Any, spec: BatchSpec) -> None:
        while True:
            try:
                await intake.accept(store, spec, source=f"{spec.name}.yaml")
            except BatchkeeperError:
                await process.sleep(2)
            else:
                self.accepted.add(spec.name)
                return


class Person:
    """Asks for things at drawn instants, through a faulty connection; an error is shrugged at."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.rng = random.Random(f"{world.scenario.seed} person")
        self.process = Process("person", world.loop, random.Random(f"{world.scenario.seed} person calls"))
        _, store = world.ports(self.process)
        self.people = People(store, self.process)
        self.caller = Caller(OWNER, admin=any(plan.owner != OWNER for plan in world.scenario.batches))
        if world.scenario.requests:
            self.process.spawn(self._run())

    async def _run(self) -> None:
        scenario = self.world.scenario
        instants = sorted(self.rng.uniform(5, scenario.duration) for _ in range(scenario.requests))
        for instant in instants:
            await self.process.sleep(max(0.0, instant - self.process.monotonic()))
            kind = self.rng.choice(sorted(ASKS))
            if not self.world.faults.note(f"asks: {kind}", "person"):
                continue
            try:
                await ASKS[kind](self)
            except BatchkeeperError:
                continue

    async def _batch(self) -> Batch:
        batches = sorted(await self.people.store.batches(), key=lambda batch: batch.name)
        if not batches:
            raise Unavailable("there is no batch yet")
        return self.rng.choice(batches)

    def _ids(self, statuses: frozenset[Status] | None = None) -> list[str]:
        jobs = [job.id for job in self.world.records() if statuses is None or job.status in statuses]
        return self.rng.sample(jobs, min(len(jobs), self.rng.randint(1, 4)))

    async def retry(self) -> None:
        """Retry some that failed, and some that did not."""
        ids = self._ids(frozenset({Status.ERROR, Status.TERMINATED})) or self._ids()
        request_id = self.rng.choice((None, f"request {self.rng.randint(1, 3)}"))
        asked = self.process.monotonic()
        answers = await requests.retry(self.people, self.caller, ids, request_id=request_id)
        self.world.answers.hear(request_id, answers, asked, self.process.monotonic())

    async def retry_anything(self) -> None:
        """Retry whatever there is."""
        more = self.rng.choice((None, Resources(memory=2**30)))
        await requests.retry(self.people, self.caller, self._ids(), resources=more)

    async def hurry(self) -> None:
        """Let waiting retries start at once."""
        await requests.hurry(self.people, self.caller, self._ids())

    async def cancel_jobs(self) -> None:
        """Cancel some jobs."""
        await requests.cancel_jobs(self.people, self.caller, self._ids(), "not needed")

    async def cancel_batch(self) -> None:
        """Cancel a batch."""
        await requests.cancel_batch(self.people, self.caller, await self._batch(), "not needed")

    async def pause(self) -> None:
        """Pause a batch; it goes on later."""
        batch = await self._batch()
        await requests.pause(self.people, self.caller, batch)
        await self.process.sleep(self.rng.uniform(1, 40))
        await requests.resume(self.people, self.caller, batch)

    async def scale(self) -> None:
        """Change how many may be active."""
        await requests.scale(self.people, self.caller, await self._batch(), self.rng.randint(1, 6))

    async def halt(self) -> None:
        """Pull a kill switch for a while."""
        what = self.rng.choice(("submissions", "retries"))
        operator = replace(self.caller, admin=True)
        await requests.halt(self.people, operator, what, "maintenance")
        await self.process.sleep(self.rng.uniform(1, 60))
        await requests.unhalt(self.people, operator, what)


ASKS = {
    "retry": Person.retry,
    "retry-anything": Person.retry_anything,
    "hurry": Person.hurry,
    "cancel-jobs": Person.cancel_jobs,
    "cancel-batch": Person.cancel_batch,
    "pause": Person.pause,
    "scale": Person.scale,
    "halt": Person.halt,
}


async def put_right(world: World) -> None:
    """After the storm: whatever people or the brake hold back is let go."""
    store, clock = world.store, world.clock
    people, caller = People(store, clock), Caller(OWNER, admin=True)
    halts = await store.halts()
    for what in ("submissions", "retries"):
        if getattr(halts, what):
            await requests.unhalt(people, replace(caller, admin=True), what)
    for batch in await store.batches(closed=False):
        gate = (await store.gates([batch.id])).get(batch.id)
        if gate and gate.cancel:
            continue  # it ends by itself
        if gate and gate.held_for(Hold.ADOPTION_NEEDED):
            await ask_to_adopt(people, caller, batch)
        elif gate and (gate.hold or gate.paused):
            await requests.resume(people, caller, replace(batch))
    world.recorder.catch_up()
