"""A process that does not lead: it decides nothing, and it knows whether it could answer requests."""

from __future__ import annotations

import asyncio

from controller.ending import end_all
from controller.ports import Unavailable
from tests.engine.acting import refusing
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
