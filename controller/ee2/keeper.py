"""The daemon over EE2's records: who leads, and its two passes. ``ee2_app`` builds and starts it."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from controller.core.ee2_decide import Outcome
from controller.ee2.desk import Ee2Desk
from controller.ee2.reap import reap
from controller.ee2.repair import repair
from controller.ports import Clock, StaleEpoch, Unavailable
from controller.ports.ee2 import EVERYWHERE, Ee2Journal


@dataclass(slots=True)
class Keeper:
    """One controller of EE2's records. Any process may repair; only the leader reaps."""

    desk: Ee2Desk
    epoch: int = 0
    """This process's epoch while it leads; 0 while it does not."""
    trouble: str = ""
    """Why the last pass of the reaper decided nothing; empty: it went through."""
    unrepaired: str = ""
    """The same of the last repair."""
    stepped_down: asyncio.Event = field(default_factory=asyncio.Event)
    offset: float | None = None
    """Wall minus monotonic clock, in seconds, at the last pass of the reaper."""
    good_at: float | None = None
    """Monotonic instant at which the last good pass was recorded."""

    @property
    def clock(self) -> Clock:
        """Its clock."""
        return self.desk.clock

    @property
    def journal(self) -> Ee2Journal:
        """Where it tells of itself."""
        return self.desk.journal

    # ------------------------------------------------------------------------------- leadership

    async def lead(self, who: str) -> int:
        """Mint an epoch before anything is decided (R12)."""
        self.epoch = await self.desk.records.next_epoch(who)
        self.stepped_down.clear()
        self.journal.gauge("leader", 1)
        self.journal.said("leading", epoch=self.epoch, who=who, layout="ee2")
        for line in await self.desk.records.unserved():
            self.journal.said("ee2-index-missing", what=line)
        return self.epoch

    def step_down(self, why: str) -> None:
        """Stop deciding; the process goes on."""
        if self.epoch:
            self.epoch = 0
            self.stepped_down.set()
            self.journal.gauge("leader", 0)
            self.journal.said("stepped-down", why=why)

    def look_soon(self) -> None:
        """The passes come on their interval: nothing of EE2's is that urgent."""

    # ------------------------------------------------------------------------------------ passes

    async def repair_pass(self) -> int:
        """Finish retries that were left unfinished; returns how many records were met."""
        started, result, steps = self.clock.monotonic(), "ok", 0
        self.unrepaired = ""
        try:
            steps = len(await repair(self.desk))
        except Unavailable as error:
            result, self.unrepaired = "unavailable", str(error)
            self.journal.trouble("ee2 repair", error)
        self.journal.passed("repair", result, self.clock.monotonic() - started, steps)
        return steps

    async def reap_pass(self) -> int:
        """End what is stuck, while leading and while time can be trusted; returns how many were ended."""
        started, self.trouble, ended = self.clock.monotonic(), "", 0
        led = bool(self.epoch)
        try:
            if led:
                ended = await self._reap()
            else:
                await self.desk.records.epoch()  # a standby finds out whether it could
        except Unavailable as error:
            self.trouble = str(error)
            self.journal.trouble("ee2 reap", error)
        except StaleEpoch as error:
            self.trouble = str(error)
            self.step_down(str(error))
        if led:
            result = "unavailable" if self.trouble else "ok"
            self.journal.passed("full", result, self.clock.monotonic() - started, ended)
        return ended

    async def _reap(self) -> int:
        steady, seeing = self._clock_is_steady(), self._has_been_seeing()
        outcomes = await reap(self.desk, self.epoch, trusted=steady and seeing)
        now = await self.desk.records.now()
        await self.desk.records.note_good_pass(now, self.desk.figures.silence, [EVERYWHERE])
        self.good_at = self.clock.monotonic()
        return outcomes[Outcome.REAPED]

    def _clock_is_steady(self) -> bool:
        """False on the first pass and after a step of the wall clock: then nothing is reaped (E11)."""
        offset = self.clock.now().timestamp() - self.clock.monotonic()
        skew = self.desk.figures.clock_skew.total_seconds()
        steady = self.offset is not None and abs(offset - self.offset) <= skew
        self.offset = offset
        return steady

    def _has_been_seeing(self) -> bool:
        """False after a silence that is not recorded as blind time yet: nothing is reaped (R10)."""
        silence = self.desk.figures.silence.total_seconds()
        return self.good_at is not None and self.clock.monotonic() - self.good_at <= silence
