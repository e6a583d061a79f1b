"""How a batch closes: a retry that comes at the same instant is neither lost nor left behind."""

from __future__ import annotations

import asyncio
from functools import partial
from unittest.mock import AsyncMock, patch

import pytest

from controller import requests
from controller.core.model import BatchStatus, Status
from controller.ports import Unavailable
from controller.requests import Caller
from tests.fakes.memory_objects import End
from tests.simulation.explaining import drive
from tests.simulation.faults import Fault
from tests.simulation.people import OWNER
from tests.simulation.stage import Stage, perform

FAILS = End(0.0, 1.0, 1)
ME = Caller(OWNER)


@pytest.mark.parametrize("fault", [None, Fault.REPLY_LOST])
def test_a_retry_right_before_the_batch_closes(fault: Fault | None) -> None:
    """It found the batch open and told everybody; the batch closed over it, and that answer was lost."""

    async def trace(stage: Stage) -> None:
        daemon = await stage.leader()
        await stage.drop(1, 1)
        await stage.passes(daemon, 4)
        stage.script.lines.append(("set_batch", partial(_retry, stage, fault)))
        await stage.passes(daemon, 30)
        assert stage.job("scan-t0-r1").status is Status.COMPLETED
        await stage.until_over(daemon)
        assert stage.batch.status is BatchStatus.FINISHED

    perform(trace, ends={"scan-t0": FAILS})


def _retry(stage: Stage, fault: Fault | None) -> Fault | None:
    """A person's retry, whole, between what the pass has seen and what it writes."""
    (answer,) = drive(requests.retry(stage.people, ME, [stage.job("scan-t0").id]))
    assert not answer.error
    return fault


def test_a_cancel_without_a_gate_is_no_success() -> None:
    """Between the two writes of its intake a batch has no gate; who cancels it then is told to ask again."""

    async def trace(stage: Stage) -> None:
        daemon = await stage.leader()
        await stage.drop(1, 1)
        gate = stage.world.store._gates.pop(stage.batch.id)
        with pytest.raises(requests.Refused, match="has no gate yet"):
            await requests.cancel_batch(stage.people, ME, stage.batch, "not needed")
        stage.world.store._gates[stage.batch.id] = gate
        await stage.until_over(daemon)
        assert stage.job("scan-t0").status is Status.COMPLETED

    perform(trace)


def test_a_retry_of_an_ended_batch_is_counted_once() -> None:
    """The reopened batch was counted anew, the retry with it, and then the retry was added: two waited."""

    async def trace(stage: Stage) -> None:
        daemon = await stage.leader()
        await stage.drop(1, 1)
        await stage.until_over(daemon)
        await stage.retry("scan-t0")
        assert stage.batch.counts.status == {Status.ERROR: 1, Status.WAITING: 1}
        await stage.until_over(daemon)

    perform(trace, ends={"scan-t0": FAILS})


def test_a_repaired_retry_that_has_ended_opens_no_batch_again() -> None:
    """A crash left its toggle to repair, which opened the finished batch: it ended, and told so, twice."""

    async def trace(stage: Stage) -> None:
        daemon = await stage.leader()
        await stage.drop(1, 1)
        stage.script.lines.append(("list_children", Fault.FAILED))
        while not stage.batch.status.closed:
            await daemon.full_pass()
            await asyncio.sleep(1.0)
        assert not stage.job("scan-t0-r1").retry_toggle
        finished = stage.batch.finished
        await asyncio.sleep(10.0)
        await daemon.repair_pass()
        assert stage.job("scan-t0-r1").retry_toggle
        await stage.until_over(daemon)
        assert stage.batch.finished == finished

    perform(trace, ends={"scan-t0": End(0.0, 1.0, 2)})


def test_a_repaired_retry_that_was_withdrawn_leaves_its_batch_cancelled() -> None:
    """Whoever asked for it died; its batch was cancelled, and repair made a finished one of that."""

    async def trace(stage: Stage) -> None:
        daemon = await stage.leader()
        await stage.drop(2, 2)
        await stage.passes(daemon, 10)
        with (
            patch.object(stage.world.store, "list_children", AsyncMock(side_effect=Unavailable("died"))),
            pytest.raises(Unavailable),
        ):
            await stage.retry("scan-t0")
        await requests.cancel_batch(stage.people, ME, stage.batch, "not needed")
        await stage.until_over(daemon)
        assert stage.job("scan-t0-r1").retry_toggle
        assert stage.batch.status is BatchStatus.CANCELLED

    perform(trace, ends={"scan-t0": FAILS, "scan-t1": End(0.0, 10_000.0)})
