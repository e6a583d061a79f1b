"""A store full of what is over: a pass with nothing changed, the memory it takes, and a restart."""

from __future__ import annotations

import asyncio
import gc
import itertools
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from bson import ObjectId
from pymongo.asynchronous.database import AsyncDatabase

from controller.adapters.mongo import MongoStore
from controller.adapters.mongo_documents import attempt_document
from controller.adapters.system_clock import SystemClock
from controller.config import Settings
from controller.core.model import BatchStatus, Result, Status
from controller.daemon import Daemon
from controller.engine import Engine
from controller.intake import accept
from controller.parts import engine_settings, spread
from controller.telemetry import Metrics
from controller.telemetry.journal import TelemetryJournal
from tests.bench.counting import counting
from tests.bench.figures import Figure, percentile
from tests.bench.place import Place, daemon, spec
from tests.bench.records import ended
from tests.fakes.memory_cluster import End, MemoryCluster

PASSES = 5
WRITERS = 4


def resident() -> float:
    """This process's resident memory, in MiB."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    raise OSError("/proc/self/status has no VmRSS")


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
        restarted = Daemon(engine)
        begin = time.perf_counter()
        await restarted.lead("bench")
        await restarted.full_pass()
        ready = time.perf_counter() - begin
        for _ in range(3):  # everything is submitted and seen to run
            await restarted.full_pass()
        gc.collect()
        engine.store, calls = counting(store)
        seconds, before = [], resident()
        for _ in range(PASSES):
            begin = time.perf_counter()
            await restarted.full_pass()
            seconds.append(time.perf_counter() - begin)
        again = Daemon(await _again(engine, store))
        begin = time.perf_counter()
        await again.lead("bench, restarted")
        await again.full_pass()
        ready = time.perf_counter() - begin
    what = f"{finished:,} finished, {active:,} active"
    return [
        Figure(f"full pass, nothing changed: {what}", percentile(seconds, 50), "s", None, "< 1 s"),
        Figure("… store calls a pass", calls.total() / PASSES, "calls"),
        Figure("… resident memory, cluster fake and bench included", before, "MiB", None, "≤ 256 MiB"),
        Figure("ready after a restart at that size", ready, "s", None, "< 10 s"),
    ]


async def _again(engine: Engine, store: MongoStore) -> Engine:
    """What a restarted process would begin with: the same world, and no memory."""
    return Engine(
        engine.cluster,
        store,
        engine.clock,
        engine.journal,
        engine.settings,
        engine.jitter,
        engine.new_token,
    )


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
