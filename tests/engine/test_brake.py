"""The systemic hold (S7b) and the ``resume`` that lifts it, at the same moment."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from unittest.mock import AsyncMock

import pytest

from controller import lifecycle, requests
from controller.core.adoption import LOOKING
from controller.core.model import BatchStatus, Counts, Hold, Result, Status, Verdict
from controller.ports import Unavailable
from controller.requests import Caller
from tests.fakes.memory_objects import End
from tests.simulation.explaining import drive
from tests.simulation.people import OWNER
from tests.simulation.stage import Stage, perform

FAILING = {f"scan-t{n}": End(0.0, 1.0, 1) for n in range(10)}


def about_to_be_held(stage: Stage, happens: Callable[[], object]) -> list[str]:
    """It happens right before the brake holds the batch, once; the hold, when it has."""
    store, real, held = stage.world.store, stage.world.store.replace_hold, list[str]()

    async def replace_hold(batch_id: str, before: str, after: str) -> bool:
        if after.startswith(Hold.SYSTEMIC_FAILURE.value) and not held:
            held.append(after)
            happens()
        return await real(batch_id, before, after)

    store.replace_hold = replace_hold  # type: ignore[method-assign]
    return held


def test_a_resume_has_the_last_word() -> None:
    """The batch was resumed between the count and the hold, and was held for what had been put right."""

    async def trace(stage: Stage) -> None:
        def resume() -> None:
            drive(requests.resume(stage.people, Caller(OWNER), stage.batch))

        held = about_to_be_held(stage, resume)
        daemon = await stage.leader()
        await stage.drop(12, 10)
        await stage.until_over(daemon)
        assert held
        assert not stage.gate.hold
        assert stage.batch.resumed

    perform(trace, ends=FAILING)


def test_a_resume_lifts_no_hold_that_it_has_not_seen() -> None:
    """A new leader had it held for active records without places, and they never got any."""

    async def trace(stage: Stage) -> None:
        await stage.drop(1, 1)
        store, real = stage.world.store, stage.world.store.replace_hold
        stage.set_gate(hold=(before := f"{Hold.SYSTEMIC_FAILURE.value}: all alike"))

        async def meanwhile(batch_id: str, seen: str, after: str) -> bool:
            store.replace_hold = real  # type: ignore[method-assign]
            await real(batch_id, before, LOOKING)
            return await real(batch_id, seen, after)

        store.replace_hold = meanwhile  # type: ignore[method-assign, assignment]
        await requests.resume(stage.people, Caller(OWNER), stage.batch)
        assert stage.gate.hold == LOOKING

    perform(trace)


def test_a_brake_puts_itself_in_no_other_holds_place() -> None:
    """Places that nobody has yet are looked for first; the failures are counted again after that."""

    async def trace(stage: Stage) -> None:
        held = about_to_be_held(stage, lambda: stage.set_gate(hold=LOOKING))
        daemon = await stage.leader()
        await stage.drop(12, 10)
        for _ in range(30):
            if not held:
                await daemon.full_pass()
                await asyncio.sleep(1)
        gates = [write.after.hold for write in stage.world.store.oplog if write.collection == "gates"]
        last = len(gates) - gates[::-1].index(LOOKING)
        assert held[0] not in gates[: last + 1], "its look came first"
        await stage.passes(daemon, 20)
        assert stage.gate.hold == held[0]
        await requests.resume(stage.people, Caller(OWNER), stage.batch)
        await stage.until_over(daemon)

    perform(trace, ends=FAILING)


def test_a_resume_of_a_batch_that_was_held_since_it_was_read() -> None:
    """Its hold was lifted, its tally went on: it was held again at once for what had been put right."""

    async def trace(stage: Stage) -> None:
        daemon = await stage.leader()
        await stage.drop(12, 10)
        read = stage.batch
        await stage.passes(daemon, 20)
        assert (read.status, stage.batch.status) == (BatchStatus.RUNNING, BatchStatus.HELD)
        await requests.resume(stage.people, Caller(OWNER), read)
        await stage.until_over(daemon)
        assert not stage.gate.hold

    perform(trace, ends=FAILING)


def test_a_count_that_has_drifted_holds_nothing() -> None:
    """The cached tally counted failures from before the resume, and the batch was held again at once."""

    async def trace(stage: Stage) -> None:
        daemon = await stage.leader()
        await stage.drop(2, 1)
        await stage.world.store.add_counts(stage.batch.id, Counts(first={Verdict.LOST: 10}))
        await stage.passes(daemon, 1)
        assert not stage.gate.hold
        await stage.until_over(daemon)

    perform(trace)


def test_a_batch_that_somebody_retries_after_its_end_is_not_held_for_what_they_knew() -> None:
    """All of it had failed alike before the brake could act; a retry of all of it was held at once (S7b)."""

    async def trace(stage: Stage) -> None:
        daemon = await stage.leader()
        await stage.drop(10, 10)
        await stage.until_over(daemon)
        assert stage.batch.status.closed
        failed = [stage.job(f"scan-t{n}") for n in range(10)]
        await requests.retry(stage.people, Caller(OWNER), [job.id for job in failed])
        await stage.until_over(daemon)
        assert not stage.gate.hold
        assert stage.batch.result is Result.COMPLETED

    perform(trace, ends=FAILING)


@pytest.mark.parametrize("seen_first", [True, False])
def test_a_batch_that_ended_while_it_was_held_goes_on_with_a_retry(
    monkeypatch: pytest.MonkeyPatch, *, seen_first: bool
) -> None:
    """What ran when it was held ended, and so did the batch: a retry opened it, held, and nothing started;
    whether whoever asked for the retry reopened it, or the daemon that saw it first."""

    async def trace(stage: Stage) -> None:
        daemon = await stage.leader()
        await stage.drop(12, 12)
        await stage.until_over(daemon)
        assert (stage.batch.status, bool(stage.gate.hold)) == (BatchStatus.FINISHED, True)
        failed = [stage.job(f"scan-t{n}").id for n in range(10)]
        with monkeypatch.context() as broken:
            if seen_first:
                broken.setattr(lifecycle, "reopen", AsyncMock(side_effect=Unavailable("gone")))
            with contextlib.suppress(Unavailable):
                await requests.retry(stage.people, Caller(OWNER), failed)
        await daemon.full_pass()
        assert stage.batch.status is BatchStatus.RUNNING, "jobs of it run"
        await stage.until_over(daemon)
        assert not stage.gate.hold
        assert stage.batch.result is Result.COMPLETED

    perform(trace, ends={**FAILING, "scan-t10": End(0.0, 30.0), "scan-t11": End(0.0, 40.0)})


def test_nor_where_the_daemon_sees_that_retry_before_its_batch_is_reopened(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Between the retry's record and the reopening the daemon may look, and reopens the batch itself."""

    async def trace(stage: Stage) -> None:
        daemon = await stage.leader()
        await stage.drop(10, 10)
        await stage.until_over(daemon)
        failed = [stage.job(f"scan-t{n}").id for n in range(10)]
        with monkeypatch.context() as broken:
            broken.setattr(lifecycle, "reopen", AsyncMock(side_effect=Unavailable("gone")))
            with contextlib.suppress(Unavailable):
                await requests.retry(stage.people, Caller(OWNER), failed)
        assert stage.batch.status.closed
        await stage.until_over(daemon)
        assert not stage.gate.hold
        assert stage.batch.result is Result.COMPLETED

    perform(trace, ends=FAILING)


def test_a_retry_within_an_open_batch_leaves_the_tally_alone() -> None:
    """The brake protects what has not begun: one retry by hand does not let it go."""

    async def trace(stage: Stage) -> None:
        daemon = await stage.leader()
        await stage.drop(11, 9)
        while len([job for job in stage.names() if stage.job(job).status is Status.ERROR]) < 9:
            await stage.passes(daemon, 1)
        await requests.retry(stage.people, Caller(OWNER), [stage.job("scan-t0").id])
        await stage.passes(daemon, 30)
        assert stage.gate.hold
        assert stage.batch.resumed is None

    perform(trace, ends={**FAILING, "scan-t10": End(0.0, 30.0, 1)})
