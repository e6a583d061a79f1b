"""The store's primary steps down: for ten to thirty seconds there is none, and what was under way is unknown.

Every write is acknowledged by a majority, so none that was answered is lost. One that was under way was
kept by the next primary or rolled back, and its sender is told neither. Streams of hints break.
"""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING

from controller.ports import Unavailable
from tests.oracle.history import Side
from tests.simulation.process import Process

if TYPE_CHECKING:
    from tests.simulation.world import World

PATIENCE = 8.0
"""Seconds for which a call waits for a new primary, at most."""


class Primary:
    """Who holds the store: ``term`` counts up with each failover."""

    def __init__(self, world: World) -> None:
        self.term = 0
        self._world = world
        self._rng = random.Random(f"{world.scenario.seed} failover")
        self._stepped_down = -1.0
        self._elected = -1.0

    async def strike(self) -> None:
        """Every failover of this schedule, at its instant."""
        scenario, world = self._world.scenario, self._world
        instants = sorted(self._rng.uniform(5, scenario.duration) for _ in range(scenario.failovers))
        for instant in instants:
            await asyncio.sleep(max(0.0, instant - world.loop.elapsed))
            if Side.STORE not in world.out and world.faults.note("failover of the store", "the world"):
                await self.step_down(self._rng.uniform(10, 30))

    async def step_down(self, seconds: float) -> None:
        """One failover, until the new primary is elected."""
        self._stepped_down = self._world.loop.elapsed
        self._elected = self._stepped_down + seconds
        self.term += 1
        self._world.set_weather(Side.STORE, out=True)
        await asyncio.sleep(seconds)
        self._world.set_weather(Side.STORE, out=False)

    async def reach(self, process: Process, asked: float) -> bool:
        """Whether a call under way is applied without an answer; a later one waits for the new primary.

        ``asked``: when the call was sent. Raises ``Unavailable`` when it is not applied.
        """
        loop = process.loop
        if asked <= self._stepped_down <= loop.elapsed:
            if self._rng.random() < 0.5:
                return True
            raise Unavailable("the primary stepped down: rolled back")
        wait = self._elected - loop.elapsed
        if wait >= 0 and Side.STORE in self._world.out:
            patience = self._rng.uniform(0.1, PATIENCE)
            await loop.nap(min(wait + 0.01, patience))
            await process.breathe()
            if wait > patience:
                raise Unavailable("there is no primary")
        return False
