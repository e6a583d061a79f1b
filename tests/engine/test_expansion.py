"""Batches whose recording was broken off."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import pytest

from controller import intake, requests
from controller.core.model import Attempt, BatchStatus, Status
from controller.ending import end_all
from controller.ports import Conflict, Store, Unavailable
from controller.requests import Caller
from tests.simulation.faults import Fault
from tests.simulation.people import OWNER, spec_of
from tests.simulation.process import Process
from tests.simulation.scenario import BatchPlan
from tests.simulation.stage import Stage, perform


@pytest.mark.parametrize("call", ["add_jobs", "list_children", "recount"])
@pytest.mark.parametrize("fault", [Fault.FAILED, Fault.REPLY_LOST])
def test_a_cancelled_half_recorded_batch_lists_what_it_has(call: str, fault: Fault) -> None:
    """Its tasks had been recorded, or not, and its parent did not know of them when it was cancelled."""

    async def trace(stage: Stage) -> None:
        daemon = await stage.leader()
        clock = daemon.engine.clock
        assert isinstance(clock, Process)
        _, store = stage.world.ports(clock)
        stage.script.lines.append((call, fault))
        spec = spec_of(BatchPlan("scan", 3, 1), stage.world.scenario)
        with pytest.raises(Unavailable):
            await intake.accept(store, spec, source="scan.yaml")
        await requests.cancel_batch(stage.people, Caller(OWNER), stage.batch, "its file is gone")
        await stage.until_over(daemon)
        assert stage.batch.status is BatchStatus.CANCELLED

    perform(trace)


class Unacknowledged:
    """A store with a batch of that name that no majority knows: it is in the way, and not to be read."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    async def add_batch(self, *_: object) -> None:
        raise Conflict("the name is taken")


def test_a_batch_that_is_in_its_own_way_waits() -> None:
    """Its first recording was not acknowledged, nor undone: the spec is not at fault, and comes again."""

    async def trace(stage: Stage) -> None:
        daemon = await stage.leader()
        clock = daemon.engine.clock
        assert isinstance(clock, Process)
        _, store = stage.world.ports(clock)
        spec = spec_of(BatchPlan("again", 3, 1), stage.world.scenario)
        with pytest.raises(Unavailable, match="again"):
            await intake.accept(Unacknowledged(store), spec, source="again.yaml")  # type: ignore[arg-type]
        await intake.accept(store, spec, source="again.yaml")
        await stage.until_over(daemon)

    perform(trace)


def test_a_batch_starts_once_all_its_tasks_are_recorded() -> None:
    """Every hint of it came while it was still expanding: it waited for the next full pass."""

    async def trace(stage: Stage) -> None:
        daemon, store = await stage.leader(), stage.controller("two").engine.store
        following = asyncio.ensure_future(daemon.follow_events())
        await asyncio.sleep(1)
        await intake.accept(store, spec_of(BatchPlan("scan", 1, 1), stage.world.scenario), source="scan.yaml")
        await asyncio.sleep(2)
        assert stage.job("scan-t0").status is Status.RUNNING
        await end_all([following])

    perform(trace)


def test_what_takes_longer_than_a_pass_may_is_recorded_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each pass began with the first task again, and was given up: the batch was expanding for ever."""
    monkeypatch.setattr(intake, "CHUNK", 2)

    async def trace(stage: Stage) -> None:
        daemon, store = await stage.leader(), stage.world.store
        add, asked = store.add_jobs, [0]

        async def slowly(jobs: Sequence[Attempt]) -> Sequence[bool]:
            asked[0] += 1
            await asyncio.sleep(25)
            return await add(jobs)

        store.add_jobs = slowly  # type: ignore[method-assign]
        spec = spec_of(BatchPlan("scan", 9, 9), stage.world.scenario)
        for _ in range(3):
            with suppress(TimeoutError):
                async with asyncio.timeout(60):
                    await intake.accept(store, spec, source="scan.yaml")
        assert stage.batch.status is BatchStatus.RUNNING
        assert asked[0] == 5 + 2, "what was given up is asked for again"
        store.add_jobs = add  # type: ignore[method-assign]
        await stage.until_over(daemon)

    perform(trace)


def test_a_gap_in_what_was_recorded_is_filled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not only what comes after the last of them is missing."""
    monkeypatch.setattr(intake, "CHUNK", 1)

    async def trace(stage: Stage) -> None:
        daemon, store = await stage.leader(), stage.world.store
        spec = spec_of(BatchPlan("scan", 3, 3), stage.world.scenario)
        batch, gate = intake._new(store, spec, "scan.yaml", stage.world.clock.now())
        await store.add_batch(batch, gate)
        await store.add_jobs(list(intake._roots(store, batch, spec, spec.tasks[1:], batch.inserted)))
        await intake.accept(store, spec, source="scan.yaml")
        assert sorted(stage.names()) == ["scan-t0", "scan-t1", "scan-t2"]
        stage.world.recorder.catch_up()
        await stage.until_over(daemon)

    perform(trace)


def test_a_cancel_that_is_repeated_ends_a_half_recorded_batch_no_later() -> None:
    """Whoever asked again and again began its grace anew each time, and it never ended."""

    async def trace(stage: Stage) -> None:
        daemon, me = await stage.leader(), Caller(OWNER)
        clock = daemon.engine.clock
        assert isinstance(clock, Process)
        _, store = stage.world.ports(clock)
        stage.script.lines.append(("add_jobs", Fault.FAILED))
        spec = spec_of(BatchPlan("scan", 3, 1), stage.world.scenario)
        with pytest.raises(Unavailable):
            await intake.accept(store, spec, source="scan.yaml")
        said = await requests.cancel_batch(stage.people, me, stage.batch, "its file is gone")
        assert said == "is being cancelled: nothing more starts, active jobs are stopped"
        order = stage.gate.cancel
        for dry_run in (False, True, False):
            await stage.passes(daemon, 15)
            again = Caller("local:root", admin=True)
            said = await requests.cancel_batch(stage.people, again, stage.batch, "at last", dry_run=dry_run)
            assert said == f"is being cancelled already, by {OWNER}: its file is gone"
            assert stage.gate.cancel == order
        await stage.passes(daemon, 30)
        assert stage.batch.status is BatchStatus.CANCELLED

    perform(trace)
