"""One replica: the real daemon, its passes on a plain virtual timetable, its lives and deaths."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import random
from typing import cast

from controller.core.notices import Channel
from controller.daemon import Daemon
from controller.engine import Engine
from controller.ports import Journal, StaleEpoch, Unavailable
from controller.teller import Teller
from tests.simulation.ears import is_torn
from tests.simulation.journal import StrictJournal
from tests.simulation.process import Process
from tests.simulation.telling import crashed
from tests.simulation.world import World, settings_of

EXPECTED_ALARMS = frozenset({"ghost"})
"""The engine cries these only when a third party took away what it kept; the oracle knows better."""


class Replica:
    """Boots, leads when the lock lets it (or, in a split brain, when it believes so), and is booted again."""

    def __init__(self, number: int, world: World) -> None:
        self.name = f"replica-{number}"
        self.skew = world.scenario.skews[number] if world.scenario.skews else 0.0
        self.world = world
        self.lives = 0
        self.process = self._boot()

    def _boot(self) -> Process:
        self.lives += 1
        seed = f"{self.world.scenario.seed} {self.name} life {self.lives}"
        process = Process(self.name, self.world.loop, random.Random(seed))
        process.skew = self.skew
        self.world.ears.born(process)
        process.spawn(self._live(process, seed))
        return process

    async def watch_over(self) -> None:
        """Boot it again some time after each death."""
        while True:
            await self.process.over.wait()
            if self.process.failure is not None and is_torn(self.process.failure):
                self.process.kill()  # it may no longer hear what happens, and has ended of it: rightly
            elif self.process.failure is not None:
                self.world.trouble.append(crashed(self.name, self.process.failure))
                self.process.kill()
            await asyncio.sleep(self.world.rng.uniform(0, 20))
            self.process = self._boot()

    def _daemon(self, process: Process, seed: str) -> Daemon:
        cluster, store = self.world.ports(process)
        journal = StrictJournal(self.name, self.world.trouble, EXPECTED_ALARMS)
        tokens = itertools.count(1)
        engine = Engine(
            cluster,
            store,
            process,
            cast(Journal, journal),
            settings_of(self.world.scenario),
            jitter=lambda job: random.Random(f"jitter {job}").random(),
            new_token=lambda: f"{seed} {next(tokens)}",
        )
        return Daemon(engine)

    async def _live(self, process: Process, seed: str) -> None:
        daemon = self._daemon(process, seed)
        async with asyncio.TaskGroup() as group:
            group.create_task(daemon.follow_events())
            group.create_task(self._repair(process, daemon))
            group.create_task(self._keep_the_lock(process, daemon))
            if self.world.scenario.tells:
                teller = Teller(daemon.engine, *self.world.ways(process))
                for channel in Channel:
                    group.create_task(self._tell(process, teller, channel))
            while True:
                if self._may_lead(process):
                    await self._reign(process, daemon)
                await process.sleep(process.rng.uniform(1, 6))

    def _may_lead(self, process: Process) -> bool:
        world = self.world
        if world.scenario.split_brain and not world.faults.healed:
            return True
        return world.lock.take(process, world.loop.time())

    async def _reign(self, process: Process, daemon: Daemon) -> None:
        try:
            await daemon.lead(self.name)
        except (Unavailable, StaleEpoch):
            return
        if self.world.scenario.split_brain:
            await process.sleep(process.rng.uniform(0, 20))
        while daemon.engine.epoch:
            await daemon.full_pass()
            await process.sleep(daemon.engine.settings.interval.total_seconds())

    async def _keep_the_lock(self, process: Process, daemon: Daemon) -> None:
        """Whoever lost the lock is told so, though late; in a split brain nobody is, until all is well."""
        world = self.world
        while True:
            await process.sleep(process.rng.uniform(2, 8))
            blind = world.scenario.split_brain and not world.faults.healed
            if daemon.engine.epoch and not blind and world.lock.holder is not process:
                daemon.step_down("the lock was lost")

    async def _repair(self, process: Process, daemon: Daemon) -> None:
        """Any replica repairs, leader or not."""
        while True:
            await process.sleep(daemon.engine.settings.repair_after.total_seconds())
            await daemon.repair_pass()

    async def _tell(self, process: Process, teller: Teller, channel: Channel) -> None:
        """People are told while it leads; each way by itself."""
        while True:
            await process.sleep(2)
            with contextlib.suppress(Unavailable):
                await teller.tell(channel)
