"""What a pass goes by: nothing starts, and no batch ends, by what was read before a long wait."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace

import pytest

from controller import requests
from controller.core.model import Attempt, BatchStatus, Status
from controller.core.sight import ClusterJob, Observation
from controller.ending import end_all
from controller.ports import Unavailable
from controller.requests import Caller
from tests.engine.acting import batch_named, drop, gate_of, running
from tests.engine.test_posts import HANGS, followed, hanging
from tests.fakes.memory_objects import End
from tests.simulation.faults import Fault
from tests.simulation.people import OWNER
from tests.simulation.stage import Stage, perform


async def _halt(stage: Stage) -> None:
    await requests.halt(stage.people, Caller(OWNER, admin=True), "submissions", "look first")


async def _unhalt(stage: Stage) -> None:
    await requests.unhalt(stage.people, Caller(OWNER, admin=True), "submissions")


@pytest.mark.parametrize("what", ["halt", "lower", "cancel"])
def test_no_create_stands_in_line_for_a_hand(what: str) -> None:
    """It had its place, waited for one of the hands, and asked nobody again when it had one."""

    async def trace(stage: Stage) -> None:
        daemon, asked = await stage.leader(), hanging(stage)
        daemon.engine.settings = replace(daemon.engine.settings, concurrency=1)
        following = await followed(stage, daemon, 2, 2)
        assert asked == ["scan-t0"]
        if what == "halt":
            await _halt(stage)
        elif what == "lower":
            await requests.scale(stage.people, Caller(OWNER), stage.batch, 1)
        else:
            await stage.cancel("scan-t1")
        await stage.passes(daemon, HANGS + 1)
        late = list(asked)
        await _unhalt(stage)
        stage.set_gate(max=2)
        await end_all([following])
        await stage.until_over(daemon)
        assert late == ["scan-t0"], f"{late[1:]} went out a minute after the {what}"

    perform(trace, ends={"scan-t0": End(0.0, 600.0), "scan-t1": End(0.0, 600.0)})


def slow_logs(stage: Stage, seconds: float) -> None:
    """Each log takes so long to be read."""
    tail = stage.world.cluster.log_tail

    async def slowly(job: ClusterJob, most: int) -> str:
        await asyncio.sleep(seconds)
        return await tail(job, most)

    stage.world.cluster.log_tail = slowly  # type: ignore[method-assign, assignment]


@pytest.mark.parametrize("what", ["halt", "foreign"])
def test_nobody_is_claimed_by_what_was_seen_before_the_logs_of_ends(what: str) -> None:
    """It looked, waited for a log, and claimed by what was seen and said before that."""

    async def trace(stage: Stage) -> None:
        daemon = await stage.leader()
        slow_logs(stage, 30)
        await stage.drop(2, 1)
        await stage.passes(daemon, 3, every=1)
        assert stage.job("scan-t0").status is Status.RUNNING
        await asyncio.sleep(4)
        stage.set_gate(max=2)
        full = asyncio.ensure_future(daemon.full_pass())
        await asyncio.sleep(2)
        if what == "halt":
            await _halt(stage)
        else:
            for n in range(2):
                stage.world.cluster.add_foreign("lab", f"scan-others-{n}")
        await full
        started = stage.job("scan-t1").status
        await _unhalt(stage)
        for n in range(2) if what == "foreign" else ():
            stage.world.cluster.remove_foreign("lab", f"scan-others-{n}")
        await stage.until_over(daemon)
        assert started is Status.WAITING

    perform(trace, ends={"scan-t0": End(0.0, 5.0, 1)})


def test_no_batch_is_closed_by_a_gate_that_another_pass_has_changed_since() -> None:
    """It was read before the list; meanwhile another pass ran the last attempt, and could not yet record the
    retry that it is owed: the retry was lost, and its place for good."""

    async def trace(stage: Stage) -> None:
        observe, add, bad = stage.world.cluster.observe, stage.world.store.add_jobs, list[str]()

        async def slowly(namespaces: Sequence[str]) -> Observation:
            await asyncio.sleep(4.5 if bad else 0)
            return await observe(namespaces)

        async def away(jobs: Sequence[Attempt]) -> Sequence[bool]:
            if bad:
                raise Unavailable("no primary")
            return await add(jobs)

        stage.world.cluster.observe = slowly  # type: ignore[method-assign]
        stage.world.store.add_jobs = away  # type: ignore[method-assign]
        daemon = await stage.leader()
        following = asyncio.ensure_future(daemon.follow_events())
        await drop(stage, "scan", 1, 1)
        while "scan-t0-r1" not in stage.names():
            await daemon.full_pass()
            await asyncio.sleep(1)
        due = stage.job("scan-t0-r1").not_before
        assert due is not None
        while (due - stage.world.clock.now()).total_seconds() > 1:
            await daemon.full_pass()
            await asyncio.sleep(0.25)
        assert (stage.batch.status, stage.gate.holders) == (BatchStatus.RUNNING, ())
        bad.append("the list is slow, and no record can be added")
        await daemon.full_pass()
        bad.clear()
        assert stage.job("scan-t0-r1").status is Status.ERROR
        closed = stage.batch.status
        await end_all([following])
        assert closed is BatchStatus.RUNNING
        await stage.until_over(await stage.leader("two"))
        assert "scan-t0-r2" in stage.names()

    perform(trace, ends={f"scan-t0{r}": End(0.0, 0.5, 2) for r in ("", "-r1", "-r2", "-r3")})


@pytest.mark.parametrize("what", ["pause", "lower"])
def test_half_taken_places_go_by_the_gate_of_now(what: str) -> None:
    """Halts were asked for again in a pass that took long; the gate was not."""

    async def trace(stage: Stage) -> None:
        one = await stage.leader("one")
        await drop(stage, "early", 1, 1)
        await stage.passes(one, 3, every=1)
        await drop(stage, "scan", 3, 3)
        stage.script.lines.append(("claim", Fault.REPLY_LOST))
        scan = batch_named(stage, "scan")
        await one.batch_pass(scan.id, None)
        assert len(gate_of(stage, scan).holders) == 3
        assert running(stage, scan) == []
        slow_logs(stage, 30)
        await asyncio.sleep(max(0.0, 6 - stage.world.loop.time()))
        two = await stage.leader("two")
        full = asyncio.ensure_future(two.full_pass())
        await asyncio.sleep(1)
        if what == "pause":
            await requests.pause(stage.people, Caller(OWNER), scan)
        else:
            await requests.scale(stage.people, Caller(OWNER), scan, 1)
        await full
        begun = running(stage, scan)
        await requests.resume(stage.people, Caller(OWNER), batch_named(stage, "scan"))
        await stage.passes(two, 100)
        assert len(begun) <= (what == "lower"), f"{begun} were submitted half a minute after the {what}"

    perform(trace, ends={"early-t0": End(0.0, 4.0, 1)})
