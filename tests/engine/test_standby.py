"""A process that does not lead: it decides nothing, and it knows whether it could answer requests."""

from __future__ import annotations

import asyncio

import pytest

from controller.ending import end_all
from controller.ports import Unavailable
from controller.stuck import overdue_jobs
from tests.engine.acting import refusing
from tests.simulation.faults import Fault
from tests.simulation.process import Process
from tests.simulation.stage import Stage, perform


def test_a_standby_notices_that_the_store_is_away() -> None:
    """It said that it was ready: its passes ask nothing, so they found nothing wrong."""

    async def trace(stage: Stage) -> None:
        daemon = await stage.leader()
        daemon.step_down("somebody else leads")
        away = [True]
        refusing(stage, "store", "epoch", Unavailable("mongodb is away"), lambda: away[0])
        assert await daemon.full_pass() == 0
        assert daemon.trouble == "mongodb is away"
        away[0] = False
        assert await daemon.full_pass() == 0
        assert not daemon.trouble

    perform(trace)


def test_who_is_elected_and_cannot_begin_is_no_standby() -> None:
    """A database that can be read and not written: every replica said that another one led. Who has seen
    another begin since is one again."""

    async def trace(stage: Stage) -> None:
        daemon = stage.controller()
        await daemon.full_pass()
        full = [True]
        refusing(stage, "store", "next_epoch", Unavailable("no space left on device"), lambda who: full[0])
        with pytest.raises(Unavailable):
            await daemon.lead("one")
        for _ in range(2):
            await daemon.full_pass()
            assert daemon.trouble == "elected, and can't take the lead: no space left on device"
        full[0] = False
        await stage.leader("two")
        await daemon.full_pass()
        assert not daemon.trouble

    perform(trace)


def test_an_earlier_lead_is_no_refill_s_time() -> None:
    """A place became free, the lead was lost, and a day later the refill was told to have taken a day."""

    async def trace(stage: Stage) -> None:
        daemon = await stage.leader()
        await stage.drop(2, 1)
        await daemon.full_pass()
        daemon.engine.freed[stage.batch.id] = [daemon.clock.monotonic()]
        daemon.engine.refilling["x"] = daemon.clock.monotonic()
        daemon.engine.ended_retries.add("x")
        daemon.step_down("the lease ran out")
        await asyncio.sleep(86_400)
        await daemon.lead("one")
        engine = daemon.engine
        assert (engine.freed, engine.refilling, engine.ended_retries) == ({}, {}, set())
        await stage.until_over(daemon)

    perform(trace)


def test_a_standby_keeps_no_news() -> None:
    """It heard of every object of every batch for weeks, and only a leader's pass forgets them."""

    async def trace(stage: Stage) -> None:
        leader, other = await stage.leader(), stage.controller("two")
        following = asyncio.ensure_future(other.follow_events())
        await stage.drop(3, 1)
        await stage.until_over(leader)
        await other.full_pass()
        assert not other.engine.news
        await end_all([following])

    perform(trace)


@pytest.mark.parametrize("skew", [0.0, 7200.0, -7200.0], ids=["right", "ahead", "behind"])
def test_a_standby_tells_what_is_overdue(skew: float) -> None:
    """It was asked to reap, and said that no job is overdue: it had seen nothing, or its clock was off."""

    async def trace(stage: Stage) -> None:
        leader, other = await stage.leader(), stage.controller("two")
        clock = other.engine.clock
        assert isinstance(clock, Process)
        clock.skew = skew
        stage.script.lines += [("create", Fault.FAILED)]
        await stage.drop(1, 1)
        await leader.full_pass()
        assert await overdue_jobs(other.engine) == []
        await asyncio.sleep(7200)
        await other.full_pass()
        (found,) = await overdue_jobs(other.engine)
        assert (found["job"], found["status"], found["for"]) == ("scan-t0", "created", "2h")
        await other.full_pass()
        assert stage.job("scan-t0").stop is None, "only who leads reaps"
        await stage.until_over(leader)

    perform(trace, created_after=3600.0)
