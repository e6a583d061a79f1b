"""One sick item costs one item (O2): what is refused for good, for whatever reason, stops nothing else."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace

import pytest

from controller import batch_deeds, requests
from controller.core.model import BatchStatus, Status
from controller.core.sight import Observation
from controller.ports import Conflict, Rejected, Unavailable
from tests.engine.acting import batch_named, drop, gate_of, records, refusing
from tests.engine.leftovers import ME, NEVER_ENDS, adopt, leave
from tests.fakes.memory_objects import End
from tests.oracle.history import Side
from tests.simulation.faults import Fault
from tests.simulation.stage import Stage, perform

LONG = End(0.0, 10_000.0)


def test_a_refused_delete_stops_no_other_batch() -> None:
    """The cluster refused to delete one object for good; every pass failed, and all batches stood still."""

    async def trace(stage: Stage) -> None:
        daemon = await stage.leader()
        await drop(stage, "scan", 1, 1)
        await stage.passes(daemon, 1)
        await stage.cancel("scan-t0")
        refusing(stage, "cluster", "delete", Rejected("403 forbidden", 403), lambda *_: True)
        other = await drop(stage, "other", 2, 2)
        await stage.passes(daemon, 30)
        assert batch_named(stage, "other").status is BatchStatus.FINISHED, other.name
        assert any("forbidden" in line for line in stage.world.trouble), "it is named"
        stage.world.trouble.clear()

    perform(trace, ends={"scan-t0": LONG})


def test_a_create_that_nobody_answers_costs_its_attempt_only() -> None:
    """A webhook failed for one job's create: each pass ended there, nothing else was started or retried."""

    async def trace(stage: Stage) -> None:
        daemon = await stage.leader()
        await drop(stage, "scan", 3, 2)
        failed = [True]
        sick = Unavailable("500 failed calling webhook")
        refusing(stage, "cluster", "create", sick, lambda job: failed[0] and job.name == "scan-t0")
        await stage.passes(daemon, 100)
        assert stage.job("scan-t0").status is Status.CREATED
        assert stage.job("scan-t1-r1").status is Status.COMPLETED
        assert stage.job("scan-t2").status is Status.COMPLETED
        failed[0] = False
        await stage.until_over(daemon)

    stage = perform(trace, ends={"scan-t1": End(0.0, 1.0, 2)})
    assert stage.job("scan-t0").status is Status.COMPLETED


def test_an_outage_that_begins_with_a_create_ends_the_pass() -> None:
    """The cluster went away while one create was under way: nothing more takes a place (invariant 9)."""

    async def trace(stage: Stage) -> None:
        daemon = await stage.leader()
        await stage.drop(2, 1)
        stage.script.lines.append(("create", Fault.FAILED))
        await stage.passes(daemon, 1)
        stage.set_gate(max=2)

        def gone() -> Fault:
            stage.world.set_weather(Side.CLUSTER, out=True)
            return Fault.FAILED

        stage.script.lines.append(("create", gone))
        await stage.passes(daemon, 1)
        assert not stage.script.lines
        assert stage.job("scan-t1").status is Status.WAITING
        stage.world.set_weather(Side.CLUSTER, out=False)
        await stage.until_over(daemon)

    perform(trace)


def test_an_object_that_can_be_followed_no_more_costs_its_attempt_only() -> None:
    """The kind of what was taken over is counted no longer: every pass of its batch ended as in an outage."""

    async def trace(stage: Stage) -> None:
        daemon, cluster = await stage.leader(), stage.world.cluster
        observe, failed = cluster.observe, [False]

        async def blindly(namespaces: Sequence[str]) -> Observation:
            seen = await observe(namespaces)
            return replace(seen, foreign=()) if failed[0] else seen

        cluster.observe = blindly  # type: ignore[method-assign]
        refusing(stage, "cluster", "find_uid", Unavailable("not served"), lambda *_: failed[0])
        leave(stage, "scan-t0", NEVER_ENDS, kind="TrainingWorkload")
        await drop(stage, "scan", 3, 2)
        await daemon.full_pass()
        await adopt(stage)
        await stage.passes(daemon, 2)
        assert [stage.job(f"scan-t{n}").status for n in range(2)] == [Status.RUNNING, Status.QUEUED]
        failed[0] = True
        await stage.passes(daemon, 60)
        assert stage.job("scan-t2").status is Status.COMPLETED
        assert stage.job("scan-t0").status is Status.RUNNING
        failed[0] = False
        cluster.finish_foreign("lab", "scan-t0")
        await stage.until_over(daemon)

    perform(trace)


def test_a_slot_that_is_taken_costs_its_attempt_only() -> None:
    """The tripwire on the slot ended the daemon's worker, and with it the process, again after each start."""

    async def trace(stage: Stage) -> None:
        daemon = await stage.leader()
        batch = await drop(stage, "scan", 3, 3)
        sick = stage.job("scan-t1").id
        refusing(stage, "store", "change", Conflict("slot"), lambda change, *_: change.job == sick)
        await daemon.batch_pass(batch.id, None)
        await stage.passes(daemon, 30)
        assert stage.job("scan-t0").status is Status.COMPLETED
        assert stage.job("scan-t2").status is Status.COMPLETED
        assert any("alarm slot" in line for line in stage.world.trouble), "the gate should have known (R1)"
        stage.world.trouble.clear()

    perform(trace)


def test_a_retry_that_could_not_be_recorded_keeps_its_place() -> None:
    """An owed retry failed to be written, its attempt left the gate all the same, and nobody knew of it."""

    async def trace(stage: Stage) -> None:
        daemon = await stage.leader()
        batch = await drop(stage, "scan", 2, 2)
        refuse = [True]
        refusing(stage, "store", "add_jobs", Rejected("too large", 10334), lambda *_: refuse[0])
        await stage.passes(daemon, 30)
        assert stage.job("scan-t0").status is Status.ERROR
        assert stage.job("scan-t0").id in {holder.job for holder in gate_of(stage, batch).holders}
        assert stage.job("scan-t1").id not in {holder.job for holder in gate_of(stage, batch).holders}
        refuse[0] = False
        stage.world.trouble.clear()
        await asyncio.sleep(300)
        await stage.until_over(daemon)
        assert "scan-t0-r1" in stage.names()

    perform(trace, ends={"scan-t0": End(0.0, 1.0, 2), "scan-t1": End(0.0, 20.0)})


def test_what_is_over_is_forgotten() -> None:
    """A daemon that lives for weeks keeps nothing of the batches and sick items that are gone."""

    async def trace(stage: Stage) -> None:
        daemon = await stage.leader()
        await stage.drop(2, 2)
        await stage.passes(daemon, 2)
        batch, engine = stage.batch, daemon.engine
        assert batch.id in engine.locks
        engine.sick.fell_ill("job:gone", engine.clock.monotonic(), "it was odd")
        await stage.until_over(daemon)
        assert "job:gone" in engine.sick.until, "it may come back"
        await asyncio.sleep(4000)
        await stage.passes(daemon, 1)
        assert [engine.locks, engine.expiries.locks, engine.freed, engine.sick.until] == [{}, {}, {}, {}]

    perform(trace)


def test_a_retry_that_cannot_be_recorded_keeps_no_other_place() -> None:
    """Its own was taken for free by every plan, so that each claim was refused: the batch started no more."""

    async def trace(stage: Stage) -> None:
        daemon = await stage.leader()
        batch = await drop(stage, "scan", 5, 3)
        refuse = [True]
        refusing(stage, "store", "add_jobs", Rejected("too large", 10334), lambda *_: refuse[0])
        await stage.passes(daemon, 60)
        assert [job.name for job in records(stage, batch) if job.status is Status.WAITING] == []
        assert {holder.job for holder in gate_of(stage, batch).holders} == {stage.job("scan-t0").id}
        refuse[0] = False
        stage.world.trouble.clear()
        await asyncio.sleep(300)
        await stage.until_over(daemon)
        assert stage.job("scan-t0-r1").status is Status.COMPLETED

    perform(trace, ends={"scan-t0": End(0.0, 1.0, 2)})


def test_a_step_that_fails_for_one_batch_rests_for_no_other() -> None:
    """The look at what runs under one batch's names failed each time; every later batch waited for ever."""

    async def trace(stage: Stage) -> None:
        daemon = await stage.leader()
        refuse = [True]
        sick = Rejected("odd", 500)
        refusing(stage, "cluster", "find", sick, lambda _, prefix: refuse[0] and prefix == "away-")
        await drop(stage, "away", 1, 1)
        await stage.passes(daemon, 30)
        await drop(stage, "scan", 1, 1)
        await stage.passes(daemon, 60)
        assert batch_named(stage, "scan").status is BatchStatus.FINISHED
        assert stage.job("away-t0").status is Status.WAITING
        refuse[0] = False
        stage.world.trouble.clear()
        await asyncio.sleep(300)
        await stage.until_over(daemon)
        assert stage.job("away-t0").status is Status.COMPLETED

    perform(trace)


def test_a_withdrawal_that_is_refused_holds_up_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever waited beyond the portion that it was in was withdrawn minutes later, portion by portion."""
    monkeypatch.setattr(batch_deeds, "WITHDRAW_AT_ONCE", 2)

    async def trace(stage: Stage) -> None:
        daemon = await stage.leader()
        await drop(stage, "scan", 9, 1)
        sick, refuse = stage.job("scan-t2").id, [False]
        odd = Rejected("its record is odd", 121)
        refusing(stage, "store", "change", odd, lambda change, *_: refuse[0] and change.job == sick)
        await stage.passes(daemon, 1)
        refuse[0] = True
        await requests.cancel_batch(stage.people, ME, stage.batch, "not needed")
        await daemon.full_pass()
        assert [job.name for job in stage.world.records() if job.status is Status.WAITING] == ["scan-t2"]
        assert any("its record is odd" in line for line in stage.world.trouble), "it is named"
        refuse[0] = False
        stage.world.trouble.clear()
        await asyncio.sleep(300)
        await stage.until_over(daemon)
        assert stage.batch.status is BatchStatus.CANCELLED

    perform(trace, ends={"scan-t0": LONG})
