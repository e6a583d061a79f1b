"""What the page asks of a batch of a hundred thousand: every filter, sort and page, and its charts."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from bson import ObjectId
from pymongo import UpdateOne
from pymongo.asynchronous.database import AsyncDatabase

from controller.adapters.mongo import MongoStore
from controller.api.paging import MOST_COUNTED, PAGE
from controller.core.model import Status, Verdict
from controller.intake import accept
from controller.ports import JobQuery, JobSort
from tests.bench.figures import Figure
from tests.bench.place import Place, spec

TASKS = 100_000
ENDS = ((Status.COMPLETED, Verdict.SUCCEEDED), (Status.ERROR, Verdict.MOUNT_FAILURE))
GOAL = "< 0.3 s"


async def page(place: Place) -> list[Figure]:
    """The slowest page of each kind, with its total, beside a bare find of a hundred records."""
    settings = place.settings()
    async with place.raw(settings) as db, place.store(settings) as store:
        taken = await accept(store, spec("large", TASKS, 50, ("true",), paused=True), source="bench")
        assert taken.batch is not None
        batch = taken.batch
        await _end(db, batch.id)
        raw = await _timed(lambda: db["jobs"].find({"batch_id": ObjectId(batch.id)}).limit(PAGE).to_list())
        query = JobQuery(batch_id=batch.id)  # whose it is was seen when the batch was looked up
        filters = {
            "all": query,
            "a status": replace(query, status=(Status.ERROR,)),
            "a verdict": replace(query, verdict=(Verdict.MOUNT_FAILURE,)),
            "a part of the id": replace(query, text="99"),
        }
        figures = []
        for name, filtered in filters.items():
            slowest = max([await _slowest(store, replace(filtered, sort=sort)) for sort in JobSort])
            figures.append(
                Figure(f"page of 100 out of {TASKS:,}, {name}, {slowest[1]}", slowest[0], "s", raw, GOAL)
            )
        start = datetime.now(UTC) - timedelta(hours=3)
        cost = await _timed(lambda: store.tally(batch.id, start, 10_800.0))
        return [*figures, Figure(f"charts of {TASKS:,}, counted anew", cost, "s")]


async def _slowest(store: MongoStore, query: JobQuery) -> tuple[float, str]:
    """Seconds of the first and a later page of one order, both ways; the worst, and of what."""
    seconds = []
    for asked in (query, replace(query, descending=True)):
        first = await store.job_page(asked, None, PAGE)
        later = first.next
        seconds.append((await _timed(lambda: _shown(store, asked, None)), f"by {query.sort.value}"))  # noqa: B023
        seconds.append((await _timed(lambda: _shown(store, asked, later)), f"by {query.sort.value}, page 2"))  # noqa: B023
    return max(seconds)


async def _shown(store: MongoStore, query: JobQuery, after: Any) -> None:
    """What one request of the page reads."""
    await asyncio.gather(store.job_page(query, after, PAGE), store.count_jobs(query, MOST_COUNTED))


async def _timed(ask: Callable[[], Awaitable[Any]]) -> float:
    """The best of three: what it takes when nothing else is done."""
    seconds = []
    for _ in range(3):
        begin = time.perf_counter()
        await ask()
        seconds.append(time.perf_counter() - begin)
    return min(seconds)


async def _end(db: AsyncDatabase[dict[str, Any]], batch_id: str) -> None:
    """Nine of ten jobs have ended, in no order, on thirty nodes."""
    drawn = random.Random(1)
    now = datetime.now(UTC)
    ids = [
        one["_id"]
        async for one in db["jobs"].find({"batch_id": ObjectId(batch_id), "index": {"$gte": 0}}, {"_id": 1})
    ]
    changes = []
    for record in ids:
        if drawn.random() < 0.1:
            continue
        status, verdict = drawn.choices(ENDS, (9, 1))[0]
        begun = now - timedelta(seconds=drawn.uniform(0, 10_000))
        fields = {"status": status.value, "verdict": verdict.value, "node": f"node-{drawn.randint(1, 30)}"}
        times = {
            "created": begun,
            "running": begun,
            "finished": begun + timedelta(seconds=drawn.uniform(1, 900)),
        }
        changes.append(UpdateOne({"_id": record}, {"$set": {**fields, **times}}))
    for n in range(0, len(changes), 10_000):
        await db["jobs"].bulk_write(changes[n : n + 10_000], ordered=False)
