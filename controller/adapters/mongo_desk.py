"""Pages for people: any filter, any sort, a hundred at a time. A part of ``mongo.MongoStore``.

A page is asked for by the keys of the last record before it, so what is inserted meanwhile moves nothing.
Ids and keys are found first, from an index where one has them all; only the page itself is read.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import datetime
from types import MappingProxyType
from typing import Any

from controller.adapters.mongo_batches import WITHOUT_CHILDREN, MongoBatches
from controller.adapters.mongo_edge import edge
from controller.adapters.mongo_schema import ATTEMPTS
from controller.adapters.mongo_shapes import Document, object_id
from controller.core.model import BatchStatus
from controller.ports import BatchPage, BatchQuery, JobPage, JobQuery, JobSort, Place

_SECONDS = {"$dateDiff": {"startDate": "$running", "endDate": "$finished", "unit": "millisecond"}}
_SORTS: Mapping[JobSort, tuple[tuple[str, Any], ...]] = {
    JobSort.ORDER: (("batch", "$batch_id"), ("index", "$index"), ("attempt", "$attempt")),
    JobSort.NAME: (("key", "$name"),),
    JobSort.STATUS: (("key", "$status"),),
    JobSort.VERDICT: (("key", "$verdict"),),
    JobSort.ATTEMPT: (("key", "$attempt"),),
    JobSort.NODE: (("key", "$node"),),
    JobSort.INSERTED: (("key", "$inserted"),),
    JobSort.RUNNING: (("key", "$running"),),
    JobSort.FINISHED: (("key", "$finished"),),
    JobSort.SECONDS: (("key", _SECONDS),),
}
"""By sort: the names and the values of the keys."""


class MongoDesk(MongoBatches):
    """Lists and counts; no pass of the daemon depends on them."""

    @edge
    async def job_page(self, query: JobQuery, after: Place | None, limit: int) -> JobPage:
        """The jobs after that place, in the query's order."""
        if query.batch_id and query.sort is JobSort.ORDER and (after is None or None not in after.keys):
            found = await self._in_order(query, after, limit)
        else:
            keys = _SORTS[query.sort]
            found = await self._places(jobs_asked(query), keys, query.descending, after, limit, _hint(query))
        shown = {job.id: job for job in await self._attempts(self._jobs.find(_these(found[:limit])))}
        jobs = [shown[place.id] for place in found[:limit] if place.id in shown]
        return JobPage(jobs, found[limit - 1] if len(found) > limit else None)

    @edge
    async def count_jobs(self, query: JobQuery, most: int) -> int:
        """How many there are, counted no further than ``most``."""
        return await self._jobs.count_documents(jobs_asked(query), limit=most, **_hint(query))

    @edge
    async def batch_page(self, query: BatchQuery, after: Place | None, limit: int) -> BatchPage:
        """The batches after that place, the newest first."""
        found = await self._places(batches_asked(query), (("key", "$inserted"),), True, after, limit)
        documents = await self._jobs.find(_these(found[:limit]), WITHOUT_CHILDREN).to_list()
        shown = {batch.id: batch for batch in filter(None, map(self._readable, documents))}
        batches = [shown[place.id] for place in found[:limit] if place.id in shown]
        return BatchPage(batches, found[limit - 1] if len(found) > limit else None)

    @edge
    async def count_batches(self, query: BatchQuery, most: int) -> int:
        """How many there are, counted no further than ``most``."""
        return await self._jobs.count_documents(batches_asked(query), limit=most)

    async def _in_order(self, query: JobQuery, after: Place | None, limit: int) -> list[Place]:
        """The same of one batch in the order of its spec: read along the index, and no further."""
        asked: Document = jobs_asked(query)
        if after is not None:
            asked = {"$and": [asked, _further(after, query.descending)]}
        direction = -1 if query.descending else 1
        keys = [(name, direction) for name in ("index", "attempt", "_id")]
        shown = {"batch_id": 1, "index": 1, "attempt": 1}
        found = await self._jobs.find(asked, shown).sort(keys).limit(limit + 1).to_list()
        return [
            Place((str(one["batch_id"]), one.get("index"), one.get("attempt")), str(one["_id"]))
            for one in found
        ]

    async def _places(
        self,
        query: Document,
        keys: tuple[tuple[str, Any], ...],
        descending: bool,
        after: Place | None,
        limit: int,
        hint: Mapping[str, Any] = MappingProxyType({}),
    ) -> list[Place]:
        """Places of the next records, one more than ``limit`` if there are more."""
        direction = -1 if descending else 1
        paths = {name: value[1:] if isinstance(value, str) else name for name, value in keys}
        # Records are sorted whole, and few are left: to make new ones of all first costs as much again.
        steps: list[Document] = [{"$match": query}]
        if computed := {name: value for name, value in keys if not isinstance(value, str)}:
            steps.append({"$set": computed})
        if after is not None:
            steps.append({"$match": _beyond(paths, after, descending)})
        steps.append({"$sort": {**dict.fromkeys(paths.values(), direction), "_id": direction}})
        shown = {name: {"$ifNull": [f"${path}", None]} for name, path in paths.items()}
        steps += [{"$limit": limit + 1}, {"$project": shown}]
        found = await (await self._jobs.aggregate(steps, **hint)).to_list()
        return [Place(tuple(_plain(one[name]) for name, _ in keys), str(one["_id"])) for one in found]


def _plain(value: Any) -> Any:
    return value if value is None or isinstance(value, str | int | float | datetime) else str(value)


def _beyond(paths: Mapping[str, str], after: Place, descending: bool) -> Document:
    """Whether a record comes after a place: the first key that differs decides, then the id.

    ``paths``: where each key stands in a record. As plain conditions: an expression that says the same is
    made for each of a hundred thousand records, and takes as long as reading them.
    """
    keys = [object_id(str(v)) if n == "batch" else v for n, v in zip(paths, after.keys, strict=True)]
    pairs = [*zip(paths.values(), keys, strict=True), ("_id", object_id(after.id))]
    branches: list[Document] = []
    for n, (path, value) in enumerate(pairs):
        if differs := _behind(path, value, descending):
            same = [{before: {"$eq": key}} for before, key in pairs[:n]]
            branches.append({"$and": [*same, differs]})
    return {"$or": branches}


def _behind(path: str, value: Any, descending: bool) -> Document:
    """That a field comes after a value; a field that is not there comes before all. Empty: none can."""
    if not descending:
        return {path: {"$ne": None} if value is None else {"$gt": value}}
    return {} if value is None else {"$or": [{path: {"$lt": value}}, {path: {"$eq": None}}]}


def _further(after: Place, descending: bool) -> Document:
    """What comes after a place in a batch's order, in terms that an index answers."""
    operator = "$lt" if descending else "$gt"
    _, index, attempt = after.keys
    return {
        "$or": [
            {"index": {operator: index}},
            {"index": index, "attempt": {operator: attempt}},
            {"index": index, "attempt": attempt, "_id": {operator: object_id(after.id)}},
        ]
    }


def _these(places: Iterable[Place]) -> Document:
    return {"_id": {"$in": [object_id(place.id) for place in places]}}


def _hint(query: JobQuery) -> Mapping[str, Any]:
    """The index for a batch's records, as an argument: the server tries some for a moment, and was seen to
    choose one that costs several times as much.

    A part of an id is looked for in the index's ids, and only what has it is read. Where all are read, they
    are in the order in which they were written: in any other it takes twice as long.
    """
    if not query.batch_id or query.root_id or query.name:
        return {}
    if query.text:
        return {"hint": "attempt"}
    return {"hint": "tally" if query.status or query.verdict else "order"}


def jobs_asked(query: JobQuery) -> Document:
    """The filter of a query. Every value is one that we made or a plain text, never an operator."""
    # Only attempts are in a batch. To ask for the type of their task's id, too, is to read every record.
    asked: Document = {"batch_id": object_id(query.batch_id)} if query.batch_id else dict(ATTEMPTS)
    if query.root_id:
        root = object_id(query.root_id)
        asked["$or"] = [{"_id": root}, {"retry_parent": root}]
    for name in ("namespace", "name", "user"):
        if value := getattr(query, name):
            asked[name] = {"$eq": value}
    if query.text:
        asked["task_id"] = {**ATTEMPTS["task_id"], "$regex": re.escape(query.text)}
    if query.status:
        asked["status"] = {"$in": [status.value for status in query.status]}
    if query.verdict:
        asked["verdict"] = {"$in": [verdict.value for verdict in query.verdict]}
    for name in ("inserted", "finished"):
        since, until = getattr(query, f"{name}_since"), getattr(query, f"{name}_until")
        if span := {key: at for key, at in (("$gte", since), ("$lt", until)) if at}:
            asked[name] = span
    return asked


def batches_asked(query: BatchQuery) -> Document:
    """The filter of a query for batches."""
    # A status is always asked for: so the index of batches serves, whose filter alone chooses no index.
    wanted = query.status or tuple(BatchStatus)
    asked: Document = {"batch_job": True, "batch_status": {"$in": [status.value for status in wanted]}}
    for name in ("namespace", "name", "user"):
        if value := getattr(query, name):
            asked[name] = {"$eq": value}
    return asked
