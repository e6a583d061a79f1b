"""What the store knows about the whole installation: its clock, the epoch, halts, good passes.

A part of ``mongo.MongoStore``. The collection ``meta`` holds one document for each, ``quarantine`` one for
each refused spec.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from bson import ObjectId
from pymongo import ReturnDocument, UpdateOne

from controller.adapters.mongo_documents import HALT
from controller.adapters.mongo_edge import MongoPart, edge
from controller.adapters.mongo_notices import fresh
from controller.adapters.mongo_schema import HOLDING, IN_LINE, OPEN
from controller.adapters.mongo_shapes import Document, text
from controller.core.model import Halt, Halts
from controller.core.notices import Notice
from controller.ports import StaleEpoch

GAPS_KEPT = timedelta(days=60)
HALTS = ("submissions", "retries")
HALTS_ID = "halts"
"""The document with the halts."""
PASSES = "passes/"
"""Begins the id of what is known of a namespace's good passes."""


def decode_halts(document: Mapping[str, Any]) -> Halts:
    """The halts of their document; an empty one has none."""
    return Halts(**{what: HALT.decode(document[what]) for what in HALTS if document.get(what)})


class MongoMeta(MongoPart):
    """Identity, leadership and the clock."""

    def new_id(self) -> str:
        """A fresh id for a record or a batch."""
        return str(ObjectId())

    def quarantined(self) -> Mapping[str, str]:
        """Records that were met but can't be read: id → why."""
        return dict(self._unreadable)

    @edge
    async def now(self) -> datetime:
        """The primary's own clock."""
        answer = await self._client.admin.command("hello", codec_options=self._db.codec_options)
        local: datetime = answer["localTime"]
        return local

    @edge
    async def next_epoch(self, holder: str) -> int:
        """Mint the next epoch for whoever won the lock."""
        minted: Document | None = await self._meta.find_one_and_update(
            {"_id": "epoch"},
            [
                {
                    "$set": {
                        "value": {"$add": [{"$ifNull": ["$value", 0]}, 1]},
                        "holder": {"$literal": holder},
                        "at": "$$NOW",
                    }
                }
            ],
            upsert=True,
            return_document=ReturnDocument.AFTER,
        )
        assert minted is not None, "an upsert answers with its document"
        return int(minted["value"])

    @edge
    async def epoch(self) -> int:
        """The newest epoch minted; 0 before the first."""
        found = await self._meta.find_one({"_id": "epoch"})
        return int(found["value"]) if found else 0

    @edge
    async def stamp(self, epoch: int) -> None:
        """Stamp gates, who waits with a place, active records, open batches; ``StaleEpoch`` if too late."""
        older = {"epoch": {"$lt": epoch}}
        await self._gates.update_many(older, {"$set": {"epoch": epoch}})
        later = await self._gates.find_one({"epoch": {"$gt": epoch}}, {"epoch": 1})
        if later is not None:
            raise StaleEpoch(f"epoch {epoch} is over: a gate was stamped by epoch {later['epoch']}")
        stamped = [{"$set": {"epoch": epoch, "updated": "$$NOW"}}]
        taken = self._gates.find({"epoch": epoch, "holders.0": {"$exists": True}}, {"holders.job": 1})
        held = [holder.get("job") async for gate in taken for holder in gate["holders"]]
        if held:
            await self._jobs.update_many({"_id": {"$in": held}, **IN_LINE, **older}, stamped)
        await self._jobs.update_many({**HOLDING, **older}, stamped, hint="active")
        unstamped = {"epoch": {"$not": {"$gte": epoch}}}
        await self._jobs.update_many({"batch_job": True, **OPEN, **unstamped}, {"$set": {"epoch": epoch}})

    @edge
    async def halts(self) -> Halts:
        """The operator's kill switches."""
        return decode_halts(await self._meta.find_one({"_id": HALTS_ID}) or {})

    @edge
    async def set_halt(self, what: str, halt: Halt | None) -> None:
        """Set or lift the halt of ``submissions`` or ``retries``; ``ValueError`` for anything else."""
        if what not in HALTS:
            raise ValueError(f"there is no halt of {what!r}, only of {' and '.join(HALTS)}")
        update: Document = {"$unset": {what: ""}} if halt is None else {"$set": {what: HALT.encode(halt)}}
        await self._meta.update_one({"_id": HALTS_ID}, update, upsert=True)

    @edge
    async def nudge(self) -> None:
        """Ask whoever leads to look at everything soon: a write that ``requests`` shows."""
        await self._meta.update_one({"_id": "nudge"}, {"$inc": {"nudges": 1}}, upsert=True)

    @edge
    async def set_quarantine(self, key: str, problems: Sequence[str], notices: Sequence[Notice] = ()) -> None:
        """Remember why a spec is refused as it is now; no problems: it no longer is."""
        spec = {"_id": text(key)}
        if problems:
            stored = {"$literal": [text(problem) for problem in problems]}
            known = {"$eq": ["$problems", stored]}
            told = {"$cond": [known, {"$ifNull": ["$notices", []]}, fresh(notices)]}
            update = [{"$set": {"problems": stored, "notices": told}}]
            await self._refused.update_one(spec, update, upsert=True)
        else:
            await self._refused.delete_one(spec)

    @edge
    async def quarantine(self) -> Mapping[str, Sequence[str]]:
        """Specs that are refused as they are now, and every problem of each."""
        found = await self._refused.find().sort("_id").to_list()
        return {spec["_id"]: tuple(spec["problems"]) for spec in found}

    @edge
    async def note_good_pass(self, at: datetime, longest: timedelta, namespaces: Iterable[str]) -> None:
        """Record a good pass that saw these; in each too long a silence before it becomes a gap.

        One pipeline, so that two passes at once lose no gap. A clock that stepped back notes nothing
        until it has caught up.
        """
        since = {"$subtract": [at, longest // timedelta(milliseconds=1)]}
        kept = {
            "$filter": {
                "input": {"$ifNull": ["$gaps", []]},
                "cond": {"$gt": ["$$this.until", at - GAPS_KEPT]},
            }
        }
        gap = {"since": "$last", "until": at}
        silent = {"$and": [{"$gt": ["$last", None]}, {"$lt": ["$last", since]}]}
        gaps = {"$concatArrays": [kept, {"$cond": [silent, [gap], []]}]}
        noted = [{"$set": {"gaps": gaps, "last": {"$max": ["$last", at]}}}]
        writes = [UpdateOne({"_id": f"{PASSES}{name}"}, noted, upsert=True) for name in sorted(namespaces)]
        if writes:
            await self._meta.bulk_write(writes, ordered=False)

    @edge
    async def blind_gaps(self) -> Mapping[str, Sequence[tuple[datetime, datetime]]]:
        """By namespace: stretches of time without a good pass, oldest first."""
        gaps = {}
        async for found in self._meta.find({"_id": {"$regex": f"^{PASSES}"}}):
            name = found["_id"].removeprefix(PASSES)
            gaps[name] = [(gap["since"], gap["until"]) for gap in found.get("gaps", ())]
        return gaps
