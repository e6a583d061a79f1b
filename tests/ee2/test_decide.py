"""What is read of a record and decided from it, without a database."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from bson import ObjectId
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from controller.core.ee2 import Child, Malformed, Stuck, made_at, read_child, read_stuck
from controller.core.ee2_decide import LONGEST_WAIT, Step, limit_passed, steps_left, wait_after
from controller.core.model import Status
from controller.core.reaping import Reaper

NOW = datetime(2026, 1, 31, tzinfo=UTC)
DAY = timedelta(days=1)
CHILD, ROOT, BATCH = "c" * 24, "a" * 24, "b" * 24


def an_id(age: timedelta) -> str:
    """An id that was made so long ago."""
    return str(ObjectId.from_datetime(NOW - age))


def test_the_time_in_an_id_is_the_drivers() -> None:
    """The same seconds as bson reads from it."""
    made = ObjectId()
    assert made_at(str(made)) == made.generation_time.timestamp()


def test_created_begins_with_the_id_and_queued_with_its_field() -> None:
    """EE2 has no field for the instant at which a record was made; the others are its own."""
    job = an_id(20 * DAY)
    created = read_stuck({"_id": job, "status": "created"}, NOW, 30)
    assert created is not None
    assert created.entered == NOW - 20 * DAY
    since = (NOW - DAY).timestamp() + 0.25
    record = {"_id": job, "status": "queued", "queued": since, "scheduler_id": "7.0", "scheduler_type": "c"}
    assert read_stuck(record, NOW, 30) == Stuck(job, Status.QUEUED, since, "7.0", "c")


@pytest.mark.parametrize("status", ["estimating", "completed", "error", "terminated", "waiting"])
def test_no_reaper_ends_what_is_over_or_estimating(status: str) -> None:
    """Nor a batch parent, whatever its status says."""
    assert read_stuck({"_id": an_id(90 * DAY), "status": status}, NOW, 30) is None
    assert read_stuck({"_id": an_id(90 * DAY), "status": "created", "batch_job": True}, NOW, 30) is None


NAMES = (
    "status",
    "queued",
    "running",
    "batch_job",
    "batch_id",
    "retry_parent",
    "retry_saved_toggle",
    "scheduler_id",
    "scheduler_type",
)
VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**63), 2**63 - 1),
    st.floats(),
    st.text("-0aä \n$.", max_size=30),
    st.sampled_from(["running", "created", CHILD, ROOT]),
    st.just([CHILD]),
)


@settings(suppress_health_check=[HealthCheck.too_slow])
@given(st.dictionaries(st.sampled_from(NAMES), VALUES))
def test_any_record_is_read_or_malformed(fields: dict[str, Any]) -> None:
    """No value makes a pass fall over, and nothing that is read could be taken for an option of a hook."""
    record = {"_id": an_id(20 * DAY), "status": "queued", **fields}
    try:
        job = read_stuck(record, NOW, 30)
        assert job is None or not job.scheduler_id.startswith("-")
        assert job is None or job.entered <= NOW + timedelta(seconds=30)
    except Malformed as error:
        assert str(error)
    try:
        assert read_child(record).parents
    except Malformed as error:
        assert str(error)


LISTED: list[tuple[bool, bool, tuple[Step, ...]]] = [
    (False, False, (Step.CHILD_JOBS, Step.RETRY_IDS, Step.TOGGLE)),
    (True, False, (Step.RETRY_IDS, Step.TOGGLE)),
    (False, True, (Step.CHILD_JOBS, Step.TOGGLE)),
    (True, True, (Step.TOGGLE,)),
]


@pytest.mark.parametrize(("in_batch", "in_root", "left"), LISTED)
def test_the_steps_that_are_left(in_batch: bool, in_root: bool, left: tuple[Step, ...]) -> None:
    """In EE2's order; the toggle is always left, for only those without it are asked about."""
    parents: dict[str, dict[str, Any]] = {
        BATCH: {"batch_job": True, "child_jobs": [CHILD] if in_batch else []},
        ROOT: {"batch_job": False, "retry_ids": [CHILD] if in_root else None},
    }
    assert steps_left(Child(CHILD, ROOT, BATCH), parents) == left


@pytest.mark.parametrize(
    ("age", "passed"),
    [(timedelta(hours=1), False), (timedelta(hours=1, seconds=1), True), (timedelta(), False)],
)
def test_the_limit_is_over_so_long_not_at_it(age: timedelta, passed: bool) -> None:
    """And nothing is overdue while time can't be trusted, or without a limit."""
    job = Stuck(CHILD, Status.CREATED, (NOW - age).timestamp())
    assert (limit_passed(job, NOW, Reaper()) is not None) is passed
    assert limit_passed(job, NOW, Reaper(trusted=False)) is None
    assert limit_passed(job, NOW, Reaper(created_after=None)) is None


def test_blind_time_is_added_to_the_limit() -> None:
    """Half an hour that nobody saw makes it an hour and a half."""
    gap = (NOW - timedelta(minutes=45), NOW - timedelta(minutes=15))
    job = Stuck(CHILD, Status.CREATED, (NOW - timedelta(hours=2)).timestamp())
    assert limit_passed(job, NOW, Reaper(gaps=(gap,))) == timedelta(hours=1.5)
    younger = Stuck(CHILD, Status.CREATED, (NOW - timedelta(minutes=80)).timestamp())
    assert limit_passed(younger, NOW, Reaper(gaps=(gap,))) is None


def test_rests_grow_to_an_hour() -> None:
    """1, 2, 4 minutes and so on, and never more than an hour however often it refused."""
    assert [wait_after(n) // timedelta(minutes=1) for n in range(1, 9)] == [1, 2, 4, 8, 16, 32, 60, 60]
    assert wait_after(10_000) == LONGEST_WAIT
