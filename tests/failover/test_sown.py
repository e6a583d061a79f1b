"""A daemon with a bug sown into its store, on three mongods: the oracle shows it.

Each situation is the same with the bug and without, and asserts nothing: the oracle judges what most of the
members recorded and what the cluster's history says.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping

import pytest

from controller.adapters.local_history import CREATE
from tests.e2e.conftest import folder
from tests.e2e.process import PROGRAM
from tests.failover.members import NAME, ReplicaSet
from tests.failover.place import FailoverPlace
from tests.failover.sown import SOWN
from tests.failover.strikes import Fate
from tests.failover.way import Way, way_to
from tests.failover.wire import Key, Message
from tests.oracle.invariants import Invariant


def lost_with_its_primary(place: FailoverPlace, way: Way) -> None:
    """A job ends and gives its place on while the primary is alone; what it has written goes with it.

    The primary must be dead until another one leads: one that is back in time is elected again, or asked for
    what it has by the one that is, and nothing is lost. With the bug the batch need not come to its end.
    """
    bug = place.program != PROGRAM
    place.begin("lost", 5, 1, random.Random(1))
    daemon = place.start()
    place.is_("lost-t0", "running")
    lost = place.set.primary()
    others = [one for one in place.set.members if one is not lost]
    with place.set.stalled(*others):
        place.let_go("lost")
        place.until(
            "the next one is created, or, without the bug, none can be",
            lambda: created(place) > 1 or (not bug and len(daemon.said("unavailable")) > 2),
        )
        place.set.kill(lost)
    place.set.primary(but=lost)
    place.set.healed()
    if not bug:
        place.over("lost")


def created(place: FailoverPlace) -> int:
    """How many objects there have been."""
    return sum(entry.kind == CREATE for entry in place.history())


def claims_are_struck(fate: Fate) -> Callable[[FailoverPlace, Way], None]:
    """The first two claims are never answered."""

    def situation(place: FailoverPlace, way: Way) -> None:
        fates = [fate, fate]

        def judge(key: Key, message: Message) -> Fate | None:
            claim = key == ("findAndModify", "gates") and b"\x03epoch\0" in message.body
            return fates.pop() if fates and claim else None

        way.judge = judge
        place.batch("struck", ["true", "true"], 2)
        place.start()
        place.over("struck")

    return situation


SITUATIONS: Mapping[str, tuple[Callable[[FailoverPlace, Way], None], Invariant]] = {
    "one member is enough": (lost_with_its_primary, Invariant.ORDER),
    "no answer is success": (claims_are_struck(Fate.SILENT), Invariant.PLACES),
    "repeated without its guard": (claims_are_struck(Fate.UNHEARD), Invariant.SLOT),
}
"""By bug: where it shows, and what it breaks."""


@pytest.mark.parametrize("bug", ["", *SOWN], ids=lambda bug: bug or "none")
def test_a_sown_bug_is_found(bug: str, members: ReplicaSet) -> None:
    """What it breaks is broken with it; and without any, nothing is broken in any of these situations."""
    members.healed()
    for name, (situation, breaks) in SITUATIONS.items():
        if bug in ("", name):
            found = played(members, bug, situation)
            assert not bug or breaks in found, found
            assert bug or not found, found


def played(
    members: ReplicaSet, bug: str, situation: Callable[[FailoverPlace, Way], None]
) -> Mapping[Invariant, str]:
    """What the oracle objects to."""
    addresses = [one.address for one in members.members]
    with way_to(addresses) as way, folder() as root:
        place = FailoverPlace(root, members, uri=way.uri(NAME))
        try:
            place.program = ("tests.failover.sown", bug) if bug else place.program
            situation(place, way)
            place.start_no_more()
            return {one.invariant: str(one) for one in place.judged().violations}
        finally:
            place.tidy()
