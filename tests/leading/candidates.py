"""Candidates on virtual time: each with its own clock, which may run fast or slow and show any date."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

from controller.adapters.kube_lease import LeaseElector, Terms
from tests.leading.leases import NAME, Leases
from tests.simulation.loop import run

T = TypeVar("T")
TERMS = Terms()


def play(main: Callable[[], Coroutine[Any, Any, T]], seed: object = 0) -> T:
    """Run it on virtual time."""
    return run(lambda _loop: main(), random.Random(str(seed)))


@dataclass(slots=True)
class LocalClock:
    """``rate``: of its monotonic seconds to true ones; ``wall``: what its date is off by, in seconds."""

    rate: float = 1.0
    wall: float = 0.0

    def now(self) -> datetime:
        """What this machine takes for the date."""
        true = asyncio.get_running_loop().time()
        return datetime(2026, 3, 1, tzinfo=UTC) + timedelta(seconds=true + self.wall)

    def monotonic(self) -> float:
        """Never steps."""
        return asyncio.get_running_loop().time() * self.rate

    async def sleep(self, seconds: float) -> None:
        """Wait, by this clock."""
        await asyncio.sleep(seconds / self.rate)


def candidate(
    leases: Leases, who: str, clock: LocalClock | None = None, terms: Terms = TERMS
) -> LeaseElector:
    """One that tries every two seconds, not jittered."""
    return LeaseElector(leases.client(who), "lab", NAME, who, terms, clock or LocalClock(), lambda: 0.5)


def now() -> float:
    """The true time."""
    return asyncio.get_running_loop().time()
