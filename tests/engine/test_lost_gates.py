"""A batch whose gate is not there: a backup whose gates are older than the batch, or somebody's hand."""

from __future__ import annotations

from controller.core.copying import replace
from controller.core.model import BatchStatus, Gate, Hold, Status, Verdict
from controller.daemon import Daemon
from tests.engine.acting import batch_named, drop
from tests.fakes.memory_objects import End
from tests.simulation.stage import Stage, perform

ENDS = {"scan-t0": End(0.0, 60.0), "scan-t1": End(0.0, 60.0)}


async def _lose(stage: Stage, daemon: Daemon) -> Gate:
    """Two of three run when the gate is lost."""
    batch = await drop(stage, "scan", 3, 2)
    await stage.passes(daemon, 10)
    assert [job.status for job in stage.world.records()] == [Status.RUNNING, Status.RUNNING, Status.WAITING]
    return stage.world.store._gates.pop(batch.id)


def test_whoever_leads_next_makes_it_anew() -> None:
    """It never got another one: what ran was followed no more, nothing started, and no cancel was taken."""

    async def trace(stage: Stage) -> None:
        before = await _lose(stage, await stage.leader())
        second = await stage.leader("two")
        assert (stage.gate.max, stage.gate.holders) == (2, ())
        assert stage.gate.held_for(Hold.LOOKING)
        await stage.passes(second, 10)
        assert stage.gate.holders == before.holders
        assert stage.job("scan-t2").status is Status.WAITING
        await stage.passes(second, 120)
        assert {job.status for job in stage.world.records()} == {Status.COMPLETED}
        assert batch_named(stage, "scan").status is BatchStatus.FINISHED
        stage.world.oracle.violations.clear()

    perform(trace, ends=ENDS)


def test_so_does_a_leader_that_goes_on() -> None:
    """Its next full pass finds a batch that is recorded and has no gate."""

    async def trace(stage: Stage) -> None:
        daemon = await stage.leader()
        before = await _lose(stage, daemon)
        await stage.passes(daemon, 15)
        assert stage.gate.holders == before.holders
        await stage.passes(daemon, 120)
        assert batch_named(stage, "scan").status is BatchStatus.FINISHED
        stage.world.oracle.violations.clear()

    perform(trace, ends=ENDS)


def test_the_retry_that_is_owed_is_not_forgotten() -> None:
    """Until it is recorded the place remembers it: with the gate it was lost."""

    async def trace(stage: Stage) -> None:
        await _lose(stage, await stage.leader())
        attempts, failed = stage.world.store._attempts, stage.job("scan-t1")
        failed = replace(failed, status=Status.ERROR, verdict=Verdict.MOUNT_FAILURE, slot=None, exit_code=2)
        attempts.put(replace(failed, finished=stage.world.clock.now()))
        stage.world.cluster.delete_by_hand(failed.namespace, failed.name)
        second = await stage.leader("two")
        assert failed.id in {holder.job for holder in stage.gate.holders}
        await stage.passes(second, 200)
        assert stage.job("scan-t1-r1").status is Status.COMPLETED
        assert batch_named(stage, "scan").status is BatchStatus.FINISHED
        stage.world.oracle.violations.clear()

    perform(trace, ends=ENDS)
