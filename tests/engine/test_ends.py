"""How attempts end: what was seen of them counts, whatever else was ordered meanwhile."""

from __future__ import annotations

import asyncio

from controller.core.model import Status, Verdict
from tests.fakes.memory_objects import End
from tests.simulation.faults import Fault
from tests.simulation.stage import Stage, perform


def test_success_beside_a_stop_and_an_open_create_is_kept() -> None:
    """A cancelled job succeeded; its object had to go before the burial, and its success went with it."""

    async def trace(stage: Stage) -> None:
        daemon = await stage.leader()
        await stage.drop(1, 1)
        stage.script.lines.append(("create", Fault.LATE))
        await stage.passes(daemon, 12)
        await asyncio.sleep(10)
        await stage.cancel("scan-t0")
        await stage.passes(daemon, 30)
        await asyncio.sleep(100)
        await stage.until_over(daemon)

    stage = perform(trace, ends={"scan-t0": End(0.0, 8.0)}, late=80.0)
    job = stage.job("scan-t0")
    assert (job.status, job.verdict, job.exit_code) == (Status.COMPLETED, Verdict.SUCCEEDED, 0)
    assert job.tombstone, "the create that was open has found the name buried"
