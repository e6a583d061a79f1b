"""A machine whose clock is wrong, or that saw nothing for a while, judges nothing by it (R5, R10, E11)."""

from __future__ import annotations

import asyncio

import pytest

from controller.core.model import Status, Verdict
from controller.daemon import Daemon
from tests.fakes.memory_objects import End
from tests.oracle.history import Side
from tests.simulation.faults import Fault
from tests.simulation.process import Process
from tests.simulation.stage import Stage, perform

AHEAD = 7200.0
"""Seconds; far more than H, which is 300 s on the stage."""
LONG = End(0.0, 10_000.0)


async def _leader(stage: Stage, skew: float) -> Daemon:
    daemon = stage.controller()
    clock = daemon.engine.clock
    assert isinstance(clock, Process)
    clock.skew = skew
    await daemon.lead("one")
    return daemon


def test_a_clock_far_ahead_closes_no_create() -> None:
    """A create was open; to a clock more than H ahead it looked closed: its twin expired and it ran again."""

    async def trace(stage: Stage) -> None:
        daemon = await _leader(stage, AHEAD)
        await stage.drop(1, 1)
        stage.script.lines.append(("create", Fault.LATE))
        await stage.passes(daemon, 40)
        assert stage.job("scan-t0").status is Status.COMPLETED
        assert stage.found("scan-t0"), "it outlives its time to live of 10 s while a create is open"
        await stage.until_over(daemon)

    perform(trace, late=100.0)


def test_a_clock_far_ahead_still_buries() -> None:
    """An end whose create looked closed was written again and again, and refused by the store for ever."""

    async def trace(stage: Stage) -> None:
        daemon = await _leader(stage, AHEAD)
        await stage.drop(1, 1)
        stage.script.lines.append(("create", Fault.LATE))
        await stage.passes(daemon, 12)
        stage.by_hand("scan-t0")
        await stage.passes(daemon, 12)
        assert stage.job("scan-t0").verdict is Verdict.LOST
        await asyncio.sleep(100)
        await stage.until_over(daemon)

    perform(trace, ends={"scan-t0": LONG})


@pytest.mark.parametrize("skew", [AHEAD, -AHEAD], ids=["ahead", "behind"])
def test_a_retry_is_due_by_the_store_s_clock(skew: float) -> None:
    """To a clock ahead a retry looked due, and held a place until it was; to one behind it was late."""

    async def trace(stage: Stage) -> None:
        daemon = await _leader(stage, skew)
        await stage.drop(1, 1)
        await stage.passes(daemon, 12)
        assert stage.names() == ["scan-t0", "scan-t0-r1"]
        assert not stage.gate.holders, "its 30 s are not over"
        await stage.passes(daemon, 40)
        assert stage.job("scan-t0-r1").status is Status.COMPLETED
        await stage.until_over(daemon)

    perform(trace, ends={"scan-t0": End(0.0, 1.0, 2)})


@pytest.mark.parametrize("side", list(Side))
def test_an_outage_reaps_nothing(side: Side) -> None:
    """The first good pass after an outage reaped what had been created before it: nobody had looked."""

    async def trace(stage: Stage) -> None:
        daemon = await stage.leader()
        await stage.drop(1, 1)
        stage.script.lines += [("create", Fault.FAILED)] * 3
        await stage.passes(daemon, 11)
        assert stage.job("scan-t0").status is Status.CREATED
        stage.world.set_weather(side, out=True)
        await stage.passes(daemon, 120)
        stage.world.set_weather(side, out=False)
        stage.script.lines += [("create", Fault.FAILED)]
        await stage.passes(daemon, 1)
        assert stage.job("scan-t0").stop is None
        await stage.until_over(daemon)

    assert perform(trace, created_after=60.0).job("scan-t0").status is Status.COMPLETED


def test_a_long_pause_reaps_nothing() -> None:
    """A daemon that stood still went on, and took its own absence for the job's delay."""

    async def trace(stage: Stage) -> None:
        daemon = await stage.leader()
        await stage.drop(1, 1)
        stage.script.lines += [("create", Fault.FAILED)] * 4
        await stage.passes(daemon, 11)
        await asyncio.sleep(120)
        await stage.passes(daemon, 1)
        assert stage.job("scan-t0").stop is None
        await stage.until_over(daemon)

    assert perform(trace, created_after=60.0).job("scan-t0").status is Status.COMPLETED
