"""A daemon over a store and a cluster where nothing changes: what its start and its passes cost.

``large`` runs it in a process of its own: its memory is the whole program's, of the cluster only what a list
shows, and its start is a start.
"""

from __future__ import annotations

import asyncio
import gc
import itertools
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import cast

from controller import app
from controller.adapters.mongo import MongoStore, open_store
from controller.adapters.system_clock import SystemClock
from controller.config import Settings
from controller.core.sight import ClusterJob, Observation
from controller.daemon import Daemon
from controller.engine import Engine
from controller.parts import engine_settings, spread
from controller.ports import Clock, Cluster
from controller.telemetry import Metrics
from controller.telemetry.journal import TelemetryJournal
from tests.bench.counting import counting
from tests.bench.figures import percentile
from tests.bench.heartbeat import Heart, heartbeat

PASSES = 9
PATIENCE = timedelta(seconds=60)
PROGRAM = app.run_controller
"""Imported for its weight: a daemon has all of it in memory."""


def resident() -> float:
    """This process's resident memory, in MiB."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    raise OSError("/proc/self/status has no VmRSS")


@dataclass(frozen=True, slots=True)
class Still:
    """What was measured, in seconds and MiB: of a start until the first pass is over, and of later passes."""

    ready: float
    start: Heart
    seconds: float
    cpu: float
    calls: float
    heart: Heart
    resident: float


class StillCluster:
    """As much of ``Cluster`` as a pass asks for when nothing has changed: the same list each time."""

    scheduler_type = "memory"

    def __init__(self, clock: Clock, jobs: Mapping[str, ClusterJob]) -> None:
        self._clock, self._jobs = clock, jobs

    async def observe(self, namespaces: Sequence[str]) -> Observation:
        """See ``Cluster.observe``."""
        return Observation(self._clock.monotonic(), frozenset(namespaces), {}, dict(self._jobs), ())


def stand_still(uri: str, database: str, jobs: Mapping[str, ClusterJob]) -> Still:
    """Measure the passes of a process that begins over this store; ``jobs`` is what its cluster shows."""
    return asyncio.run(_still(uri, database, jobs))


async def _still(uri: str, database: str, jobs: Mapping[str, ClusterJob]) -> Still:
    async with heartbeat() as heart:
        begin = time.perf_counter()
        store = await open_store(uri, database, PATIENCE)
        daemon = _daemon(store, jobs)
        await daemon.lead("bench, restarted")
        steps = await daemon.full_pass()
        ready = time.perf_counter() - begin
        assert not daemon.trouble, daemon.trouble
        assert not steps, f"something changed: {steps} steps"
    await daemon.full_pass()
    gc.collect()
    daemon.engine.store, calls = counting(store)
    seconds, cpu = list[float](), list[float]()
    async with heartbeat() as beside:
        for _ in range(PASSES):
            begin, worked = time.perf_counter(), time.process_time()
            await daemon.full_pass()
            seconds.append(time.perf_counter() - begin)
            cpu.append(time.process_time() - worked)
            await asyncio.sleep(0.01)  # a beat between two passes
    asked = calls.total() / PASSES
    memory = resident()
    await store.close()
    return Still(ready, heart, percentile(seconds, 50), percentile(cpu, 50), asked, beside, memory)


def _daemon(store: MongoStore, jobs: Mapping[str, ClusterJob]) -> Daemon:
    clock = SystemClock()
    tokens = (f"{n}" for n in itertools.count())
    figures = replace(engine_settings(Settings()), rate=0)
    cluster = cast("Cluster", StillCluster(clock, jobs))
    journal = TelemetryJournal(Metrics())
    return Daemon(Engine(cluster, store, clock, journal, figures, spread, lambda: next(tokens)))
