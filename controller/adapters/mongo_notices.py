"""What people are still to be told. A part of ``mongo.MongoStore``.

A notice is an item of the list ``notices`` of the very document whose change it tells of (a batch parent,
or a refused spec in ``quarantine``), so both are written in one update. ``told`` of a batch parent only
grows: it is what bounds the Events of a batch, whatever happens to them afterwards.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any

from pymongo.asynchronous.collection import AsyncCollection

from controller.adapters.mongo_documents import BATCH, NOTICE
from controller.adapters.mongo_edge import MongoPart, edge
from controller.adapters.mongo_schema import UNTOLD
from controller.adapters.mongo_shapes import Document, object_id
from controller.core.notices import Channel, Notice
from controller.ports import Untold

WITHOUT_CHILDREN = {"child_jobs": 0}


class MongoNotices(MongoPart):
    """The outbox that is spread over the records it tells of."""

    @edge
    async def untold(self) -> Sequence[Untold]:
        """Everything that waits to be told."""
        of_batches = await self._jobs.find(UNTOLD, WITHOUT_CHILDREN).hint("untold").to_list()
        of_specs = await self._refused.find(UNTOLD).sort("_id").to_list()
        return [
            *(one for document in of_batches for one in self._of_batch(document)),
            *(one for document in of_specs for one in self._of_spec(document)),
        ]

    def _of_batch(self, document: Document) -> list[Untold]:
        try:
            batch = BATCH.decode(document)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            self._unreadable[str(document.get("_id"))] = f"{type(error).__name__}: {error}"
            return []
        return [Untold(notice, batch) for notice in batch.notices]

    def _of_spec(self, document: Document) -> Iterator[Untold]:
        """Those that can be read; what else stands there is left alone (O2)."""
        for item in document["notices"]:
            try:
                yield Untold(NOTICE.decode(item), spec=document["_id"])
            except (KeyError, TypeError, ValueError, AttributeError) as error:
                why = f"a notice of it: {type(error).__name__}: {error}"
                self._unreadable[str(document["_id"])] = why

    @edge
    async def move_notice(self, one: Untold, due: datetime | None) -> bool:
        """Begin its next delivery, if its number of tries is still what was read; None: it is over."""
        collection, key = self._home(one)
        this = _same(one.notice)
        if due is None:
            result = await collection.update_one({"_id": key}, {"$pull": {"notices": this}})
            return result.modified_count == 1
        mine = {"_id": key, "notices": {"$elemMatch": {**this, "tries": one.notice.tries}}}
        taken = {"$set": {"notices.$.due": due}, "$inc": {"notices.$.tries": 1}}
        result = await collection.update_one(mine, taken)
        return result.matched_count == 1

    def _home(self, one: Untold) -> tuple[AsyncCollection[Document], Any]:
        """The document that has it."""
        return (self._jobs, object_id(one.batch.id)) if one.batch else (self._refused, one.spec)


def added(notices: Sequence[Notice]) -> Document:
    """Fields of an update that adds notices to a batch parent; all of them see it as it was before."""
    if not notices:
        return {}
    told: Document = {"$ifNull": ["$told", []]}
    lists: list[Any] = [{"$ifNull": ["$notices", []]}]
    for notice in notices:
        is_known = {"$in": [notice.topic.value, told]}
        once = {"$cond": [is_known, [], fresh([notice])]}
        lists.append(once if notice.channel is Channel.EVENT else fresh([notice]))
    events = [notice.topic.value for notice in notices if notice.channel is Channel.EVENT]
    grown = {"told": {"$concatArrays": [told, {"$setDifference": [events, told]}]}} if events else {}
    return {"notices": {"$concatArrays": lists}, **grown}


def fresh(notices: Sequence[Notice]) -> list[Document]:
    """New notices as an expression: they begin, and are due, now."""
    return [
        {**{key: {"$literal": value} for key, value in NOTICE.encode(notice).items()}, **_NOW}
        for notice in notices
    ]


_NOW = {"at": "$$NOW", "due": "$$NOW"}


def _same(notice: Notice) -> Document:
    """What tells a notice from the others of its document."""
    return {"topic": notice.topic.value, "channel": notice.channel.value, "at": notice.at}
