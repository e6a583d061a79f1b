"""How attempts end: what was seen of them counts, whatever else was ordered meanwhile."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from functools import partial

from controller.core.model import BatchStatus, Status, Verdict
from controller.ending import end_all
from controller.ports import Rejected, Unavailable
from tests.engine.acting import asked_digests, drop, refusing
from tests.fakes.memory_objects import End
from tests.simulation.faults import Fault
from tests.simulation.stage import Stage, perform


def test_success_beside_a_stop_and_an_open_create_is_kept() -> None:
    """A cancelled job succeeded; its object had to go before the burial, and its success went with it."""

    async def trace(stage: Stage) -> None:
        daemon = await stage.leader()
        await stage.drop(1, 1)
        stage.script.lines.append(("create", Fault.LATE))
        await stage.passes(daemon, 12)
        await asyncio.sleep(10)
        await stage.cancel("scan-t0")
        await stage.passes(daemon, 30)
        await asyncio.sleep(100)
        await stage.until_over(daemon)

    stage = perform(trace, ends={"scan-t0": End(0.0, 8.0)}, late=80.0)
    job = stage.job("scan-t0")
    assert (job.status, job.verdict, job.exit_code) == (Status.COMPLETED, Verdict.SUCCEEDED, 0)
    assert job.tombstone, "the create that was open has found the name buried"


SAID = End(0.0, 2.0, log="saved 7 rows")


def test_the_next_one_goes_before_the_log_is_kept() -> None:
    """A success frees its place for the next create; only then its log is read, and only then it may go."""

    async def trace(stage: Stage) -> None:
        daemon = await stage.leader()
        await stage.drop(2, 1)
        await daemon.full_pass()
        await asyncio.sleep(5)
        order: list[str] = []
        for call in ("claim", "create", "log_tail", "expire"):
            stage.script.lines.append((call, partial(order.append, call)))
        await daemon.full_pass()
        assert order == ["claim", "create", "log_tail", "expire"]
        assert stage.job("scan-t0").evidence.log_tail == SAID.log
        assert {holder.job for holder in stage.gate.holders} == {stage.job("scan-t1").id}
        await stage.until_over(daemon)

    perform(trace, ends={"scan-t0": SAID})


def test_a_log_that_was_not_kept_before_a_crash_is_kept_after_it() -> None:
    """The record is complete and the process dies: the object stays until the next one has read its log."""

    async def trace(stage: Stage) -> None:
        daemon = await stage.leader()
        await stage.drop(2, 1)
        await daemon.full_pass()
        await asyncio.sleep(5)
        stage.script.lines.append(("log_tail", Fault.FAILED))
        await daemon.full_pass()
        job, found = stage.job("scan-t0"), stage.found("scan-t0")
        assert (job.status, job.evidence.log_tail) == (Status.COMPLETED, "")
        assert found is not None
        assert not found.expiring
        other = await stage.leader("two")
        await other.full_pass()
        assert stage.job("scan-t0").evidence.log_tail == SAID.log
        await stage.until_over(other)

    perform(trace, ends={"scan-t0": SAID})


def test_a_batch_closes_after_its_last_object_may_go() -> None:
    """Nobody looks at a closed batch again: while the cluster can't be reached it stays open."""

    async def trace(stage: Stage) -> None:
        daemon = await stage.leader()
        await stage.drop(1, 1)
        await daemon.full_pass()
        await asyncio.sleep(5)
        away = [True]
        for call in ("expire", "get"):
            refusing(stage, "cluster", call, Unavailable("no answer"), lambda *_: bool(away))
        await daemon.full_pass()
        assert stage.job("scan-t0").status is Status.COMPLETED
        assert not stage.batch.status.closed
        away.clear()
        await daemon.full_pass()
        found = stage.found("scan-t0")
        assert found is None or found.expiring
        assert stage.batch.status is BatchStatus.FINISHED
        await stage.until_over(daemon)

    perform(trace, ends={"scan-t0": SAID})


def test_a_batch_waits_for_an_object_whose_expiry_had_no_answer() -> None:
    """One request was lost while all else was answered: the batch closed, and the object stayed for ever."""

    async def trace(stage: Stage) -> None:
        daemon = await stage.leader()
        await stage.drop(1, 1)
        stage.script.lines.append(("expire", Fault.FAILED))
        await stage.passes(daemon, 60)
        assert stage.batch.status is BatchStatus.FINISHED
        assert stage.found("scan-t0") is None

    perform(trace, ends={"scan-t0": SAID})


def test_an_expiry_that_fails_beside_the_pass_that_closes_the_batch_is_not_forgotten() -> None:
    """It was asked for between two passes, and no list shows it before the second one closes the batch."""
    failed: list[str] = []

    async def trace(stage: Stage) -> None:
        daemon, expire = await stage.leader(), stage.world.cluster.expire

        async def slowly(namespace: str, name: str, uid: str, ttl: timedelta) -> None:
            await asyncio.sleep(2)
            if not failed:
                failed.append(name)
                raise Unavailable("no answer")
            await expire(namespace, name, uid, ttl)

        stage.world.cluster.expire = slowly  # type: ignore[method-assign]
        following = asyncio.ensure_future(daemon.follow_events())
        await stage.drop(2, 2)
        await asyncio.sleep(9)
        assert failed == ["scan-t0"]
        assert stage.batch.status is BatchStatus.FINISHED
        found = stage.found("scan-t0")
        assert found is not None
        assert found.expiring
        await end_all([following])

    perform(trace, ends={"scan-t0": SAID, "scan-t1": End(0.0, 3.0)})


def test_an_object_that_never_answers_does_not_hold_its_batch_open() -> None:
    """A webhook fails for one object, whenever it is asked: its batch ends all the same."""

    async def trace(stage: Stage) -> None:
        daemon = await stage.leader()
        await stage.drop(1, 1)
        refusing(stage, "cluster", "expire", Unavailable("500 failed calling webhook"), lambda *_: True)
        await stage.passes(daemon, 30)
        assert stage.batch.status is BatchStatus.FINISHED

    perform(trace, ends={"scan-t0": SAID})


def test_one_object_that_may_not_expire_does_not_hold_its_batch_open() -> None:
    """A webhook refuses one patch for good: the results stand, and the batch ends."""

    async def trace(stage: Stage) -> None:
        daemon = await stage.leader()
        await drop(stage, "scan", 1, 1)
        refusing(stage, "cluster", "expire", Rejected("a webhook says no", 403), lambda *_: True)
        await daemon.full_pass()
        await asyncio.sleep(5)
        await daemon.full_pass()
        assert stage.batch.status is BatchStatus.FINISHED
        assert any("a webhook says no" in line for line in stage.world.trouble), "it is told, once"
        stage.world.trouble.clear()

    perform(trace, ends={"scan-t0": SAID})


def test_a_retry_runs_the_very_image_of_an_attempt_that_was_never_seen_to_run() -> None:
    """It failed before anybody looked: what image it had run was not kept, and its retry ran what the tag
    meant by then."""

    async def trace(stage: Stage) -> None:
        daemon = await stage.leader()
        asked = asked_digests(stage)
        await stage.drop(1, 1)
        await stage.until_over(daemon)
        assert stage.job("scan-t0").running is None
        assert stage.job("scan-t0").image_digest == "sha256:1"
        assert asked == ["", "sha256:1"]

    perform(trace, ends={"scan-t0": End(0.0, 1.0, 2, image_digest="sha256:1")})
