"""Hints about what people asked for: a change stream, reduced to batch ids. A part of ``mongo.MongoStore``.

A hint makes the next pass sooner, never right: losing one costs a few seconds.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping

import pymongo

from controller.adapters.mongo_edge import MongoPart, translated
from controller.adapters.mongo_shapes import Document
from controller.core.model import BatchStatus, TerminatedCode
from controller.ports import Unavailable

AWAIT_MS = 1000
"""How long the server holds a question without an answer; a silence is no error."""
ANSWER_SECONDS = 10.0
"""A question unanswered for that long is an error: the connection is half open, or the server hangs."""

WATCHED: Mapping[str, tuple[str, ...]] = {
    "jobs": ("stop", "no_retry", "not_before"),
    "gates": ("max", "paused", "hold", "cancel"),
    "meta": ("submissions", "retries", "nudges"),
}
"""By collection: the fields that requests write."""
BY_PEOPLE = (TerminatedCode.USER, TerminatedCode.ADMIN)
"""Whose orders are requests; what else ends a job is the daemon's own."""


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
    """What a request looks like: a new batch, a new record in line, all of them recorded, a touched field, a
    record that a person took out of the line: what had a place and ended by their order gives its slot up."""
    inserted = {
        "ns.coll": "jobs",
        "operationType": "insert",
        "$or": [{"fullDocument.status": "waiting"}, {"fullDocument.batch_job": True}],
    }
    touched = [
        {"ns.coll": name, "operationType": "update", **_touched(fields)} for name, fields in WATCHED.items()
    ]
    opened = {
        "ns.coll": "jobs",
        "operationType": "update",
        "updateDescription.updatedFields.batch_status": BatchStatus.RUNNING.value,
    }
    withdrawn = {
        "ns.coll": "jobs",
        "operationType": "update",
        "updateDescription.updatedFields.terminated_code": {"$in": [int(code) for code in BY_PEOPLE]},
        "updateDescription.removedFields": {"$ne": "slot"},
    }
    return {"$or": [inserted, opened, withdrawn, *touched, {"ns.coll": "meta", "operationType": "insert"}]}


PIPELINE: list[Document] = [
    {"$match": _asked()},
    {
        "$project": {
            "key": {"$cond": [{"$eq": ["$ns.coll", "meta"]}, None, "$documentKey._id"]},
            "batch": "$fullDocument.batch_id",
        }
    },
]
"""What is sent for a request: which document (none when it concerns all batches), and of a new record its
batch. Of one that was changed it is read afterwards: asked for here, the server would look up every document
that anybody changes, most of them the daemon's own, before it knows which of them are requests."""


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
                    with pymongo.timeout(ANSWER_SECONDS):
                        event = await stream.try_next()
                        batch = await self._batch_asked(event) if event is not None else None
                    if batch is not None:
                        yield batch
        raise Unavailable("mongodb: requests: the stream has ended")

    async def _batch_asked(self, event: Document) -> str:
        """The id of the batch that an event concerns: a gate and a batch's own record have it as theirs."""
        batch, key = event.get("batch"), event["key"]
        if batch is None and key is not None:
            found = await self._jobs.find_one({"_id": key}, {"batch_id": 1})
            batch = (found or {}).get("batch_id", key)
        return str(batch or "")
