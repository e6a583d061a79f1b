"""EE2's records on MongoDB: ``ports.ee2.Ee2Records``. Opened by ``ee2_app``.

EE2's records are changed by guarded pipeline updates that write named fields only, so that whatever else
is in a record stays. ``updated`` moves with every write, by the server's clock, in seconds as EE2 has it.
Our own collection is ``mongo_ee2_own``'s.

Nothing here rests on numbered writes: each update may be applied again. So EE2's server need not take
them, nor be a replica set.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from bson import ObjectId
from pymongo import ASCENDING, AsyncMongoClient, IndexModel
from pymongo.asynchronous.collection import AsyncCollection

from controller.adapters.mongo import connect
from controller.adapters.mongo_changes import union
from controller.adapters.mongo_edge import edge, let_go, translated
from controller.adapters.mongo_ee2_own import MongoEe2Own
from controller.adapters.mongo_ee2_plan import unserved_line
from controller.adapters.mongo_indexes import build
from controller.adapters.mongo_shapes import Document, object_id
from controller.core.ee2 import BY_AUTOMATION, ENTERED, Record, Stuck
from controller.core.ee2_decide import Step
from controller.core.model import Status
from controller.ports import BatchkeeperError

OLDEST = (4, 4)
SECONDS = {"$divide": [{"$toLong": "$$NOW"}, 1000]}
"""The server's clock at the write, as EE2 writes times."""
INDEXES = [
    IndexModel(
        [("status", ASCENDING), ("batch_job", ASCENDING), ("_id", ASCENDING)], name="batchkeeper_stuck"
    ),
    IndexModel(
        [("retry_saved_toggle", ASCENDING), ("_id", ASCENDING)],
        name="batchkeeper_unfinished",
        partialFilterExpression={"retry_parent": {"$exists": True}},
    ),
]
"""What the two passes read by. EE2 itself creates none."""
_READ = dict.fromkeys(
    (
        "batch_id",
        "batch_job",
        "queued",
        "retry_parent",
        "retry_saved_toggle",
        "running",
        "scheduler_id",
        "scheduler_type",
        "status",
    ),
    1,
)


async def open_ee2(uri: str, database: str, collection: str, own: str, patience: timedelta) -> MongoEe2:
    """Connect and check the server; nothing is written. Raises ``Unavailable``, ``BatchkeeperError``."""
    client = connect(uri, patience, numbered=False)
    try:
        with translated("connecting"):
            version = (await client.server_info())["versionArray"]
        if tuple(version[:2]) < OLDEST:
            found, needed = ".".join(map(str, version[:3])), ".".join(map(str, OLDEST))
            raise BatchkeeperError(f"the MongoDB server is version {found}: {needed} or newer is needed")
    except BaseException:
        await let_go(client)
        raise
    return MongoEe2(client, database, collection, own)


class MongoEe2(MongoEe2Own):
    """``ports.ee2.Ee2Records`` on one database."""

    def __init__(self, client: AsyncMongoClient[Document], database: str, collection: str, own: str) -> None:
        super().__init__(client, database, own)
        self._records: AsyncCollection[Document] = self._db[collection]

    # -- reading

    @edge
    async def unfinished(self, before: datetime, after: str = "", limit: int = 500) -> Sequence[Record]:
        """See ``Ee2Records.unfinished``."""
        return await self._page({**_UNFINISHED, **_made(before, after)}, limit)

    @edge
    async def stuck(
        self, status: str, before: datetime, after: str = "", limit: int = 500
    ) -> Sequence[Record]:
        """See ``Ee2Records.stuck``."""
        return await self._page({**_stuck(status), **_made(before, after)}, limit)

    async def _page(self, query: Document, limit: int) -> Sequence[Record]:
        found = self._records.find(query, _READ).sort("_id", ASCENDING).limit(limit)
        return [_as_record(document) for document in await found.to_list()]

    @edge
    async def record(self, job_id: str) -> Record | None:
        """See ``Ee2Records.record``."""
        document = await self._records.find_one({"_id": object_id(job_id)}, _READ)
        return _as_record(document) if document else None

    @edge
    async def parents(self, ids: Iterable[str], children: Iterable[str]) -> Mapping[str, Record]:
        """See ``Ee2Records.parents``. A list of 100,000 is not sent over for a page of children."""
        asked = list(children)
        shown = {"batch_job": 1, **{step: _those_of(step, asked) for step in _LISTS}}
        found = await self._records.find({"_id": {"$in": [object_id(i) for i in ids]}}, shown).to_list()
        return {str(document["_id"]): _as_record(document) for document in found}

    # -- writing

    @edge
    async def list_in(self, step: Step, parent: str, children: Iterable[str]) -> bool:
        """See ``Ee2Records.list_in``."""
        ids, field = list(children), step.value
        is_batch = {"batch_job": True if step is Step.CHILD_JOBS else {"$ne": True}}
        a_list = {"$or": [{field: {"$type": "array"}}, {field: None}]}
        new = {"$expr": {"$not": {"$setIsSubset": [{"$literal": ids}, _as_list(field)]}}}
        update = [{"$set": {field: union(field, list(ids)), "updated": SECONDS}}]
        query = {"_id": object_id(parent), **is_batch, **a_list, **new}
        return (await self._records.update_one(query, update)).modified_count > 0

    @edge
    async def toggle(self, children: Iterable[str]) -> int:
        """See ``Ee2Records.toggle``."""
        query = {"_id": {"$in": [object_id(child) for child in children]}, **_UNFINISHED}
        update = [{"$set": {Step.TOGGLE.value: True, "updated": SECONDS}}]
        return (await self._records.update_many(query, update)).modified_count

    @edge
    async def terminate(self, job: Stuck, limit: timedelta) -> bool:
        """See ``Ee2Records.terminate``. The filter repeats all that was judged."""
        query: Document = {
            "_id": object_id(job.id),
            "status": job.status.value,
            "batch_job": {"$ne": True},
            "scheduler_id": job.scheduler_id or {"$in": [None, ""]},
            "$expr": {"$lt": [_entered(job.status), {"$subtract": ["$$NOW", _milliseconds(limit)]}]},
        }
        if job.status in ENTERED:
            query[ENTERED[job.status]] = job.since
        fields = {
            "status": Status.TERMINATED.value,
            "terminated_code": BY_AUTOMATION,
            "finished": SECONDS,
            "updated": SECONDS,
        }
        return (await self._records.update_one(query, [{"$set": fields}])).modified_count > 0

    # -- indexes

    @edge
    async def prepare(self, *, indexes: bool) -> None:
        """Our own collection's indexes, and with ``indexes`` those of EE2's that the passes need."""
        await self.prepare_own()
        if indexes:
            await build(self._records, INDEXES)

    @edge
    async def unserved(self) -> Sequence[str]:
        """See ``Ee2Records.unserved``: asks the server how it would read."""
        now = datetime.fromtimestamp(0x7F000000, tz=self._db.codec_options.tzinfo)
        reads = [
            ({**_stuck("queued"), **_made(now)}, INDEXES[0]),
            ({**_UNFINISHED, **_made(now)}, INDEXES[1]),
        ]
        lines = []
        for query, index in reads:
            command = {"find": self._records.name, "filter": query, "sort": {"_id": 1}, "limit": 500}
            plan = await self._db.command({"explain": command, "verbosity": "queryPlanner"})
            if line := unserved_line(plan, self._records.name, index):
                lines.append(line)
        return lines


_LISTS = (Step.CHILD_JOBS.value, Step.RETRY_IDS.value)
_UNFINISHED: Document = {"retry_parent": {"$exists": True}, "retry_saved_toggle": {"$ne": True}}


def _stuck(status: str) -> Document:
    """Not ``batch_job: false``: a record without the field is no parent either."""
    return {"status": status, "batch_job": {"$ne": True}}


def _made(before: datetime, after: str = "") -> Document:
    """Made before an instant, by its id; and after another id."""
    span: Document = {"$lt": ObjectId.from_datetime(before)}
    if after:
        span["$gt"] = object_id(after)
    return {"_id": span}


def _as_record(document: Document) -> Record:
    return {**document, "_id": str(document["_id"])}


def _as_list(field: str) -> Document:
    """A list field; anything else as an empty one, so that a sick record breaks no query."""
    return {"$cond": [{"$isArray": f"${field}"}, f"${field}", []]}


def _those_of(field: str, ids: Sequence[str]) -> Document:
    """Which of these ids are in the field; the field itself where it is no list."""
    found = {"$setIntersection": [f"${field}", {"$literal": list(ids)}]}
    return {"$cond": [{"$isArray": f"${field}"}, found, f"${field}"]}


def _entered(status: Status) -> Any:
    """The instant at which a record entered its status, as a date."""
    if status is Status.CREATED:
        return {"$toDate": "$_id"}
    return {"$toDate": {"$toLong": {"$multiply": [f"${ENTERED[status]}", 1000]}}}


def _milliseconds(span: timedelta) -> int:
    return span // timedelta(milliseconds=1)
