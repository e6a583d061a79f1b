"""Bulk retries: hundreds of ids in one request, sent again with its request id after an error or a crash."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from dataclasses import dataclass

from controller import requests
from controller.core.model import Status
from controller.ports import BatchkeeperError
from controller.requests import Caller, People
from tests.simulation.people import OWNER
from tests.simulation.process import Process
from tests.simulation.telling import crashed
from tests.simulation.world import World

ATTEMPTS = 4
"""How often a request without an answer is sent again."""
_ENDED = frozenset({Status.ERROR, Status.TERMINATED})


@dataclass(frozen=True, slots=True)
class _Order:
    ids: Sequence[str]
    request_id: str
    sent: int
    """How often it is sent at least: platforms repeat themselves."""
    at_once: bool
    """Whether two send it at the same time."""


class Bulk:
    """A platform that retries whatever has failed, at drawn instants; killed, it begins its order anew."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.rng = random.Random(f"{world.scenario.seed} bulk")
        self.lives = 0
        self._order: _Order | None = None
        self._left = sorted(self.rng.uniform(10, world.scenario.duration) for _ in range(world.scenario.bulk))
        self.process = self._boot()

    def _boot(self) -> Process:
        self.lives += 1
        seed = f"{self.world.scenario.seed} bulk life {self.lives}"
        process = Process("platform", self.world.loop, random.Random(seed))
        if self.world.scenario.bulk:
            process.spawn(self._run(process))
        return process

    async def watch_over(self) -> None:
        """Start it again after each death."""
        while True:
            await self.process.over.wait()
            if self.process.failure is not None:
                self.world.trouble.append(crashed("the platform", self.process.failure))
                return
            await asyncio.sleep(2)
            self.process = self._boot()

    async def _run(self, process: Process) -> None:
        _, store = self.world.ports(process)
        people = People(store, process)
        while self._left or self._order:
            if self._order is None:
                await process.sleep(max(0.0, self._left[0] - process.monotonic()))
                self._order = self._draw(self._left.pop(0))
            if self._order is not None:
                await self._send(process, people, self._order)
            self._order = None

    def _draw(self, at: float) -> _Order | None:
        """Whatever has failed; sometimes everything there is."""
        jobs = self.world.records()
        ids = [job.id for job in jobs if job.status in _ENDED or self.rng.random() < 0.1]
        if not ids or not self.world.faults.note(f"asks: bulk retry of {len(ids)}", "platform"):
            return None
        self.rng.shuffle(ids)
        return _Order(ids, f"bulk {at:.3f}", self.rng.randint(1, 3), self.rng.random() < 0.3)

    async def _send(self, process: Process, people: People, order: _Order) -> None:
        for _ in range(order.sent):
            for _ in range(ATTEMPTS):
                senders = [self._retry(people, order) for _ in range(1 + order.at_once)]
                try:
                    await asyncio.gather(*senders)
                except BatchkeeperError:
                    await process.sleep(self.rng.uniform(0.1, 5))
                else:
                    break
            await process.sleep(self.rng.uniform(0, 5))

    async def _retry(self, people: People, order: _Order) -> None:
        caller, asked = Caller(OWNER, admin=True), people.clock.monotonic()
        answers = await requests.retry(people, caller, order.ids, request_id=order.request_id)
        self.world.answers.hear(order.request_id, answers, asked, people.clock.monotonic())
