"""Gates: the documents that bound batches (R1, R2). A part of ``mongo.MongoStore``."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from pymongo import ReturnDocument
from pymongo.errors import DuplicateKeyError

from controller.adapters.mongo_documents import FOREIGN, GATE, HOLDER
from controller.adapters.mongo_edge import MongoPart, edge
from controller.adapters.mongo_shapes import Document, object_id, text
from controller.core.model import Foreign, Gate, Holder, Stop

SETTABLE = frozenset({"max", "paused", "hold", "cancel"})


class MongoGates(MongoPart):
    """Every write is one guarded update of one document."""

    @edge
    async def ensure_gate(self, gate: Gate) -> None:
        """Insert the gate if there is none for its batch."""
        await self._insert_gate(gate)

    async def _insert_gate(self, gate: Gate) -> None:
        document = GATE.encode(gate)
        try:
            await self._gates.update_one(
                {"_id": document.pop("_id")}, {"$setOnInsert": document}, upsert=True
            )
        except DuplicateKeyError:  # two upserts at once: the other one's is there
            return

    @edge
    async def gates(self, batch_ids: Iterable[str]) -> Mapping[str, Gate]:
        """The gates of these batches, by batch id; a missing one is left out."""
        wanted = [object_id(batch_id) for batch_id in batch_ids]
        found = await self._gates.find({"_id": {"$in": wanted}}).to_list()
        return {gate.batch_id: gate for gate in map(self._gate, found) if gate}

    def _gate(self, document: Document) -> Gate | None:
        """The gate of a document; one that cannot be read is quarantined, and nothing starts without it."""
        try:
            return GATE.decode(document)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            self._unreadable[str(document.get("_id"))] = f"its gate: {type(error).__name__}: {error}"
            return None

    @edge
    async def set_gate(self, batch_id: str, fields: Mapping[str, Any]) -> bool:
        """Set ``max``, ``paused``, ``hold`` or ``cancel``; None lifts a hold or a cancel.

        Raises ``ValueError`` for any other field, and for no ``max`` or ``paused``.
        """
        if unknown := set(fields) - SETTABLE:
            raise ValueError(f"a gate's {', '.join(sorted(unknown))} cannot be set")
        if any(fields.get(name, 0) is None for name in ("max", "paused")):
            raise ValueError("a gate always has max and paused")
        stored = {name: GATE.value(name, value) for name, value in fields.items()}
        sets = {name: value for name, value in stored.items() if value is not None}
        unsets = {name: "" for name, value in stored.items() if value is None}
        update: Document = {"$set": sets} if sets else {}
        if unsets:
            update["$unset"] = unsets
        result = await self._gates.update_one({"_id": object_id(batch_id)}, update)
        return result.matched_count == 1

    @edge
    async def replace_hold(self, batch_id: str, before: str, after: str) -> bool:
        """Set the gate's hold if it still is ``before`` (empty: none); an empty ``after`` lifts it."""
        same = {"_id": object_id(batch_id), "hold": text(before) or None}
        update = {"$set": {"hold": text(after)}} if after else {"$unset": {"hold": ""}}
        result = await self._gates.update_one(same, update)
        return result.matched_count == 1

    @edge
    async def lift_cancel(self, batch_id: str, cancel: Stop) -> bool:
        """Unset ``cancel`` if it still is this very order: a later one stays."""
        order = {"_id": object_id(batch_id), "cancel.at": cancel.at, "cancel.by": text(cancel.by)}
        result = await self._gates.update_one(order, {"$unset": {"cancel": ""}})
        return result.matched_count == 1

    @edge
    async def claim(
        self, batch_id: str, places: Sequence[tuple[str, int]], epoch: int, leaving: Iterable[str] = ()
    ) -> Gate | None:
        """Take places in one guarded update of the gate (R1), and give up those of ``leaving`` with it.

        ``ValueError`` when a job or a slot is asked for twice, or none is.
        """
        jobs = [object_id(job) for job, _ in places]
        slots = [slot for _, slot in places]
        if not places or len(set(jobs)) < len(jobs) or len(set(slots)) < len(slots):
            raise ValueError("a claim is for at least one place, and for each job and slot once")
        gone = [object_id(job) for job in leaving]
        others = {"$not": {"$in": ["$$this.job", {"$literal": gone}]}}
        stay = {"$filter": {"input": "$holders", "cond": others}}
        taken = {"$add": [{"$size": "$$stay"}, {"$size": "$foreign"}, len(places)]}
        free = [
            {"$lte": [taken, "$max"]},
            {"$eq": [[], {"$setIntersection": ["$$stay.job", {"$literal": jobs}]}]},
            {"$eq": [[], {"$setIntersection": ["$$stay.slot", {"$literal": slots}]}]},
        ]
        new = [{"job": job, "slot": slot} for job, slot in zip(jobs, slots, strict=True)]
        found = await self._gates.find_one_and_update(
            {
                "_id": object_id(batch_id),
                "epoch": {"$lte": epoch},
                "paused": False,
                "hold": None,
                "cancel": None,
                "$expr": {"$let": {"vars": {"stay": stay}, "in": {"$and": free}}},
            },
            [
                {
                    "$set": {
                        "holders": {"$concatArrays": [stay, {"$literal": new}]},
                        "epoch": {"$max": ["$epoch", epoch]},
                    }
                }
            ],
            return_document=ReturnDocument.AFTER,
        )
        return self._gate(found) if found else None

    @edge
    async def take_over(
        self, batch_id: str, places: Sequence[Holder], hold: str, epoch: int, *, cancelled: bool = False
    ) -> bool:
        """Give places to attempts that are taken over, even above max, while ``hold`` is the gate's.

        ``cancelled``: also in a batch that is being cancelled.
        ``ValueError`` when a job or a slot is asked for twice, or none is, or there is no hold.
        """
        taking = [HOLDER.encode(place) for place in places]
        jobs, slots = [place["job"] for place in taking], [place.slot for place in places]
        if not places or not hold or len(set(jobs)) < len(jobs) or len(set(slots)) < len(slots):
            raise ValueError("places are taken over while a hold is on, for each job and slot once")
        uids = [place.uid for place in places if place.uid]
        result = await self._gates.update_one(
            {
                "_id": object_id(batch_id),
                "epoch": {"$lte": epoch},
                "hold": text(hold),
                "holders.job": {"$nin": jobs},
                "holders.slot": {"$nin": slots},
                **({} if cancelled else {"cancel": None}),
            },
            {
                "$push": {"holders": {"$each": taking}},
                "$pull": {"foreign": {"uid": {"$in": uids}}},
                "$max": {"epoch": epoch},
            },
        )
        return result.matched_count == 1

    @edge
    async def leave(self, batch_id: str, job_ids: Iterable[str]) -> Gate | None:
        """Give up places of records that were read terminal."""
        gone = [object_id(job) for job in job_ids]
        found = await self._gates.find_one_and_update(
            {"_id": object_id(batch_id)},
            {"$pull": {"holders": {"job": {"$in": gone}}}},
            return_document=ReturnDocument.AFTER,
        )
        return self._gate(found) if found else None

    @edge
    async def enter_foreign(self, batch_id: str, foreign: Iterable[Foreign]) -> None:
        """Count foreign active objects by uid, even above max (R2), each once, taken over ones with them."""
        entering = [FOREIGN.encode(item) for item in {item.uid: item for item in foreign}.values()]
        uids = [item["uid"] for item in entering]
        counted = {"$concatArrays": ["$foreign.uid", "$holders.uid"]}
        new = {
            "$filter": {
                "input": {"$literal": entering},
                "cond": {"$not": {"$in": ["$$this.uid", counted]}},
            }
        }
        await self._gates.update_one(
            {
                "_id": object_id(batch_id),
                "$expr": {"$not": {"$setIsSubset": [{"$literal": uids}, counted]}},
            },
            [{"$set": {"foreign": {"$concatArrays": ["$foreign", new]}}}],
        )

    @edge
    async def drop_foreign(self, batch_id: str, uid: str) -> None:
        """Stop counting an object that a live GET found gone or terminal."""
        await self._gates.update_one({"_id": object_id(batch_id)}, {"$pull": {"foreign": {"uid": uid}}})
