"""Lineage: order, the newest, the count, and what the root does not know yet."""

from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.core.lineage import (
    group_chains,
    in_flight,
    newest,
    ordered,
    retries,
    retry_count,
    root_of,
    unlisted,
)
from controller.core.model import Attempt, Status, Verdict
from tests.core.chains import NOW, child, ended, failures, root

CHAIN = failures(*[Verdict.LOST] * 12)


@given(st.permutations(CHAIN))
def test_order_is_by_attempt(shuffled: list[Attempt]) -> None:
    """However a store returns them, attempts come back in order: 10 after 9, not after 1."""
    assert list(ordered(shuffled)) == CHAIN


@given(st.permutations(CHAIN))
def test_newest_root_and_retries(shuffled: list[Attempt]) -> None:
    """The newest is the last, the root has no parent, the retries are all the others."""
    assert newest(shuffled) == CHAIN[-1]
    assert root_of(shuffled) == CHAIN[0]
    assert list(retries(shuffled)) == CHAIN[1:]


def test_records_without_attempt_numbers_go_by_time() -> None:
    """EE2 numbers no attempts: the instant of insertion orders them."""
    first = root(id="z")
    second = root(id="a", retry_parent="z", inserted=NOW + timedelta(seconds=1))
    assert ordered([second, first]) == (first, second)


def test_numbers_go_before_times() -> None:
    """A clock that stepped back between two attempts does not swap them."""
    first = root()
    second = child([first], inserted=NOW - timedelta(hours=1))
    assert ordered([second, first]) == (first, second)


def test_retry_count_is_a_set() -> None:
    """An id that was told twice is one retry."""
    assert retry_count(root()) == 0
    assert retry_count(root(retry_ids=("a", "b", "a"))) == 2


def test_in_flight() -> None:
    """A retry that waits or runs is in flight; a root never is, an ended retry no more."""
    chain = failures(Verdict.LOST)
    assert in_flight(chain) is None
    assert in_flight([root(status=Status.RUNNING)]) is None
    waiting = child(chain)
    assert in_flight([*chain, waiting]) == waiting
    assert in_flight([*chain, ended(waiting, Verdict.LOST)]) is None


def test_unlisted() -> None:
    """Retries whose step 3 is open, oldest first."""
    chain = failures(*[Verdict.LOST] * 4)
    chain[0] = replace(chain[0], retry_ids=(chain[2].id,))
    assert unlisted(chain) == (chain[1].id, chain[3].id)


def test_group_chains() -> None:
    """Attempts of many tasks are put into their chains by their root."""
    other = root("8")
    mixed = [CHAIN[3], other, *CHAIN[:3]]
    groups = group_chains(mixed)
    assert list(groups) == [CHAIN[0].id, "8-0"]
    assert list(groups[CHAIN[0].id]) == CHAIN[:4]
    assert groups["8-0"] == (other,)


def test_nothing_has_no_newest_and_no_root() -> None:
    """An empty chain, or one without its root, is refused, not guessed."""
    with pytest.raises(ValueError, match="empty"):
        newest([])
    with pytest.raises(ValueError, match="root"):
        root_of(CHAIN[1:])
