"""Crash points: a situation is played, and whoever makes a side effect dies there; then all must end well.

``perform`` makes the crashes that it is told; ``after`` makes one more at every side effect that there is.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from controller.ports import BatchkeeperError
from controller.requests import Caller, People
from tests.simulation.clerk import Clerk
from tests.simulation.faults import Fault, Faults
from tests.simulation.loop import VirtualLoop, run
from tests.simulation.people import OWNER, Intake
from tests.simulation.play import settle
from tests.simulation.process import Process, owned_tasks
from tests.simulation.replica import Replica
from tests.simulation.situation import Situation, Weather
from tests.simulation.stage import Longest
from tests.simulation.telling import crashed
from tests.simulation.told import wrongly_told
from tests.simulation.world import World

READS = frozenset(
    """now epoch halts blind_gaps batch batch_named batches batches_with batches_with_live_jobs gates job jobs
    job_named standing waiting waiting_for_end next_due has waiting_ids active roots roots_of chain chains
    listed unfinished_lifecycles last_failures quarantine recorded untold observe get get_uid find find_uid
    log_tail scan depends keys close""".split()
)
"""Calls that change nothing. All others, new ones too, are side effects."""
PATIENCE = 4000.0
"""Virtual seconds within which people and others have done what they are there for."""


class Moment(StrEnum):
    """When the process dies."""

    BEFORE = "before the call"
    UNANSWERED = "applied, before the reply"
    AFTER = "after the reply, before the next call"


Crash = tuple[int, Moment]
"""The number of a side effect, from 1, and when its maker dies."""


@dataclass(slots=True)
class Crashes(Faults):
    """Kills whoever makes the side effects of these numbers. ``writes``: all that were made, in order."""

    weather: Weather = lambda name, n: None
    """Faults of the situation itself."""
    seen: Counter[str] = field(default_factory=Counter)
    """How many calls of a name got what the weather has for them."""
    at: dict[int, Moment] = field(default_factory=dict)
    writes: list[str] = field(default_factory=list)
    doomed: list[Process] = field(default_factory=list)

    def draw(self, process: Process, side: str, name: str) -> Fault | None:
        """Counts side effects, and strikes at those that it is to strike."""
        if process in self.doomed:
            self.doomed.remove(process)
            return Fault.CRASH_BEFORE
        if name in READS:
            return self._usual(name)
        self.writes.append(f"{process.name} {side}.{name}")
        match self.at.get(len(self.writes)):
            case Moment.BEFORE:
                return Fault.CRASH_BEFORE
            case Moment.UNANSWERED:
                return Fault.CRASH_AFTER
            case Moment.AFTER:
                self.doomed.append(process)
        return self._usual(name)

    def _usual(self, name: str) -> Fault | None:
        self.seen[name] += 1
        return self.weather(name, self.seen[name] - 1)


@dataclass(slots=True)
class Watched(World):
    """A world that notes what exactly each side effect was, beside its name."""

    async def apply(
        self, process: Process, side: str, name: str, bound: Any, args: tuple[Any, ...], more: dict[str, Any]
    ) -> Any:
        """See ``World.apply``."""
        if name not in READS:
            assert isinstance(self.faults, Crashes)
            self.faults.writes[-1] += _detail(name, args)
        return await World.apply(self, process, side, name, bound, args, more)


def _detail(name: str, args: Sequence[Any]) -> str:
    match name, args:
        case "change", (change, *_):
            return f":{change.event}"
        case "changes_many", (changes, *_):
            return f":{' '.join(change.event for change in changes)}"
        case "set_batch", (_, _, fields, *_):
            return f":{fields.get('status', '-'.join(fields))}"
        case "set_gate", (_, fields):
            return f":{'-'.join(fields)}"
        case _:
            return ""


class Person:
    """Asks the situation's questions, one after the other; after each death goes on with the last one."""

    def __init__(self, world: World, situation: Situation) -> None:
        self.world = world
        self.caller = Caller(OWNER)
        self.left = list(situation.asks)
        self.people: People
        self.process = self._boot()

    @property
    def done(self) -> bool:
        """Whether nothing is left to be asked."""
        return not self.left

    def _boot(self) -> Process:
        process = Process("person", self.world.loop, random.Random(0))
        _, store = self.world.ports(process)
        self.people = People(store, process)
        process.spawn(self._ask(process))
        return process

    async def watch_over(self) -> None:
        """Comes back after each death."""
        while not self.done:
            await asyncio.sleep(1)
            if self.process.failure:
                self.world.trouble.append(crashed("the person", self.process.failure))
                return
            if self.process.dead:
                self.process = self._boot()

    async def _ask(self, process: Process) -> None:
        while self.left:
            await process.sleep(1)
            try:
                if await self.left[0](self):
                    del self.left[0]
            except BatchkeeperError:
                continue


def perform(situation: Situation, *crashes: Crash) -> tuple[World, Crashes]:
    """The situation with these crashes; without any: undisturbed."""
    faults = Crashes(Longest(0), {}, late=situation.late, weather=situation.weather, at=dict(crashes))

    async def main(loop: VirtualLoop) -> World:
        loop.set_task_factory(owned_tasks)
        world = Watched(situation.scenario, loop, faults, random.Random(0))
        world.cluster.ends = situation.end
        world.cluster.deletion = lambda job: situation.deletion
        world.cluster.refuse = lambda job: situation.refused.get(job.name, "")
        situation.before(world)
        world.recorder.catch_up()
        await _until_the_end(world, situation)
        return world

    return run(main, random.Random(0)), faults


async def _until_the_end(world: World, situation: Situation) -> None:
    replicas = [Replica(number, world) for number in range(situation.scenario.replicas)]
    person, left = Person(world, situation), list(situation.others)
    intake = Clerk(world, situation.specs) if situation.specs else Intake(world)
    guards = [asyncio.ensure_future(who.watch_over()) for who in (*replicas, intake, person)]
    async with asyncio.timeout(PATIENCE):
        while not (person.done and not left) and not world.trouble:
            await asyncio.sleep(1)
            if left and left[0](world):
                del left[0]
            world.recorder.catch_up()
    world.faults.healed = True
    await settle(world, intake)
    for guard in guards:
        guard.cancel()
    for process in (intake.process, person.process, *(replica.process for replica in replicas)):
        process.kill()


def wrong(situation: Situation, world: World, crashes: int = 1) -> list[str]:
    """What is not as it must be at the end, whatever happened on the way."""
    found = [*world.trouble, *map(str, world.oracle.violations)]
    if situation.scenario.tells:
        found += wrongly_told(world, twice=crashes)
    return [*found, *situation.wrong(world, crashed=crashes > 0)]


# ------------------------------------------------------------------------------------- all of them at once


@dataclass(frozen=True, slots=True)
class Tried:
    """Crashes that were made in one play, what they struck, and what was wrong then."""

    crashes: tuple[Crash, ...]
    writes: tuple[str, ...]
    """All side effects of the play, in order."""
    wrong: tuple[str, ...]

    def __str__(self) -> str:
        struck = (
            f"{n} ({self.writes[n - 1]}) {moment}" for n, moment in self.crashes if n <= len(self.writes)
        )
        return f"{', then '.join(struck) or 'undisturbed'}: {'; '.join(self.wrong) or 'good'}"


def attempt(situation: Situation, *crashes: Crash) -> Tried:
    """The situation with these crashes, judged; whatever is raised is what was wrong."""
    try:
        world, faults = perform(situation, *crashes)
    except Exception as error:  # noqa: BLE001 -- a play that does not end is what the test looks for
        return Tried(crashes, (), (f"{type(error).__name__}: {error}",))
    return Tried(crashes, tuple(faults.writes), tuple(wrong(situation, world, len(crashes))))


def after(situation: Situation, before: Tried) -> Iterator[Tried]:
    """One more crash, at each side effect of that play which comes after the crashes it had."""
    first = max((number for number, _ in before.crashes), default=0) + 1
    for number in range(first, len(before.writes) + 1):
        for moment in Moment:
            yield attempt(situation, *before.crashes, (number, moment))
