"""What tests of the teller share: a controller that leads and tells, and notes of what was delivered."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from typing import Any, cast

from controller.core.notices import EVERY, Channel
from controller.daemon import Daemon
from controller.ports import Journal
from controller.teller import Manner, Teller
from tests.fakes.memory_objects import End
from tests.simulation.stage import Stage, perform

FAILED = {"scan-t0": End(0.0, 1.0, 1)}


@dataclass
class Notes:
    """A journal that keeps what was told; the rest goes to the stage's own."""

    rest: Journal
    told_: list[tuple[str, str, str, dict[str, Any]]] = field(default_factory=list)

    def told(self, channel: str, topic: str, outcome: str, **facts: object) -> None:
        """A delivery ended."""
        self.told_.append((channel, topic, outcome, facts))

    def __getattr__(self, name: str) -> Any:
        return getattr(self.rest, name)

    def outcomes(self, channel: Channel) -> list[str]:
        """How deliveries by this way ended, in their order."""
        return [outcome for way, _, outcome, _ in self.told_ if way == channel.value]


async def leading(
    stage: Stage, name: str = "one", manner: Manner | None = None
) -> tuple[Daemon, Teller, Notes]:
    """A controller that leads and tells, and its notes."""
    daemon = stage.controller(name)
    engine = daemon.engine
    notes = Notes(engine.journal)
    engine.journal = cast(Journal, notes)
    engine.settings = replace(engine.settings, channels=EVERY)
    await daemon.lead(name)
    return daemon, Teller(engine, stage.world.events, stage.world.webhook, manner or Manner()), notes


async def told(teller: Teller, seconds: float = 60.0) -> None:
    """It goes on telling for so long."""
    until = teller.engine.clock.monotonic() + seconds
    while teller.engine.clock.monotonic() < until:
        for channel in Channel:
            await teller.tell(channel)
        await asyncio.sleep(2)


def played(trace: Callable[[Stage], Awaitable[None]], **more: Any) -> Stage:
    """A trace with one failing task."""
    return perform(trace, ends=FAILED, **more)
