"""What is written in one go is believed where it was read, and nobody acts on the rest."""

from __future__ import annotations

import asyncio

import pytest

from controller import requests
from controller.core.change import Change
from controller.core.machine import Event
from controller.core.model import Attempt, Status
from controller.engine import Engine
from controller.requests import Caller
from tests.engine.acting import drop, gate_of
from tests.simulation.explaining import drive
from tests.simulation.faults import Fault
from tests.simulation.people import OWNER
from tests.simulation.planted import planted
from tests.simulation.planted_speed import BELIEVED
from tests.simulation.stage import Stage, perform


async def _withdrawn_in_between(stage: Stage) -> None:
    """Three places are taken; one of the three is cancelled before their records are written together."""
    daemon = await stage.leader()
    batch = await drop(stage, "scan", 3, 3)
    asked: list[int] = []

    def cancel() -> None:
        ids = [stage.job("scan-t1").id]
        asked.append(len(drive(requests.cancel_jobs(stage.people, Caller(OWNER), ids, "not needed"))))
        stage.world.recorder.catch_up()

    stage.script.lines.append(("changes_many", cancel))
    await stage.passes(daemon, 1)
    assert asked == [1]
    assert stage.job("scan-t1").status is Status.TERMINATED
    assert stage.found("scan-t0")
    assert not stage.found("scan-t1"), "it was asked for after its record had ended"
    await stage.until_over(daemon)
    assert not gate_of(stage, batch).holders


def test_who_was_withdrawn_in_between_is_not_submitted() -> None:
    """Two of three records were written; the third's place is given back, and it has no job."""
    perform(_withdrawn_in_between)


def test_a_bulk_that_is_believed_unread_is_caught() -> None:
    """The same, with the engine taking the whole of it for applied."""
    with planted(BELIEVED), pytest.raises(AssertionError, match="after its record had ended"):
        perform(_withdrawn_in_between)


def test_an_old_view_counts_no_end_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """A pass that still sees them running ends all of them once more, together: nothing came of it."""
    asked: list[tuple[Attempt, Change]] = []
    apply = Engine.apply

    async def listened(engine: Engine, job: Attempt, change: Change) -> Attempt | None:
        asked.append((job, change))
        return await apply(engine, job, change)

    async def trace(stage: Stage) -> None:
        daemon = await stage.leader()
        await drop(stage, "scan", 3, 3)
        await stage.until_over(daemon)
        ends = [(job, change) for job, change in asked if change.event is Event.ENDED]
        assert len(ends) == 3
        again = await asyncio.gather(*(apply(daemon.engine, job, change) for job, change in ends))
        assert again == [None] * 3

    monkeypatch.setattr(Engine, "apply", listened)
    perform(trace)


@pytest.mark.parametrize("fault", [Fault.FAILED, Fault.REPLY_LOST])
def test_a_bulk_without_an_answer_is_made_good(fault: Fault) -> None:
    """None, or any of them, is written, and nobody is told: later passes find who holds a place."""

    async def trace(stage: Stage) -> None:
        daemon = await stage.leader()
        await drop(stage, "scan", 6, 6)
        stage.script.lines += [("changes_many", fault)] * 3
        await stage.passes(daemon, 60)
        assert not stage.script.lines
        await stage.until_over(daemon)
        assert {job.status for job in stage.world.records()} == {Status.COMPLETED}

    perform(trace)
