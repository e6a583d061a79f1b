"""An operator's limits over several batches (S13): what can't start asks for nothing."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import timedelta

import pytest

from controller import intake, requests
from controller.core.sharing import Limits
from controller.daemon import Daemon
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


@pytest.mark.parametrize("idle", [_blind, _abandoned, _halted])
def test_what_cannot_start_keeps_no_share_from_others(idle: Callable[[Stage], Awaitable[None]]) -> None:
    """Half of the total limit stayed empty for a batch of which nothing could start."""

    async def trace(stage: Stage) -> None:
        await idle(stage)
        daemon = await _limited(stage, 4)
        scan = await drop(stage, "scan", 6, 6)
        await stage.passes(daemon, 30)
        assert len(running(stage, scan)) == 4
        stage.world.oracle.violations.clear()

    fails = {f"away-t{n}": End(0.0, 1.0, 2) for n in range(4)}
    perform(trace, ends={f"scan-t{n}": LONG for n in range(6)} | fails)


async def _limited(stage: Stage, total: int) -> Daemon:
    daemon = await stage.leader()
    daemon.engine.settings = replace(daemon.engine.settings, limits=Limits(total=total))
    return daemon
