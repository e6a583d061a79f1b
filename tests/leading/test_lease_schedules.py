"""Random schedules of an election: nobody ever believes in two leaders, and there is always one again.

Safety rests on epoch and gate, not on this; but an election that lets two lead saves nobody work.
"""

from __future__ import annotations

import asyncio
import random
from dataclasses import dataclass, field
from functools import partial

from hypothesis import given, settings
from hypothesis import strategies as st

from controller.adapters.kube_lease import LeaseElector, Terms
from tests.leading.candidates import LocalClock, candidate, play
from tests.leading.leases import FINE, FOREVER, Fate, Leases

TERMS = Terms()
DRIFT = 0.1
"""Bounded rate: clocks may gain or lose a tenth; two in opposite directions are well within 15 : 10."""
STORM, CALM = 400.0, 60.0
"""Seconds with faults, and without."""


@dataclass(slots=True)
class Election:
    """Candidates that come and go, and who of them believes to be elected."""

    rng: random.Random
    leases: Leases = field(default_factory=Leases)
    believers: set[str] = field(default_factory=set)
    terms: int = 0
    most: int = 0
    stormy: bool = True
    in_the_end: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        self.leases.fate = self.fate

    def fate(self, who: str, method: str) -> Fate:
        """Most requests are fine, some slow, some lost on either way, some refused by a sick server."""
        if not self.stormy or self.rng.random() < 0.6:
            return FINE
        slow = self.rng.choice([0.2, 2.0, 4.9, 12.0, FOREVER])
        back = self.rng.choice([0.0, 2.0, 4.9, FOREVER])
        answered = self.rng.random() < 0.8
        return Fate(slow, back, applied=answered or self.rng.random() < 0.5, answered=answered)

    async def candidacy(self, elector: LeaseElector) -> None:
        """Stands, leads and stands again until it is killed; then it leads no more."""
        who = elector.identity
        try:
            while True:
                await elector.acquire()
                self.believers.add(who)
                self.terms += 1
                self.most = max(self.most, len(self.believers))
                if self.stormy and self.rng.random() < 0.2:  # it ends by itself, in good order
                    await asyncio.sleep(self.rng.uniform(0, 5))
                else:
                    await elector.lost()
                self.believers.discard(who)
                await elector.release()
                await asyncio.sleep(1)
        finally:
            self.believers.discard(who)

    async def seat(self, number: int) -> None:
        """One replica: killed now and then, and another process in its place after a while."""
        life = 0
        while True:
            life += 1
            clock = LocalClock(
                rate=1 + self.rng.uniform(-DRIFT, DRIFT), wall=self.rng.choice([0, -3600, 86400])
            )
            elector = candidate(self.leases, f"{number}-{life}", clock, TERMS)
            task = asyncio.ensure_future(self.candidacy(elector))
            await asyncio.sleep(self.rng.uniform(5, 120))
            if not self.stormy:
                await task
            task.cancel()
            await asyncio.sleep(self.rng.uniform(0, 20))

    async def shaken(self) -> None:
        """Somebody edits the Lease by hand, harmlessly."""
        while True:
            await asyncio.sleep(self.rng.uniform(10, 100))
            if self.leases.lease is not None:
                self.leases.edit(strategy="x")


async def held(seed: int, replicas: int) -> Election:
    """A storm, then calm."""
    election = Election(random.Random(seed))
    tasks = [asyncio.ensure_future(election.seat(number)) for number in range(replicas)]
    tasks.append(asyncio.ensure_future(election.shaken()))
    await asyncio.sleep(STORM)
    election.stormy = False
    tasks.append(asyncio.ensure_future(election.seat(99)))  # at least one that is not killed any more
    await asyncio.sleep(CALM)
    election.in_the_end = frozenset(election.believers)
    return election


@settings(max_examples=40)
@given(seed=st.integers(0, 2**32), replicas=st.integers(1, 4))
def test_never_two_and_always_one_again(seed: int, replicas: int) -> None:
    """Whatever is slow, lost, killed or mis-dated: one believer at most, and one soon after the storm."""
    election = play(partial(held, seed, replicas), seed)
    assert election.most <= 1
    assert len(election.in_the_end) == 1


def test_the_schedules_are_not_idle() -> None:
    """In five of them the lead changes dozens of times, and writes get lost: the property says something."""
    elections = [play(partial(held, seed, 3), seed) for seed in range(5)]
    assert sum(election.terms for election in elections) >= 25
    assert sum(election.leases.revision for election in elections) >= 300
    assert max(max(spec["leaseTransitions"] for _, spec in one.leases.written) for one in elections) >= 5
