"""What the model of the lifecycle did not cover (its section 6), one trace by name for each gap."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from controller import requests
from controller.core.model import BatchStatus, Result, Status, Verdict
from controller.core.sharing import Limits
from controller.ports import Unavailable
from controller.requests import Caller, People
from tests.engine.acting import batch_named, drop
from tests.engine.leftovers import adopt, leave
from tests.fakes.memory_objects import End
from tests.oracle.history import Side
from tests.simulation.faults import Fault
from tests.simulation.people import OWNER
from tests.simulation.process import Process
from tests.simulation.stage import Stage, perform

LONG = End(0.0, 10_000.0)
ME = Caller(OWNER)


# ------------------------------------------------------------------ pods that linger after their Job


def test_a_pod_runs_on_after_its_job_has_finished() -> None:
    """The object says finished while its pod runs: the place stays taken, and no retry starts beside it."""

    async def trace(stage: Stage) -> None:
        daemon = await stage.leader()
        await stage.drop(2, 1)
        await stage.passes(daemon, 20)
        found = stage.found("scan-t0")
        assert found
        assert found.finished
        assert found.pod_unfinished
        assert stage.job("scan-t0").status is Status.RUNNING
        assert stage.job("scan-t1").status is Status.WAITING
        await stage.until_over(daemon)

    stage = perform(trace, ends={"scan-t0": End(0.0, 8.0, 2, lingers=60.0)})
    assert stage.job("scan-t0").verdict is Verdict.MOUNT_FAILURE


def test_a_pod_is_gone_before_its_job_says_that_it_is_finished() -> None:
    """Its end was recorded from its pod; then the object shows for a while as if it had never had one."""

    async def trace(stage: Stage) -> None:
        daemon = await stage.leader()
        await stage.drop(2, 2)
        await stage.passes(daemon, 15, every=2.0)
        found = stage.found("scan-t0")
        assert found, "no ghost, that is deleted: it expires"
        assert found.active
        assert not found.pod_unfinished
        assert stage.job("scan-t0").status is Status.ERROR
        await stage.until_over(daemon)

    perform(trace, ends={"scan-t0": End(0.0, 8.0, 1, silent=(4.0, 60.0)), "scan-t1": End(0.0, 80.0)})


def test_a_pod_runs_on_after_its_job_was_deleted_by_hand() -> None:
    """The object is gone and its pod runs on: nothing is lost before the pod is, whoever leads by then."""

    async def trace(stage: Stage) -> None:
        daemon = await stage.leader()
        await stage.drop(1, 1)
        await stage.passes(daemon, 6)
        stage.by_hand("scan-t0", lingers=60.0)
        await stage.passes(daemon, 20)
        other = await stage.leader("two")
        await stage.passes(other, 20)
        assert stage.job("scan-t0").status.active
        await stage.until_over(other)
        assert stage.names() == ["scan-t0", "scan-t0-r1"]

    stage = perform(trace, ends={"scan-t0": LONG})
    assert stage.job("scan-t0").verdict is Verdict.LOST


# ---------------------------------------------------------------------------- failover of the store


@pytest.mark.parametrize("fate", [Fault.FAILED, Fault.REPLY_LOST], ids=["rolled-back", "kept"])
@pytest.mark.parametrize("call", ["claim", "change", "add_jobs", "list_children", "leave", "set_batch"])
def test_the_primary_steps_down_under_a_write(call: str, fate: Fault) -> None:
    """A write was under way when the primary stepped down: kept or rolled back, everything comes right."""

    async def trace(stage: Stage) -> None:
        primary, falls = stage.world.primary, []

        def step_down() -> Fault:
            falls.append(asyncio.ensure_future(primary.step_down(20.0)))
            return fate

        daemon = await stage.leader()
        await stage.drop(3, 2)
        stage.script.lines.append((call, step_down))
        await stage.passes(daemon, 60)
        assert primary.term == 1
        assert Side.STORE not in stage.world.out
        await stage.until_over(daemon)

    stage = perform(trace, ends={"scan-t0": End(0.0, 1.0, 2)})
    assert stage.batch.result is Result.COMPLETED
    assert stage.names() == ["scan-t0", "scan-t1", "scan-t2", "scan-t0-r1"]


# ------------------------------------------------------------------- several batches under one limit


def test_two_leaders_keep_one_limit_over_two_batches() -> None:
    """An old leader and the new one claim in two batches at once: together they stay within the total."""

    async def trace(stage: Stage) -> None:
        stage.world.oracle.state.facts = replace(stage.world.oracle.state.facts, total=3)
        old = await stage.leader("old")
        await drop(stage, "scan", 6, 4)
        await drop(stage, "leaf", 6, 4)
        new = await stage.leader("new")
        for daemon in (old, new):
            daemon.engine.settings = replace(daemon.engine.settings, limits=Limits(total=3))
        for _ in range(30):
            for batch in stage.world.store._batches.values():
                old.engine.news.setdefault(batch.id, {})
            passes = [old.batch_pass(id_, None) for id_ in list(stage.world.store._batches)]
            await asyncio.gather(*passes, new.full_pass())
            await asyncio.sleep(3)
        for name in ("scan", "leaf"):
            assert batch_named(stage, name).status is BatchStatus.FINISHED
        stage.world.recorder.catch_up()
        stage.world.oracle.finish()

    perform(trace)


# ------------------------------------------------------------------------------ adoption, take-over


def test_a_take_over_is_broken_off_by_a_failover() -> None:
    """The primary steps down between place and record of a take-over; two leaders go on from there."""

    async def trace(stage: Stage) -> None:
        def step_down() -> Fault:
            asyncio.ensure_future(stage.world.primary.step_down(15.0))  # noqa: RUF006 -- awaited by time
            return Fault.REPLY_LOST

        daemon = await stage.leader()
        uid = leave(stage, "scan-t1", End(0.0, 90.0))
        await stage.drop(3, 2)
        await daemon.full_pass()
        await adopt(stage)
        stage.script.lines.append(("take_over", step_down))
        await daemon.full_pass()
        await asyncio.sleep(20)
        other = await stage.leader("two")
        await asyncio.gather(daemon.full_pass(), other.full_pass())
        assert stage.job("scan-t1").scheduler_id == uid
        assert stage.job("scan-t1").status.active
        await stage.until_over(other)
        assert stage.names() == ["scan-t0", "scan-t1", "scan-t2"]

    assert perform(trace).batch.result is Result.COMPLETED


# -------------------------------------------------------------------------------------- bulk retry


@pytest.mark.parametrize(
    "call", ["roots_of", "chains", "add_jobs", "list_children", "list_retries", "toggle"]
)
@pytest.mark.parametrize("fault", [Fault.FAILED, Fault.REPLY_LOST])
def test_a_bulk_retry_is_sent_again(call: str, fault: Fault) -> None:
    """A request for twelve retries breaks off anywhere, and two send it again at once: one retry each."""

    async def trace(stage: Stage) -> None:
        daemon = await stage.leader()
        await stage.drop(40, 40)
        await stage.until_over(daemon)
        process = daemon.engine.clock
        assert isinstance(process, Process)
        _, store = stage.world.ports(process)
        ids = [job.id for job in stage.world.records() if job.status is Status.ERROR]

        async def send() -> list[requests.Answer]:
            return list(await requests.retry(People(store, process), ME, ids, request_id="bulk"))

        stage.script.lines.append((call, fault))
        with pytest.raises(Unavailable):
            await send()
        answers = await asyncio.gather(send(), send(), daemon.repair_pass())
        assert all(answer.retry_id for answer in (*answers[0], *answers[1]))
        assert [answer.retry_id for answer in answers[0]] == [answer.retry_id for answer in answers[1]]
        await stage.until_over(daemon)
        assert len(stage.names()) == 40 + len(ids) == 52

    ends = {f"scan-t{n}": End(0.0, 1.0, 1) for n in range(12)}
    assert perform(trace, ends=ends).batch.result is Result.COMPLETED


# --------------------------------------------------------------------------------- delayed deletes


@pytest.mark.parametrize("lead_changes", [False, True])
def test_a_delete_takes_effect_long_after_it_was_acknowledged(*, lead_changes: bool) -> None:
    """A delete was answered and took effect a minute later, under the next leader: the place is held."""

    async def trace(stage: Stage) -> None:
        daemon = await stage.leader()
        await stage.drop(2, 1)
        await stage.passes(daemon, 6)
        await stage.cancel("scan-t0")
        stage.script.lines += [("delete", Fault.DELAYED)] * 9
        await daemon.full_pass()
        if lead_changes:
            daemon = await stage.leader("two")
        await stage.passes(daemon, 30)
        assert stage.job("scan-t0").status is Status.RUNNING
        assert stage.job("scan-t1").status is Status.WAITING
        await stage.until_over(daemon)

    stage = perform(trace, ends={"scan-t0": LONG}, late=60.0)
    assert stage.job("scan-t0").status is Status.TERMINATED
