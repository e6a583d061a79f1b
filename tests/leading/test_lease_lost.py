"""Requests that fail, answers that are lost, and how a term ends, in good order or not."""

from __future__ import annotations

import asyncio

import pytest

from tests.leading.candidates import candidate, now, play
from tests.leading.leases import ANSWER_LOST, FINE, HANGS, REFUSED_LATER, Fate, Leases, fates


def test_a_create_whose_answer_was_lost_elects_in_the_end() -> None:
    """It is no election until a look has shown it; then it is one, without a transition."""

    async def main() -> None:
        leases = Leases(fate=fates(("POST", ANSWER_LOST)))
        await candidate(leases, "a").acquire()
        assert now() > 5
        assert (leases.spec["holderIdentity"], leases.spec["leaseTransitions"]) == ("a", 0)

    play(main)


def test_a_take_over_whose_answer_was_lost_counts_one_transition() -> None:
    """The second look finds itself the holder and renews."""

    async def main() -> None:
        leases = Leases()
        await candidate(leases, "dead").acquire()
        leases.fate = fates(("PUT", ANSWER_LOST))
        await candidate(leases, "b").acquire()
        assert (leases.spec["holderIdentity"], leases.spec["leaseTransitions"]) == ("b", 1)

    play(main)


def test_a_renewal_whose_answer_was_lost_ends_nothing() -> None:
    """Its own write made its memory stale; it looks, finds itself and renews in time."""

    async def main() -> None:
        leases = Leases()
        leader = candidate(leases, "a")
        await leader.acquire()
        leases.fate = fates(("PUT", ANSWER_LOST))
        office = asyncio.ensure_future(leader.lost())
        await asyncio.sleep(60)
        assert not office.done()

    play(main)


def test_a_renewal_that_lands_late_does_not_unseat_the_next_one() -> None:
    """A write that was on its way when its sender gave up is of a version that is no more."""

    async def main() -> None:
        leases = Leases()
        leader = candidate(leases, "a")
        await leader.acquire()
        leases.fate = lambda who, method: Fate(before=40.0) if (who, method) == ("a", "PUT") else FINE
        office = asyncio.ensure_future(leader.lost())
        standby = candidate(leases, "b")
        await standby.acquire()
        assert office.done()
        office = asyncio.ensure_future(standby.lost())
        await asyncio.sleep(60)
        assert leases.spec["holderIdentity"] == "b"
        assert not office.done()

    play(main)


@pytest.mark.parametrize("fate", [HANGS, REFUSED_LATER, Fate(before=4.9), Fate(before=3.0, after=3.0)])
def test_a_leader_that_can_not_renew_is_over_before_anybody_may_take_it(fate: Fate) -> None:
    """However its requests fail, it says so within the renewal's time of its last good one."""

    async def main() -> None:
        leases = Leases()
        leader = candidate(leases, "a")
        await leader.acquire()
        began = now()
        leases.fate = lambda who, method: fate if method == "GET" else HANGS
        assert "could not be renewed for 10 s" in await leader.lost()
        assert 9.9 <= now() - began <= 10.01

    play(main)


def test_it_says_why_nobody_is_elected_for_as_long_as_that_lasts() -> None:
    """A leader, a standby and one that is over: each knows its trouble, and that it has passed."""

    async def main() -> None:
        leases = Leases()
        leader, standby = candidate(leases, "a"), candidate(leases, "b")
        await leader.acquire()
        waits = asyncio.ensure_future(standby.acquire())
        office = asyncio.ensure_future(leader.lost())
        await asyncio.sleep(30)
        assert (leader.trouble, standby.trouble) == ("", "")
        leases.fate = lambda who, method: HANGS
        await office
        await asyncio.sleep(20)
        assert leader.trouble
        assert standby.trouble
        leases.fate = lambda who, method: FINE
        await waits
        office, stands = asyncio.ensure_future(standby.lost()), asyncio.ensure_future(leader.acquire())
        await asyncio.sleep(20)
        assert not stands.done()
        assert (leader.trouble, standby.trouble) == ("", "")

    play(main)


def test_what_stands_in_line_says_what_for() -> None:
    """A request that waited because the API server had told somebody to was not even asked: that is the
    trouble, and not that there was no answer; also when that silence is over just as it gives up."""

    async def main() -> None:
        leases = Leases(quiet="answered 429 and asked to be left alone")

        def fate(who: str, method: str) -> Fate:
            leases.quiet = ""
            return HANGS

        leases.fate = fate
        one = candidate(leases, "a")
        stands = asyncio.ensure_future(one.acquire())
        await asyncio.sleep(6)
        assert one.trouble == "lease lab/batchkeeper-test: answered 429 and asked to be left alone"
        await asyncio.sleep(7)
        assert one.trouble == "lease lab/batchkeeper-test: no answer within 5 s"
        stands.cancel()

    play(main)


def test_slow_answers_do_not_end_a_term() -> None:
    """A renewal counts from when it was sent: slow ones, one after the other, keep the Lease."""

    async def main() -> None:
        leases = Leases()
        leader = candidate(leases, "a")
        await leader.acquire()
        leases.fate = lambda who, method: Fate(before=1.8, after=1.8)
        office = asyncio.ensure_future(leader.lost())
        standby = asyncio.ensure_future(candidate(leases, "b").acquire())
        await asyncio.sleep(120)
        assert not office.done()
        assert not standby.done()

    play(main)


def test_a_lease_that_another_holds_ends_the_term_at_once() -> None:
    """Somebody's hand gave it away."""

    async def main() -> None:
        leases = Leases()
        leader = candidate(leases, "a")
        await leader.acquire()
        leases.edit(holderIdentity="b")
        assert await leader.lost() == "lease lab/batchkeeper-test is held by b"
        assert now() < 3

    play(main)


def test_a_deleted_lease_ends_the_term_and_is_made_anew() -> None:
    """Somebody else may have made it and led meanwhile: it stands again, and its count begins at zero."""

    async def main() -> None:
        leases = Leases()
        leader = candidate(leases, "a")
        await leader.acquire()
        leases.delete()
        assert await leader.lost() == "lease lab/batchkeeper-test was deleted"
        await leader.release()
        await leader.acquire()
        assert (leases.spec["holderIdentity"], leases.spec["leaseTransitions"]) == ("a", 0)

    play(main)


def test_a_lease_deleted_between_look_and_write_is_no_end() -> None:
    """The write of a candidate is refused; its next look finds none and makes it."""

    async def main() -> None:
        leases = Leases()
        await candidate(leases, "dead").acquire()
        leases.edit(holderIdentity="")

        def fate(who: str, method: str) -> Fate:
            if method == "PUT" and leases.lease is not None:
                leases.delete()
            return FINE

        leases.fate = fate
        await candidate(leases, "b").acquire()
        assert leases.spec["holderIdentity"] == "b"

    play(main)


def test_a_released_lease_is_taken_at_once() -> None:
    """The next look of a standby takes it; nobody waits for it to expire."""

    async def main() -> None:
        leases = Leases()
        leader = candidate(leases, "a")
        await leader.acquire()
        standby = asyncio.ensure_future(candidate(leases, "b").acquire())
        await asyncio.sleep(1)
        await leader.release()
        assert leases.spec["holderIdentity"] == ""
        await asyncio.sleep(2.1)
        assert standby.done()
        assert leases.spec["leaseTransitions"] == 1

    play(main)


def test_what_another_holds_is_not_released() -> None:
    """A leader that lost it leaves its successor alone."""

    async def main() -> None:
        leases = Leases()
        leader = candidate(leases, "a")
        await leader.acquire()
        leases.edit(holderIdentity="b")
        await leader.release()
        assert leases.spec["holderIdentity"] == "b"

    play(main)


def test_a_release_that_is_not_answered_is_given_up() -> None:
    """The process ends all the same, and nothing is raised."""

    async def main() -> None:
        leases = Leases()
        leader = candidate(leases, "a")
        await leader.acquire()
        leases.fate = lambda who, method: HANGS
        await leader.release()
        assert now() <= 6

    play(main)
