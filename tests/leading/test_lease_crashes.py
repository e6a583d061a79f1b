"""Crash points of an election: whoever stands or leads dies at any one of its requests; another leads soon.

Each request of a whole term, from the first look to the release, is struck: before it is sent, applied and
not answered, and after its answer. Nobody else may lead before the dead one's promise is over.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from enum import StrEnum

import pytest

from tests.leading.candidates import TERMS, candidate, now, play
from tests.leading.leases import FINE, FOREVER, Fate, Leases

WATCHED = 7.0
"""Seconds that a term lasts here: a take-over, three renewals and the release."""
SOON = TERMS.duration.total_seconds() + 2 * TERMS.retry.total_seconds()
"""Seconds after a death within which the next one leads."""


class Moment(StrEnum):
    """When it dies."""

    BEFORE = "before the request"
    UNANSWERED = "applied, before the answer"
    AFTER = "after the answer"


@dataclass(slots=True)
class Term:
    """One candidate's whole term, broken off at the request of this number, from 1."""

    strikes: int = 0
    moment: Moment = Moment.BEFORE
    leases: Leases = field(default_factory=Leases)
    asked: int = 0
    led_until: float = 0.0
    """Until when the struck one believed to lead; 0: it never did."""
    died: float = 0.0
    task: asyncio.Task[None] | None = None

    def fate(self, who: str, method: str) -> Fate:
        """What becomes of a request."""
        if who != "a":
            return FINE
        self.asked += 1
        if self.asked != self.strikes:
            return FINE
        loop = asyncio.get_running_loop()
        if self.moment is Moment.AFTER:
            loop.call_later(FINE.before + FINE.after + 0.0001, self.dies)
            return FINE
        loop.call_soon(self.dies)
        return Fate(before=FOREVER) if self.moment is Moment.BEFORE else Fate(after=FOREVER)

    def dies(self) -> None:
        """Here and now."""
        assert self.task
        self.died = now()
        self.task.cancel()

    async def serve(self) -> None:
        """Stand, lead for a while, and go in good order."""
        elector = candidate(self.leases, "a")
        try:
            await elector.acquire()
            office = asyncio.ensure_future(elector.lost())
            try:
                await asyncio.wait([office], timeout=WATCHED)
            finally:
                self.led_until = now()
                office.cancel()
            await elector.release()
        finally:
            self.died = self.died or now()


async def _served(term: Term) -> tuple[float, float]:
    """The term after a silent holder's: when the next candidate led, and until when this one believed to."""
    term.leases.fate = _fine
    await candidate(term.leases, "dead").acquire()
    term.leases.fate = term.fate
    term.task = asyncio.ensure_future(term.serve())
    await asyncio.sleep(16)
    standby = asyncio.ensure_future(candidate(term.leases, "b").acquire())
    await asyncio.wait([term.task])
    await standby
    return now(), term.led_until


def _fine(who: str, method: str) -> Fate:
    """Nothing is amiss."""
    return FINE


def _requests() -> int:
    term = Term()
    play(lambda: _served(term))
    return term.asked


ASKED = _requests()


def test_a_whole_term_is_struck() -> None:
    """A look, the take-over, renewals, and the two requests of its release."""
    assert ASKED >= 8


@pytest.mark.parametrize("moment", Moment)
@pytest.mark.parametrize("number", range(1, ASKED + 1))
def test_whoever_dies_at_a_request_is_followed(number: int, moment: Moment) -> None:
    """Another leads soon, and not while the dead one may have led; the Lease is its own then."""
    term = Term(number, moment)
    led, until = play(lambda: _served(term))
    assert led >= until
    assert led - term.died <= max(SOON, 16 + SOON - term.died)
    assert term.leases.spec["holderIdentity"] == "b"
