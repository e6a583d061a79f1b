"""Batches whose recording was broken off."""

from __future__ import annotations

import pytest

from controller import intake, requests
from controller.core.model import BatchStatus
from controller.ports import Unavailable
from controller.requests import Caller
from tests.simulation.faults import Fault
from tests.simulation.people import OWNER, spec_of
from tests.simulation.process import Process
from tests.simulation.scenario import BatchPlan
from tests.simulation.stage import Stage, perform


@pytest.mark.parametrize("call", ["add_jobs", "list_children", "recount"])
@pytest.mark.parametrize("fault", [Fault.FAILED, Fault.REPLY_LOST])
def test_a_cancelled_half_recorded_batch_lists_what_it_has(call: str, fault: Fault) -> None:
    """Its tasks had been recorded, or not, and its parent did not know of them when it was cancelled."""

    async def trace(stage: Stage) -> None:
        daemon = await stage.leader()
        clock = daemon.engine.clock
        assert isinstance(clock, Process)
        _, store = stage.world.ports(clock)
        stage.script.lines.append((call, fault))
        spec = spec_of(BatchPlan("scan", 3, 1), stage.world.scenario)
        with pytest.raises(Unavailable):
            await intake.accept(store, spec, source="scan.yaml")
        await requests.cancel_batch(stage.people, Caller(OWNER), stage.batch, "its file is gone")
        await stage.until_over(daemon)
        assert stage.batch.status is BatchStatus.CANCELLED

    perform(trace)
