"""The agenda: which batches want a pass soon, and of which of their attempts. Hints only.

Events are merged while a batch waits or is worked on, and one batch is given to one worker at a time.
Losing the agenda loses nothing: the next full pass finds the same work.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from dataclasses import dataclass, field

from controller.ports import Clock

Focus = frozenset[str] | None
"""Ids of the attempts that changed; None: look at the whole batch."""
ALL = ""
"""Stands for a full pass on the agenda."""


@dataclass(slots=True)
class Agenda:
    """What is to be looked at, oldest first. Used by one event loop."""

    _waiting: OrderedDict[str, Focus] = field(default_factory=OrderedDict)
    _in_hand: set[str] = field(default_factory=set)
    _resting: dict[str, float] = field(default_factory=dict)
    """By id of a batch in hand on which nobody works any more: the monotonic instant until which it stays."""
    _later: dict[str, tuple[float, frozenset[str]]] = field(default_factory=dict)
    """By batch id: attempts whose news wait for others', and the monotonic instant until which they do."""
    _alarms: dict[str, float] = field(default_factory=dict)
    _alarm_set: asyncio.Event = field(default_factory=asyncio.Event)
    _ready: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def busy(self) -> bool:
        """Whether some batch waits for its pass, or has it."""
        return bool(self._waiting or self._in_hand)

    def add(self, batch_id: str, focus: Focus) -> None:
        """A batch wants a pass; more of it than before if it is waiting already."""
        if batch_id in self._later:
            _, others = self._later.pop(batch_id)
            focus = focus | others if focus is not None else None
        if batch_id in self._waiting:
            known = self._waiting[batch_id]
            self._waiting[batch_id] = None if known is None or focus is None else known | focus
        else:
            self._waiting[batch_id] = focus
        self._ready.set()

    def everything(self) -> None:
        """A full pass is wanted soon."""
        self.add(ALL, None)

    def at(self, batch_id: str, instant: float) -> None:
        """Put the batch on the agenda at this monotonic instant, or earlier if asked for before."""
        known = self._alarms.get(batch_id)
        if known is None or instant < known:
            self._alarms[batch_id] = instant
            self._alarm_set.set()

    def later(self, batch_id: str, focus: frozenset[str], instant: float) -> None:
        """These attempts are looked at with the batch's next pass; in one of their own at this instant."""
        until, others = self._later.get(batch_id, (instant, frozenset()))
        self._later[batch_id] = until, others | focus
        self._alarm_set.set()

    def ring(self, now: float) -> float | None:
        """Put everything that is due on the agenda; returns the seconds until the next alarm."""
        for batch_id in [batch_id for batch_id, instant in self._alarms.items() if instant <= now]:
            del self._alarms[batch_id]
            self.add(batch_id, None)
        for batch_id in [batch_id for batch_id, (until, _) in self._later.items() if until <= now]:
            self.add(batch_id, frozenset())
        for batch_id in [batch_id for batch_id, until in self._resting.items() if until <= now]:
            del self._resting[batch_id]
            self.done(batch_id)
        later = (until for until, _ in self._later.values())
        instants = (*self._alarms.values(), *later, *self._resting.values())
        return min(instants) - now if instants else None

    async def changed_or(self, seconds: float | None, clock: Clock) -> None:
        """Wait until the next alarm, or until an earlier one is set."""
        self._alarm_set.clear()
        tasks: list[asyncio.Future[object]] = [asyncio.ensure_future(self._alarm_set.wait())]
        if seconds is not None:
            tasks.append(asyncio.ensure_future(clock.sleep(max(0.0, seconds))))
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            # Not "await task" with its CancelledError suppressed: that would swallow our own as well.
            await asyncio.wait(tasks)

    async def take(self) -> tuple[str, Focus]:
        """The next batch that nobody works on; waits for one."""
        while True:
            for batch_id in self._waiting:
                if batch_id not in self._in_hand:
                    focus = self._waiting.pop(batch_id)
                    self._in_hand.add(batch_id)
                    return batch_id, focus
            self._ready.clear()
            await self._ready.wait()

    def rest(self, batch_id: str, instant: float) -> None:
        """The batch's pass is over; what came meanwhile may be taken from this monotonic instant on."""
        self._resting[batch_id] = instant
        self._alarm_set.set()

    def wake(self) -> None:
        """Nothing is left for which a batch would rest."""
        for batch_id in [*self._resting]:
            del self._resting[batch_id]
            self.done(batch_id)

    def done(self, batch_id: str) -> None:
        """The batch's pass is over; what came meanwhile may be taken."""
        self._in_hand.discard(batch_id)
        self._ready.set()
