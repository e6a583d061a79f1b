"""Hints about what people asked for: a change stream, reduced to batch ids. A part of ``mongo.MongoStore``.

A hint makes the next pass sooner, never right: losing one costs a few seconds.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Mapping
from typing import Any

import pymongo
from bson import ObjectId
from pymongo.asynchronous.change_stream import AsyncDatabaseChangeStream

from controller.adapters.mongo_edge import MongoPart, translated
from controller.adapters.mongo_shapes import Document

AWAIT_MS = 1000
"""How long the server holds a question without an answer; a silence is no error."""
ANSWER_SECONDS = 10.0
"""A question unanswered for that long is an error: the connection is half open, or the server hangs."""
AT_ONCE = 1000
"""Events folded into one round of hints."""

WATCHED: Mapping[str, tuple[str, ...]] = {
    "jobs": ("stop", "no_retry", "not_before"),
    "gates": ("max", "paused", "hold", "cancel"),
    "meta": ("submissions", "retries", "nudges"),
}
"""By collection: the fields that requests write."""


def _touched(names: tuple[str, ...]) -> Document:
    """Whether an update touched one of these fields or something inside it (``stop.code``)."""
    updated = {
        "$map": {
            "input": {"$objectToArray": {"$ifNull": ["$updateDescription.updatedFields", {}]}},
            "in": {"$arrayElemAt": [{"$split": ["$$this.k", "."]}, 0]},
        }
    }
    removed = {"$ifNull": ["$updateDescription.removedFields", []]}
    changed = {"$concatArrays": [updated, removed]}
    return {"$expr": {"$ne": [{"$setIntersection": [changed, list(names)]}, []]}}


def _asked() -> Document:
    """What a request looks like: a new batch, a new record in line, or a touched field."""
    inserted = {
        "ns.coll": "jobs",
        "operationType": "insert",
        "$or": [{"fullDocument.status": "waiting"}, {"fullDocument.batch_job": True}],
    }
    touched = [
        {"ns.coll": name, "operationType": "update", **_touched(fields)} for name, fields in WATCHED.items()
    ]
    return {"$or": [inserted, *touched, {"ns.coll": "meta", "operationType": "insert"}]}


PIPELINE: list[Document] = [
    {"$match": _asked()},
    {
        "$project": {
            "ns": 1,
            "operationType": 1,
            "documentKey": 1,
            "batch": {"$ifNull": ["$fullDocument.batch_id", "$fullDocument._id"]},
        }
    },
]


class MongoRequests(MongoPart):
    """One generator, which its caller starts again after an error."""

    async def requests(self) -> AsyncIterator[str]:
        """Ids of batches for which somebody asked something; first an empty one, once it listens.

        Raises ``Unavailable`` when the stream is lost; what was asked until it is opened again is
        covered by the empty hint that it begins with.
        """
        with translated("requests"):
            with pymongo.timeout(ANSWER_SECONDS):
                stream = await self._db.watch(PIPELINE, max_await_time_ms=AWAIT_MS)
            async with stream:
                yield ""
                while stream.alive:
                    for batch_id in await self._batches(await _events(stream)):
                        yield batch_id

    async def _batches(self, events: Iterable[Mapping[str, Any]]) -> list[str]:
        """The batches of these events, each once; an update of a record must be asked for its batch."""
        found: dict[str, None] = {}
        records: list[ObjectId] = []
        for event in events:
            match event["ns"]["coll"], event["operationType"]:
                case "jobs", "insert":
                    found[str(event["batch"])] = None
                case "jobs", _:
                    records.append(event["documentKey"]["_id"])
                case "gates", _:
                    found[str(event["documentKey"]["_id"])] = None
                case _:
                    found[""] = None
        if records:
            for batch_id in await self._jobs.distinct("batch_id", {"_id": {"$in": records}}):
                found[str(batch_id)] = None
        return list(found)


async def _events(stream: AsyncDatabaseChangeStream[Document]) -> list[Document]:
    """The events that are there now, at most a round of them; none after a silence."""
    events: list[Document] = []
    while len(events) < AT_ONCE:
        with pymongo.timeout(ANSWER_SECONDS):
            event = await stream.try_next()
        if event is None:
            break
        events.append(event)
    return events
