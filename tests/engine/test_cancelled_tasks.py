"""What people cancel, and hurry, of one task: they are told what comes of it, whichever attempt they name."""

from __future__ import annotations

import pytest

from controller import requests
from controller.core.model import Status
from controller.requests import Caller
from tests.engine.acting import drop
from tests.fakes.memory_objects import End
from tests.simulation.people import OWNER
from tests.simulation.stage import Stage, perform

ME = Caller(OWNER)
FAILS = End(0.0, 1.0, 2)


async def _cancelled(stage: Stage, name: str, *, dry_run: bool = False) -> requests.Answer:
    ids = [stage.job(name).id]
    (answer,) = await requests.cancel_jobs(stage.people, ME, ids, "not needed", dry_run=dry_run)
    return answer


@pytest.mark.parametrize("dry_run", [True, False])
def test_who_cancels_an_attempt_whose_retry_runs_is_told_of_that(dry_run: bool) -> None:
    """It said that the task would not be retried; its retry ran, failed, and was retried once more."""

    async def trace(stage: Stage) -> None:
        daemon = await stage.leader()
        await drop(stage, "scan", 1, 1)
        while "scan-t0-r1" not in stage.names() or stage.job("scan-t0-r1").status is not Status.RUNNING:
            await stage.passes(daemon, 1)
        answer = await _cancelled(stage, "scan-t0", dry_run=dry_run)
        retry = stage.job("scan-t0-r1")
        assert (answer.did, answer.stage) == ("", "preflight")
        assert answer.error == (
            f"scan-t0 has ended and was retried: scan-t0-r1 ({retry.id}) is running: cancel that one"
        )
        assert not stage.job("scan-t0").no_retry
        assert not (await _cancelled(stage, "scan-t0-r1")).error
        await stage.until_over(daemon)
        assert stage.names() == ["scan-t0", "scan-t0-r1"]

    perform(trace, ends={"scan-t0": FAILS, "scan-t0-r1": End(0.0, 100.0, 2)})


def test_who_cancels_an_attempt_that_was_retried_long_ago_is_told_what_came_of_it() -> None:
    """The retry had succeeded, or its own retry is next: that it would not be retried was no answer."""

    async def trace(stage: Stage) -> None:
        daemon = await stage.leader()
        await drop(stage, "scan", 2, 2)
        while "scan-t1-r2" not in stage.names():
            await stage.passes(daemon, 1, every=0.5)
        first, other = await _cancelled(stage, "scan-t0"), await _cancelled(stage, "scan-t1")
        assert "scan-t0-r1" in first.error
        assert first.error.endswith("is completed: there is nothing to cancel")
        assert "scan-t1-r2" in other.error
        assert other.error.endswith("is waiting: cancel that one")
        assert not (await _cancelled(stage, "scan-t1-r1")).error, "the retry of this very one still waits"
        await stage.until_over(daemon)
        assert stage.job("scan-t1-r2").status is Status.TERMINATED

    ends = dict.fromkeys(("scan-t0", "scan-t1", "scan-t1-r1"), FAILS)
    perform(trace, ends=ends | {"scan-t0-r1": End(0.0, 0.5)})


def test_a_retry_that_was_asked_for_outlives_the_cancel_of_what_it_mends() -> None:
    """A person's retry waits: no cancel of the attempt before it withdraws that, and none says so."""

    async def trace(stage: Stage) -> None:
        daemon = await stage.leader()
        await drop(stage, "scan", 2, 1)
        await stage.passes(daemon, 10)
        assert not (await stage.retry("scan-t0")).error
        answer = await _cancelled(stage, "scan-t0")
        assert answer.error.endswith("is waiting: cancel that one")
        await stage.until_over(daemon)
        assert stage.job("scan-t0-r1").status is Status.COMPLETED

    perform(trace, ends={"scan-t0": End(0.0, 1.0, 1), "scan-t1": End(0.0, 60.0)})


@pytest.mark.parametrize("dry_run", [True, False])
def test_a_retry_whose_task_was_cancelled_is_not_hurried(dry_run: bool) -> None:
    """``retry --now`` said that it starts with the next free place, and it was withdrawn instead."""

    async def trace(stage: Stage) -> None:
        daemon = await stage.leader()
        await drop(stage, "scan", 1, 1)
        await stage.passes(daemon, 10)
        ids = [stage.job("scan-t0").id]
        assert (await _cancelled(stage, "scan-t0")).did.endswith("will not be retried automatically")
        for ask in (requests.hurry, requests.retry_or_hurry):
            (answer,) = await ask(stage.people, ME, ids, dry_run=dry_run)
            assert (answer.did, answer.stage) == ("", "preflight")
            assert "is withdrawn when its turn comes, for its task was cancelled" in answer.error
        assert (await stage.retry("scan-t0")).error == answer.error
        assert stage.job("scan-t0-r1").not_before
        assert not (await _cancelled(stage, "scan-t0-r1")).error
        assert not (await stage.retry("scan-t0")).error
        await stage.until_over(daemon)
        assert stage.job("scan-t0-r2").status is Status.COMPLETED

    perform(trace, ends={"scan-t0": FAILS})
