"""A machine whose clock is wrong, or that saw nothing for a while, judges nothing by it (R5, R10, E11)."""

from __future__ import annotations

import asyncio

import pytest

from controller import intake, requests
from controller.core.model import Status, Verdict
from controller.daemon import Daemon
from controller.ports import Unavailable
from controller.requests import Caller, People
from tests.engine.acting import drop_elsewhere
from tests.fakes.memory_objects import End
from tests.oracle.history import Side
from tests.simulation.faults import Fault
from tests.simulation.people import OWNER, spec_of
from tests.simulation.process import Process
from tests.simulation.scenario import BatchPlan
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


def test_a_namespace_that_could_not_be_seen_is_not_reaped_for_it() -> None:
    """A namespace was blind for long, and what was in it was reaped as stuck at the first look (R10)."""

    async def trace(stage: Stage) -> None:
        daemon = await stage.leader()
        await stage.drop(1, 1)
        await drop_elsewhere(stage, 1, 1)
        stage.ends["away-t0"] = LONG
        stage.script.lines += [("create", Fault.FAILED)]
        await stage.passes(daemon, 1)
        assert stage.job("scan-t0").status is Status.CREATED
        stage.world.cluster.blind["lab"] = "403"
        await stage.passes(daemon, 120)
        assert stage.job("away-t0").status is Status.RUNNING
        stage.world.cluster.blind.clear()
        stage.script.lines += [("create", Fault.FAILED)]
        await stage.passes(daemon, 1)
        assert stage.job("scan-t0").stop is None
        await stage.until_over(daemon)
        stage.world.oracle.violations.clear()  # the other batch still runs

    assert perform(trace, created_after=60.0).job("scan-t0").status is Status.COMPLETED


def test_a_namespace_that_can_not_be_seen_keeps_no_other_from_reaping() -> None:
    """One namespace was forbidden, and in no other was anything given up or reaped as long as it was."""

    async def trace(stage: Stage) -> None:
        daemon = await stage.leader()
        await stage.drop(1, 1)
        await drop_elsewhere(stage, 1, 1)
        stage.world.cluster.blind["elsewhere"] = "403"
        stage.script.lines += [("create", Fault.FAILED)] * 40
        await stage.passes(daemon, 100)
        assert stage.job("scan-t0").stop or stage.job("scan-t0").verdict is Verdict.REAPED
        stage.script.lines.clear()
        stage.world.oracle.violations.clear()

    perform(trace, created_after=60.0)


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


@pytest.mark.parametrize("by", ["rule", "person"])
def test_a_child_of_a_fast_clock_is_repaired(by: str) -> None:
    """A child's ``inserted`` lay in the future, and no repair found it until then."""

    async def trace(stage: Stage) -> None:
        daemon = await _leader(stage, AHEAD)
        clock = daemon.engine.clock
        assert isinstance(clock, Process)
        await stage.drop(1, 1)
        if by == "rule":
            stage.ends["scan-t0"] = End(0.0, 1.0, 2)
            stage.script.lines.append(("list_children", Fault.FAILED))
            await stage.passes(daemon, 12)
        else:
            stage.ends["scan-t0"] = End(0.0, 1.0, 1)
            await stage.until_over(daemon)
            _, store = stage.world.ports(clock)
            stage.script.lines.append(("list_children", Fault.FAILED))
            with pytest.raises(Unavailable):
                await requests.retry(People(store, clock), Caller(OWNER), [stage.job("scan-t0").id])
        child = stage.job("scan-t0-r1")
        assert child.inserted <= stage.world.clock.now()
        await asyncio.sleep(6)
        await daemon.repair_pass()
        assert stage.job("scan-t0-r1").retry_toggle is True
        await stage.until_over(daemon)

    perform(trace)


def test_what_a_fast_clock_set_may_be_changed_at_once() -> None:
    """A spec taken in, scaled and resumed by a machine hours ahead: every later change came too early."""

    async def trace(stage: Stage) -> None:
        daemon = await _leader(stage, AHEAD)
        clock, store = daemon.engine.clock, stage.world.store
        fast, right, me = People(store, clock), stage.people, Caller(OWNER)
        await intake.accept(store, spec_of(BatchPlan("scan", 1, 1), stage.world.scenario), source="scan.yaml")
        await requests.scale(fast, me, stage.batch, 3)
        await asyncio.sleep(1)
        await requests.scale(right, me, stage.batch, 2)
        assert stage.batch.settings["maxConcurrent"].value == stage.gate.max == 2
        await requests.pause(fast, me, stage.batch)
        await asyncio.sleep(1)
        await requests.resume(fast, me, stage.batch)
        assert stage.batch.resumed is not None
        assert stage.batch.resumed <= stage.world.clock.now()
        assert all(setting.at <= stage.world.clock.now() for setting in stage.batch.settings.values())
        await stage.until_over(daemon)

    perform(trace)
