"""Attempts: the job records. A part of ``mongo.MongoStore``.

What a pass reads goes through an index that holds only what is alive, so it costs the same over a
thousand finished records and over a million.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from bson import ObjectId
from bson.raw_bson import RawBSONDocument
from pymongo import ReturnDocument, UpdateOne
from pymongo.asynchronous.cursor import AsyncCursor
from pymongo.errors import BulkWriteError

from controller.adapters.mongo_changes import guarded_update
from controller.adapters.mongo_documents import ATTEMPT, attempt_document
from controller.adapters.mongo_edge import DUPLICATE_KEY, MANY, PAGE, MongoPart, bounded, edge, refusals
from controller.adapters.mongo_schema import ATTEMPTS, FAILED, HOLDING
from controller.adapters.mongo_shapes import Document, id_or_none, object_id
from controller.core.change import Change, stands
from controller.core.model import Attempt, Origin, Status, When
from controller.ports import Conflict, Rejected


def _in_line(batch_id: str) -> Document:
    return {"batch_id": object_id(batch_id), "status": Status.WAITING.value}


def _kept(name: str, value: Any) -> Any:
    """A field's value as it is read again: what is unset is its default, instants are whole milliseconds."""
    return _whole(ATTEMPT.value(name, value))


def _whole(value: Any) -> Any:
    match value:
        case datetime():
            return value.replace(microsecond=value.microsecond // 1000 * 1000)
        case dict():
            return {key: _whole(item) for key, item in value.items()}
        case list():
            return [_whole(item) for item in value]
        case _:
            return value


FEW = 50
"""Documents that are made before the event loop gets its turn."""
AT_ONCE = 3
"""Pages under way at one time: the server works on one while this process makes or reads another."""


class MongoAttempts(MongoPart):
    """Reading, inserting and changing attempts."""

    @edge
    async def job(self, job_id: str) -> Attempt | None:
        """One record, or None; text that is no id is None too, and so is a batch parent."""
        found = await self._jobs.find_one({"_id": id_or_none(job_id), **ATTEMPTS})
        return self._attempt(found) if found else None

    @edge
    async def jobs(self, job_ids: Iterable[str]) -> Sequence[Attempt]:
        """The records with these ids that exist, in any order."""
        wanted = [job for job in map(id_or_none, job_ids) if job]
        return await self._as_built(self._raw_jobs.find({"_id": {"$in": wanted}, **ATTEMPTS}))

    async def _as_built(self, cursor: AsyncCursor[RawBSONDocument]) -> list[Attempt]:
        """All readable attempts of a cursor; what has not changed since it was read last costs little."""
        found: list[Attempt] = []
        async with cursor.batch_size(MANY):
            cost = 0
            while page := await cursor.to_list(MANY):
                for document in page:
                    attempt, built = self._built.attempt(document)
                    if attempt is not None:
                        found.append(attempt)
                    cost += 10 if built else 1
                    if cost >= MANY:  # leave the loop to others
                        cost = 0
                        await asyncio.sleep(0)
        return found

    @edge
    async def job_named(self, namespace: str, name: str) -> Attempt | None:
        """The record of this cluster name, or None."""
        found = await self._jobs.find_one({"namespace": namespace, "name": name, **ATTEMPTS})
        return self._attempt(found) if found else None

    @edge
    async def add_jobs(self, jobs: Sequence[Attempt]) -> Sequence[bool]:
        """Insert records, unordered; False for each that hit a unique key."""
        pages = [jobs[first : first + PAGE] for first in range(0, len(jobs), PAGE)]
        added = await bounded(map(self._add, pages), AT_ONCE)
        return [one for page in added for one in page]

    async def _add(self, jobs: Sequence[Attempt]) -> list[bool]:
        documents: list[Document] = []
        for number, job in enumerate(jobs, 1):
            documents.append(attempt_document(job))
            if number % FEW == 0:  # several pages are made side by side
                await asyncio.sleep(0)
        added = [True] * len(documents)
        try:
            await self._jobs.insert_many(documents, ordered=False)
        except BulkWriteError as error:
            refused = error.details["writeErrors"]
            if error.details.get("writeConcernErrors") or any(e["code"] != DUPLICATE_KEY for e in refused):
                raise
            for item in refused:
                added[item["index"]] = False
        return added

    @edge
    async def change(self, change: Change, epoch: int | None = None) -> Attempt | None:
        """Execute one row of the state machine; None when the record is not as the row demands.

        Raises ``Conflict`` when the slot is taken: a tripwire, the gate should have known (R1).
        """
        query, update = guarded_update(change, epoch)
        found = await self._jobs.find_one_and_update(query, update, return_document=ReturnDocument.AFTER)
        return self._attempt(found) if found else None

    @edge
    async def changes_many(
        self, changes: Sequence[Change], epoch: int | None = None
    ) -> Sequence[Attempt | Conflict | Rejected | None]:
        """Changes of different records, a page in a bulk write and a read; what became of each."""
        if len({change.job for change in changes}) < len(changes):
            raise ValueError("two changes of one record have an order, and a bulk has none")
        writes: list[UpdateOne] = []
        for number, change in enumerate(changes):
            writes.append(UpdateOne(*guarded_update(change, epoch)))
            if number % PAGE == PAGE - 1:
                await asyncio.sleep(0)  # ten thousand of them must not stall the loop
        answers: list[Attempt | Conflict | Rejected | None] = []
        for first in range(0, len(changes), PAGE):
            page = slice(first, first + PAGE)
            answers += await self._changed(changes[page], writes[page])
        return answers

    async def _changed(
        self, changes: Sequence[Change], writes: Sequence[UpdateOne]
    ) -> list[Attempt | Conflict | Rejected | None]:
        """The server tells how many matched, not which: where it is not all of them, the records tell.

        So nothing is taken for applied that was not read so.
        """
        refused: dict[int, Conflict | Rejected] = {}
        try:
            matched = (await self._jobs.bulk_write(writes, ordered=False)).matched_count
        except BulkWriteError as error:
            refused = refusals("changes_many", error)
            matched = int(error.details["nMatched"])
        ids = [object_id(change.job) for change in changes]
        read = await self._attempts(self._jobs.find({"_id": {"$in": ids}, **ATTEMPTS}))
        found = {job.id: job for job in read}
        all_of_them = matched == len(changes)
        answers: list[Attempt | Conflict | Rejected | None] = []
        for number, change in enumerate(changes):
            job = found.get(change.job)
            applied = job if job and (all_of_them or stands(job, change, _kept)) else None
            answers.append(refused.get(number, applied))
        return answers

    # ------------------------------------------------------------------------------- standing in line

    @edge
    async def waiting(
        self, batch_id: str, limit: int, now: datetime, *, with_auto: bool = True
    ) -> Sequence[Attempt]:
        """The first waiting records that are due: retries by ``not_before``, then roots by index."""
        retries = await self._due_retries(batch_id, When.NOW, limit, now, with_auto=with_auto)
        return [*retries, *await self._due_roots(batch_id, limit - len(retries))]

    @edge
    async def waiting_for_end(self, batch_id: str, limit: int, now: datetime) -> Sequence[Attempt]:
        """The first due ``batch-end`` children."""
        return await self._due_retries(batch_id, When.BATCH_END, limit, now)

    async def _due_retries(
        self, batch_id: str, when: When, limit: int, now: datetime, *, with_auto: bool = True
    ) -> list[Attempt]:
        if limit <= 0:  # to the server, 0 is no limit
            return []
        query = {
            **_in_line(batch_id),
            "attempt": {"$gt": 0},
            "when": when.value,
            "not_before": {"$not": {"$gt": now}},
        }
        if not with_auto:
            query["origin"] = {"$ne": Origin.AUTO.value}
        order = [("not_before", 1), ("index", 1)]
        return await self._first(lambda: self._jobs.find(query).sort(order).hint("line_retries"), limit)

    async def _due_roots(self, batch_id: str, limit: int) -> list[Attempt]:
        if limit <= 0:
            return []
        query = {**_in_line(batch_id), "attempt": 0}
        return await self._first(lambda: self._jobs.find(query).sort("index").hint("line_roots"), limit)

    async def _first(self, line: Callable[[], AsyncCursor[Document]], limit: int) -> list[Attempt]:
        """The first so many that can be read: who can't be keeps nobody behind it from starting."""
        bent = 0
        while True:
            found, read = list[Attempt](), 0
            async with line().limit(limit + bent) as cursor:
                async for document in cursor.batch_size(PAGE):
                    read += 1
                    if attempt := self._attempt(document):
                        found.append(attempt)
            if len(found) >= limit or read < limit + bent:
                return found[:limit]
            bent = read - len(found)

    @edge
    async def next_due(self, batch_id: str, after: datetime) -> datetime | None:
        """The earliest ``not_before`` later than ``after`` among waiting records."""
        query = {
            **_in_line(batch_id),
            "attempt": {"$gt": 0},
            "when": {"$in": [When.NOW.value, When.BATCH_END.value]},
            "not_before": {"$gt": after},
        }
        cursor = self._jobs.find(query, {"_id": 0, "not_before": 1}).sort("not_before").limit(1)
        found = await cursor.hint("line_retries").to_list()
        due = found[0]["not_before"] if found else None
        return due if isinstance(due, datetime) else None  # a date that Python has not is never due

    @edge
    async def has(self, batch_id: str, statuses: Iterable[Status], *, when: str = "") -> bool:
        """Whether the batch has a record in one of these statuses (an index probe)."""
        query: Document = {
            "batch_id": object_id(batch_id),
            "status": {"$in": [status.value for status in statuses]},
        }
        if when:
            query["when"] = when
        return await self._jobs.find_one(query, {"_id": 0, "status": 1}, hint="tally") is not None

    @edge
    async def waiting_ids(self, batch_id: str, limit: int) -> Sequence[str]:
        """Ids of waiting records, for a cancel."""
        if limit <= 0:
            return []
        query = {"status": Status.WAITING.value, "batch_id": object_id(batch_id)}
        found = await self._jobs.find(query, {"_id": 1}).hint("live").limit(limit).to_list()
        return [str(document["_id"]) for document in found]

    # ----------------------------------------------------------------------------- active, and lineage

    @edge
    async def active(self, but: Collection[str] = ()) -> Sequence[Attempt]:
        """All active records, through an index; without those that have the ids ``but``."""
        others: Document = {"_id": {"$nin": [object_id(job) for job in but]}} if but else {}
        return await self._attempts(self._jobs.find({**HOLDING, **others}).hint("active"))

    @edge
    async def last_failures(self, batch_id: str, limit: int) -> Sequence[Attempt]:
        """The attempts that ended in error or terminated last, the newest first."""
        if limit <= 0:
            return []
        failed = {"$in": sorted(status.value for status in FAILED)}
        query = {"batch_id": object_id(batch_id), "status": failed}
        cursor = self._jobs.find(query).sort([("finished", -1), ("_id", -1)]).hint("failures")
        return await self._attempts(cursor.limit(limit))

    @edge
    async def roots(self, batch_id: str) -> Sequence[str]:
        """Ids of the batch's attempts 0, in spec order; reads index entries only."""
        query = {"batch_id": object_id(batch_id), "attempt": 0}
        ids: list[str] = []
        async with self._jobs.find(query, {"_id": 1}).sort("index").hint("order").batch_size(MANY) as cursor:
            while page := await cursor.to_list(MANY):
                ids += [str(document["_id"]) for document in page]
                await asyncio.sleep(0)  # what has arrived already is no wait
        return ids

    @edge
    async def chain(self, batch_id: str, task_id: str) -> Sequence[Attempt]:
        """All attempts of one task, by attempt number."""
        query = {"batch_id": object_id(batch_id), "task_id": {"$eq": task_id, "$type": "string"}}
        return await self._attempts(self._jobs.find(query).sort("attempt").hint("attempt"))

    @edge
    async def roots_of(self, job_ids: Iterable[str]) -> Mapping[str, str]:
        """The root of each of these attempts that exists, by its id; two fields are sent over."""
        wanted = [job for job in map(id_or_none, job_ids) if job]
        query = {"_id": {"$in": wanted}, **ATTEMPTS}
        found = await self._jobs.find(query, {"retry_parent": 1}).batch_size(MANY).to_list()
        return {str(job["_id"]): str(job.get("retry_parent") or job["_id"]) for job in found}

    @edge
    async def chains(self, root_ids: Iterable[str]) -> Mapping[str, Sequence[Attempt]]:
        """The same for many tasks, by root id, a thousand in a round trip; unknown roots are left out."""
        wanted = [object_id(root) for root in root_ids]
        pages = [wanted[first : first + MANY] for first in range(0, len(wanted), MANY)]
        read = bounded(map(self._chains, pages), AT_ONCE)
        found: dict[str, list[Attempt]] = {}
        for attempts in await read:
            for attempt in attempts:
                found.setdefault(attempt.root_id, []).append(attempt)
        return {root: sorted(chain, key=lambda job: job.attempt) for root, chain in found.items()}

    async def _chains(self, roots: Sequence[ObjectId]) -> list[Attempt]:
        wanted = {"$in": list(roots)}
        query = {"$or": [{"_id": wanted, **ATTEMPTS}, {"retry_parent": wanted}]}
        return await self._attempts(self._jobs.find(query))
