"""The retry lifecycle's lists and toggle (R9). A part of ``mongo.MongoStore``.

Lists are sets: one pipeline per parent, which writes nothing when nothing is new.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from bson import ObjectId
from pymongo import UpdateOne

from controller.adapters.mongo_changes import union
from controller.adapters.mongo_edge import MANY, PAGE, MongoPart, edge
from controller.adapters.mongo_schema import UNFINISHED
from controller.adapters.mongo_shapes import Document, object_id
from controller.core.model import Attempt


def _as_list(name: str) -> Document:
    """A list field; anything else as an empty one, so that a sick record breaks no query."""
    return {"$cond": [{"$isArray": f"${name}"}, f"${name}", []]}


def _takes(name: str) -> Document:
    """A field that is a list, or not there. Anything else stays as it is, for whoever mends it."""
    return {"$or": [{name: {"$type": "array"}}, {name: {"$exists": False}}]}


def _new_in(name: str, ids: list[ObjectId]) -> Document:
    """Whether one of these ids is not in the list yet, and there is room for it."""
    new = {"$not": {"$setIsSubset": [{"$literal": ids}, _as_list(name)]}}
    return {"$expr": {"$and": [{"$lt": [{"$bsonSize": "$$ROOT"}, FULL]}, new]}}


_LISTED = _as_list("retry_ids")
_MISSING = {"$filter": {"input": "$$new.new", "cond": {"$not": {"$in": ["$$this", _LISTED]}}}}
_BENT = {"$not": {"$in": [{"$type": "$retry_ids"}, ["array", "missing"]]}}
_NOTHING_NEW = {"$or": [{"$eq": ["$batch_job", True]}, _BENT, {"$eq": [_MISSING, []]}]}
_MERGED: list[Document] = [
    {
        "$set": {
            "retry_ids": {
                "$cond": [
                    _NOTHING_NEW,
                    "$retry_ids",
                    {"$concatArrays": [_LISTED, _MISSING]},
                ]
            },
            "updated": {"$cond": [_NOTHING_NEW, "$updated", "$$NOW"]},
        }
    }
]
"""What a root becomes by ids that may be new to it: nothing where none is."""
FULL = 15 * 2**20
"""Bytes of a batch parent from which on its list grows no more: what else is written to it needs the rest of
the 16 MiB that a document may have. A batch of 50,000 tasks comes there with the fifteenth retry of each."""
LISTED_AT_ONCE = 10_000
"""Ids of one update of a list: a hundred thousand in one are made and sent while nobody else has a turn."""
FEW = 20
"""Roots for which plain updates are quicker."""


def _linking(root: str, ids: Iterable[str]) -> UpdateOne:
    """A root's list is short: for it the plain operators take half the time of a pipeline."""
    new = [object_id(job) for job in ids]
    query = {
        "_id": object_id(root),
        "batch_job": {"$ne": True},
        "retry_ids": {"$not": {"$all": new}},
        **_takes("retry_ids"),
    }
    update = {"$addToSet": {"retry_ids": {"$each": new}}, "$currentDate": {"updated": True}}
    return UpdateOne(query, update)


class MongoLineage(MongoPart):
    """Steps 2 to 4, each idempotent."""

    @edge
    async def list_children(self, batch_id: str, ids: Iterable[str]) -> None:
        """Step 2, as a set: ``child_jobs`` of the batch parent; a crash in between leaves some of it."""
        parent = {"_id": object_id(batch_id), "batch_job": True, **_takes("child_jobs")}
        listed = list(ids)
        for first in range(0, len(listed), LISTED_AT_ONCE):
            new = [object_id(job) for job in listed[first : first + LISTED_AT_ONCE]]
            update = [{"$set": {"child_jobs": union("child_jobs", list(new)), "updated": "$$NOW"}}]
            await self._jobs.update_one({**parent, **_new_in("child_jobs", new)}, update)

    @edge
    async def list_retries(self, by_root: Mapping[str, Iterable[str]]) -> None:
        """Step 3, in bulk, each as a set: ``retry_ids`` of these roots (the machine's ``linked``)."""
        roots = [(root, new) for root, ids in by_root.items() if (new := list(ids))]
        if len(roots) <= FEW:
            if page := [_linking(root, ids) for root, ids in roots]:
                await self._jobs.bulk_write(page, ordered=False)
            return
        for first in range(0, len(roots), MANY):
            await self._link_many(roots[first : first + MANY])

    async def _link_many(self, roots: Sequence[tuple[str, list[str]]]) -> None:
        """The same by the server alone, which takes a tenth of the time for thousands."""
        documents = [
            {"_id": object_id(root), "new": [object_id(job) for job in dict.fromkeys(ids)]}
            for root, ids in roots
        ]
        merge = {"into": "jobs", "whenMatched": _MERGED, "whenNotMatched": "discard"}
        steps: list[Document] = [{"$documents": documents}, {"$merge": merge}]
        await (await self._db.aggregate(steps)).to_list()

    @edge
    async def listed(self, children: Sequence[Attempt]) -> Mapping[str, tuple[str, ...]]:
        """Those children that both their batch parent and their root are *read* to list, by id."""
        of_batch: dict[str, list[str]] = defaultdict(list)
        of_root: dict[str, list[str]] = defaultdict(list)
        for child in children:
            of_batch[child.batch_id].append(child.id)
            if child.retry_parent:
                of_root[child.retry_parent].append(child.id)
        in_batches = [await self._found(batch, "child_jobs", ids) for batch, ids in of_batch.items()]
        in_batch, lists = frozenset[str]().union(*in_batches), await self._lists(of_root)
        return {
            child: lists[root]
            for root, ids in of_root.items()
            for child in ids
            if child in in_batch and child in lists.get(root, ())
        }

    async def _found(self, parent: str, name: str, ids: list[str]) -> frozenset[str]:
        """Which of these ids are in the parent's list; a list of 100,000 is not sent over for it."""
        asked = {"$literal": [object_id(job) for job in ids]}
        found = {"$setIntersection": [_as_list(name), asked]}
        document = await self._jobs.find_one({"_id": object_id(parent)}, {"_id": 0, "found": found})
        return frozenset(map(str, document["found"])) if document else frozenset()

    async def _lists(self, of_root: Mapping[str, object]) -> dict[str, tuple[str, ...]]:
        """The lists of these roots, oldest first; nothing else of them is sent over."""
        roots = [object_id(root) for root in of_root]
        found = await self._jobs.find({"_id": {"$in": roots}}, {"retry_ids": 1}).batch_size(MANY).to_list()
        lists = {str(root["_id"]): ids for root in found if isinstance(ids := root.get("retry_ids"), list)}
        numbers = await self._numbers(job for ids in lists.values() if len(ids) > 1 for job in ids)
        return {
            root: tuple(map(str, sorted(ids, key=lambda job: numbers.get(str(job), len(numbers)))))
            for root, ids in lists.items()
        }

    async def _numbers(self, job_ids: Iterable[ObjectId]) -> dict[str, int]:
        """By id, in which order they were tried: one that repair has listed stands after younger ones."""
        if not (wanted := list(job_ids)):
            return {}
        cursor = self._jobs.find({"_id": {"$in": wanted}}, {"attempt": 1}).sort("attempt").batch_size(MANY)
        return {str(job["_id"]): number for number, job in enumerate(await cursor.to_list())}

    @edge
    async def toggle(self, ids: Iterable[str]) -> int:
        """Step 4 for children that were read in both lists (the machine's ``toggled``)."""
        result = await self._jobs.update_many(
            {
                "_id": {"$in": [object_id(job) for job in ids]},
                "batch_job": {"$ne": True},
                "retry_parent": {"$type": "objectId"},
                "retry_toggle": False,
            },
            {"$set": {"retry_toggle": True}, "$currentDate": {"updated": True}},
        )
        return result.modified_count

    @edge
    async def unfinished_lifecycles(
        self, before: datetime, limit: int, after: Attempt | None = None
    ) -> Sequence[Attempt]:
        """Records with a retry parent and the toggle false, inserted before then, oldest first."""
        unfinished = {
            "retry_toggle": False,
            "retry_parent": {"$exists": True},
            "inserted": {"$lt": before},
        }
        cursor = self._jobs.find(unfinished).sort([("inserted", 1), ("_id", 1)]).hint(UNFINISHED)
        if after is not None:  # from its place in the index on, itself included if it is still there
            place: list[tuple[str, Any]] = [("inserted", after.inserted), ("_id", object_id(after.id))]
            cursor = cursor.min(place)
        found: list[Attempt] = []
        async with cursor.batch_size(PAGE):  # not cut short by the server: some may be unreadable
            async for document in cursor:
                if (child := self._attempt(document)) and (after is None or child.id != after.id):
                    found.append(child)
                    if len(found) == limit:
                        break
        return found
