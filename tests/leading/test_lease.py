"""One Lease: made, taken and renewed by candidates whose clocks and terms differ."""

from __future__ import annotations

import asyncio
import re
from datetime import timedelta

import pytest

from controller.adapters.kube_lease import Terms
from tests.leading.candidates import LocalClock, candidate, now, play
from tests.leading.leases import Fate, Leases


def test_the_first_candidate_makes_the_lease() -> None:
    """Where there is none it is created, with all that others and people read."""

    async def main() -> None:
        leases = Leases()
        await asyncio.sleep(90)
        await candidate(leases, "a").acquire()
        at = leases.spec["renewTime"]
        assert re.fullmatch(r"2026-03-01T00:01:30\.\d{6}Z", at)
        assert leases.spec == {
            "holderIdentity": "a",
            "leaseDurationSeconds": 15,
            "acquireTime": at,
            "renewTime": at,
            "leaseTransitions": 0,
        }

    play(main)


def test_of_two_that_create_it_at_once_one_is_elected() -> None:
    """Both saw none; the one whose create is refused waits."""

    async def main() -> None:
        leases = Leases()
        tasks = [asyncio.ensure_future(candidate(leases, who).acquire()) for who in "ab"]
        await asyncio.sleep(5)
        assert [task.done() for task in tasks].count(True) == 1
        assert [who for who, _ in leases.written] == [leases.spec["holderIdentity"]]

    play(main)


def test_of_two_that_take_it_over_at_once_one_is_elected() -> None:
    """Both saw it expire at one instant and write: the second write is of another version."""

    async def main() -> None:
        leases = Leases(fate=lambda who, method: Fate(before=0.5 if method == "PUT" else 0.001))
        await candidate(leases, "dead").acquire()
        tasks = [asyncio.ensure_future(candidate(leases, who).acquire()) for who in "ab"]
        await asyncio.sleep(20)
        assert [task.done() for task in tasks].count(True) == 1
        assert leases.spec["leaseTransitions"] == 1
        for task in tasks:
            task.cancel()

    play(main)


def test_a_renewed_lease_is_not_taken() -> None:
    """A standby waits for as long as the leader renews, and the Lease keeps its acquireTime."""

    async def main() -> None:
        leases = Leases()
        leader = candidate(leases, "a")
        await leader.acquire()
        begun = leases.spec["acquireTime"]
        office = asyncio.ensure_future(leader.lost())
        standby = asyncio.ensure_future(candidate(leases, "b").acquire())
        await asyncio.sleep(300)
        assert not standby.done()
        assert not office.done()
        assert (leases.spec["acquireTime"], leases.spec["leaseTransitions"]) == (begun, 0)
        assert leases.spec["renewTime"] > "2026-03-01T00:04:55"

    play(main)


def test_leading_costs_one_request_every_two_seconds() -> None:
    """A renewal writes what it remembers; it looks only when that was refused."""

    async def main() -> None:
        leases = Leases()
        leader = candidate(leases, "a")
        await leader.acquire()
        office = asyncio.ensure_future(leader.lost())
        await asyncio.sleep(1)
        leases.asked.clear()
        await asyncio.sleep(100)
        assert not office.done()
        assert {method for _, method, _ in leases.asked} == {"PUT"}
        assert 45 <= len(leases.asked) <= 51

    play(main)


@pytest.mark.parametrize("late", [0.0, 0.7, 1.3, 1.9])
def test_a_killed_leader_is_overtaken_within_the_duration_and_one_look(late: float) -> None:
    """The standby wakes at the very instant of expiry, not at its next try, and counts the transition."""

    async def main() -> None:
        leases = Leases()
        leader = candidate(leases, "a")
        await leader.acquire()
        office = asyncio.ensure_future(leader.lost())
        await asyncio.sleep(late)
        standby = asyncio.ensure_future(candidate(leases, "b").acquire())
        await asyncio.sleep(30)
        assert not standby.done()
        office.cancel()
        killed = now()
        await standby
        assert now() - killed <= 15 + 2 + 0.1
        assert (leases.spec["holderIdentity"], leases.spec["leaseTransitions"]) == ("b", 1)

    play(main)


def test_expiry_is_counted_from_when_the_change_was_seen() -> None:
    """A newcomer waits for the whole duration, however old the Lease says that it is."""

    async def main() -> None:
        leases = Leases()
        await candidate(leases, "a", LocalClock(wall=-3600.0)).acquire()
        await asyncio.sleep(14)
        began = now()
        await candidate(leases, "b").acquire()
        assert now() - began >= 15

    play(main)


@pytest.mark.parametrize("wall", [-86400.0, 86400.0])
def test_wall_clocks_decide_nothing(wall: float) -> None:
    """A standby whose date is a day off neither takes a fresh Lease nor leaves a dead one."""

    async def main() -> None:
        leases = Leases()
        leader = candidate(leases, "a")
        await leader.acquire()
        office = asyncio.ensure_future(leader.lost())
        clock = LocalClock()
        standby = asyncio.ensure_future(candidate(leases, "b", clock).acquire())
        await asyncio.sleep(30)
        clock.wall = wall
        await asyncio.sleep(30)
        assert not standby.done()
        office.cancel()
        await asyncio.sleep(18)
        assert standby.done()

    play(main)


def test_the_lease_says_how_long_its_holder_wants() -> None:
    """A standby with a shorter duration of its own waits for the holder's."""

    async def main() -> None:
        leases = Leases()
        await candidate(leases, "a", terms=Terms(duration=timedelta(seconds=60))).acquire()
        began = now()
        await candidate(leases, "b").acquire()
        assert 60 <= now() - began < 63

    play(main)


def test_fractions_of_a_second_are_rounded_up() -> None:
    """The Lease holds whole seconds only: a rounded-down promise would end before the leader does."""
    assert Terms(duration=timedelta(seconds=3.4), renew=timedelta(seconds=3.2)).promised == 4


@pytest.mark.parametrize(("duration", "renew", "retry"), [(10, 10, 2), (15, 2, 2), (15, 16, 2), (15, 10, 0)])
def test_terms_that_would_let_two_lead_are_refused(duration: int, renew: int, retry: int) -> None:
    """A leader that may go on for longer than the others wait is no leader of one."""
    with pytest.raises(ValueError, match="duration > renew > retry"):
        Terms(timedelta(seconds=duration), timedelta(seconds=renew), timedelta(seconds=retry))
