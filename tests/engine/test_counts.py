"""The cached counts of a batch that goes on: what people read of it while it runs for weeks."""

from __future__ import annotations

import pytest

from controller.core.model import Status
from tests.fakes.memory_objects import End
from tests.simulation.faults import Fault
from tests.simulation.stage import Stage, perform


@pytest.mark.parametrize("fault", [Fault.FAILED, Fault.REPLY_LOST])
def test_a_count_without_an_answer_is_made_anew(fault: Fault) -> None:
    """What had been counted was dropped when the store did not answer: the numbers stayed wrong until the
    batch ended, or another one led."""

    async def trace(stage: Stage) -> None:
        daemon = await stage.leader()
        await stage.drop(4, 4)
        stage.script.lines.append(("add_counts", fault))
        await stage.passes(daemon, 20)
        assert not stage.script.lines
        assert stage.batch.counts.status == {Status.RUNNING: 1, Status.COMPLETED: 3}
        await stage.until_over(daemon)

    perform(trace, ends={"scan-t0": End(0.0, 60.0)})
