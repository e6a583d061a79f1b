"""Orphans: objects with our labels whose records are lost, of a known batch or of a former life (R13)."""

from __future__ import annotations

import asyncio
import random

from controller.core.model import Batch, JobInput
from controller.ports import NewJob
from tests.simulation.scenario import BatchPlan
from tests.simulation.world import World

_FORMER = "f" * 24
"""The id of a batch that no store knows."""


class Orphans:
    """Brings them up at drawn instants, as a database that was set back would; hands take some away again."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.rng = random.Random(f"{world.scenario.seed} orphans")
        self._there: list[tuple[str, str]] = []
        """Namespace and name."""

    async def strike(self) -> None:
        """One after the other; each runs as long as it will, or until somebody deletes it."""
        scenario = self.world.scenario
        instants = sorted(self.rng.uniform(3, scenario.duration) for _ in range(scenario.orphans))
        for number, instant in enumerate(instants):
            await asyncio.sleep(max(0.0, instant - self.world.loop.time()))
            plan = self.rng.choice(scenario.batches)
            if self.world.faults.note("orphan", plan.name):
                self._leave(plan, number)
            if self._there and self.rng.random() < 0.3:
                self._take_away(self.rng.choice(self._there))

    def heal(self) -> None:
        """Nobody but somebody with hands ever takes one away."""
        for place in list(self._there):
            self._take_away(place)

    def _leave(self, plan: BatchPlan, number: int) -> None:
        world, task = self.world, f"t{self.rng.randrange(plan.tasks)}"
        name = self.rng.choice(
            (f"{plan.name}-old{number}", f"{plan.name}-old{number}", f"{plan.name}-{task}-r1")
        )
        known = [batch.id for batch in self._batches(plan)] if self.rng.random() < 0.6 else []
        batch_id, job_id = next(iter(known), _FORMER), f"{self.rng.getrandbits(96):024x}"
        if any((space, taken) == (plan.namespace, name) for space, taken, _ in world.objects()):
            return
        job = NewJob(name, plan.namespace, plan.name, batch_id, task, 1, job_id, JobInput("image@sha256:1"))
        world.recorder.orphans.add(job_id)
        world.cluster.restore(job)
        self._there.append((plan.namespace, name))
        world.recorder.catch_up()

    def _batches(self, plan: BatchPlan) -> list[Batch]:
        there = self.world.store._batches.values()
        return [one for one in there if (one.namespace, one.name) == (plan.namespace, plan.name)]

    def _take_away(self, place: tuple[str, str]) -> None:
        self._there.remove(place)
        held = self.world.recorder.held(*place)
        if held is not None and held.job_id in self.world.recorder.orphans:
            self.world.recorder.deleted_by_hand(*place)
            self.world.cluster.delete_by_hand(*place)
