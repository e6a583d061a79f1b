"""Requests and intake: a bulk retry answered, a large batch taken in, and the loop's stall meanwhile."""

from __future__ import annotations

import time
from datetime import timedelta
from typing import Any

from bson import ObjectId
from pymongo.asynchronous.database import AsyncDatabase

from controller.adapters.mongo_documents import attempt_document
from controller.adapters.system_clock import SystemClock
from controller.core.model import Attempt, Origin, Status, Verdict
from controller.core.spec import BatchSpec
from controller.intake import accept
from controller.ports import Store
from controller.reading import read_spec_file
from controller.requests import Caller, People, retry
from controller.specfile import settings_of
from tests.bench.figures import Figure
from tests.bench.heartbeat import heartbeat
from tests.bench.place import Place, now, spec

PAGE = 500


def ended(store: Store, batch_id: str, wanted: BatchSpec, status: Status) -> list[Attempt]:
    """A root of every task, ended in this status."""
    at = now() - timedelta(hours=1)
    verdict = Verdict.SUCCEEDED if status is Status.COMPLETED else Verdict.MOUNT_FAILURE
    return [
        Attempt(
            id=store.new_id(),
            batch_id=batch_id,
            namespace=wanted.namespace,
            user=wanted.owner,
            task_id=task.id,
            index=task.index,
            attempt=0,
            name=f"{wanted.name}-{task.id}",
            status=status,
            job_input=wanted.job,
            origin=Origin.SPEC,
            inserted=at,
            updated=at,
            finished=at,
            verdict=verdict,
        )
        for task in wanted.tasks
    ]


async def _raw_insert(db: AsyncDatabase[dict[str, Any]], documents: list[dict[str, Any]]) -> float:
    """Seconds to insert these into a collection with the indexes of ours, a page at a time."""
    begin = time.perf_counter()
    for first in range(0, len(documents), PAGE):
        await db["jobs"].insert_many(documents[first : first + PAGE], ordered=False)
    return time.perf_counter() - begin


async def _retried(place: Place, n: int, goal: str) -> list[Figure]:
    settings = place.settings()
    async with place.raw(settings) as db, place.store(settings) as store:
        wanted = spec("again", 1, 1, ("true",))
        taken = await accept(store, wanted, source="bench")
        assert taken.batch is not None
        many = spec("again-many", n, 1, ("true",))
        failed = ended(store, taken.batch.id, many, Status.ERROR)
        await _raw_insert(db, [attempt_document(job) for job in failed if job.index])
        ids = [job.id for job in failed if job.index]
        people = People(store, SystemClock())
        async with heartbeat() as heart:
            begin = time.perf_counter()
            answers = await retry(people, Caller("bench"), ids)
            ours = time.perf_counter() - begin
        assert not [answer for answer in answers if answer.error], answers[0]
        raw = await _raw_retry(db, failed)
    return [
        Figure(f"retry of {n:,} ids, answered", ours, "s", raw, goal),
        *heart.figures(f" ({n:,} ids)"),
    ]


async def _raw_retry(db: AsyncDatabase[dict[str, Any]], failed: list[Attempt]) -> float:
    """The same documents without a question: insert children, list them twice, set the toggles."""
    batch = ObjectId()
    children = [
        attempt_document(job)
        | {"_id": ObjectId(), "batch_id": batch, "name": f"raw-{job.index}", "retry_toggle": False}
        for job in failed
    ]
    ids = [child["_id"] for child in children]
    begin = time.perf_counter()
    await _raw_insert(db, children)
    await db["jobs"].update_one({"batch_job": True}, {"$push": {"child_jobs": {"$each": ids}}})
    await db["jobs"].update_many(
        {"_id": {"$in": [ObjectId(job.id) for job in failed]}}, {"$set": {"retry_ids": ids[:1]}}
    )
    await db["jobs"].update_many({"_id": {"$in": ids}}, {"$set": {"retry_toggle": True}})
    return time.perf_counter() - begin


async def retries(place: Place) -> list[Figure]:
    """``retry_jobs`` of 100 and of 10,000 ids, without a cluster in sight (E7)."""
    return [*await _retried(place, 101, "< 0.25 s"), *await _retried(place, 10_001, "< 5 s")]


async def acceptance(place: Place) -> list[Figure]:
    """A batch of 100,000 tasks becomes records."""
    n = 100_000
    settings = place.settings()
    wanted = spec("large", n, 10, ("true",))
    settings_of(wanted)
    async with place.raw(settings) as db, place.store(settings) as store:
        async with heartbeat() as heart:
            begin = time.perf_counter()
            await accept(store, wanted, source="bench")
            ours = time.perf_counter() - begin
        other = ended(store, store.new_id(), spec("raw", n, 1, ("true",)), Status.COMPLETED)
        documents = [attempt_document(job) for job in other]
        raw = await _raw_insert(db, documents)
    return [
        Figure("100,000 tasks recorded", ours, "s", raw),
        *heart.figures(),
    ]


async def hostile(place: Place) -> list[Figure]:
    """A 271-byte document that would grow to millions of nodes is refused."""
    settings = place.settings()
    lines = ["a: &a [x,x,x,x,x,x,x,x,x]"]
    lines += [
        f"{b}: &{b} [{','.join(f'*{a}' for _ in range(9))}]"
        for a, b in zip("abcdefgh", "bcdefghi", strict=True)
    ]
    path = place.folder / "hostile.yaml"
    path.write_text("\n".join(lines))
    async with heartbeat() as heart:
        begin = time.perf_counter()
        reading = await read_spec_file(settings, path, user="bench")
        seconds = time.perf_counter() - begin
    assert reading.spec is None
    return [
        Figure("a hostile spec refused", seconds, "s", None, "≤ 1 s"),
        *heart.figures(),
    ]
