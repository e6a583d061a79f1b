"""An operator's limits over several batches (S13): what can't start asks for nothing."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import timedelta

import pytest

from controller import intake, requests
from controller.core.model import Batch
from controller.core.sharing import Limits
from controller.daemon import Daemon
from controller.ports import NewJob
from controller.requests import Caller
from tests.engine.acting import drop, running
from tests.fakes.memory_objects import End
from tests.simulation.people import OWNER, spec_of
from tests.simulation.scenario import BatchPlan
from tests.simulation.stage import Stage, perform

LONG = End(0.0, 10_000.0)


async def _blind(stage: Stage) -> None:
    """A batch in a namespace that can't be listed."""
    spec = replace(spec_of(BatchPlan("away", 4, 4), stage.world.scenario), namespace="forbidden")
    await intake.accept(stage.world.store, spec, source="away.yaml")
    stage.world.cluster.blind["forbidden"] = "403"


async def _abandoned(stage: Stage) -> None:
    """A batch whose intake died half-way."""
    spec = spec_of(BatchPlan("away", 5, 4), stage.world.scenario)
    store, now = stage.world.store, stage.world.clock.now()
    await store.add_batch(*intake._new(store, spec, "away.yaml", now - timedelta(minutes=5)))
    batch = await store.batch_named("lab", "away")
    assert batch is not None
    await store.add_jobs(list(intake._roots(store, batch, spec, spec.tasks[:4], now)))


async def _halted(stage: Stage) -> None:
    """A batch of which only automatic retries are left, while those are halted."""
    await drop(stage, "away", 4, 4)
    daemon = await stage.leader("earlier")
    await requests.halt(stage.people, Caller(OWNER, admin=True), "retries", "look first")
    await stage.passes(daemon, 60)
    daemon.engine.epoch = 0


async def _opened(stage: Stage) -> Batch:
    """A batch that has been looked at, and could start."""
    batch = await drop(stage, "away", 4, 8)
    await stage.world.store.set_gate(batch.id, {"hold": None})
    return batch


async def _beside(stage: Stage) -> None:
    """A batch all of whose tasks wait for jobs that no record knows: the database was set back."""
    await _opened(stage)
    for job in stage.world.records():
        stage.world.recorder.orphans.add(job.id)
        new = NewJob(job.name, "lab", "away", job.batch_id, job.task_id, 0, job.id, job.job_input)
        stage.world.cluster.restore(new)


async def _sick(stage: Stage) -> None:
    """A batch that somebody bent by hand: no pass of it can be planned."""
    batch, batches = await _opened(stage), stage.world.store._batches
    bent = {**batch.settings, "retry": replace(batch.settings["retry"], value=[7])}
    batches[batch.id] = replace(batches[batch.id], settings=bent)


async def _first(stage: Stage) -> None:
    """The same, of the priority: it can't even be said who goes first."""
    batch, batches = await _opened(stage), stage.world.store._batches
    bent = {**batch.settings, "priority": replace(batch.settings["priority"], value="high")}
    batches[batch.id] = replace(batches[batch.id], settings=bent)


@pytest.mark.parametrize("idle", [_blind, _abandoned, _halted, _beside, _sick, _first])
def test_what_cannot_start_keeps_no_share_from_others(idle: Callable[[Stage], Awaitable[None]]) -> None:
    """Half of the total limit stayed empty for a batch of which nothing could start."""

    async def trace(stage: Stage) -> None:
        await idle(stage)
        daemon = await _limited(stage, 4)
        scan = await drop(stage, "scan", 6, 6)
        await stage.passes(daemon, 30)
        assert len(running(stage, scan)) == 4
        stage.world.oracle.violations.clear()
        stage.world.trouble.clear()

    fails = {f"away-t{n}": LONG if idle is _beside else End(0.0, 1.0, 2) for n in range(4)}
    perform(trace, ends={f"scan-t{n}": LONG for n in range(6)} | fails)


async def _limited(stage: Stage, total: int) -> Daemon:
    daemon = await stage.leader()
    daemon.engine.settings = replace(daemon.engine.settings, limits=Limits(total=total))
    return daemon
