"""Work is proportional to what is alive: what each call of the Store read, as the server itself saw it."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import functools
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import pymongo
import pytest
from pymongo.database import Database

from controller.adapters.mongo import MongoStore, open_store
from controller.adapters.mongo_shapes import Document
from controller.core.model import Attempt, BatchStatus, Counts, Foreign, Status, Verdict, When
from controller.core.notices import Channel, Notice, Topic
from controller.ports import BatchQuery, JobFilter, JobQuery, JobSort, Place
from tests.contract.store_world import HOUR, SECOND, StoreWorld

FINISHED = 20_000
"""Records that have ended, in ten finished batches and in the live one."""


@dataclass
class Full:
    """A database full of finished records, with one batch that has a little left to do."""

    world: StoreWorld
    database: Database[Document]
    batch_id: str
    root: Attempt
    child: Attempt
    active: list[Attempt]

    async def profiled(self, call: Callable[[], Awaitable[Any]]) -> list[Document]:
        """What the server did for one call."""
        self.database.command("profile", 0)
        self.database["system.profile"].drop()
        self.database.command("profile", 2)
        try:
            await call()
        finally:
            self.database.command("profile", 0)
        mine = {"ns": {"$not": {"$regex": r"system\\.profile$"}}, "op": {"$ne": "insert"}}
        return [entry for entry in self.database["system.profile"].find(mine) if "planSummary" in entry]


@pytest.fixture(scope="module")
def filled(mongo_uri: str) -> Iterator[Full]:
    """The database, filled once; the calls below change little of it."""
    with pymongo.MongoClient[Document](mongo_uri) as client:
        database = client[f"test_{uuid4().hex}"]

        async def fill() -> Full:
            async with _world(mongo_uri, database.name) as world:
                return await _filled(world, database)

        try:
            yield asyncio.run(fill())
        finally:
            client.drop_database(database)


@pytest.fixture
async def full(mongo_uri: str, filled: Full) -> AsyncIterator[Full]:
    """The filled database, with a store of this test's own."""
    async with _world(mongo_uri, filled.database.name) as world:
        yield dataclasses.replace(filled, world=world)


@contextlib.asynccontextmanager
async def _world(uri: str, database: str) -> AsyncIterator[StoreWorld]:
    store = await open_store(uri, database)
    try:
        yield StoreWorld(store, lambda: asyncio.sleep(0.006), await store.now())
    finally:
        await store.close()


async def _filled(world: StoreWorld, database: Database[Document]) -> Full:
    ends = [(Status.COMPLETED, Verdict.SUCCEEDED), (Status.ERROR, Verdict.LOST)]
    for n in range(11):
        ended: dict[str, Any] = {"status": BatchStatus.FINISHED, "finished": world.now} if n < 10 else {}
        await world.add_batch(f"b{n}", **ended)
        jobs = [
            world.attempt(ends[i % 10 == 9][0], verdict=ends[i % 10 == 9][1], name=f"b{n}-{i}")
            for i in range(FINISHED // 11)
        ]
        assert all(await world.store.add_jobs(jobs))
    root = await world.put(Status.ERROR, verdict=Verdict.LOST)
    child = await world.put_retry(root)
    for when in (When.NOW, When.BATCH_END):
        for number in range(20):
            due = world.now + (HOUR if number % 2 else -HOUR)
            await world.put_retry(await world.put(Status.ERROR), when=when, not_before=due, retry_toggle=True)
    for _ in range(30):
        await world.put()
    active = [await world.put(Status.RUNNING) for _ in range(8)]
    return Full(world, database, world.batch_id, root, child, active)


async def _all_of(store: MongoStore, what: JobFilter, limit: int) -> list[Attempt]:
    return [job async for job in store.find_jobs(what, limit=limit)]


TOLD = Notice(Topic.REAPED, Channel.EVENT, "it was stuck")


Call = Callable[[Full], Awaitable[Any]]

CALLS: dict[str, tuple[Call, int]] = {
    "batch": (lambda f: f.world.store.batch(f.batch_id), 1),
    "batch_named": (lambda f: f.world.store.batch_named("lab", "b10"), 1),
    "recorded": (lambda f: f.world.store.recorded([f.batch_id]), 1),
    "batches": (lambda f: f.world.store.batches(), 11),
    "batches (open)": (lambda f: f.world.store.batches(closed=False), 1),
    "batches (newest)": (lambda f: f.world.store.batches(limit=2), 2),
    "batches_with_live_jobs": (lambda f: f.world.store.batches_with_live_jobs(), 0),
    "set_batch": (lambda f: f.world.store.set_batch(f.batch_id, BatchStatus, {"reason": "x"}), 1),
    "add_counts": (lambda f: f.world.store.add_counts(f.batch_id, Counts({Status.ERROR: 1})), 1),
    "recount": (lambda f: f.world.store.recount(f.batch_id), 2),
    "recount (not kept)": (lambda f: f.world.store.recount(f.batch_id, keep=False), 1),
    "gates": (lambda f: f.world.store.gates([f.batch_id]), 1),
    "claim": (lambda f: f.world.store.claim(f.batch_id, [(f.world.store.new_id(), 0)], 9), 1),
    "enter_foreign": (lambda f: f.world.store.enter_foreign(f.batch_id, [Foreign("u", "n", "Job")]), 1),
    "stamp": (lambda f: f.world.store.stamp(9), 10 + 11 + 2 * 8 + 1),
    "stamp (again)": (lambda f: f.world.store.stamp(9), 11 + 8 + 1),
    "job": (lambda f: f.world.store.job(f.root.id), 1),
    "jobs": (lambda f: f.world.store.jobs([job.id for job in f.active]), 8),
    "job_named": (lambda f: f.world.store.job_named("lab", f.root.name), 1),
    "waiting": (lambda f: f.world.store.waiting(f.batch_id, 15, f.world.now), 15),
    "waiting (no auto)": (lambda f: f.world.store.waiting(f.batch_id, 5, f.world.now, with_auto=False), 5),
    "waiting (nothing there)": (lambda f: f.world.store.waiting(f.world.store.new_id(), 9, f.world.now), 0),
    "waiting_for_end": (lambda f: f.world.store.waiting_for_end(f.batch_id, 50, f.world.now), 10),
    "next_due": (lambda f: f.world.store.next_due(f.batch_id, f.world.now), 1),
    "has": (lambda f: f.world.store.has(f.batch_id, [Status.CREATED, Status.QUEUED]), 0),
    "has (when)": (lambda f: f.world.store.has(f.batch_id, [Status.WAITING], when=When.MANUAL), 0),
    "waiting_ids": (lambda f: f.world.store.waiting_ids(f.batch_id, 10), 10),
    "active": (lambda f: f.world.store.active(), 8),
    "active (but)": (lambda f: f.world.store.active(but=[job.id for job in f.active]), 8),
    "roots": (lambda f: f.world.store.roots(f.batch_id), 0),
    "chain": (lambda f: f.world.store.chain(f.batch_id, f.root.task_id), 2),
    "chains": (lambda f: f.world.store.chains([f.root.id, f.active[0].id]), 5),
    "find_jobs": (lambda f: _all_of(f.world.store, JobFilter(f.batch_id), 100), 501),  # type: ignore[arg-type]
    "last_failures": (lambda f: f.world.store.last_failures(f.batch_id, 5), 5),
    "list_children": (lambda f: f.world.store.list_children(f.batch_id, [f.child.id]), 1),
    "list_retries": (lambda f: f.world.store.list_retries({f.root.id: [f.child.id]}), 1),
    "listed": (lambda f: f.world.store.listed([f.child]), 2),
    "unfinished_lifecycles": (lambda f: f.world.store.unfinished_lifecycles(f.world.now + SECOND, 9), 1),
    "toggle": (lambda f: f.world.store.toggle([f.child.id]), 1),
    "untold (nothing there)": (lambda f: f.world.store.untold(), 0),
    "set_batch (notices)": (lambda f: f.world.store.set_batch(f.batch_id, BatchStatus, {}, [TOLD]), 1),
    "untold": (lambda f: f.world.store.untold(), 1),
    "standing": (lambda f: f.world.store.standing(f.batch_id, [f.root.id, f.child.id]), 5),
    "halts": (lambda f: f.world.store.halts(), 1),
}
"""By name: a call, and how many documents it may read of the twenty thousand."""


def _shown(entry: Document) -> str:
    sorts = " and a sort" if entry.get("hasSortStage") else ""
    return f"{entry['planSummary']}{sorts}, {entry['docsExamined']} documents"


async def test_what_each_call_reads(full: Full) -> None:
    """Each call goes through an index, sorts nothing, and reads no record that its answer doesn't need."""
    wrong = []
    for name, (call, most) in CALLS.items():
        entries = await full.profiled(functools.partial(call, full))
        read = sum(entry["docsExamined"] for entry in entries)
        scanned = [entry["planSummary"] for entry in entries if "COLLSCAN" in entry["planSummary"]]
        if read > most or scanned or any(entry.get("hasSortStage") for entry in entries) or not entries:
            wrong.append(f"{name}: {read} documents of {most}: {[_shown(entry) for entry in entries]}")
    assert wrong == []


async def test_what_a_page_for_people_reads(full: Full) -> None:
    """A total of a batch is counted from an index alone, and no record is read that a text isn't in."""
    store, all_of_it = full.world.store, JobQuery(batch_id=full.batch_id)
    assert isinstance(store, MongoStore)
    with_text = dataclasses.replace(all_of_it, text="77", sort=JobSort.RUNNING)
    there = [job async for job in store.find_jobs(JobFilter(full.batch_id))]
    found = sum("77" in job.task_id for job in there)
    later = Place((None,), full.root.id)
    calls: dict[str, tuple[Callable[[], Awaitable[Any]], int]] = {
        "total": (lambda: store.count_jobs(all_of_it, 10**6), 0),
        "total of a status": (lambda: store.count_jobs(_with(all_of_it, status=(Status.ERROR,)), 10**6), 0),
        "total of a verdict": (lambda: store.count_jobs(_with(all_of_it, verdict=(Verdict.LOST,)), 10**6), 0),
        "total of a text": (lambda: store.count_jobs(with_text, 10**6), found),
        "a text": (lambda: store.job_page(with_text, None, 100), 2 * found),
        "a text, later": (lambda: store.job_page(with_text, later, 100), 2 * found),
        "in order": (lambda: store.job_page(all_of_it, None, 100), 200),
        "by verdict": (
            lambda: store.job_page(_with(all_of_it, sort=JobSort.VERDICT), None, 9),
            len(there) + 9,
        ),
    }
    wrong = []
    for name, (call, most) in calls.items():
        entries = await full.profiled(call)
        read = sum(entry["docsExamined"] for entry in entries)
        if read > most or not entries:
            wrong.append(f"{name}: {read} documents of {most}: {[_shown(entry) for entry in entries]}")
    assert 0 < found < len(there) / 10
    assert wrong == []


@pytest.mark.parametrize(
    ("query", "most"),
    [
        (BatchQuery(), 11),
        (BatchQuery(user="ada"), 11),
        (BatchQuery(name="b3"), 11),
        (BatchQuery(namespace="lab", name="b3"), 1),
        (BatchQuery(status=(BatchStatus.RUNNING,)), 1),
    ],
    ids=["all", "of a user", "of a name", "of a full name", "of a status"],
)
async def test_what_a_list_of_batches_reads(full: Full, query: BatchQuery, most: int) -> None:
    """No job is read for it: a page and its total read batches, through an index."""
    store = full.world.store
    assert isinstance(store, MongoStore)
    first = (await store.batch_page(query, None, 1)).batches[0]
    after = Place((first.inserted,), first.id)
    calls: list[tuple[Callable[[], Awaitable[Any]], int]] = [
        (lambda: store.batch_page(query, None, 50), 2 * most),
        (lambda: store.batch_page(query, after, 50), 2 * most),
        (lambda: store.count_batches(query, 100_000), most),
    ]
    for call, read in calls:
        entries = await full.profiled(call)
        assert entries
        assert sum(entry["docsExamined"] for entry in entries) <= read, [_shown(entry) for entry in entries]


def _with(query: JobQuery, **fields: Any) -> JobQuery:
    return dataclasses.replace(query, **fields)


async def test_what_a_quiet_pass_reads(full: Full) -> None:
    """The look-ups that every pass makes over 20,000 finished records read a few dozen keys."""
    store, batch_id, now = full.world.store, full.batch_id, full.world.now

    async def quiet_pass() -> None:
        await store.batches(closed=False)
        await store.batches_with_live_jobs()
        await store.gates([batch_id])
        await store.waiting(batch_id, 8, now)
        await store.next_due(batch_id, now)
        await store.has(batch_id, [Status.CREATED, Status.QUEUED, Status.RUNNING])
        await store.jobs([job.id for job in full.active])
        await store.unfinished_lifecycles(now, 100)

    entries = await full.profiled(quiet_pass)
    assert len(entries) >= 8
    assert sum(entry["keysExamined"] for entry in entries) < 100


async def test_the_profiler_would_tell(full: Full) -> None:
    """The measure itself works: a look-up without an index shows as a scan of everything."""

    async def careless() -> None:
        full.database["jobs"].find_one({"node": "nowhere"})

    (entry,) = await full.profiled(careless)
    assert entry["planSummary"] == "COLLSCAN"
    assert entry["docsExamined"] > FINISHED - 100
