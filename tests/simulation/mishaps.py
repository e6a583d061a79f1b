"""What happens around the engine at drawn instants: outages, hands, foreign objects, nodes, clocks."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable

from controller.core.model import Batch
from tests.oracle.history import Side
from tests.simulation.people import NAMESPACE
from tests.simulation.replica import Replica
from tests.simulation.world import World


class Mishaps:
    """Draws and does them; each undoes itself after a while, and everything is undone at the healing."""

    def __init__(self, world: World, replicas: list[Replica]) -> None:
        self.world = world
        self.replicas = replicas
        self.rng = random.Random(f"{world.scenario.seed} mishaps")
        self._foreign: list[tuple[str, str]] = []
        """Namespace and name."""
        self.doings: list[asyncio.Future[None]] = []
        """What was begun, and may not be undone yet."""

    async def strike(self) -> None:
        """All of them, one after the other; the long ones overlap."""
        scenario = self.world.scenario
        instants = sorted(self.rng.uniform(3, scenario.duration) for _ in range(scenario.mishaps))
        for instant in instants:
            await asyncio.sleep(max(0.0, instant - self.world.loop.time()))
            kind = self.rng.choice(sorted(scenario.mishap_kinds or KINDS))
            if self.world.faults.note(kind, "the world"):
                self.doings.append(asyncio.ensure_future(KINDS[kind](self)))

    def heal(self) -> None:
        """Undo everything that has not undone itself."""
        for doing in self.doings:
            doing.cancel()
        for side in sorted(self.world.out):
            self.world.set_weather(side, out=False)
        for place in list(self._foreign):
            self._remove_foreign(place)
        for replica in self.replicas:
            replica.skew = replica.process.skew = 0.0
            replica.process.paused_until = 0.0

    async def outage_of_the_store(self) -> None:
        """Nobody reaches the store for a while."""
        await self._outage(Side.STORE)

    async def outage_of_the_cluster(self) -> None:
        """Nobody reaches the cluster for a while."""
        await self._outage(Side.CLUSTER)

    async def _outage(self, side: Side) -> None:
        if side in self.world.out:
            return
        self.world.set_weather(side, out=True)
        await asyncio.sleep(self.rng.uniform(5, 150))
        self.world.set_weather(side, out=False)

    async def hand(self) -> None:
        """A third party deletes an object, foreign or ours; its pod may run on."""
        things = [(space, name) for space, name, job in self.world.objects() if job]
        active = {job.name for job in self.world.records() if job.status.active}
        if self.rng.random() < 0.7:
            things = [(space, name) for space, name in things if name in active] or things
        if things:
            space, name = self.rng.choice(things)
            self.world.recorder.deleted_by_hand(space, name)
            lingers = self.rng.choice((0.0, self.rng.uniform(1, 60)))
            self.world.cluster.delete_by_hand(space, name, pod_lingers=lingers)

    async def replaced(self) -> None:
        """A third party deletes an object of ours, and somebody else's takes its name at once."""
        active = [job for job in self.world.records() if job.status.active]
        taken = {(space, name) for space, name, job in self.world.objects() if job}
        places = [(job.namespace, job.name) for job in active if (job.namespace, job.name) in taken]
        if places:
            place = self.rng.choice(places)
            self.world.recorder.deleted_by_hand(*place)
            self.world.cluster.delete_by_hand(*place)
            await self._others_take(place, self.rng.uniform(20, 60))

    async def foreign(self) -> None:
        """Others start objects under a batch's prefix, and end them."""
        prefixes = [(batch.namespace, batch.name) for batch in await self._batches()]
        for _ in range(self.rng.randint(1, 3)):
            space, prefix = self.rng.choice(prefixes or [(NAMESPACE, "scan")])
            place = (space, f"{prefix}-other{self.rng.randint(0, 4)}")
            if place not in self._taken():
                self.world.cluster.add_foreign(*place)
                self._foreign.append(place)
        await asyncio.sleep(self.rng.uniform(1, 90))
        while self._foreign and self.rng.random() < 0.8:
            self._remove_foreign(self.rng.choice(self._foreign))

    async def squatter(self) -> None:
        """Somebody else takes the name of a job that has not started yet, for a while."""
        waiting = [(job.namespace, job.name) for job in self.world.records() if job.status == "waiting"]
        taken = self._taken()
        if free := [place for place in waiting if place not in taken]:
            await self._others_take(self.rng.choice(free), self.rng.uniform(1, 60))

    async def _others_take(self, place: tuple[str, str], seconds: float) -> None:
        self.world.cluster.add_foreign(*place)
        self._foreign.append(place)
        await asyncio.sleep(seconds)
        self._remove_foreign(place)

    def _taken(self) -> set[tuple[str, str]]:
        return {(space, name) for space, name, _ in self.world.objects()}

    def _remove_foreign(self, place: tuple[str, str]) -> None:
        if place in self._foreign:
            self._foreign.remove(place)
            if any((space, name) == place and not job for space, name, job in self.world.objects()):
                self.world.cluster.remove_foreign(*place)

    async def node(self) -> None:
        """A node is lost; its jobs end as lost, later."""
        node = self.rng.choice(("node-1", "node-2", "node-3"))
        self.world.cluster.lose_node(node, self.rng.uniform(0, 60))

    async def clock(self) -> None:
        """A replica's wall clock steps, and steps back."""
        replica = self.rng.choice(self.replicas)
        step = self.rng.choice((-7200.0, -60.0, 60.0, 7200.0))
        replica.process.skew += step
        await asyncio.sleep(self.rng.uniform(1, 60))
        replica.process.skew -= step

    async def kill(self) -> None:
        """A replica is killed wherever it is."""
        self.rng.choice(self.replicas).process.kill()

    async def stand_still(self) -> None:
        """A replica stands still for a while."""
        replica = self.rng.choice(self.replicas)
        replica.process.paused_until = self.world.loop.time() + self.rng.uniform(5, self.world.scenario.pause)

    async def _batches(self) -> list[Batch]:
        return sorted(await self.world.store.batches(), key=lambda batch: batch.name)


KINDS: dict[str, Callable[[Mishaps], Awaitable[None]]] = {
    "outage of the store": Mishaps.outage_of_the_store,
    "outage of the cluster": Mishaps.outage_of_the_cluster,
    "hand": Mishaps.hand,
    "replaced": Mishaps.replaced,
    "foreign": Mishaps.foreign,
    "squatter": Mishaps.squatter,
    "node": Mishaps.node,
    "clock": Mishaps.clock,
    "kill": Mishaps.kill,
    "stand still": Mishaps.stand_still,
}
