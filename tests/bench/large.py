"""A store full of what is over: a pass with nothing changed, the memory it takes, and a restart."""

from __future__ import annotations

import asyncio
import itertools
import multiprocessing
from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from typing import Any

from bson import ObjectId
from pymongo.asynchronous.database import AsyncDatabase

from controller.adapters.mongo import MongoStore
from controller.adapters.mongo_documents import attempt_document
from controller.adapters.system_clock import SystemClock
from controller.config import Settings
from controller.core.model import BatchStatus, Result, Status
from controller.core.sight import ClusterJob
from controller.daemon import Daemon
from controller.engine import Engine
from controller.intake import accept
from controller.parts import engine_settings, spread
from controller.telemetry import Metrics
from controller.telemetry.journal import TelemetryJournal
from tests.bench.figures import Figure
from tests.bench.place import Place, daemon, spec
from tests.bench.records import ended
from tests.bench.still import Still, stand_still
from tests.fakes.memory_cluster import End, MemoryCluster

WRITERS = 4


async def _fill(db: AsyncDatabase[dict[str, Any]], store: MongoStore, batch_id: str, n: int) -> None:
    """So many completed records for a batch, straight into the collection."""
    wanted = spec(f"old-{batch_id[-6:]}", 1, 1, ("true",))
    (model,) = ended(store, batch_id, wanted, Status.COMPLETED)
    document = attempt_document(model)
    numbers = iter(range(1_000_000, 1_000_000 + n))
    limit = asyncio.Semaphore(WRITERS)

    async def write(page: list[int]) -> None:
        async with limit:
            more = [
                document | {"_id": ObjectId(), "task_id": f"{i}", "name": f"{batch_id}-{i}", "index": i}
                for i in page
            ]
            await db["jobs"].insert_many(more, ordered=False)

    while pages := [page for _ in range(WRITERS) if (page := list(itertools.islice(numbers, 2000)))]:
        await asyncio.gather(*(write(page) for page in pages))


async def _engine(settings: Settings, store: MongoStore, active: int) -> Engine:
    """An engine over the real store and a cluster in memory where nothing ever ends."""
    clock = SystemClock()
    cluster = MemoryCluster(clock, lambda job: End(runs=None))
    journal = TelemetryJournal(Metrics())
    tokens = (f"{n}" for n in itertools.count())
    figures = replace(engine_settings(settings), rate=0, concurrency=64)
    engine = Engine(cluster, store, clock, journal, figures, spread, lambda: next(tokens))
    await accept(store, spec("busy", active, active, ("true",)), source="bench")
    return engine


async def passes(place: Place) -> list[Figure]:
    """Full passes over closed batches, one open batch with as many finished records, and active ones."""
    finished, active = (1_000_000, 10_000) if place.full else (100_000, 1_000)
    settings = place.settings()
    async with place.raw(settings) as db, place.store(settings) as store:
        for name in ("closed", "open"):
            taken = await accept(store, spec(name, 1, 1, ("true",), paused=True), source="bench")
            assert taken.batch is not None
            await _fill(db, store, taken.batch.id, finished // 2)
            if name == "closed":
                await db["jobs"].delete_many({"batch_id": ObjectId(taken.batch.id), "status": "waiting"})
                fields = {"status": BatchStatus.FINISHED, "result": Result.COMPLETED}
                await store.set_batch(taken.batch.id, [BatchStatus.RUNNING], fields)
        engine = await _engine(settings, store, active)
        first = Daemon(engine)
        await first.lead("bench")
        for _ in range(4):  # everything is submitted and seen to run
            await first.full_pass()
        namespaces = ["default"]
        jobs = (await engine.cluster.observe(namespaces)).jobs
        assert len(jobs) == active, f"{len(jobs)} of {active} run: {first.trouble}"
        still = await _in_a_process_of_its_own(settings, jobs)
    what = f"{finished:,} finished, {active:,} active"
    return [
        Figure(f"full pass, nothing changed: {what}", still.seconds, "s", None, "< 1 s"),
        Figure("… of it this process's own CPU time", still.cpu, "s"),
        Figure("… store calls a pass", still.calls, "calls"),
        Figure("… resident memory of the daemon's process", still.resident, "MiB", None, "≤ 256 MiB"),
        *still.heart.figures(" (passes)"),
        Figure("ready after a restart at that size", still.ready, "s", None, "< 10 s"),
        *still.start.figures(" (start)"),
    ]


async def _in_a_process_of_its_own(settings: Settings, jobs: Mapping[str, ClusterJob]) -> Still:
    """So that neither the cluster nor what filled the store is in its memory, and its start is a start."""
    uri, database = settings.store.uri.get_secret_value(), settings.store.database
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(pool, stand_still, uri, database, jobs)


async def idle(place: Place) -> list[Figure]:
    """A daemon with paused batches and nothing to do."""
    figures = []
    for n in (1, 20):
        async with daemon(place.settings()) as (running, calls):
            for number in range(n):
                quiet = spec(f"idle-{number}", 3, 1, ("true",), paused=True)
                taken = await accept(running.parts.store, quiet, source=f"{number}.yaml")
                assert taken.batch is not None
                running.specs.each[0].specs._batches[f"{number}.yaml"] = taken.batch.id
            await asyncio.sleep(20)  # until every status tells that it is paused
            calls.clear()
            await asyncio.sleep(15)
            figures.append(Figure(f"idle daemon, {n} paused batches", calls.total() / 15, "store calls/s"))
    return figures
