"""A process that does not lead: it decides nothing, and it knows whether it could answer requests."""

from __future__ import annotations

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
