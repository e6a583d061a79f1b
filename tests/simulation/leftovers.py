"""What others left under a batch's names before its spec is dropped, and the order to take it over (S11)."""

from __future__ import annotations

import random

from controller.adopting import ask_to_adopt
from controller.ports import BatchkeeperError
from controller.requests import Caller, People
from tests.fakes.memory_objects import End
from tests.simulation.people import OWNER
from tests.simulation.process import Process
from tests.simulation.scenario import BatchPlan
from tests.simulation.world import World

_ENDS = (
    End(0.0, 1.0),
    End(0.0, 1.0),
    End(0.0, 1.0, 2),
    End(0.0, 1.0, 1),
    End(0.0, 1.0, None, pod_reason="Evicted"),
)
"""Done, done, failed mount, configuration error, evicted."""
_KINDS = ("Job", "Pod", "TrainingWorkload")


class Leftovers:
    """Leaves some at the start; later somebody orders the take-over, and hands vanish or replace some."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.rng = random.Random(f"{world.scenario.seed} leftovers")
        self.process = Process("adopter", world.loop, random.Random(f"{world.scenario.seed} adopter calls"))
        _, store = world.ports(self.process)
        self.people = People(store, self.process)
        if world.scenario.leftovers:
            for plan in world.scenario.batches:
                self._leave(plan)
            world.recorder.catch_up()
            self.process.spawn(self._orders())
            self.process.spawn(self._hands())

    def _leave(self, plan: BatchPlan) -> None:
        names = [f"{plan.name}-t{number}" for number in range(plan.tasks)]
        names += [f"{plan.name}-t0-test", f"{plan.name}-older", f"re{plan.name}-t0"]
        for name in self.rng.sample(names, self.rng.randint(1, len(names))):
            self._add(plan.namespace, name, active=self.rng.random() < 0.5)

    def _add(self, namespace: str, name: str, *, active: bool) -> None:
        end = self.rng.choice(_ENDS)
        script = End(
            self.rng.uniform(0, 40), self.rng.uniform(1, 150), end.exit_code, pod_reason=end.pod_reason
        )
        kind = self.rng.choice(_KINDS)
        if all((space, taken) != (namespace, name) for space, taken, _ in self.world.objects()):
            self.world.cluster.add_foreign(namespace, name, kind=kind, active=active, end=script)

    async def _orders(self) -> None:
        """Whoever knows orders it, of each batch, more than once, at any time."""
        for _ in range(self.rng.randint(0, 6)):
            await self.process.sleep(self.rng.uniform(1, 40))
            try:
                for batch in await self.people.store.batches(closed=False):
                    await ask_to_adopt(self.people, Caller(OWNER, admin=True), batch)
            except BatchkeeperError:
                continue

    async def _hands(self) -> None:
        """Somebody removes one of the leftovers, or puts another under its name."""
        hands = self.world.scenario.hands
        for _ in range(self.rng.randint(0, hands)):
            await self.process.sleep(self.rng.uniform(1, 240 / hands))
            theirs = [(space, name) for space, name, job in self.world.objects() if not job]
            if theirs and not self.world.faults.healed:
                namespace, name = self.rng.choice(theirs)
                self.world.cluster.remove_foreign(namespace, name)
                if self.rng.random() < 0.5:
                    self._add(namespace, name, active=True)
