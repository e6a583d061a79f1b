"""A burial that is refused: the slot is held, people are told why, and the item is no sick one (R5)."""

from __future__ import annotations

import asyncio

from controller.core.model import Status
from controller.ports import Rejected
from tests.engine.acting import drop, refusing
from tests.simulation.faults import Fault
from tests.simulation.stage import Stage, perform

SAID = "job lab/scan-t0 met a conflict that is over"


def test_a_burial_that_meets_a_conflict_is_asked_for_again() -> None:
    """The name was taken for an instant, or a quota was: the item was set aside as a sick one, with a
    traceback, and ``explain`` spoke of a create."""

    async def trace(stage: Stage) -> None:
        daemon = await stage.leader()
        await drop(stage, "scan", 1, 1)
        stage.script.lines += [("create", Fault.LATE)] + [("create", Fault.FAILED)] * 8
        await stage.passes(daemon, 1)
        await stage.cancel("scan-t0")
        refused = [True]
        refusing(stage, "cluster", "bury", Rejected(SAID, 429), lambda *_: refused[0])
        await stage.passes(daemon, 12)
        held = stage.job("scan-t0")
        assert (held.status, held.tombstone, held.evidence.message) == (Status.CREATED, False, SAID)
        assert [holder.job for holder in stage.gate.holders] == [held.id]
        assert not stage.world.trouble, "it is no sick item"
        refused[0] = False
        await stage.passes(daemon, 12)
        assert stage.job("scan-t0").tombstone
        await asyncio.sleep(100)
        await stage.until_over(daemon)

    stage = perform(trace)
    assert stage.job("scan-t0").status is Status.TERMINATED
