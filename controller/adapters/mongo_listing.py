"""Lists of attempts for people and reports: in spec order, streamed. A part of ``mongo.MongoStore``."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

from bson import ObjectId

from controller.adapters.mongo_edge import PAGE, MongoPart, translated
from controller.adapters.mongo_schema import IN_BATCH
from controller.adapters.mongo_shapes import Document, object_id
from controller.core.model import Attempt
from controller.ports import JobFilter

ORDER = ("batch_id", "index", "attempt", "_id")
"""The fields of the index of the same name: the order of every listing."""


class MongoListing(MongoPart):
    """One generator; no pass of the daemon depends on it."""

    async def find_jobs(self, what: JobFilter, after: str = "", limit: int = 0) -> AsyncIterator[Attempt]:
        """Records by batch, then in spec order, then by attempt; ``after`` is a record's id to go on from.

        Raises ``ValueError`` when there is no record ``after``.
        """
        given = 0
        with translated("find_jobs"):
            async for page in self._pages(_query(what), after):
                for document in await self._newest(page) if what.newest_only else page:
                    if attempt := self._attempt(document):
                        yield attempt
                        given += 1
                        if given == limit:
                            return

    async def _pages(self, query: Document, after: str) -> AsyncIterator[list[Document]]:
        """Pages of a listing, each asked for anew: a reader may take an hour to get on with one."""
        last = await self._place(after) if after else None
        while True:
            cursor = self._jobs.find(query).sort([(key, 1) for key in ORDER]).hint("order")
            if last is not None:
                # From the last one's place in the index on, itself included.
                place: list[tuple[str, Any]] = [(key, last.get(key)) for key in ORDER]
                cursor = cursor.min(place)
            found = await cursor.limit(PAGE + 1).to_list()
            page = [document for document in found if last is None or document["_id"] != last["_id"]]
            if page:
                yield page
                last = page[-1]
            if len(found) <= PAGE:
                return

    async def _place(self, after: str) -> Document:
        found = await self._jobs.find_one({"_id": object_id(after), **IN_BATCH}, dict.fromkeys(ORDER, 1))
        if found is None:
            raise ValueError(f"there is no job {after} to go on from")
        return found

    async def _newest(self, page: Sequence[Document]) -> list[Document]:
        """Those of a page that are their task's newest attempt, asked of an index alone."""
        tasks: dict[ObjectId, list[str]] = defaultdict(list)
        for document in page:
            if isinstance(task := document.get("task_id"), str):
                tasks[document["batch_id"]].append(task)
        newest: dict[tuple[ObjectId, str], int] = {}
        for batch_id, ids in tasks.items():
            query = {"batch_id": batch_id, "task_id": {"$in": ids}}
            shown = {"_id": 0, "task_id": 1, "attempt": 1}
            async for found in self._jobs.find(query, shown).hint("attempt"):
                key, attempt = (batch_id, found["task_id"]), found.get("attempt")
                if isinstance(attempt, int):  # else it is one that can't be read, and no task's newest
                    newest[key] = max(newest.get(key, 0), attempt)
        return [document for document in page if _is_newest(document, newest)]


def _is_newest(document: Document, newest: Mapping[tuple[ObjectId, str], int]) -> bool:
    """Whether it is its task's newest; also if that can't be told, so that it is met, and named."""
    task, attempt = document.get("task_id"), document.get("attempt")
    if not isinstance(task, str) or not isinstance(attempt, int):
        return True
    return attempt == newest.get((document["batch_id"], task))


def _query(what: JobFilter) -> Document:
    query: Document = {"batch_id": object_id(what.batch_id)} if what.batch_id else dict(IN_BATCH)
    if what.status:
        query["status"] = {"$in": [status.value for status in what.status]}
    if what.verdict:
        query["verdict"] = {"$in": [verdict.value for verdict in what.verdict]}
    if what.user:
        query["user"] = what.user
    return query
