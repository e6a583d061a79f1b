"""Pages for people: any filter, any sort, a hundred at a time. A part of ``mongo.MongoStore``.

A page is asked for by the keys of the last record before it, so what is inserted meanwhile moves nothing.
Ids and keys are found first, from an index where one has them all; only the page itself is read.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from controller.adapters.mongo_batches import WITHOUT_CHILDREN, MongoBatches
from controller.adapters.mongo_edge import edge
from controller.adapters.mongo_schema import ATTEMPTS
from controller.adapters.mongo_shapes import Document, object_id
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
            found = await self._places(jobs_asked(query), _SORTS[query.sort], query.descending, after, limit)
        shown = {job.id: job for job in await self._attempts(self._jobs.find(_these(found[:limit])))}
        jobs = [shown[place.id] for place in found[:limit] if place.id in shown]
        return JobPage(jobs, found[limit - 1] if len(found) > limit else None)

    @edge
    async def count_jobs(self, query: JobQuery, most: int) -> int:
        """How many there are, counted no further than ``most``."""
        return await self._jobs.count_documents(jobs_asked(query), limit=most)

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
    ) -> list[Place]:
        """Places of the next records, one more than ``limit`` if there are more."""
        direction = -1 if descending else 1
        paths = {name: value[1:] if isinstance(value, str) else name for name, value in keys}
        values = {name: {"$ifNull": [f"${path}", None]} for name, path in paths.items()}
        # Records are sorted whole, and few are left: to make new ones of all first costs as much again.
        steps: list[Document] = [{"$match": query}]
        if computed := {name: value for name, value in keys if not isinstance(value, str)}:
            steps.append({"$set": computed})
        if after is not None:
            steps.append({"$match": {"$expr": _beyond(values, after, descending)}})
        steps.append({"$sort": {**dict.fromkeys(paths.values(), direction), "_id": direction}})
        steps += [{"$limit": limit + 1}, {"$project": values}]
        found = await (await self._jobs.aggregate(steps)).to_list()
        return [Place(tuple(_plain(one[name]) for name, _ in keys), str(one["_id"])) for one in found]


def _plain(value: Any) -> Any:
    return value if value is None or isinstance(value, str | int | float | datetime) else str(value)


def _beyond(values: Document, after: Place, descending: bool) -> Document:
    """Whether a record comes after a place: the first key that differs decides, then the id.

    ``values``: the keys' names, and how each is read from a record.
    """
    operator = "$lt" if descending else "$gt"
    keys = [object_id(str(v)) if n == "batch" else v for n, v in zip(values, after.keys, strict=True)]
    pairs = [*zip(values.values(), keys, strict=True), ("$_id", object_id(after.id))]
    branches = []
    for n, (read, value) in enumerate(pairs):
        same = [{"$eq": [before, {"$literal": key}]} for before, key in pairs[:n]]
        branches.append({"$and": [*same, {operator: [read, {"$literal": value}]}]})
    return {"$or": branches}


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


def jobs_asked(query: JobQuery) -> Document:
    """The filter of a query. Every value is one that we made or a plain text, never an operator."""
    asked: Document = dict(ATTEMPTS)
    if query.batch_id:
        asked["batch_id"] = object_id(query.batch_id)
    if query.root_id:
        root = object_id(query.root_id)
        asked["$or"] = [{"_id": root}, {"retry_parent": root}]
    for name in ("namespace", "name", "user"):
        if value := getattr(query, name):
            asked[name] = {"$eq": value}
    if query.text:
        asked["task_id"] = {**asked["task_id"], "$regex": re.escape(query.text)}
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
    asked: Document = {"batch_job": True}
    for name in ("namespace", "name", "user"):
        if value := getattr(query, name):
            asked[name] = {"$eq": value}
    if query.status:
        asked["batch_status"] = {"$in": [status.value for status in query.status]}
    return asked
