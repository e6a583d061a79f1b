"""The reaper in place: what is stuck is cancelled, then ended; whatever moves on meanwhile is left alone."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import pytest
from bson import ObjectId

from controller.adapters.mongo_ee2 import MongoEe2
from controller.adapters.system_clock import SystemClock
from controller.core.ee2 import Stuck
from controller.core.ee2_decide import Outcome
from controller.core.reaping import Reaper
from controller.ee2.desk import Ee2Desk
from controller.ee2.keeper import Keeper
from controller.ee2.reap import reap, would_reap
from controller.ports import StaleEpoch, Unavailable
from controller.ports.ee2 import EVERYWHERE, Ee2Records
from tests.ee2.forge import DAY, HOUR, Ee2
from tests.ee2.oracle import Oracle
from tests.ee2.scheduler import Scheduler, Told

LONG = 15 * DAY


def queued(ee2: Ee2, since: timedelta = LONG, **more: Any) -> str:
    """A job that has been queued so long."""
    job = ee2.run_job(max(since, LONG), **more)
    ee2.queue(job, since)
    return job


async def reaped(desk: Ee2Desk, epoch: int = 0) -> dict[Outcome, int]:
    """One pass of a leader; with an epoch, of the one that has it."""
    return dict(await reap(desk, epoch or await desk.records.next_epoch("test"), trusted=True))


async def test_what_is_stuck_is_ended_as_ee2_would_write_it(
    ee2: Ee2, desk: Ee2Desk, scheduler: Scheduler, oracle: Oracle
) -> None:
    """Created for over an hour and queued for over 14 days: terminated by automation; the rest is not."""
    batch = ee2.batch(LONG)
    child = ee2.child_of(batch, 2 * HOUR)
    stuck = [ee2.run_job(2 * HOUR), child, queued(ee2), queued(ee2, LONG)]
    fine = [ee2.run_job(HOUR / 2), queued(ee2, 13 * DAY), queued(ee2, HOUR), batch]
    running, estimating, over = (ee2.run_job(LONG) for _ in range(3))
    ee2.start(running, LONG)
    ee2.estimate(estimating, LONG)
    ee2.end(over, "completed")
    with oracle.watching():
        assert await reaped(desk) == {Outcome.REAPED: 4}
        assert await reaped(desk) == {}
    assert sorted(scheduler.asked) == sorted(stuck)
    assert {ee2.job(job)["status"] for job in stuck} == {"terminated"}
    assert {ee2.job(job)["status"] for job in fine} == {"created", "queued"}
    assert cast(Told, desk.journal).counts == {"created": 2, "queued": 2}
    ended = ee2.job(child)
    assert (ended["terminated_code"], ended["batch_id"]) == (2, batch)
    assert ended["finished"] == ended["updated"]


async def test_estimating_and_running_stay_unless_running_has_a_limit(
    ee2: Ee2, desk: Ee2Desk, scheduler: Scheduler
) -> None:
    """Estimating is never reaped, as in EE2's own purge; running only with a limit of its own."""
    running, estimating = ee2.run_job(LONG), ee2.run_job(LONG)
    ee2.start(running, 9 * DAY)
    ee2.estimate(estimating, LONG)
    assert await reaped(desk) == {}
    limited = replace(desk.figures, reaper=Reaper(running_after=8 * DAY))
    assert await reaped(replace(desk, figures=limited)) == {Outcome.REAPED: 1}
    assert scheduler.asked == [running]
    assert ee2.job(estimating)["status"] == "estimating"


MOVES: dict[str, Callable[[Ee2, str], None]] = {
    "it starts": lambda ee2, job: ee2.start(job),
    "it completes": lambda ee2, job: ee2.end(job, "completed"),
    "its user cancels it": lambda ee2, job: ee2.end(job, "terminated", terminated_code=0),
    "it is queued anew": lambda ee2, job: ee2.spoil(job, queued=1.0 * int(ee2.job(job)["queued"])),
    "it gets another scheduler id": lambda ee2, job: ee2.spoil(job, scheduler_id="4712"),
    "it becomes a batch parent": lambda ee2, job: ee2.spoil(job, batch_job=True),
}


@pytest.mark.parametrize("move", MOVES)
@pytest.mark.parametrize("when", ["before it is asked", "while it is asked", "at the write"])
async def test_a_job_that_moves_on_is_left_alone(
    ee2: Ee2, desk: Ee2Desk, scheduler: Scheduler, oracle: Oracle, move: str, when: str
) -> None:
    """Between the list and the request, between the request and the end, and in the very instant of the
    write: what EE2 or its user did stands."""
    job = queued(ee2)
    moved: dict[str, Any] = {}

    def moves() -> None:
        MOVES[move](ee2, job)
        moved.update(ee2.job(job))

    with oracle.watching():
        if when == "while it is asked":
            scheduler.meanwhile = lambda stuck: moves()
            outcome = await reaped(desk)
        else:
            name = "claim" if when == "before it is asked" else "terminate"
            meddled = cast(Ee2Records, Meddled(desk.records, name, moves))
            outcome = await reaped(replace(desk, records=meddled))
    assert outcome == {Outcome.MOVED_ON: 1}
    assert ee2.job(job) == moved
    assert bool(scheduler.asked) is (when != "before it is asked")


class Meddled:
    """The records, with something that happens just before a method's first call."""

    def __init__(self, records: Ee2Records, name: str, meddle: Callable[[], None]) -> None:
        self._records, self._name, self._meddle = records, name, meddle

    def __getattr__(self, name: str) -> Any:
        if name == self._name:
            self._name = ""
            self._meddle()
        return getattr(self._records, name)


# ---------------------------------------------------------------------------------------- the hook


async def test_a_refusal_leaves_the_job_alone_and_rests(
    ee2: Ee2, desk: Ee2Desk, scheduler: Scheduler, oracle: Oracle
) -> None:
    """The scheduler can't be reached: nothing is written, it is said, and it is asked again after a rest
    that grows; then the job is ended."""
    job, own = queued(ee2), desk.records
    scheduler.refuses = True
    with oracle.watching():
        for refusals in (1, 2):
            assert await reaped(desk) == {Outcome.REFUSED: 1}
            assert await reaped(desk) == {Outcome.WAITS: 1}
            rest = _rest(ee2, job)
            assert timedelta(minutes=refusals) * 0.5 < rest <= timedelta(minutes=refusals)
            _rested(ee2, job)
        assert ee2.job(job)["status"] == "queued"
        scheduler.refuses = False
        assert await reaped(desk) == {Outcome.REAPED: 1}
    assert scheduler.asked == [job] * 3
    assert cast(Told, desk.journal).events().count("ee2 cancel hook") == 2
    assert await own.all_set_aside() == {}


def _evidence(ee2: Ee2, job: str) -> dict[str, Any]:
    return ee2.jobs.database["batchkeeper_ee2"].find_one({"_id": ObjectId(job)}) or {}


def _rest(ee2: Ee2, job: str) -> timedelta:
    until: datetime = _evidence(ee2, job)["cancel"]["until"]
    return until.replace(tzinfo=UTC) - datetime.now(UTC)


def _rested(ee2: Ee2, job: str) -> None:
    own = ee2.jobs.database["batchkeeper_ee2"]
    own.update_one({"_id": ObjectId(job)}, {"$set": {"cancel.until": datetime(2020, 1, 1, tzinfo=UTC)}})


async def test_a_sick_scheduler_is_not_asked_for_every_job(
    ee2: Ee2, desk: Ee2Desk, scheduler: Scheduler
) -> None:
    """After three refusals in a row a pass asks no more; the next one asks for the others."""
    jobs = {queued(ee2) for _ in range(5)}
    scheduler.refuses = True
    assert await reaped(desk) == {Outcome.REFUSED: 3}
    assert await reaped(desk) == {Outcome.REFUSED: 2, Outcome.WAITS: 3}
    assert set(scheduler.asked) == jobs


async def test_who_rests_does_not_hide_a_sick_scheduler(
    ee2: Ee2, desk: Ee2Desk, scheduler: Scheduler
) -> None:
    """Jobs that are not asked for lie between those that are: three refusals end the pass all the same."""
    jobs = sorted(queued(ee2) for _ in range(9))
    scheduler.refuses = True
    for _ in range(3):
        await reaped(desk)
    for job in jobs[::2]:
        _rested(ee2, job)
    scheduler.asked.clear()
    assert await reaped(desk) == {Outcome.REFUSED: 3, Outcome.WAITS: 2}
    assert scheduler.asked == jobs[:5:2]


async def test_without_a_hook_nothing_is_reaped_and_it_is_said(
    ee2: Ee2, desk: Ee2Desk, oracle: Oracle
) -> None:
    """A record that is ended while its job goes on would be a lie."""
    job = queued(ee2)
    with oracle.watching():
        assert await reaped(replace(desk, canceller=None)) == {Outcome.WAITS: 1}
    assert ee2.job(job)["status"] == "queued"
    assert "ee2-nothing-reaped" in cast(Told, desk.journal).events()


async def test_a_yes_that_was_written_down_is_not_asked_for_again(
    ee2: Ee2, desk: Ee2Desk, scheduler: Scheduler, oracle: Oracle
) -> None:
    """The database went away between the scheduler's yes and the end: the next pass only ends the job."""
    job = queued(ee2)

    def gone() -> None:
        raise Unavailable("mongodb is away")

    with oracle.watching():
        meddled = cast(Ee2Records, Meddled(desk.records, "terminate", gone))
        with pytest.raises(Unavailable):
            await reaped(replace(desk, records=meddled))
        _rested(ee2, job)
        assert await reaped(desk) == {Outcome.REAPED: 1}
    assert scheduler.asked == [job]
    assert _evidence(ee2, job)["cancel"]["note"] == "removed"


async def test_a_yes_for_another_scheduler_id_is_none(
    ee2: Ee2, desk: Ee2Desk, scheduler: Scheduler, oracle: Oracle
) -> None:
    """EE2 wrote the id of the scheduler's job only while it was asked for one without: that job goes on."""
    job = ee2.run_job(LONG)
    ee2.spoil(job, status="queued", queued=time.time() - LONG.total_seconds())
    given: list[str] = []

    def meanwhile(stuck: Stuck) -> None:
        given.append(stuck.scheduler_id)
        if not stuck.scheduler_id:
            ee2.spoil(job, scheduler_id="4712")

    scheduler.meanwhile = meanwhile
    with oracle.watching():
        assert await reaped(desk) == {Outcome.MOVED_ON: 1}
        _rested(ee2, job)
        assert await reaped(desk) == {Outcome.REAPED: 1}
    assert given == ["", "4712"]


# ------------------------------------------------------------------------------------- two daemons


async def test_two_reapers_at_once_ask_once_for_each_job(
    ee2: Ee2, desk: Ee2Desk, scheduler: Scheduler, oracle: Oracle
) -> None:
    """Even with one and the same epoch: the claim on a job is one guarded update."""
    jobs = {queued(ee2) for _ in range(8)}
    epoch = await desk.records.next_epoch("both")
    with oracle.watching():
        await asyncio.gather(*(reaped(desk, epoch) for _ in range(3)))
    assert sorted(scheduler.asked) == sorted(jobs)
    assert {ee2.job(job)["status"] for job in jobs} == {"terminated"}


async def test_a_leader_of_old_asks_nobody(ee2: Ee2, desk: Ee2Desk, scheduler: Scheduler) -> None:
    """Once a newer epoch is minted, an older one neither asks nor writes, and steps down."""
    job = queued(ee2)
    keeper = Keeper(desk)
    await keeper.lead("old")
    await keeper.reap_pass()  # finds out that time can be trusted
    await desk.records.next_epoch("new")
    with pytest.raises(StaleEpoch):
        await reap(desk, keeper.epoch, trusted=True)
    await keeper.reap_pass()
    assert (keeper.epoch, keeper.stepped_down.is_set()) == (0, True)
    assert scheduler.asked == []
    assert ee2.job(job)["status"] == "queued"


async def test_a_standby_counts_no_passes(desk: Ee2Desk) -> None:
    """It has none: its looks at the store counted as good passes, and hid a leader whose own stood still."""
    keeper = Keeper(desk)
    await keeper.reap_pass()
    assert isinstance(desk.journal, Told)
    assert desk.journal.events() == []
    await keeper.lead("one")
    await keeper.reap_pass()
    assert desk.journal.events().count("pass full") == 1


# ------------------------------------------------------------------------------------------ clocks


class Skewed(SystemClock):
    """A wall clock that is wrong by so much."""

    def __init__(self, by: timedelta) -> None:
        self.by = by

    def now(self) -> datetime:
        """Wrong."""
        return super().now() + self.by


@pytest.mark.parametrize("by", [timedelta(seconds=40), timedelta(seconds=-40)])
async def test_clocks_that_disagree_reap_nothing(
    ee2: Ee2, desk: Ee2Desk, scheduler: Scheduler, by: timedelta
) -> None:
    """Ours and the database's, either way."""
    queued(ee2)
    assert await reaped(replace(desk, clock=Skewed(by))) == {}
    assert await would_reap(replace(desk, clock=Skewed(by))) == []
    assert scheduler.asked == []


async def test_a_clock_that_steps_reaps_nothing(ee2: Ee2, desk: Ee2Desk, scheduler: Scheduler) -> None:
    """The first pass reaps nothing, nor does the one after a step of the wall clock; the next one does."""
    queued(ee2)
    clock = Skewed(timedelta())
    figures = replace(desk.figures, clock_skew=timedelta(seconds=30))
    keeper = Keeper(replace(desk, clock=clock, figures=figures))
    await keeper.lead("me")
    assert await keeper.reap_pass() == 0
    clock.by = timedelta(hours=1)
    assert await keeper.reap_pass() == 0
    clock.by = timedelta()
    assert await keeper.reap_pass() == 0
    assert scheduler.asked == []
    assert await keeper.reap_pass() == 1


async def test_time_without_a_good_pass_does_not_count(ee2: Ee2, desk: Ee2Desk, scheduler: Scheduler) -> None:
    """Nobody looked for two of its fifteen days: EE2 may not have been able to write either."""
    job = queued(ee2)
    own = desk.records
    now = await own.now()
    await own.note_good_pass(now - 3 * DAY, DAY, [EVERYWHERE])
    await own.note_good_pass(now - 1 * DAY, DAY, [EVERYWHERE])
    assert await reaped(desk) == {}
    assert ee2.job(job)["status"] == "queued"
    older = queued(ee2, 17 * DAY)
    assert await reaped(desk) == {Outcome.REAPED: 1}
    assert scheduler.asked == [older]


# --------------------------------------------------------------------------------------- malformed


SICK: dict[str, tuple[dict[str, Any], str]] = {
    "milliseconds": ({"queued": 1.7e12}, "not in seconds"),
    "a time to come": ({"queued": 4e9}, "time to come"),
    "NaN": ({"queued": float("nan")}, "nan"),
    "infinite": ({"queued": float("-inf")}, "-inf"),
    "a text": ({"queued": "2024-01-01"}, "not a number"),
    "true": ({"queued": True}, "not a number"),
    "null": ({"queued": None}, "is missing"),
    "a date": ({"queued": datetime(2024, 1, 1, tzinfo=UTC)}, "not a number"),
    "before it was made": ({"queued": 5.0}, "before it was made"),
    "an option for a scheduler id": ({"scheduler_id": "-all"}, "scheduler_id"),
    "two words for a scheduler id": ({"scheduler_id": "1 -all"}, "scheduler_id"),
    "a number for a scheduler id": ({"scheduler_id": 4711}, "not a text"),
    "batch_job is a text": ({"batch_job": "no"}, "not true or false"),
}


@pytest.mark.parametrize("sick", SICK)
async def test_a_malformed_record_costs_itself_only(
    ee2: Ee2, desk: Ee2Desk, scheduler: Scheduler, oracle: Oracle, sick: str
) -> None:
    """It is quarantined with its reason, nobody is asked about it, and the job beside it is ended."""
    fields, reason = SICK[sick]
    job, other = queued(ee2), queued(ee2)
    ee2.spoil(job, **fields)
    with oracle.watching():
        assert await reaped(desk) == {Outcome.REAPED: 1}
    assert scheduler.asked == [other]
    assert [reason in why for why in (await desk.records.all_set_aside())[job]] == [True]
    assert [one.job for one in await would_reap(desk)] == [job]
    ee2.spoil(job, status="completed")
    await reaped(desk)
    assert await desk.records.all_set_aside() == {}


async def test_a_dry_run_says_why_and_asks_nobody(
    ee2: Ee2, desk: Ee2Desk, records: MongoEe2, scheduler: Scheduler, oracle: Oracle
) -> None:
    """One line for each job, with its age and its scheduler id."""
    job = queued(ee2)
    with oracle.watching():
        (found,) = await would_reap(desk)
    assert (found.job, found.deed) == (job, "cancel, then terminate")
    assert found.why == "queued for 360.0 h, scheduler id 4711"
    assert (scheduler.asked, oracle.writes) == ([], 0)
    assert ee2.jobs.database["batchkeeper_ee2"].count_documents({}) == 0


def test_a_stuck_job_tells_its_instant() -> None:
    """Seconds become an instant with a time zone."""
    stuck = Stuck("5" * 24, cast(Any, "queued"), 86400.0)
    assert stuck.entered.isoformat() == "1970-01-02T00:00:00+00:00"
