"""Our own collection beside EE2's: one document per record of EE2's that we did something about, under its
``_id``, and a few under names (epoch, passes). A part of ``mongo_ee2.MongoEe2``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta

from pymongo import AsyncMongoClient, ReturnDocument

from controller.adapters.mongo_edge import edge, let_go
from controller.adapters.mongo_meta import MongoMeta
from controller.adapters.mongo_shapes import Document, object_id, text
from controller.core.ee2 import Stuck
from controller.ports.ee2 import Claim

_LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)
_BYS = ("repair", "reap")


class MongoEe2Own(MongoMeta):
    """Epoch, clock and good passes as everywhere, but kept in this collection; claims and evidence."""

    def __init__(self, client: AsyncMongoClient[Document], database: str, own: str) -> None:
        super().__init__(client, database)
        self._meta = self._own = self._db[own]

    async def close(self) -> None:
        """Let go of connections; closing twice is no error."""
        if not self._closed:
            self._closed = True
            await let_go(self._client)

    async def prepare_own(self) -> None:
        """The indexes by which the quarantine is tidied."""
        for by in _BYS:
            await self._own.create_index(f"quarantined.{by}.at", sparse=True)

    @edge
    async def claim(self, job: Stuck, epoch: int, term: timedelta) -> Claim | None:
        """See ``Ee2Records.claim``: one update, which matches only once the last claim or rest is over."""
        mine = {"_id": object_id(job.id)}
        await self._own.update_one(mine, {"$setOnInsert": {"cancel": {"until": _LONG_AGO}}}, upsert=True)
        until = {"$ifNull": ["$cancel.until", _LONG_AGO]}
        by = {"$ifNull": ["$cancel.epoch", 0]}
        free = {"$and": [{"$lte": [until, "$$NOW"]}, {"$lte": [by, epoch]}]}
        judged: Document = {
            "status": job.status.value,
            "since": job.since,
            "scheduler_id": {"$literal": job.scheduler_id},
        }
        same = {"$and": [{"$eq": [f"$cancel.{name}", value]} for name, value in judged.items()]}
        claimed = {
            **judged,
            "epoch": epoch,
            "until": {"$add": ["$$NOW", term // timedelta(milliseconds=1)]},
            "failures": {"$cond": [same, {"$ifNull": ["$cancel.failures", 0]}, 0]},
            "cancelled": {"$cond": [same, {"$ifNull": ["$cancel.cancelled", False]}, False]},
        }
        found: Document | None = await self._own.find_one_and_update(
            {**mine, "$expr": free}, [{"$set": {"cancel": claimed}}], return_document=ReturnDocument.AFTER
        )
        return Claim(found["cancel"]["failures"], found["cancel"]["cancelled"]) if found else None

    @edge
    async def answered(self, job: Stuck, epoch: int, note: str, rest: timedelta | None) -> None:
        """See ``Ee2Records.answered``."""
        said: Document = {"cancel.note": {"$literal": text(note)}, "cancel.answered": "$$NOW"}
        if rest is None:
            said |= {"cancel.cancelled": True, "cancel.failures": 0}
        else:
            pause = rest // timedelta(milliseconds=1)
            said["cancel.until"] = {"$add": ["$$NOW", pause]}
            said["cancel.failures"] = {"$add": [{"$ifNull": ["$cancel.failures", 0]}, 1]}
        mine = {"_id": object_id(job.id), "cancel.epoch": epoch}
        await self._own.update_one(mine, [{"$set": said}])

    @edge
    async def set_aside(self, job_id: str, by: str, reason: str) -> None:
        """See ``Ee2Records.set_aside``."""
        stored = {"reason": {"$literal": text(reason)}, "at": "$$NOW"}
        update = [{"$set": {f"quarantined.{by}": stored}}]
        await self._own.update_one({"_id": object_id(job_id)}, update, upsert=True)

    @edge
    async def release(self, by: str, before: datetime) -> None:
        """See ``Ee2Records.release``."""
        old = {f"quarantined.{by}.at": {"$lt": before}}
        await self._own.update_many(old, {"$unset": {f"quarantined.{by}": ""}})

    @edge
    async def all_set_aside(self) -> Mapping[str, Sequence[str]]:
        """See ``Ee2Records.all_set_aside``."""
        some = {"$or": [{f"quarantined.{by}.at": {"$exists": True}} for by in _BYS]}
        found = await self._own.find(some).sort("_id").to_list()
        return {
            str(one["_id"]): [f"{by}: {why['reason']}" for by, why in sorted(one["quarantined"].items())]
            for one in found
        }
