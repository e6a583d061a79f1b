"""One namespace refuses us for a while, as after a role was taken away: nothing of it is seen or changed."""

from __future__ import annotations

import asyncio
import random

from tests.simulation.world import World

REFUSED = "a namespace is refused"


class Refusals:
    """Does it at drawn instants, one after the other; the others go on meanwhile."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.rng = random.Random(f"{world.scenario.seed} refusals")

    async def strike(self) -> None:
        """Each lasts long enough for several passes."""
        scenario = self.world.scenario
        names = sorted({plan.namespace for plan in scenario.batches})
        instants = sorted(self.rng.uniform(5, scenario.duration) for _ in range(scenario.refusals))
        for instant in instants:
            await asyncio.sleep(max(0.0, instant - self.world.loop.time()))
            name, seconds = self.rng.choice(names), self.rng.uniform(5, 120)
            if self.world.faults.note(REFUSED, name):
                self.world.refuse(name, out=True)
                await asyncio.sleep(seconds)
                self.world.refuse(name, out=False)

    def heal(self) -> None:
        """All of them are ours again."""
        for name in sorted(self.world.cluster.blind):
            self.world.refuse(name, out=False)
