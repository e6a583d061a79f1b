"""A daemon's batches on three mongods: killed, stepped down, silent, alone; the oracle judges."""

from __future__ import annotations

import random
from collections.abc import Sequence

import pytest

from tests.failover.place import FailoverPlace
from tests.failover.troubles import TROUBLES, Run

LIVES = (
    ("primary_killed", "rolled_back", "stepped_down"),
    ("short_silence", "primary_frozen", "not_acknowledged"),
    ("no_majority", "primary_left_alone"),
    ("both_killed", "daemon_killed", "all_killed"),
)
"""Each a daemon's, in which these befall one batch after the other."""


@pytest.mark.parametrize("troubles", LIVES, ids=" ".join)
def test_in_the_middle_of_a_batch(place: FailoverPlace, troubles: Sequence[str]) -> None:
    """Whatever befalls the database or the daemon: nothing runs twice, nothing is lost, all ends well."""
    dice = random.Random(" ".join(troubles))
    run = Run(place, place.start(), dice)
    for trouble in troubles:
        run.befalls(trouble)
    run.ends_well()


def test_each_befalls_a_batch() -> None:
    """No trouble is left out."""
    assert sorted(one for life in LIVES for one in life) == sorted(TROUBLES)
