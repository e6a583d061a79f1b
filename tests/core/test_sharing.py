"""Sharing an operator's limits: never above them, nobody starved, nothing left over."""

from collections import Counter
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.core.sharing import Bound, Demand, Limits, share, why_not
from tests.core.chains import NOW


def demand(batch: str, **fields: Any) -> Demand:
    """A batch that could use ten places, unless told otherwise."""
    known: dict[str, Any] = {"user": "ada", "namespace": "lab", "active": 0, "due": 10, "free": 10}
    return Demand(batch, **(known | {"max": 10, "priority": 0, "age": NOW} | fields))


DEMANDS = st.lists(
    st.builds(
        demand,
        st.sampled_from("abcdefgh"),
        user=st.sampled_from(["ada", "bob"]),
        namespace=st.sampled_from(["lab", "pub"]),
        active=st.integers(0, 6),
        due=st.integers(0, 6),
        free=st.integers(-2, 6),
        max=st.integers(1, 8),
        priority=st.integers(-1, 2),
        age=st.integers(0, 3).map(lambda hours: NOW + timedelta(hours=hours)),
    ),
    max_size=8,
    unique_by=lambda one: one.batch_id,
)
BOUND = st.none() | st.integers(0, 20)
LIMITS = st.builds(Limits, BOUND, BOUND, BOUND)


def sums(demands: Sequence[Demand], granted: dict[str, int], key: str) -> Counter[str]:
    """Active and granted places by user or namespace."""
    found: Counter[str] = Counter()
    for one in demands:
        found[getattr(one, key)] += one.active + granted[one.batch_id]
    return found


@pytest.mark.parametrize(
    ("demands", "limits", "expected"),
    [
        # no limits: everybody gets what they could use
        ([demand("a"), demand("b", due=3)], Limits(), {"a": 10, "b": 3}),
        ([demand("a", free=4)], Limits(), {"a": 4}),
        ([demand("a", free=-3)], Limits(), {"a": 0}),
        ([], Limits(total=5), {}),
        # one place each before any gets its second, whatever the priority
        ([demand("a", priority=9), demand("b"), demand("c")], Limits(total=3), {"a": 1, "b": 1, "c": 1}),
        # then priority takes all
        ([demand("a", priority=9), demand("b")], Limits(total=6), {"a": 5, "b": 1}),
        # then the least active/max
        ([demand("a", max=20), demand("b", max=10)], Limits(total=9), {"a": 6, "b": 3}),
        ([demand("a", active=5), demand("b", active=1)], Limits(total=10), {"a": 0, "b": 4}),
        # then age
        ([demand("a", age=NOW + timedelta(1)), demand("b")], Limits(total=1), {"a": 0, "b": 1}),
        ([demand("a", age=NOW + timedelta(1)), demand("b")], Limits(total=3), {"a": 1, "b": 2}),
        # a batch that runs nothing is served before one of higher priority that runs something
        ([demand("a", active=4, priority=9), demand("b")], Limits(total=5), {"a": 0, "b": 1}),
        # what runs counts, also of batches that want nothing
        ([demand("a", active=8, due=0), demand("b")], Limits(total=10), {"a": 0, "b": 2}),
        ([demand("a", active=8, due=0), demand("b")], Limits(total=5), {"a": 0, "b": 0}),
        # namespaces and users each have their own room
        (
            [demand("a"), demand("b", namespace="pub")],
            Limits(per_namespace=4),
            {"a": 4, "b": 4},
        ),
        ([demand("a"), demand("b", user="bob")], Limits(per_user=2), {"a": 2, "b": 2}),
        ([demand("a"), demand("b"), demand("c", user="bob")], Limits(per_user=3), {"a": 2, "b": 1, "c": 3}),
        ([demand("a")], Limits(total=0), {"a": 0}),
    ],
)
def test_share(demands: list[Demand], limits: Limits, expected: dict[str, int]) -> None:
    """The order of S13: a first place for all, priority, the least active/max, age."""
    assert share(demands, limits) == expected


@given(DEMANDS, LIMITS)
def test_never_above_a_limit(demands: list[Demand], limits: Limits) -> None:
    """No grant exceeds what is due or free, and with a grant no limit on active is exceeded."""
    granted = dict(share(demands, limits))
    assert granted.keys() == {one.batch_id for one in demands}
    for one in demands:
        mine = granted[one.batch_id]
        assert 0 <= mine <= max(0, min(one.due, one.free))
        if mine and limits.per_namespace is not None:
            assert sums(demands, granted, "namespace")[one.namespace] <= limits.per_namespace
        if mine and limits.per_user is not None:
            assert sums(demands, granted, "user")[one.user] <= limits.per_user
        if mine and limits.total is not None:
            assert sum(sums(demands, granted, "user").values()) <= limits.total


@given(DEMANDS, LIMITS)
def test_nobody_gets_a_second_before_all_have_their_first(demands: list[Demand], limits: Limits) -> None:
    """Where a batch with work due stays without any place, nobody under all that binds it has a second."""
    granted = dict(share(demands, limits))
    for starved in demands:
        if not starved.wanted or starved.active or granted[starved.batch_id]:
            continue
        assert why_not(starved.batch_id, demands, limits, granted) is not None
        binds = binding(starved, demands, limits, granted)
        assert binds
        for other in demands:
            same = {"total": True, "namespace": other.namespace == starved.namespace}
            same["user"] = other.user == starved.user
            if granted[other.batch_id] and all(same[bound] for bound in binds):
                assert other.active + granted[other.batch_id] <= 1


def binding(one: Demand, demands: list[Demand], limits: Limits, granted: dict[str, int]) -> frozenset[str]:
    """The limits that leave this batch no room after all grants."""
    used = {
        "total": (sum(sums(demands, granted, "user").values()), limits.total),
        "namespace": (sums(demands, granted, "namespace")[one.namespace], limits.per_namespace),
        "user": (sums(demands, granted, "user")[one.user], limits.per_user),
    }
    return frozenset(bound for bound, (n, limit) in used.items() if limit is not None and n >= limit)


@given(DEMANDS, LIMITS)
def test_nothing_is_left_over(demands: list[Demand], limits: Limits) -> None:
    """Whoever got less than it could use is kept from the next place by a limit that is used up."""
    granted = dict(share(demands, limits))
    for one in demands:
        if granted[one.batch_id] < one.wanted:
            short = why_not(one.batch_id, demands, limits, granted)
            assert short is not None
            assert short.bound is not Bound.BATCH
            assert short.used >= short.limit


@given(DEMANDS, LIMITS, st.randoms(use_true_random=False))
def test_the_order_of_the_demands_does_not_matter(demands: list[Demand], limits: Limits, random: Any) -> None:
    """The same demands in any order are granted the same."""
    shuffled = list(demands)
    random.shuffle(shuffled)
    assert share(shuffled, limits) == share(demands, limits)


@given(DEMANDS, st.integers(0, 20))
def test_one_at_a_time_is_as_fair_as_all_at_once(demands: list[Demand], total: int) -> None:
    """Places that come free one by one are given as if they had come together: no batch is starved."""
    at_once = share(demands, Limits(total=total))
    now = {one.batch_id: one for one in demands}
    for step in range(sum(one.active for one in demands) + 1, total + 1):
        for batch, places in share(list(now.values()), Limits(total=step)).items():
            was = now[batch]
            now[batch] = demand(
                batch,
                user=was.user,
                namespace=was.namespace,
                active=was.active + places,
                due=was.due - places,
                free=was.free - places,
                max=was.max,
                priority=was.priority,
                age=was.age,
            )
    assert {one.batch_id: now[one.batch_id].active - one.active for one in demands} == at_once


@pytest.mark.parametrize(
    ("demands", "limits", "bound", "sentence"),
    [
        ([demand("a", due=0)], Limits(total=0), None, ""),
        ([demand("a", due=10)], Limits(), None, ""),
        (
            [demand("a", active=5, free=5)],
            Limits(),
            Bound.BATCH,
            "10 of at most 10 active jobs in batch: the next starts when one of them ends",
        ),
        (
            [demand("a"), demand("b", active=7, due=0)],
            Limits(total=9),
            Bound.TOTAL,
            "9 of at most 9 active jobs in all batches: the next starts when one of them ends",
        ),
        (
            [demand("a")],
            Limits(per_namespace=4),
            Bound.NAMESPACE,
            "4 of at most 4 active jobs in namespace lab: the next starts when one of them ends",
        ),
        (
            [demand("a")],
            Limits(total=90, per_user=2),
            Bound.USER,
            "2 of at most 2 active jobs of ada: the next starts when one of them ends",
        ),
    ],
)
def test_why_not(demands: list[Demand], limits: Limits, bound: Bound | None, sentence: str) -> None:
    """The limit that binds is named with its number and with what will change it."""
    short = why_not("a", demands, limits, share(demands, limits))
    assert (short.bound if short else None, short.sentence if short else "") == (bound, sentence)


def test_why_not_about_an_unknown_batch() -> None:
    """A batch that is not among the demands is a caller's bug."""
    with pytest.raises(KeyError):
        why_not("z", [demand("a")], Limits(), {"a": 1})


def test_a_thousand_batches_share_quickly_enough_to_count() -> None:
    """Ten thousand places over a thousand batches: each gets its ten."""
    demands = [demand(str(number), user=str(number)) for number in range(1000)]
    assert set(share(demands, Limits(total=10_000)).values()) == {10}
