"""Batch parents: the records with ``batch_job: true``. A part of ``mongo.MongoStore``.

They are read without ``child_jobs``, which may be megabytes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from enum import StrEnum
from typing import Any, TypeVar

from controller.adapters.mongo_documents import BATCH, COUNTS, SETTING, batch_document, record_status
from controller.adapters.mongo_edge import edge
from controller.adapters.mongo_gates import MongoGates
from controller.adapters.mongo_notices import added
from controller.adapters.mongo_shapes import Document, id_or_none, object_id
from controller.core.model import LIVE, Batch, BatchStatus, Counts, Gate, Setting, Status, Verdict
from controller.core.notices import Notice

W = TypeVar("W", bound=StrEnum)
WITHOUT_CHILDREN = {"child_jobs": 0}
SETTABLE = frozenset(
    {"status", "reason", "result", "spec", "spec_hash", "source", "superseded", "resumed", "finished"}
)
SETTINGS = frozenset({"maxConcurrent", "paused", "priority", "retry"})


class MongoBatches(MongoGates):
    """Batches, and the counts kept on them."""

    @edge
    async def add_batch(self, batch: Batch, gate: Gate) -> Batch:
        """Insert a batch parent, then its gate; raises ``Conflict`` when the name is taken."""
        await self._jobs.insert_one(batch_document(batch))
        await self._insert_gate(gate)
        return batch

    @edge
    async def batch(self, batch_id: str) -> Batch | None:
        """One batch parent, or None; text that is no id is None too."""
        return await self._batch({"_id": id_or_none(batch_id), "batch_job": True})

    @edge
    async def batches_with(self, batch_ids: Iterable[str]) -> Mapping[str, Batch]:
        """The batch parents with these ids that exist, in one round trip; text that is no id is none."""
        wanted = [batch for batch in map(id_or_none, batch_ids) if batch]
        found = await self._jobs.find({"_id": {"$in": wanted}, "batch_job": True}, WITHOUT_CHILDREN).to_list()
        return {batch.id: batch for batch in map(self._readable, found) if batch}

    @edge
    async def recorded(self, batch_ids: Iterable[str]) -> frozenset[str]:
        """Those of these ids that a batch parent has, readable or not; its content is not read."""
        wanted = [batch for batch in map(id_or_none, batch_ids) if batch]
        found = await self._jobs.find({"_id": {"$in": wanted}, "batch_job": True}, {"_id": 1}).to_list()
        return frozenset(str(batch["_id"]) for batch in found)

    @edge
    async def batch_named(self, namespace: str, name: str) -> Batch | None:
        """The batch of this name in this namespace, or None."""
        return await self._batch({"namespace": namespace, "name": name, "batch_job": True})

    async def _batch(self, query: Document) -> Batch | None:
        found = await self._jobs.find_one(query, WITHOUT_CHILDREN)
        return self._readable(found) if found else None

    def _readable(self, document: Document) -> Batch | None:
        """The batch of a document; one that cannot be read is quarantined and left out (O2)."""
        try:
            return BATCH.decode(document)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            self._unreadable[str(document.get("_id"))] = f"{type(error).__name__}: {error}"
            return None

    @edge
    async def batches(self, *, closed: bool | None = None, limit: int = 0) -> Sequence[Batch]:
        """All batches, newest first, or those whose status is (not) closed."""
        wanted = [status.value for status in BatchStatus if closed is None or status.closed is closed]
        query = {"batch_job": True, "batch_status": {"$in": wanted}}
        cursor = self._jobs.find(query, WITHOUT_CHILDREN).sort([("inserted", -1), ("_id", -1)])
        found = await cursor.limit(limit).to_list()
        return [batch for batch in map(self._readable, found) if batch]

    @edge
    async def batches_with_live_jobs(self) -> frozenset[str]:
        """Ids of batches that have a waiting or active record: one index entry read per batch and status."""
        live = {"status": {"$in": sorted(status.value for status in LIVE)}}
        found = await self._jobs.distinct("batch_id", live)
        return frozenset(str(batch_id) for batch_id in found if batch_id is not None)

    @edge
    async def set_batch(
        self,
        batch_id: str,
        sources: Iterable[BatchStatus],
        fields: Mapping[str, Any],
        notices: Sequence[Notice] = (),
        epoch: int | None = None,
    ) -> bool:
        """Set fields of a batch parent if its batch status is one of ``sources``, by no stale leader.

        A closing batch gets its ``finished`` from the store's clock unless it is given; an opening
        one loses ``finished`` and ``result``. Raises ``ValueError`` for fields that can't be set, and
        for a finish without a result.
        """
        if unknown := set(fields) - SETTABLE:
            raise ValueError(f"a batch's {', '.join(sorted(unknown))} cannot be set")
        stale = {} if epoch is None else {"epoch": {"$not": {"$gt": epoch}}}
        result = await self._jobs.update_one(
            {
                "_id": object_id(batch_id),
                "batch_job": True,
                "batch_status": {"$in": [status.value for status in sources]},
                **stale,
            },
            [{"$set": {**_moved(fields), **_assigned(fields), **added(notices)}}],
        )
        return result.matched_count == 1

    @edge
    async def set_setting(self, batch_id: str, name: str, setting: Setting) -> bool:
        """Record a changed setting, unless the one recorded is later."""
        if name not in SETTINGS:
            raise ValueError(f"{name!r} is no setting that may change: {', '.join(sorted(SETTINGS))}")
        key = f"settings.{name}"
        result = await self._jobs.update_one(
            {
                "_id": object_id(batch_id),
                "batch_job": True,
                "$or": [{key: None}, {f"{key}.at": {"$lte": setting.at}}],
            },
            {"$set": {key: SETTING.encode(setting)}, "$currentDate": {"updated": True}},
        )
        return result.matched_count == 1

    @edge
    async def add_counts(self, batch_id: str, delta: Counts) -> None:
        """Add to the cached counts (negative numbers subtract)."""
        by_status = {f"counts.status.{status.value}": n for status, n in delta.status.items() if n}
        by_verdict = {f"counts.first.{verdict.value}": n for verdict, n in delta.first.items() if n}
        if increments := by_status | by_verdict:
            await self._jobs.update_one({"_id": object_id(batch_id), "batch_job": True}, {"$inc": increments})

    @edge
    async def recount(self, batch_id: str, *, keep: bool = True) -> Counts:
        """Count again through an index, store and return it; with ``keep=False`` nothing is stored."""
        parent = {"_id": object_id(batch_id), "batch_job": True}
        found = await self._jobs.find_one(parent, {"resumed": 1})
        if found is None:
            return Counts()
        ended: Document = {"$gte": found["resumed"]} if found.get("resumed") else {"$type": "date"}
        first = {"attempt": 0, "finished": ended, "verdict": {"$type": "string"}}
        counts = Counts(
            _of(Status, await self._tally(batch_id, "status", {})),
            _of(Verdict, await self._tally(batch_id, "verdict", first)),
        )
        if keep:
            await self._jobs.update_one(parent, {"$set": {"counts": COUNTS.encode(counts)}})
        return counts

    async def _tally(self, batch_id: str, name: str, more: Document) -> dict[str, int]:
        """How many of a batch's records have each value of a field; reads index entries only."""
        pipeline: list[Document] = [
            {"$match": {"batch_id": object_id(batch_id), **more}},
            {"$group": {"_id": f"${name}", "n": {"$sum": 1}}},
        ]
        cursor = await self._jobs.aggregate(pipeline, hint="tally")
        return {group["_id"]: group["n"] async for group in cursor}


def _of(words: type[W], tally: Mapping[str, int]) -> dict[W, int]:
    """A tally by words that we know: a record with any other is one that can't be read."""
    return {words(key): n for key, n in tally.items() if key in set(words)}


def _moved(fields: Mapping[str, Any]) -> Document:
    """What follows a batch's change, and its status, by itself."""
    if "status" not in fields:
        return {"updated": "$$NOW"} if fields else {}
    status, result = BatchStatus(fields["status"]), fields.get("result")
    if status is BatchStatus.FINISHED and result is None:
        raise ValueError("a batch finishes with a result: completed, partial or failed")
    moved: Document = {"updated": "$$NOW", "status": record_status(status, result).value}
    if status.closed:
        return moved | {"finished": "$$NOW"}
    return moved | {"finished": "$$REMOVE", "result": "$$REMOVE"}


def _assigned(fields: Mapping[str, Any]) -> Document:
    stored = {BATCH.key(name): BATCH.value(name, value) for name, value in fields.items()}
    return {key: "$$REMOVE" if value is None else {"$literal": value} for key, value in stored.items()}
