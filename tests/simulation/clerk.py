"""The spec pass as a process of its own, over a folder in memory: it may die, and reads everything again."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from typing import cast

from controller.core.decide import Lifecycle
from controller.core.model import Batch, Gate
from controller.core.view import View
from controller.engine import Engine
from controller.ports import Journal, SpecFile, SpecSource
from controller.spec_pass import Reading, SpecPass
from tests.fakes.memory_source import MemorySource
from tests.simulation.faults import Faulty
from tests.simulation.journal import StrictJournal
from tests.simulation.people import spec_of
from tests.simulation.process import Process
from tests.simulation.scenario import BatchPlan
from tests.simulation.telling import crashed
from tests.simulation.world import World, settings_of

KEY = "scan.yaml"
GOOD = b"one task"


class Clerk:
    """Takes in what lies in the folder, as ``Intake`` does with the plans; all but ``GOOD`` is refused.

    ``contents``: what the one file says, and from which virtual second on.
    """

    def __init__(self, world: World, contents: Sequence[tuple[float, bytes]]) -> None:
        self.world = world
        self.contents = contents
        self.accepted: set[str] = set()
        self.process = self._boot()

    def _boot(self) -> Process:
        process = Process("clerk", self.world.loop, random.Random(0))
        process.spawn(self._run(process))
        return process

    async def watch_over(self) -> None:
        """Start it again after each death."""
        while True:
            await asyncio.sleep(1)
            if self.process.failure is not None:
                self.world.trouble.append(crashed("the clerk", self.process.failure))
                return
            if self.process.dead:
                await asyncio.sleep(3)
                self.process = self._boot()

    async def _run(self, process: Process) -> None:
        source = MemorySource()
        cluster, store = self.world.ports(process)
        journal = StrictJournal("clerk", self.world.trouble, frozenset())
        engine = Engine(
            cluster,
            store,
            process,
            cast(Journal, journal),
            settings_of(self.world.scenario),
            jitter=lambda job: 0.0,
            new_token=lambda: "",
        )
        port = cast(SpecSource, Faulty(self.world, process, "store", source))
        specs = SpecPass(engine, port, self._read, _view, own_events=True)
        while True:
            now = process.monotonic()
            source.drop(KEY, next(content for since, content in reversed(self.contents) if since <= now))
            await specs.scan()
            await specs.tell_all()
            await process.sleep(2)

    async def _read(self, file: SpecFile) -> Reading:
        if file.content != GOOD:
            return Reading(None, ("no",))
        return Reading(spec_of(BatchPlan("scan", 1, 1), self.world.scenario))


async def _view(batch: Batch, gate: Gate) -> View:
    """What the status beside the spec is made from; nothing here is decided by it."""
    return View(batch, gate, batch.updated, Lifecycle(), foreign=())
