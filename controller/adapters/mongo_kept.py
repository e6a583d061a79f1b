"""Requests with an idempotency key, kept for a day; and what changes, for live pages.

A part of ``mongo.MongoStore``; the API asks, and no pass of the daemon depends on it.
"""

from __future__ import annotations

import zlib
from collections.abc import AsyncIterator

import pymongo
from bson import Binary
from pymongo import ReturnDocument
from pymongo.errors import DuplicateKeyError

from controller.adapters.mongo_edge import MongoPart, edge, translated
from controller.adapters.mongo_requests import ANSWER_SECONDS, AWAIT_MS
from controller.adapters.mongo_shapes import Document
from controller.ports import Changed, Kept, Unavailable

PIPELINE: list[Document] = [
    {
        "$match": {
            "operationType": {"$in": ["insert", "update", "replace"]},
            "$or": [{"ns.coll": {"$in": ["jobs", "gates"]}}, {"ns.coll": "meta", "documentKey._id": "halts"}],
        }
    },
    {
        "$project": {
            "collection": "$ns.coll",
            "documentKey": 1,
            "batch": {"$ifNull": ["$fullDocument.batch_id", "$documentKey._id"]},
        }
    },
]
"""What is sent for a change: whose it is, and nothing of what it says."""


class MongoKept(MongoPart):
    """Kept requests, and the stream of changes."""

    @edge
    async def begin_request(self, key: str, fingerprint: str, request_id: str) -> Kept:
        """Remember a request by its key; one that is known already is given back as it was."""
        first = {"fingerprint": fingerprint, "request_id": request_id}
        update = [
            {
                "$set": {
                    **{name: {"$ifNull": [f"${name}", {"$literal": value}]} for name, value in first.items()},
                    "at": {"$ifNull": ["$at", "$$NOW"]},
                }
            }
        ]
        found = None
        for _ in range(2):
            try:
                found = await self._kept.find_one_and_update(
                    {"_id": key}, update, upsert=True, return_document=ReturnDocument.AFTER
                )
                break
            except DuplicateKeyError:  # another replica was given the same request at this instant
                continue
        if found is None:
            raise Unavailable("mongodb: begin_request: the same key was used at this instant: ask again")
        answer = found.get("answer")
        return Kept(
            found["request_id"],
            found["fingerprint"],
            int(found.get("status", 0)),
            zlib.decompress(answer) if answer else b"",
        )

    @edge
    async def end_request(self, key: str, request_id: str, status: int, answer: bytes) -> None:
        """Record the answer of a request that was begun; the first one stays."""
        await self._kept.update_one(
            {"_id": key, "request_id": request_id, "status": {"$exists": False}},
            {"$set": {"status": status, "answer": Binary(zlib.compress(answer, 1))}},
        )

    async def changes(self) -> AsyncIterator[Changed]:
        """What changes from now on; the first is empty, once it listens. Raises ``Unavailable`` when lost."""
        with translated("changes"):
            with pymongo.timeout(ANSWER_SECONDS):
                stream = await self._db.watch(
                    PIPELINE, full_document="updateLookup", max_await_time_ms=AWAIT_MS
                )
            async with stream:
                yield Changed()
                while stream.alive:
                    with pymongo.timeout(ANSWER_SECONDS):
                        event = await stream.try_next()
                    if event is not None:
                        yield _changed(event)
        raise Unavailable("mongodb: changes: the stream has ended")


def _changed(event: Document) -> Changed:
    if event["collection"] == "meta":
        return Changed()
    batch, key = str(event["batch"]), str(event["documentKey"]["_id"])
    return Changed(batch, key if event["collection"] == "jobs" and key != batch else "")
