"""Faults of single calls: which there are, how often they strike, and the proxy in which they do."""

from __future__ import annotations

import asyncio
import inspect
import random
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any, TypeVar

from controller.core.copying import replace
from controller.core.sight import Hint, Live, Observation
from controller.ports import NewJob, Rejected, Unavailable
from tests.simulation.ears import Torn
from tests.simulation.halves import half
from tests.simulation.process import Process, hearing

if TYPE_CHECKING:
    from tests.simulation.world import World

_T = TypeVar("_T")


class Fault(StrEnum):
    """What may go wrong at one port call."""

    FAILED = "failed"
    """Not applied, and the caller is told ``Unavailable``."""
    REPLY_LOST = "reply-lost"
    """Applied, and the caller is told ``Unavailable``."""
    LATE = "late"
    """The caller is told ``Unavailable``; a create, burial or delete lands later all the same."""
    CRASH_BEFORE = "crash-before"
    CRASH_AFTER = "crash-after"
    SLOW = "slow"
    """The answer takes seconds."""
    STALE = "stale"
    """A list that was asked for earlier is served again, and says honestly how old it is."""
    PAUSE_BEFORE = "pause-before"
    PAUSE_AFTER = "pause-after"
    """The whole process stands still, between the decision and the write, or after it."""
    TIMEOUT = "timed-out"
    """Applied or not, no answer comes, and the caller is told ``Unavailable`` after a long while."""
    THROTTLED = "throttled"
    """429 with Retry-After: not applied, and this process asks the cluster nothing for so long."""
    CONFLICT = "conflict"
    """A create met a conflict that is over, or a quota: refused for now."""
    DELAYED = "delayed"
    """A delete is acknowledged, and takes effect much later."""
    REPLACED = "replaced-on-its-way"
    """While a delete is on its way somebody deletes its object, and makes one of his own under the name."""


@dataclass(frozen=True, slots=True)
class Struck:
    """A fault that struck; its number says which one to leave out when a schedule is shrunk."""

    number: int
    at: float
    fault: str
    where: str

    def __str__(self) -> str:
        return f"{self.at:9.3f} fault {self.number}: {self.fault} at {self.where}"


@dataclass(slots=True)
class Faults:
    """Draws faults from the seed. ``rates``: chance per call; ``without``: numbers to leave out."""

    rng: random.Random
    rates: Mapping[Fault, float]
    slow: float = 8.0
    late: float = 120.0
    pause: float = 60.0
    without: frozenset[int] = frozenset()
    most: int = 40
    healed: bool = False
    struck: list[Struck] = field(default_factory=list)
    drawn: int = 0
    _any: float = field(init=False)

    def __post_init__(self) -> None:
        self._any = sum(self.rates.values()) + 1e-9

    def draw(self, process: Process, side: str, name: str) -> Fault | None:
        """The fault that strikes this call, if any."""
        if self.healed or self.drawn >= self.most:
            return None
        chance = self.rng.random()
        if chance >= self._any:
            return None
        for fault, rate in self.rates.items():
            chance -= rate
            if chance < 0:
                return self._strike(fault, process, side, name)
        return None

    def _strike(self, fault: Fault, process: Process, side: str, name: str) -> Fault | None:
        if not _fits(fault, process, side, name):
            return None
        return fault if self.note(fault, f"{process.name} {side}.{name}") else None

    def note(self, fault: str, where: str, at: float | None = None) -> bool:
        """Count a fault; False when it is to be left out."""
        self.drawn += 1
        if self.drawn in self.without:
            return False
        when = asyncio.get_running_loop().time() if at is None else at
        self.struck.append(Struck(self.drawn, when, fault, where))
        return True


HOWS = ("ends", "breaks", "tears")
"""How a stream may be over: quietly, as one that may be asked for again, as nobody foresaw."""
MOST_HINTS = 30
"""After at most so many hints a stream is over that is to be torn."""
SLOW_LIST = "a slow list"
SHORTEST_WAIT = 5.0
"""Seconds that a list takes which takes long, at least; at most as long as a process may stand still."""
QUIET_PATIENCE = 5.0
"""Seconds for which a call waits for its turn after a 429."""
_TOO_MANY = 429
DAWDLES = 0.2
"""The share of answers that take their time as well, so that others get in between."""
_LANDS_LATER = frozenset({"create", "bury", "delete"})
_LISTS = frozenset({"observe"})
_UNANSWERED = frozenset({Fault.REPLY_LOST, Fault.CRASH_AFTER, Fault.TIMEOUT})
"""Where nobody hears the answer, any part of a write of several documents may have been applied."""


def _fits(fault: Fault, process: Process, side: str, name: str) -> bool:
    match fault:
        case Fault.LATE:
            return side == "cluster" and name in _LANDS_LATER
        case Fault.STALE:
            return name in _LISTS
        case Fault.THROTTLED:
            return side == "cluster"
        case Fault.CONFLICT:
            return name == "create"
        case Fault.DELAYED | Fault.REPLACED:
            return name == "delete"
        case Fault.PAUSE_BEFORE | Fault.PAUSE_AFTER:
            return process.name.startswith("replica")
        case _:
            return True


_CALLS: dict[tuple[type, str], bool] = {}
"""By class and name: whether it is a call, which waits."""


class Faulty:
    """A port as one process reaches it. Stands in for ``Store`` and ``Cluster``."""

    def __init__(self, world: World, process: Process, side: str, target: Any) -> None:
        self._world = world
        self._process = process
        self._side = side
        self._target = target
        self._last: dict[str, Observation] = {}
        self._quiet_until = 0.0
        began = f"{process.name} {process.monotonic():.3f}"
        self._lists = random.Random(f"{world.scenario.seed} {began} lists")

    def __getattr__(self, name: str) -> Any:
        attribute = getattr(self._target, name)
        kind = type(self._target), name
        if kind not in _CALLS:
            _CALLS[kind] = inspect.iscoroutinefunction(attribute)
        if not _CALLS[kind]:
            return attribute

        def call(*args: Any, **more: Any) -> Any:
            return self._call(name, attribute, args, more)

        setattr(self, name, call)
        return call

    def changes(self) -> Any:
        """The cluster's hints: some lost, some twice, some after later ones."""
        stream = self._tearing(self._allowed(self._target.changes()))
        return self._heard(hearing(self._process, stream, self._spoil))

    async def _allowed(self, stream: AsyncIterator[Hint]) -> AsyncIterator[Hint]:
        """The stream without what is shown of a namespace that refuses us."""
        async for hint in stream:
            if hint.job is None or hint.job.namespace not in self._world.cluster.blind:
                yield hint

    def requests(self) -> AsyncIterator[str]:
        """The store's hints, some lost, some twice; they break off with a failover."""
        return self._heard(self._with_the_primary(self._tearing(self._target.requests())))

    async def _with_the_primary(self, stream: AsyncIterator[str]) -> AsyncIterator[str]:
        term = self._world.primary.term
        async for hint in hearing(self._process, stream, self._spoil):
            if self._world.primary.term != term:
                raise Unavailable("the stream broke off in a failover")
            yield hint

    async def _heard(self, stream: AsyncIterator[_T]) -> AsyncIterator[_T]:
        """The stream; that somebody listens is known while it is open."""
        ears = self._world.ears
        ears.opened(self._process, self._side)
        try:
            async for hint in stream:
                yield hint
        finally:
            ears.closed(self._process, self._side)

    async def _tearing(self, stream: AsyncIterator[_T]) -> AsyncIterator[_T]:
        """The stream, which may end after so many hints: quietly, as broken, or as nobody foresaw."""
        process, world = self._process, self._world
        rng = random.Random(f"{world.scenario.seed} {process.name} {self._side} {process.monotonic():.3f}")
        left = rng.randint(0, MOST_HINTS) if rng.random() < world.scenario.torn else -1
        async for hint in stream:
            if left == 0 and not world.faults.healed:
                how = rng.choice(HOWS)
                if world.faults.note(f"the stream {how}", f"{process.name} {self._side}"):
                    if how == "ends":
                        return
                    raise Torn(f"hints of the {self._side}") if how == "tears" else Unavailable(f"it {how}")
            left -= 1
            yield hint

    def _spoil(self) -> int:
        return self._world.spoil()

    def _reaching(
        self, fault: Fault | None, name: str, bound: Any, args: tuple[Any, ...]
    ) -> tuple[Any, tuple[Any, ...]]:
        """What of a call is applied: any part of it, where nobody hears the answer."""
        if fault in _UNANSWERED and self._side == "store":
            return half(name, bound, args, self._world.faults.rng)
        return bound, args

    async def _call(self, name: str, bound: Any, args: tuple[Any, ...], more: dict[str, Any]) -> Any:
        process, world = self._process, self._world
        if process.dead or process.paused_until:
            await process.breathe()
        asked = process.loop.elapsed
        await process.loop.nap(world.delay(process))
        if process.dead or process.paused_until:
            await process.breathe()
        if self._quiet_until > asked:
            await self._keep_quiet()
        if world.primary.term and self._side == "store" and await world.primary.reach(process, asked):
            bound, args = half(name, bound, args, world.faults.rng)
            await world.apply(process, self._side, name, bound, args, more)
            raise Unavailable(f"the reply of {self._side}.{name} was lost with the primary")
        fault = world.faults.draw(process, self._side, name)
        if fault is not None and await self._before(fault, name, args):
            return None
        before, after = self._waits(name)
        await self._pass_time(before)
        world.reach(self._side)
        bound, args = self._reaching(fault, name, bound, args)
        answer = await world.apply(process, self._side, name, bound, args, more)
        if name == "observe":
            answer = self._listed(answer, asked, stale=fault is Fault.STALE)
        elif isinstance(answer, Live):
            answer = replace(answer, asked=asked)
        await self._pass_time(after)
        if fault is not None:
            await self._after(fault, name)
        if process.rng.random() < DAWDLES:
            await process.loop.nap(world.delay(process))
            await process.breathe()
        return answer

    def _waits(self, name: str) -> tuple[float, float]:
        """Seconds before a list is made, and after it was made, before it comes."""
        world, dice = self._world, self._lists
        if name not in _LISTS or not world.scenario.slow_lists or world.faults.healed:
            return 0.0, 0.0
        chance, seconds = dice.random(), dice.uniform(SHORTEST_WAIT, world.faults.pause)
        before = dice.random() < 0.5
        if chance >= world.scenario.slow_lists or not world.faults.note(SLOW_LIST, self._process.name):
            return 0.0, 0.0
        return (seconds, 0.0) if before else (0.0, seconds)

    async def _pass_time(self, seconds: float) -> None:
        if seconds:
            await self._process.loop.nap(seconds)
            await self._process.breathe()

    async def _keep_quiet(self) -> None:
        """Until the cluster may be asked again, unless that takes too long."""
        process = self._process
        silence = self._quiet_until - process.loop.elapsed
        if silence > QUIET_PATIENCE:
            raise Unavailable(f"asked to be left alone for another {silence:.0f} s")
        await process.sleep(max(0.0, silence))

    async def _before(self, fault: Fault, name: str, args: tuple[Any, ...]) -> bool:
        """What happens before a call takes effect; True: it was acknowledged, and takes effect later."""
        process, faults = self._process, self._world.faults
        match fault:
            case Fault.CRASH_BEFORE:
                await process.die_here()
            case Fault.PAUSE_BEFORE:
                process.paused_until = process.monotonic() + faults.rng.uniform(5, faults.pause)
                await process.breathe()
            case Fault.FAILED:
                raise Unavailable(f"{self._side}.{name} failed")
            case Fault.LATE:
                self._world.reach(self._side)
                self._land_later(name, args, faults.rng.uniform(0.5, faults.late))
                await asyncio.sleep(faults.rng.uniform(0, 2))
                await process.breathe()
                raise Unavailable(f"{self._side}.{name} has no answer")
            case Fault.DELAYED:
                self._world.reach(self._side)
                self._land_later(name, args, faults.rng.uniform(5, faults.late))
                return True
            case Fault.REPLACED:
                namespace, object_name, uid = args
                self._replace(namespace, object_name, uid, faults.rng.uniform(5, 60))
            case Fault.TIMEOUT if faults.rng.random() < 0.5:
                await self._wait_in_vain(name)
            case Fault.THROTTLED:
                self._quiet_until = process.loop.elapsed + faults.rng.uniform(1, 15)
                raise Unavailable(f"{self._side}.{name}: 429, too many requests")
            case Fault.CONFLICT:
                self._world.reach(self._side)
                raise Rejected(f"{self._side}.{name} met a conflict that is over", _TOO_MANY)
            case _:
                pass
        return False

    def _replace(self, namespace: str, name: str, uid: str, seconds: float) -> None:
        """Somebody else's object takes the name, and keeps it for so long."""
        world, place = self._world, (namespace, name)
        held = world.recorder.held(*place)
        if held is None or held.uid != uid:
            return
        world.recorder.deleted_by_hand(*place)
        world.cluster.delete_by_hand(*place)
        theirs = world.cluster.add_foreign(*place)

        def goes() -> None:
            there = world.recorder.held(*place)
            if there is not None and there.uid == theirs:
                world.cluster.remove_foreign(*place)

        world.cluster.later(seconds, goes)

    async def _wait_in_vain(self, name: str) -> None:
        await self._process.loop.nap(self._world.faults.rng.uniform(5, 30))
        await self._process.breathe()
        raise Unavailable(f"{self._side}.{name}: no answer in time")

    def _land_later(self, name: str, args: tuple[Any, ...], delay: float) -> None:
        cluster = self._world.cluster
        if name == "delete":
            namespace, object_name, uid = args
            self._world.recorder.delete_asked(namespace, object_name, uid, delay)
            cluster.delete_later(namespace, object_name, uid, delay)
            return
        job: NewJob = args[0]
        if name == "create":
            cluster.apply_later(job, delay)
        else:
            cluster.bury_later(job, args[1], delay)

    async def _after(self, fault: Fault, name: str) -> None:
        process, faults = self._process, self._world.faults
        match fault:
            case Fault.CRASH_AFTER:
                await process.die_here()
            case Fault.PAUSE_AFTER:
                process.paused_until = process.monotonic() + faults.rng.uniform(5, faults.pause)
                await process.breathe()
            case Fault.SLOW:
                await asyncio.sleep(faults.rng.uniform(0.5, faults.slow))
                await process.breathe()
            case Fault.TIMEOUT:
                await self._wait_in_vain(name)
            case Fault.REPLY_LOST:
                raise Unavailable(f"the reply of {self._side}.{name} was lost")
            case _:
                pass

    def _listed(self, seen: Observation, asked: float, *, stale: bool) -> Observation:
        """The list, stamped with the instant it was asked for; or the one before it, with its own."""
        key = ",".join(sorted(seen.namespaces))
        fresh = replace(seen, asked=asked)
        earlier = self._last.get(key)
        if stale and earlier is not None:
            return earlier
        self._last[key] = fresh
        return fresh
