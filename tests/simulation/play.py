"""Playing one schedule: the storm, the healing, and how it ends."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol

from tests.oracle.invariants import Invariant
from tests.simulation.answers import ANSWERED_TWICE
from tests.simulation.bulk import Bulk
from tests.simulation.ears import DEAF
from tests.simulation.faults import Faults
from tests.simulation.leftovers import Leftovers
from tests.simulation.loop import VirtualLoop, run
from tests.simulation.mishaps import Mishaps
from tests.simulation.orphans import Orphans
from tests.simulation.people import Intake, Person, put_right
from tests.simulation.process import Process, owned_tasks
from tests.simulation.refusals import Refusals
from tests.simulation.replica import Replica
from tests.simulation.scenario import Scenario
from tests.simulation.set_backs import SetBacks
from tests.simulation.telling import CRASHED, crashed
from tests.simulation.told import untold, wrongly_told
from tests.simulation.world import World

TROUBLE = "trouble"
TOLD = 3
"""Violations that a story tells whole: the first ones matter."""
LOOK_EVERY = 20.0
QUIET_WITHIN = 4 * 3600.0
"""Virtual seconds after the healing by which everything has come to its end."""
PER_TASK = 300.0
"""And so many more for each task: a big batch that may run one at a time takes its attempts one by one."""


class Accepting(Protocol):
    """Whoever takes specs in: the names of the batches that were accepted."""

    accepted: set[str]


@dataclass(frozen=True, slots=True)
class Played:
    """What came of a schedule. ``story`` tells what was wrong, and after which faults."""

    seed: int
    violations: tuple[str, ...]
    invariants: tuple[str, ...]
    faults: tuple[str, ...]
    trace: tuple[str, ...]
    virtual: float
    wall: float
    calls: int
    entries: int
    explained: int
    small: str = ""
    """What is left of the world, where it was shrunk."""

    @property
    def good(self) -> bool:
        """Whether nothing was wrong."""
        return not self.violations

    @property
    def found(self) -> frozenset[str]:
        """What the oracle and the traps found; where somebody crashed, not what that left undone."""
        kinds = frozenset(self.invariants)
        return kinds - {CRASHED, TROUBLE, Invariant.UNFINISHED.value} if CRASHED in kinds else kinds

    @property
    def story(self) -> str:
        """What went wrong, as text."""
        how = "--shrink" if self.small else "--story"
        again = f"seed {self.seed} (again: python -m tests.simulation --seed {self.seed} {how})"
        world = [f"in a world of {self.small}"] if self.small else []
        more = len(self.violations) - TOLD
        rest = [f"and {more} more: {sorted(set(self.invariants))}"] if more > 0 else []
        return "\n".join((again, *world, *self.faults, *self.violations[:TOLD], *rest))


def play(scenario: Scenario, *, tracing: bool = False, without: frozenset[int] = frozenset()) -> Played:
    """Play the schedule of this scenario, leaving out the faults of these numbers."""
    rng = random.Random(f"{scenario.seed} loop")
    return run(lambda loop: _play(loop, scenario, tracing, without), rng)


async def _play(loop: VirtualLoop, scenario: Scenario, tracing: bool, without: frozenset[int]) -> Played:
    began = time.perf_counter()
    loop.set_task_factory(owned_tasks)
    faults = Faults(
        random.Random(f"{scenario.seed} faults"),
        scenario.rates,
        late=scenario.late,
        pause=scenario.pause,
        without=without,
        most=scenario.most_faults,
    )
    world = World(scenario, loop, faults, random.Random(f"{scenario.seed} world"))
    world.recorder.tracing = tracing
    await _storm_and_calm(world)
    return _played(world, time.perf_counter() - began)


async def _storm_and_calm(world: World) -> None:
    replicas = [Replica(number, world) for number in range(world.scenario.replicas)]
    intake = Intake(world)
    person = Person(world)
    mishaps = Mishaps(world, replicas)
    leftovers = Leftovers(world)
    orphans, set_backs, refusals = Orphans(world), SetBacks(world, replicas), Refusals(world)
    bulk = Bulk(world)
    watches = (*(r.watch_over() for r in replicas), intake.watch_over())
    guards = [asyncio.ensure_future(watch) for watch in watches]
    strikes = (mishaps.strike(), orphans.strike(), world.primary.strike(), bulk.watch_over())
    storm = [asyncio.ensure_future(part) for part in (*strikes, set_backs.strike(), refusals.strike())]
    await asyncio.sleep(world.scenario.duration)
    processes = (person.process, bulk.process, leftovers.process)
    world.trouble += _failures((*storm, *mishaps.doings), processes)
    for part in storm:
        part.cancel()
    for process in processes:
        process.kill()
    world.faults.healed = True
    mishaps.heal()
    orphans.heal()
    set_backs.heal()
    refusals.heal()
    await settle(world, intake)
    for guard in guards:
        guard.cancel()
    for process in (intake.process, *(replica.process for replica in replicas)):
        process.kill()


def _failures(storm: Iterable[asyncio.Future[Any]], processes: Iterable[Process]) -> Iterator[str]:
    """What those around the engine ended of: a schedule in which they did too little is not good."""
    for part in storm:
        if part.done() and not part.cancelled() and (error := part.exception()):
            yield crashed("the storm", error)
    for process in processes:
        if process.failure is not None:
            yield crashed(process.name, process.failure)


async def settle(world: World, intake: Accepting) -> None:
    """Until everything is quiet; then the end is judged."""
    await _until_quiet(world, intake)
    world.recorder.catch_up()
    world.oracle.finish()


async def _until_quiet(world: World, intake: Accepting) -> None:
    """Until nothing is left to do, or for so long that something must be wrong."""
    await asyncio.sleep(LOOK_EVERY)
    tasks = sum(batch.tasks for batch in world.scenario.batches)
    until = world.loop.time() + QUIET_WITHIN + PER_TASK * tasks
    while world.loop.time() < until:
        await put_right(world)
        world.ears.look()
        if len(intake.accepted) == len(world.scenario.batches) and await _is_quiet(world):
            return
        if len(world.oracle.violations) + len(world.trouble) > 0:
            return
        await asyncio.sleep(LOOK_EVERY)


async def _is_quiet(world: World) -> bool:
    store = world.store
    batches = await store.batches()
    gates = await store.gates([batch.id for batch in batches])
    return (
        all(batch.status.closed for batch in batches)
        and not any(gate.holders for gate in gates.values())
        and not await store.batches_with_live_jobs()
        and not await store.unfinished_lifecycles(world.clock.now(), 1)
        and not untold(world)
        and not any(thing.job_id for thing in world.oracle.state.live.values())
    )


def _kind_of(trouble: str) -> str:
    kind = trouble.partition(":")[0]
    return kind if kind in (DEAF, ANSWERED_TWICE, CRASHED) else TROUBLE


def _played(world: World, wall: float) -> Played:
    oracle, scenario = world.oracle, world.scenario
    if scenario.tells:
        world.trouble += wrongly_told(world, twice=len(world.faults.struck))
    return Played(
        seed=scenario.seed,
        violations=(*world.trouble, *map(str, oracle.violations)),
        invariants=(*map(_kind_of, world.trouble), *(v.invariant.value for v in oracle.violations)),
        faults=tuple(map(str, world.faults.struck)),
        trace=tuple(world.recorder.trace),
        virtual=world.loop.time(),
        wall=wall,
        calls=world.calls,
        entries=oracle.entries,
        explained=world.explainer.asked,
    )
