"""The traces that broke simpler rules (lifecycle section 6), each played by name and judged by the oracle."""

from __future__ import annotations

import asyncio

from controller import requests
from controller.core.model import BatchStatus, Foreign, Result, Status, Verdict
from controller.requests import Caller
from tests.fakes.memory_objects import End
from tests.simulation.explaining import drive
from tests.simulation.faults import Fault
from tests.simulation.people import OWNER
from tests.simulation.process import Process
from tests.simulation.stage import Stage, perform

LONG = End(0.0, 10_000.0)


def test_a1_lost_while_a_create_is_in_flight() -> None:
    """A1: lost was judged while a create was under way, the slot was freed, and the create landed."""

    async def trace(stage: Stage) -> None:
        daemon = await stage.leader()
        await stage.drop(1, 1)
        stage.script.lines.append(("create", Fault.LATE))
        await stage.passes(daemon, 12)
        assert stage.found("scan-t0"), "the resent create has landed"
        stage.by_hand("scan-t0")
        await stage.passes(daemon, 12)
        assert stage.job("scan-t0").tombstone, "the name is buried before the attempt ends as lost"
        await asyncio.sleep(100)
        await stage.until_over(daemon)

    stage = perform(trace, ends={"scan-t0": LONG})
    assert stage.job("scan-t0").verdict is Verdict.LOST


def test_a2_reaped_while_a_create_is_in_flight() -> None:
    """A2: the reaper ended a created attempt whose create was still under way; then it landed."""

    async def trace(stage: Stage) -> None:
        daemon = await stage.leader()
        await stage.drop(1, 1)
        stage.script.lines += [("create", Fault.LATE)] + [("create", Fault.FAILED)] * 8
        await stage.passes(daemon, 55)
        assert stage.job("scan-t0").verdict is Verdict.REAPED
        await asyncio.sleep(100)
        await stage.until_over(daemon)

    perform(trace, created_after=30.0)


def test_a3_a_late_create_finds_its_finished_twin() -> None:
    """A3: a create that timed out landed on the name of its finished and collected resend: it ran twice."""

    async def trace(stage: Stage) -> None:
        daemon = await stage.leader()
        await stage.drop(1, 1)
        stage.script.lines.append(("create", Fault.LATE))
        await stage.passes(daemon, 40)
        assert stage.job("scan-t0").status is Status.COMPLETED
        assert stage.found("scan-t0"), "it outlives its time to live of 10 s while a create is open"
        await stage.until_over(daemon)

    perform(trace, late=100.0)


def test_a4_cancelled_while_a_create_is_in_flight() -> None:
    """A4: a cancel freed the slot on a 404, and the create landed."""

    async def trace(stage: Stage) -> None:
        daemon = await stage.leader()
        await stage.drop(1, 1)
        stage.script.lines.append(("create", Fault.LATE))
        await stage.passes(daemon, 1)
        await stage.cancel("scan-t0")
        await stage.passes(daemon, 12)
        assert stage.job("scan-t0").tombstone
        await asyncio.sleep(100)
        await stage.until_over(daemon)

    stage = perform(trace)
    assert stage.batch.result is Result.FAILED


def test_a5_max_lowered_between_plan_and_claim() -> None:
    """A5: a claim planned under the old maximum was carried out under the new one."""

    async def trace(stage: Stage) -> None:
        daemon = await stage.leader()
        await stage.drop(4, 3)
        stage.script.lines.append(("claim", lambda: stage.set_gate(max=1)))
        await daemon.full_pass()
        assert len(stage.gate.holders) == 1
        await stage.until_over(daemon)

    perform(trace)


def test_a7_foreign_jobs_arrive_between_plan_and_claim() -> None:
    """A7: others' jobs filled the batch after the plan and before the claim."""

    async def trace(stage: Stage) -> None:
        other = await stage.leader("two")
        daemon = await stage.leader()
        await stage.drop(2, 2)
        other.engine.epoch = 0

        def arrive() -> None:
            uids = [stage.world.cluster.add_foreign("lab", f"scan-other{n}") for n in range(2)]
            drive(
                stage.world.store.enter_foreign(
                    stage.batch.id, [Foreign(uid, f"scan-other{n}", "Job") for n, uid in enumerate(uids)]
                )
            )

        stage.script.lines.append(("claim", arrive))
        await daemon.full_pass()
        assert not stage.gate.holders
        for n in range(2):
            stage.world.cluster.remove_foreign("lab", f"scan-other{n}")
        await stage.until_over(daemon)

    perform(trace)


def test_a8_a_foreign_job_is_replaced_by_its_namesake() -> None:
    """A8: a foreign job ended, another of the same name started, and the name alone said 'still the same'."""

    async def trace(stage: Stage) -> None:
        daemon = await stage.leader()
        await stage.drop(1, 1)
        first = stage.world.cluster.add_foreign("lab", "scan-other")
        await daemon.full_pass()
        stage.world.cluster.remove_foreign("lab", "scan-other")
        second = stage.world.cluster.add_foreign("lab", "scan-other")
        await stage.passes(daemon, 6)
        assert [foreign.uid for foreign in stage.gate.foreign] == [second]
        assert first != second
        assert not stage.gate.holders
        stage.world.cluster.remove_foreign("lab", "scan-other")
        await stage.until_over(daemon)

    perform(trace)


def test_a10_a_claim_planned_before_the_batch_was_cancelled() -> None:
    """A10: a batch was cancelled between plan and claim, and its jobs started all the same."""

    async def trace(stage: Stage) -> None:
        daemon = await stage.leader()
        await stage.drop(3, 2)

        def cancel() -> None:
            drive(requests.cancel_batch(stage.people, Caller(OWNER), stage.batch, "not needed"))

        stage.script.lines.append(("claim", cancel))
        await stage.until_over(daemon)
        assert stage.batch.status is BatchStatus.CANCELLED
        assert not stage.world.cluster.history

    perform(trace)


def test_b1_no_retry_while_the_pod_lingers() -> None:
    """B1: terminated was written while the pod still ran; its retry made two live jobs of one task."""

    async def trace(stage: Stage) -> None:
        daemon = await stage.leader()
        await stage.drop(1, 1)
        await stage.passes(daemon, 6)
        await stage.cancel("scan-t0")
        await stage.passes(daemon, 12)
        assert stage.job("scan-t0").status.active, "its pod takes 40 s to go"
        assert (await stage.retry("scan-t0")).error
        await stage.passes(daemon, 60)
        assert not (await stage.retry("scan-t0")).error
        await stage.until_over(daemon)

    perform(trace, ends={"scan-t0": LONG}, deletion=40.0)


def test_b2_a_collision_that_vanishes_before_our_late_create() -> None:
    """B2: an attempt ended as name-collision; the squatter went, and our own late create took the name."""

    async def trace(stage: Stage) -> None:
        daemon = await stage.leader()
        await stage.drop(1, 1)
        stage.script.lines.append(("create", Fault.LATE))
        await stage.passes(daemon, 1)
        stage.world.cluster.add_foreign("lab", "scan-t0")
        await stage.passes(daemon, 20)
        assert stage.job("scan-t0").status.active, "a create of ours is open, and the name is not ours"
        stage.world.cluster.remove_foreign("lab", "scan-t0")
        await stage.passes(daemon, 100)
        assert stage.job("scan-t0").verdict is Verdict.NAME_COLLISION
        await stage.until_over(daemon)

    perform(trace, late=60.0)


def test_b4_a_child_that_is_cancelled_while_it_waits() -> None:
    """B4: a retry was cancelled before its parents knew of it, and its lifecycle never became complete."""

    async def trace(stage: Stage) -> None:
        daemon = await stage.leader()
        await stage.drop(1, 1)
        stage.script.lines.append(("list_children", Fault.FAILED))
        await stage.passes(daemon, 12)
        await stage.cancel("scan-t0-r1")
        await stage.until_over(daemon)
        assert stage.job("scan-t0-r1").retry_toggle is True

    perform(trace, ends={"scan-t0": End(0.0, 1.0, 2)})


def test_b5_exit_2_during_a_cancel() -> None:
    """B5: a job that was being cancelled exited 2, and was retried as a mount failure."""

    async def trace(stage: Stage) -> None:
        daemon = await stage.leader()
        await stage.drop(1, 1)
        await stage.passes(daemon, 1)
        await stage.cancel("scan-t0")
        await asyncio.sleep(20)
        await stage.until_over(daemon)
        assert stage.names() == ["scan-t0"]

    stage = perform(trace, ends={"scan-t0": End(0.0, 10.0, 2)})
    assert stage.job("scan-t0").status is Status.TERMINATED


def test_f5_a_live_job_of_another_uid_is_not_lost() -> None:
    """F5: the object was deleted by hand, a late create took its place, and the live job was judged lost."""

    async def trace(stage: Stage) -> None:
        daemon = await stage.leader()
        await stage.drop(1, 1)
        stage.script.lines.append(("create", Fault.LATE))
        await stage.passes(daemon, 17)
        was = stage.job("scan-t0").scheduler_id
        stage.by_hand("scan-t0")
        await asyncio.sleep(6)
        await stage.passes(daemon, 12)
        assert stage.job("scan-t0").scheduler_id not in ("", was)
        assert stage.job("scan-t0").status.active
        await stage.until_over(daemon)

    stage = perform(trace, ends={"scan-t0": End(0.0, 60.0)}, late=20.0)
    assert stage.job("scan-t0").status is Status.COMPLETED


def test_e_a_stale_leader_changes_nothing() -> None:
    """E: an old leader wrote to a record that the new one had stamped but not touched."""

    async def trace(stage: Stage) -> None:
        old = await stage.leader("old")
        await stage.drop(2, 1)
        await stage.passes(old, 1)
        new = await stage.leader("new")
        before = stage.world.records()
        await asyncio.sleep(20)
        old.engine.news.setdefault(stage.batch.id, {})
        await old.batch_pass(stage.batch.id, None)
        assert stage.world.records() == before
        await old.full_pass()
        assert old.engine.epoch == 0, "it has noticed, and stepped down"
        await stage.until_over(new)

    perform(trace)


def test_e_epochs_only_grow() -> None:
    """E: a lock that was deleted began to count anew; the store's counter does not."""

    async def trace(stage: Stage) -> None:
        epochs = [(await stage.leader(name)).engine.epoch for name in ("one", "two", "one", "three")]
        assert epochs == sorted(set(epochs))

    perform(trace)


# ---------------------------------------------------------------- what the simulator found by itself


def test_a_finished_batch_keeps_its_result() -> None:
    """A pass that an event set off over a finished batch wrote its result over as failed."""

    async def trace(stage: Stage) -> None:
        daemon = await stage.leader()
        await stage.drop(1, 1)
        await stage.until_over(daemon)
        await daemon.batch_pass(stage.batch.id, None)

    assert perform(trace).batch.result is Result.COMPLETED


def test_what_is_being_deleted_keeps_no_name_occupied() -> None:
    """A stopped job succeeded while its delete was under way; it went, and a create of it landed late."""

    async def trace(stage: Stage) -> None:
        daemon = await stage.leader()
        await stage.drop(1, 1)
        stage.script.lines.append(("create", Fault.LATE))
        await stage.passes(daemon, 12)
        assert stage.job("scan-t0").status.active
        await stage.cancel("scan-t0")
        await stage.passes(daemon, 20)
        await asyncio.sleep(100)
        await stage.until_over(daemon)

    perform(trace, ends={"scan-t0": End(0.0, 12.0)}, late=80.0, deletion=15.0)


def test_a_wrong_clock_makes_nothing_look_old() -> None:
    """A leader an hour behind stamped what it claimed, and the next one reaped it at once."""

    async def trace(stage: Stage) -> None:
        old = await stage.leader("old")
        clock = old.engine.clock
        assert isinstance(clock, Process)
        clock.skew = -3600.0
        await stage.drop(1, 1)
        stage.script.lines += [("create", Fault.FAILED)] * 2
        await stage.passes(old, 1)
        new = await stage.leader("new")
        await stage.passes(new, 12)
        await stage.until_over(new)

    assert perform(trace, created_after=60.0).batch.result is Result.COMPLETED
