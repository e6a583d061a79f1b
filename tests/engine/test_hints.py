"""What a hint sets off: who need not wait for the next full pass does not."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace

from prometheus_client import CollectorRegistry

from controller import requests
from controller.core.model import BatchStatus, Counts, Status
from controller.core.sight import Hint, Observation
from controller.daemon import COMPANY, Daemon
from controller.ending import end_all
from controller.engine import Pacer
from controller.ports import Created, NewJob, Unavailable
from controller.requests import Caller
from controller.telemetry import Metrics
from controller.telemetry.journal import TelemetryJournal
from tests.engine.acting import drop
from tests.fakes.memory_objects import End
from tests.simulation.faults import Fault
from tests.simulation.people import OWNER
from tests.simulation.stage import Stage, perform

LONG = End(0.0, 10_000.0)
PENDING = End(1000.0, 10_000.0)
LATER = End(0.05, 10_000.0)


class Telling(TelemetryJournal):
    """Notes which passes there were, and no more of them."""

    def __init__(self, passes: list[str]) -> None:
        super().__init__(Metrics(CollectorRegistry()))
        self.passes = passes

    def passed(self, kind: str, result: str, seconds: float, steps: int) -> None:
        """Its kind alone."""
        self.passes.append(kind)


def hear(stage: Stage, daemon: Daemon, name: str) -> frozenset[str]:
    """The watch shows this object as it is now; the ids that a pass after it looks at."""
    job = stage.job(name)
    daemon._cluster_says(Hint(job.id, job.batch_id, stage.found(name)))
    return frozenset({job.id})


def test_a_cancel_reaches_what_has_run_for_long() -> None:
    """Nothing but the last list showed it: whoever cancelled it waited for the next full pass."""

    async def trace(stage: Stage) -> None:
        daemon = await stage.leader()
        await stage.drop(2, 1)
        await stage.passes(daemon, 20)
        following = asyncio.ensure_future(daemon.follow_events())
        await asyncio.sleep(1)
        assert stage.job("scan-t0").status is Status.RUNNING
        await stage.cancel("scan-t0")
        await asyncio.sleep(3)
        assert stage.job("scan-t0").status is Status.TERMINATED
        assert stage.job("scan-t1").status is Status.RUNNING
        await end_all([following])

    perform(trace, ends={"scan-t0": LONG, "scan-t1": LONG})


def test_a_batch_whose_last_waiting_job_a_person_withdraws_closes() -> None:
    """Nothing of it runs that would be news, and a withdrawal was none: it closed with the next full pass."""

    async def trace(stage: Stage) -> None:
        daemon = await stage.leader()
        await stage.drop(1, 1)
        await requests.pause(stage.people, Caller(OWNER), stage.batch)
        following = asyncio.ensure_future(daemon.follow_events())
        await asyncio.sleep(3)
        assert stage.job("scan-t0").status is Status.WAITING
        await stage.cancel("scan-t0")
        await asyncio.sleep(3)
        assert stage.batch.status is BatchStatus.FINISHED
        await end_all([following])

    perform(trace)


def test_an_end_that_is_half_told_is_looked_at_live() -> None:
    """News of it showed no pod: it took a look at everything. Its own tells the rest, and its verdict."""

    async def trace(stage: Stage) -> None:
        daemon = await stage.leader()
        await stage.drop(2, 2)
        await daemon.full_pass()
        await daemon.batch_pass(stage.batch.id, hear(stage, daemon, "scan-t0"))
        await asyncio.sleep(6)
        job, found, observed = stage.job("scan-t0"), stage.found("scan-t0"), []
        observe = stage.world.cluster.observe

        async def counted(namespaces: Sequence[str]) -> Observation:
            observed.append(namespaces)
            return await observe(namespaces)

        stage.world.cluster.observe = counted  # type: ignore[method-assign]
        assert found is not None
        assert found.finished
        told = replace(found, succeeded=False, exit_code=None, half_told=True)
        daemon._cluster_says(Hint(job.id, job.batch_id, told))
        batch_id, focus = await asyncio.wait_for(daemon.agenda.take(), 1)
        daemon.agenda.done(batch_id)
        daemon._cluster_says(Hint(job.id, job.batch_id, replace(told, half_told=False)))
        assert await asyncio.wait_for(daemon.agenda.take(), 1) == (batch_id, focus), "the rest of it is news"
        daemon.agenda.done(batch_id)
        daemon._cluster_says(Hint(job.id, job.batch_id, told))
        assert (batch_id, focus) == (stage.batch.id, frozenset({job.id}))
        await daemon.batch_pass(batch_id, focus)
        assert (stage.job("scan-t0").status, stage.job("scan-t0").exit_code) == (Status.COMPLETED, 0)
        assert not observed, "nothing but this job is looked at"
        await stage.until_over(daemon)

    perform(trace)


def test_what_a_look_for_another_batch_has_forgotten_is_seen() -> None:
    """The pass of one batch looked again, and forgot what the watch had shown of the other one."""

    async def trace(stage: Stage) -> None:
        daemon = await stage.leader()
        batches = [await drop(stage, name, 1, 1) for name in ("scan", "other")]
        await daemon.full_pass()
        await asyncio.sleep(6)
        named = [hear(stage, daemon, f"{batch.name}-t0") for batch in batches]
        assert daemon.engine.seen is not None
        daemon.engine.seen = replace(daemon.engine.seen, asked=-1000.0, asked_in={})
        for batch, focus in zip(batches, named, strict=True):
            await daemon.batch_pass(batch.id, focus)
        for batch in batches:
            assert stage.job(f"{batch.name}-t0").status is Status.COMPLETED, batch.name

    perform(trace)


def test_what_went_before_it_ran_gives_its_place_up() -> None:
    """It was cancelled while it was pending: no end of it is ever shown, only that it is there no more."""

    async def trace(stage: Stage) -> None:
        daemon = await stage.leader()
        await stage.drop(2, 1)
        following = asyncio.ensure_future(daemon.follow_events())
        await asyncio.sleep(1)
        assert stage.job("scan-t0").status is Status.QUEUED
        await stage.cancel("scan-t0")
        await asyncio.sleep(5)
        assert stage.job("scan-t0").status is Status.TERMINATED
        assert stage.job("scan-t1").status is Status.QUEUED
        await end_all([following])

    perform(trace, ends={"scan-t0": PENDING, "scan-t1": PENDING}, deletion=1.0)


def test_a_pass_that_waited_for_another_reads_its_records_again() -> None:
    """As it had read it, its object was yet to be accepted: that was refused, and its end was left alone."""

    async def trace(stage: Stage) -> None:
        daemon, create = await stage.leader(), stage.world.cluster.create

        async def slowly(job: NewJob) -> Created:
            answer = await create(job)
            await asyncio.sleep(8)
            return answer

        stage.world.cluster.create = slowly  # type: ignore[method-assign]
        await stage.drop(1, 1)
        full = asyncio.ensure_future(daemon.full_pass())
        await asyncio.sleep(7)
        assert stage.job("scan-t0").status is Status.CREATED
        await daemon.batch_pass(stage.batch.id, hear(stage, daemon, "scan-t0"))
        await full
        assert stage.job("scan-t0").status is Status.COMPLETED

    perform(trace)


def test_a_refused_write_has_its_record_read_again() -> None:
    """While a full pass looked, another pass accepted the object: the full pass left its end alone."""

    async def trace(stage: Stage) -> None:
        daemon, observe, seconds = await stage.leader(), stage.world.cluster.observe, [0, 4]

        async def later(namespaces: Sequence[str]) -> Observation:
            await asyncio.sleep(seconds.pop(0))
            return await observe(namespaces)

        stage.world.cluster.observe = later  # type: ignore[method-assign]
        await stage.drop(1, 1)
        stage.script.lines.append(("create", Fault.REPLY_LOST))
        await daemon.full_pass()
        assert stage.job("scan-t0").status is Status.CREATED
        full = asyncio.ensure_future(daemon.full_pass())
        await asyncio.sleep(1)
        await daemon.batch_pass(stage.batch.id, hear(stage, daemon, "scan-t0"))
        assert stage.job("scan-t0").status is Status.RUNNING
        await full
        assert stage.job("scan-t0").status is Status.COMPLETED

    perform(trace, ends={"scan-t0": End(0.0, 3.0)})


def test_an_object_that_was_shown_before_its_create_failed_is_news() -> None:
    """Its create has no answer: what the watch has shown meanwhile tells that it is there."""
    asked: list[str] = []

    async def trace(stage: Stage) -> None:
        daemon, create = await stage.leader(), stage.world.cluster.create

        async def slowly(job: NewJob) -> Created:
            answer = await create(job)
            asked.append(job.name)
            if job.name == "scan-t1":
                await asyncio.sleep(2)
                raise Unavailable("no answer")
            return answer

        stage.world.cluster.create = slowly  # type: ignore[method-assign]
        await stage.drop(2, 1)
        await daemon.full_pass()
        following = asyncio.ensure_future(daemon.follow_events())
        await asyncio.sleep(9)
        assert asked == ["scan-t0", "scan-t1"]
        assert stage.job("scan-t1").status is Status.QUEUED
        await end_all([following])

    perform(trace, ends={"scan-t1": PENDING})


def test_an_object_that_is_to_go_is_news() -> None:
    """Its job was cancelled before the watch had shown it: as soon as it is seen it goes."""

    async def trace(stage: Stage) -> None:
        daemon = await stage.leader()
        await stage.drop(1, 1)
        await daemon.full_pass()
        await stage.cancel("scan-t0")
        await daemon.batch_pass(stage.batch.id, None)
        hear(stage, daemon, "scan-t0")
        keeping_time = asyncio.ensure_future(daemon._keep_time())
        await asyncio.wait_for(daemon.agenda.take(), 1)
        await end_all([keeping_time])
        await stage.until_over(daemon)

    perform(trace, ends={"scan-t0": PENDING})


def test_starts_share_a_pass_and_an_end_takes_them_along() -> None:
    """Each object that was there, and each that ran, had a pass of its own, which an end had to wait for."""
    passes: list[str] = []

    async def trace(stage: Stage) -> None:
        daemon = await stage.leader()
        await stage.drop(12, 12)
        await daemon.full_pass()
        daemon.engine.journal = Telling(passes)
        following = asyncio.ensure_future(daemon.follow_events())
        await asyncio.sleep(COMPANY / 2)
        assert passes == ["full"]
        await asyncio.sleep(COMPANY)
        running = [stage.job(f"scan-t{n}").status is Status.RUNNING for n in range(12)]
        assert running.count(True) >= 8, "some events are lost"
        assert passes == ["full", "batch"]
        await end_all([following])

    perform(trace, ends={f"scan-t{n}": LATER for n in range(12)})


def test_a_batch_that_rests_asks_for_no_pass_after_another() -> None:
    """When the next submission might go out was not counted anew while it rested: it always was at once."""
    passes: list[str] = []

    async def trace(stage: Stage) -> None:
        daemon = await stage.leader()
        engine = daemon.engine
        engine.journal, engine.pacer = Telling(passes), Pacer(10.0, 2)
        await stage.drop(4, 4)
        following = asyncio.ensure_future(daemon.follow_events())
        await asyncio.sleep(0.05)
        for _ in range(8):
            engine.sick.fell_ill(f"batch:{stage.batch.id}", engine.clock.monotonic(), "")
        passes.clear()
        await asyncio.sleep(30)
        assert len(passes) < 10
        await end_all([following])

    perform(trace, ends={f"scan-t{n}": PENDING for n in range(4)})


def test_a_retry_that_falls_due_as_a_pass_ends_is_not_left_to_the_next_full_pass() -> None:
    """After its last look at the line, before it asked what falls due later: it was neither."""

    async def trace(stage: Stage) -> None:
        daemon, flush, seconds = await stage.leader(), stage.world.store.add_counts, [0]

        async def slowly(batch_id: str, delta: Counts) -> None:
            await asyncio.sleep(seconds[0])
            await flush(batch_id, delta)

        stage.world.store.add_counts = slowly  # type: ignore[method-assign]
        following = asyncio.ensure_future(daemon.follow_events())
        await stage.drop(2, 2)
        await asyncio.sleep(30)
        await daemon.full_pass()
        seconds[0] = 1
        await asyncio.sleep(8)
        assert stage.job("scan-t0-r1").status is Status.QUEUED
        assert stage.job("scan-t1-r1").status is Status.QUEUED
        await end_all([following])

    fails = {"scan-t0": End(0.0, 4.0, 2), "scan-t1": End(0.0, 4.5, 2)}
    perform(trace, ends=fails | {"scan-t0-r1": PENDING, "scan-t1-r1": PENDING})


def test_who_comes_late_in_a_long_pass_is_looked_at_again() -> None:
    """The first batch's creates took longer than a list is good for: in no full pass did the other begin."""

    async def trace(stage: Stage) -> None:
        daemon, create = await stage.leader(), stage.world.cluster.create

        async def slowly(job: NewJob) -> Created:
            await asyncio.sleep(20 if job.name.startswith("scan") else 0)
            return await create(job)

        stage.world.cluster.create = slowly  # type: ignore[method-assign]
        for name in ("scan", "other"):
            await drop(stage, name, 1, 1)
        await requests.halt(stage.people, Caller(OWNER, admin=True), "submissions", "not yet")
        await daemon.full_pass()
        await requests.unhalt(stage.people, Caller(OWNER, admin=True), "submissions")
        following = asyncio.ensure_future(daemon.follow_events())
        await asyncio.sleep(24)
        assert stage.job("other-t0").status is not Status.WAITING
        await end_all([following])

    perform(trace)


def test_an_end_that_is_half_told_before_the_create_was_answered() -> None:
    """Its record was brought to queued, and kept its place until the next full pass."""

    async def trace(stage: Stage) -> None:
        daemon = await stage.leader()
        await stage.drop(1, 1)
        stage.script.lines.append(("create", Fault.REPLY_LOST))
        await daemon.full_pass()
        await asyncio.sleep(6)
        job, found = stage.job("scan-t0"), stage.found("scan-t0")
        assert found is not None
        assert (job.status, found.finished) == (Status.CREATED, True)
        daemon._cluster_says(Hint(job.id, job.batch_id, replace(found, half_told=True)))
        await daemon.batch_pass(job.batch_id, frozenset({job.id}))
        assert stage.job("scan-t0").status is Status.COMPLETED
        await stage.until_over(daemon)

    perform(trace)
