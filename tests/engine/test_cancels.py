"""Races around the cancel of a batch: it ends what it was meant for, all of that, and nothing else."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from controller import intake, lifecycle, requests
from controller.adapters.system_clock import SystemClock
from controller.core.change import Change
from controller.core.model import (
    Batch,
    BatchStatus,
    ForeignKind,
    Origin,
    Result,
    Status,
    Stop,
    TerminatedCode,
)
from controller.core.sight import Observation
from controller.daemon import Daemon
from controller.ports import NewJob, Rejected
from controller.requests import Caller
from controller.surroundings import _look_again
from tests.engine.acting import batch_named, drop, records
from tests.fakes.memory_objects import End
from tests.simulation.explaining import drive
from tests.simulation.faults import Fault
from tests.simulation.people import OWNER, spec_of
from tests.simulation.scenario import BatchPlan
from tests.simulation.stage import Stage, perform

FAILS = End(0.0, 1.0, 1)
LONG = End(0.0, 10_000.0)
ME = Caller(OWNER)


def _order(stage: Stage) -> Stop:
    return Stop("not needed", OWNER, stage.world.clock.now(), TerminatedCode.BATCH_ABORT)


def test_a_batch_that_finished_is_not_made_a_cancelled_one() -> None:
    """A cancel came in the instant in which the batch finished, and its result was written over."""

    async def trace(stage: Stage) -> None:
        daemon = await stage.leader()
        batch = await drop(stage, "scan", 1, 1)
        await stage.until_over(daemon)
        stage.set_gate(cancel=_order(stage))
        await daemon.batch_pass(batch.id, None)
        assert stage.batch.status is BatchStatus.FINISHED
        assert stage.batch.result is Result.COMPLETED

    perform(trace)


def test_a_cancel_that_was_not_lifted_ends_no_later_retry() -> None:
    """A crash left the cancel on a cancelled batch's gate; the retry that reopened it was withdrawn."""

    async def trace(stage: Stage) -> None:
        daemon = await stage.leader()
        batch = await drop(stage, "scan", 2, 2)
        await stage.passes(daemon, 10)
        await requests.cancel_batch(stage.people, ME, stage.batch, "not needed")
        await stage.passes(daemon, 1)
        stage.script.lines.append(("lift_cancel", Fault.FAILED))
        await daemon.full_pass()
        assert stage.batch.status is BatchStatus.CANCELLED
        assert stage.gate.cancel
        stage.ends["scan-t0-r1"] = End(0.0, 1.0)
        stage.script.lines.clear()
        (answer,) = await _retry_with_a_pass_inside(stage, daemon)
        assert not answer.error
        await stage.until_over(daemon)
        assert stage.job("scan-t0-r1").status is Status.COMPLETED, batch.name

    perform(trace, ends={"scan-t0": FAILS, "scan-t1": LONG})


async def _retry_with_a_pass_inside(stage: Stage, daemon: object) -> list[requests.Answer]:
    """A retry, between whose first write and the next the leader has a pass."""
    store = stage.world.store
    real = store.list_children

    async def with_a_pass(batch_id: str, ids: object) -> None:
        store.list_children = real  # type: ignore[method-assign]
        await daemon.batch_pass(batch_id, None)  # type: ignore[attr-defined]
        await real(batch_id, ids)  # type: ignore[arg-type]

    store.list_children = with_a_pass  # type: ignore[method-assign]
    return await requests.retry(stage.people, ME, [stage.job("scan-t0").id])


def test_reopening_lifts_no_later_cancel() -> None:
    """Two retries reopened a batch; a cancel between them was lifted by the second, and forgotten."""

    async def trace(stage: Stage) -> None:
        daemon = await stage.leader()
        await drop(stage, "scan", 1, 1)
        await stage.until_over(daemon)
        store = stage.world.store
        real, link = store.batch, store.list_retries

        async def linked(by_root: Mapping[str, Sequence[str]]) -> None:
            await link(by_root)
            store.batch = overtaken  # type: ignore[method-assign,assignment]

        async def overtaken(batch_id: str) -> object:
            store.batch = real  # type: ignore[method-assign]
            found = await real(batch_id)
            assert await lifecycle.reopen(store, batch_id)
            stage.set_gate(cancel=_order(stage))
            return found

        store.list_retries = linked  # type: ignore[method-assign,assignment]
        await stage.retry("scan-t0")
        assert store.batch == real, "the other one came in between"
        assert stage.gate.cancel, "the later cancel stands"
        await stage.until_over(daemon)

    perform(trace, ends={"scan-t0": End(0.0, 5.0, 1)})


def test_a_cancel_read_long_ago_ends_no_later_retry() -> None:
    """A pass read the gate's cancel and had to wait; when it came on, the batch had been reopened."""

    async def trace(stage: Stage) -> None:
        daemon = await stage.leader()
        batch = await drop(stage, "scan", 2, 2)
        await stage.passes(daemon, 10)
        await requests.cancel_batch(stage.people, ME, stage.batch, "not needed")
        lock = daemon.engine.locks[batch.id]
        await lock.acquire()
        late = asyncio.ensure_future(daemon.batch_pass(batch.id, None))
        await asyncio.sleep(1)
        other = await stage.leader("two")  # finishes the cancel meanwhile
        await stage.passes(other, 10)
        assert stage.batch.status is BatchStatus.CANCELLED
        (answer,) = await requests.retry(stage.people, ME, [stage.job("scan-t0").id])
        assert not answer.error
        lock.release()
        await late
        assert stage.job("scan-t0-r1").status is not Status.TERMINATED
        await stage.until_over(other)

    perform(trace, ends={"scan-t0": FAILS, "scan-t1": LONG})


def test_a_cancelled_batch_owes_no_retry() -> None:
    """What a stale leader may still record as a retry of a cancelled batch is forbidden beforehand (R8)."""

    async def trace(stage: Stage) -> None:
        daemon = await stage.leader()
        batch = await drop(stage, "scan", 1, 1)
        await daemon.full_pass()
        await asyncio.sleep(5)

        def cancel() -> None:
            drive(requests.cancel_batch(stage.people, ME, stage.batch, "not needed"))

        stage.script.lines.append(("log_tail", cancel))  # it has ended, and is about to be recorded so
        await stage.passes(daemon, 10)
        assert stage.job("scan-t0").no_retry
        assert batch_named(stage, "scan").status is BatchStatus.CANCELLED, batch.name
        assert all(job.origin is not Origin.AUTO for job in records(stage, batch))

    perform(trace, ends={"scan-t0": End(0.0, 2.0, 2)})


def test_a_cancel_while_a_create_is_refused_leaves_no_retry() -> None:
    """The pass went on by the gate that its claim had answered: a retry by a rule was recorded."""

    async def trace(stage: Stage) -> None:
        daemon, cluster = await stage.leader(), stage.world.cluster
        backoff = {"base": "1s", "factor": 2.0, "max": "1m"}
        rule = {"on": {"verdict": ["rejected"]}, "limit": 2, "when": "now", "backoff": backoff}

        async def refused(job: NewJob) -> None:
            await requests.cancel_batch(stage.people, ME, stage.batch, "not needed")
            raise Rejected("a webhook's word", 403)

        cluster.create = refused  # type: ignore[method-assign,assignment]
        await drop(stage, "scan", 1, 1, retry=(rule,))
        await stage.passes(daemon, 60)
        assert stage.names() == ["scan-t0"]
        assert stage.job("scan-t0").no_retry
        assert stage.batch.status is BatchStatus.CANCELLED

    perform(trace)


def test_a_batch_that_was_never_recorded_completely_can_be_cancelled() -> None:
    """Its spec's file was gone, or its names were taken: it was expanding for ever, cancelled or not."""

    async def trace(stage: Stage) -> None:
        daemon = await stage.leader()
        await _half_recorded(stage)
        await stage.passes(daemon, 30)
        assert not stage.batch.status.closed
        await requests.cancel_batch(stage.people, ME, stage.batch, "its file is gone")
        await stage.passes(daemon, 120)
        assert stage.batch.status is BatchStatus.CANCELLED
        assert [job.status for job in stage.world.records()] == [Status.TERMINATED] * 2

    perform(trace)


def test_a_batch_that_is_cancelled_while_it_is_recorded_ends_whole() -> None:
    """A cancel that comes while the tasks are being recorded ends those that come after it, too."""

    async def trace(stage: Stage) -> None:
        daemon = await stage.leader()
        spec = spec_of(BatchPlan("scan", 3, 1), stage.world.scenario)
        _, store = stage.world.ports(daemon.engine.clock)  # type: ignore[arg-type]

        def cancel() -> None:
            drive(requests.cancel_batch(stage.people, ME, stage.batch, "a mistake"))

        stage.script.lines.append(("add_jobs", cancel))
        await intake.accept(store, spec, source="scan.yaml")
        await stage.passes(daemon, 120)
        assert stage.batch.status is BatchStatus.CANCELLED
        assert {job.status for job in stage.world.records()} == {Status.TERMINATED}
        assert not stage.world.cluster.history

    perform(trace)


class Astray(SystemClock):
    """A machine whose clock is wrong by so much."""

    def __init__(self, stage: Stage, wrong: timedelta) -> None:
        self._stage, self._wrong = stage, wrong

    def now(self) -> datetime:
        """As it says."""
        return self._stage.world.clock.now() + self._wrong


@pytest.mark.parametrize("wrong", [timedelta(minutes=-5), timedelta(hours=5)])
def test_a_cancel_goes_by_no_clock_of_whoever_asks(wrong: timedelta) -> None:
    """Behind: a batch that was being recorded was closed at once, and what came then ran; ahead: never."""

    async def trace(stage: Stage) -> None:
        daemon = await stage.leader()
        await _half_recorded(stage)
        people = replace(stage.people, clock=Astray(stage, wrong))
        await requests.cancel_batch(people, ME, stage.batch, "a mistake")
        await stage.passes(daemon, 30)
        statuses = [stage.batch.status]
        await stage.passes(daemon, 60)
        assert [*statuses, stage.batch.status] == [BatchStatus.EXPANDING, BatchStatus.CANCELLED]

    perform(trace)


def test_nothing_is_recorded_in_a_batch_that_was_cancelled_meanwhile() -> None:
    """Whoever recorded its tasks stood still for longer than a cancel waits, went on, and all of it ran."""

    async def trace(stage: Stage) -> None:
        daemon = await stage.leader()
        await _half_recorded(stage)
        batch, spec = stage.batch, spec_of(BatchPlan("scan", 3, 1), stage.world.scenario)
        await requests.cancel_batch(stage.people, ME, batch, "a mistake")
        await stage.passes(daemon, 120)
        assert stage.gate.cancel is None
        (why,) = await intake.expand(stage.world.store, batch, spec)
        assert "was cancelled" in why
        await stage.passes(daemon, 30)
        assert stage.batch.status is BatchStatus.CANCELLED
        assert [job.status for job in stage.world.records()] == [Status.TERMINATED] * 2

    perform(trace)


async def _half_recorded(stage: Stage) -> None:
    """A batch whose intake died after two of three tasks."""
    spec = spec_of(BatchPlan("scan", 3, 1), stage.world.scenario)
    store, now = stage.world.store, stage.world.clock.now()
    batch, gate = intake._new(store, spec, "scan.yaml", now - timedelta(minutes=5))
    await store.add_batch(batch, gate)
    await store.add_jobs(list(intake._roots(store, batch, spec, spec.tasks[:2], now)))
    stage.world.recorder.catch_up()


def test_a_full_pass_that_read_its_records_long_ago_reopens_nothing() -> None:
    """It had read the batch's job as active; while it listed the cluster, another pass ended the job and
    closed the cancelled batch. The batch was opened again, and finished."""

    async def trace(stage: Stage) -> None:
        daemon = await stage.leader()
        await stage.drop(1, 1)
        while stage.job("scan-t0").status is not Status.RUNNING:
            await stage.passes(daemon, 1, every=0.5)
        await requests.cancel_batch(stage.people, ME, stage.batch, "not needed")
        look, engine = daemon.engine.cluster.observe, daemon.engine
        engine.settings = replace(engine.settings, interval=timedelta(hours=1))  # it waits for its list

        async def observe(namespaces: Sequence[str]) -> Observation:
            engine.cluster.observe = look  # type: ignore[method-assign]
            seen = await look(namespaces)
            other = stage.controller("two")
            await other.lead("two")
            while not stage.batch.status.closed:
                await stage.passes(other, 1)
            return seen

        engine.cluster.observe = observe  # type: ignore[method-assign]
        await daemon.full_pass()
        assert stage.batch.status is BatchStatus.CANCELLED

    perform(trace, ends={"scan-t0": End(0.0, 400.0, 0)})


def test_what_waits_in_a_cancelled_batch_is_withdrawn_together() -> None:
    """One after the other, thousands kept the stops of what ran waiting for a minute."""
    together: list[int] = []

    async def trace(stage: Stage) -> None:
        daemon, changes = await stage.leader(), stage.world.store.changes_many

        async def counted(changes_: Sequence[Change], epoch: int | None = None) -> Sequence[object]:
            together.append(len(changes_))
            return await changes(changes_, epoch)

        stage.world.store.changes_many = counted  # type: ignore[assignment,method-assign]
        await stage.drop(251, 1)
        await daemon.full_pass()
        await requests.cancel_batch(stage.people, ME, stage.batch, "not needed")
        await daemon.full_pass()
        assert together == [100, 100, 50]
        await stage.until_over(daemon)

    perform(trace)


async def _set_back(stage: Stage, daemon: Daemon) -> Batch:
    """A paused batch whose one record waits, though its object runs: restored from before its claim."""
    batch = await drop(stage, "scan", 1, 1)
    stage.set_gate(paused=True)
    await stage.passes(daemon, 1)
    job = stage.job("scan-t0")
    stage.world.recorder.orphans.add(job.id)
    new = NewJob("scan-t0", "lab", "scan", batch.id, job.task_id, 0, job.id, job.job_input)
    stage.world.cluster.restore(new)
    return batch


def test_a_cancelled_batch_leaves_no_object_of_a_record_that_was_set_back() -> None:
    """To its record it had never been asked for: that was withdrawn, and the batch closed over a live job."""

    async def trace(stage: Stage) -> None:
        daemon = await stage.leader()
        batch = await _set_back(stage, daemon)
        await daemon.full_pass()
        assert [thing.cause for thing in stage.gate.foreign] == [ForeignKind.ORPHAN]
        await requests.cancel_batch(stage.people, ME, stage.batch, "not needed")
        await daemon.batch_pass(batch.id, None)
        assert stage.batch.status is BatchStatus.CANCELLED
        assert stage.found("scan-t0") is None

    perform(trace, ends={"scan-t0": LONG})


def test_a_batch_does_not_end_over_what_its_last_list_shows() -> None:
    """A pass after the event of another job looked away, and closed the batch over a live one."""

    async def trace(stage: Stage) -> None:
        daemon = await stage.leader()
        batch = await _set_back(stage, daemon)
        await _look_again(daemon.engine, batch)
        await requests.cancel_batch(stage.people, ME, stage.batch, "not needed")
        await daemon.batch_pass(batch.id, frozenset({"another"}))
        assert stage.batch.status is BatchStatus.CANCELLED
        assert stage.found("scan-t0") is None

    perform(trace, ends={"scan-t0": LONG})


def test_a_batch_that_is_being_cancelled_is_not_paused() -> None:
    """It said that active jobs go on, while they were being stopped; and a retry later found it paused."""

    async def trace(stage: Stage) -> None:
        daemon = await stage.leader()
        await stage.drop(2, 1)
        await stage.passes(daemon, 10)
        await requests.cancel_batch(stage.people, ME, stage.batch, "not needed")
        with pytest.raises(
            requests.Refused, match="is being cancelled by local:alice: active jobs are stopped"
        ):
            await requests.pause(stage.people, ME, stage.batch)
        assert not stage.gate.paused
        await stage.until_over(daemon)

    perform(trace, ends={"scan-t0": LONG})
