"""The recorder's events and the store's records in one order: small ones written by hand."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from controller.core.model import Status
from tests.oracle.histories import START, attempt
from tests.oracle.history import Deed, Happened, Written
from tests.oracle.merging import LAG, merged


def at(seconds: float) -> datetime:
    """So long after the beginning."""
    return START + timedelta(seconds=seconds)


def event(deed: Deed, seconds: float, uid: str = "u") -> Happened:
    """Something the recorder was told of then."""
    return Happened(at(seconds), deed, uid, "scan-a", "lab", "a")


def record(status: Status, seconds: float, uid: str = "u") -> Written:
    """A record written then."""
    return Written(at(seconds), replace(attempt("a"), status=status, scheduler_id=uid))


def test_what_a_record_knows_comes_before_it() -> None:
    """An end that the recorder was told of later than the program stands before the record of it."""
    earlier, end = event(Deed.CREATED, 1.2, "v"), event(Deed.ENDED, 1.2)
    done = record(Status.COMPLETED, 1)
    order = merged([done], [event(Deed.CREATED, 0.5), earlier, end, event(Deed.CREATED, 1.3, "w")])
    assert [getattr(one, "uid", "the record") for one in order] == ["u", "v", "u", "the record", "w"]
    assert order[2].at == done.at


@pytest.mark.parametrize(
    ("written", "happened"),
    [
        (record(Status.COMPLETED, 1), event(Deed.ENDED, 1.1 + LAG.total_seconds())),
        (record(Status.COMPLETED, 1, ""), event(Deed.ENDED, 1.1)),
        (record(Status.COMPLETED, 1), event(Deed.ENDED, 1.1, "another")),
        (record(Status.COMPLETED, 1), event(Deed.CREATED, 1.1)),
        (record(Status.CREATED, 1), event(Deed.CREATED, 1.1)),
        (record(Status.RUNNING, 1), event(Deed.ENDED, 1.1)),
    ],
    ids=["too late", "of no object", "of another object", "not that", "not known yet", "not the end"],
)
def test_what_it_does_not_know_stays_where_it_is(written: Written, happened: Happened) -> None:
    """Only what the record needs, of its own object and soon enough, is moved before it."""
    assert merged([written], [happened]) == [written, happened]


def test_what_was_told_already_moves_nothing() -> None:
    """A second end of the same object, after the record, is not taken for the first."""
    first, second = event(Deed.ENDED, 0.5), event(Deed.GONE, 1.5)
    done = record(Status.COMPLETED, 1)
    assert merged([done], [first, second]) == [first, done, second]


def test_a_start_that_is_timed_after_its_record_comes_before_it() -> None:
    """The store's clock may be behind: a job that was recorded as accepted had been created."""
    claimed, accepted = record(Status.CREATED, 0.9, ""), record(Status.QUEUED, 0.95)
    made = event(Deed.CREATED, 1)
    assert merged([claimed, accepted], [made]) == [claimed, replace(made, at=accepted.at), accepted]


def test_a_creation_is_never_told_too_late() -> None:
    """The record has the uid that the cluster made up: a recorder without time told of it a minute later."""
    accepted, made = record(Status.QUEUED, 1), event(Deed.CREATED, 61)
    assert merged([accepted], [made]) == [replace(made, at=accepted.at), accepted]


def test_a_burial_comes_before_its_record() -> None:
    """Who ends a job because its name is taken has seen the tombstone, whose uid no record has."""
    tombstone = event(Deed.BURIED, 1.4, "t")
    kept = replace(attempt("a"), status=Status.CREATED, tombstone=True)
    buried, ended = Written(at(1), kept), Written(at(1.3), replace(kept, status=Status.TERMINATED))
    assert merged([buried, ended], [tombstone]) == [replace(tombstone, at=buried.at), buried, ended]


def test_another_jobs_burial_stays_where_it_is() -> None:
    """Nor does one move that is told of much later."""
    buried = Written(at(1), replace(attempt("a"), status=Status.CREATED, tombstone=True))
    others = replace(event(Deed.BURIED, 1.4, "t"), job_id="b")
    late = event(Deed.BURIED, 1.5 + LAG.total_seconds(), "t")
    assert merged([buried], [others, late]) == [buried, others, late]


def test_the_stores_log_keeps_its_order() -> None:
    """Two writes at once are stamped out of order: what was logged first was first."""
    done, other = record(Status.COMPLETED, 1.02), record(Status.RUNNING, 1, "v")
    expired = event(Deed.EXPIRE, 1.03)
    order = merged([done, other], [event(Deed.ENDED, 0.5), expired, event(Deed.STARTED, 1.04, "v")])
    kinds = [one.deed if isinstance(one, Happened) else getattr(one, "after", None) for one in order]
    assert kinds == [Deed.ENDED, done.after, Deed.EXPIRE, Deed.STARTED, other.after]
