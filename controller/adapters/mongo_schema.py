"""Collections, indexes, validators, and the way from any older schema to this one.

Called by ``mongo.open_store`` at every start. Everything here may run twice, or twice at once: an
index that exists stays, a migration is idempotent and its version is a guarded write.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from pymongo import ASCENDING, DESCENDING, IndexModel
from pymongo.asynchronous.database import AsyncDatabase
from pymongo.errors import CollectionInvalid, DuplicateKeyError, OperationFailure

from controller.adapters.mongo_indexes import build
from controller.adapters.mongo_shapes import Document
from controller.core.model import ACTIVE, LIVE, TERMINAL, BatchStatus, Status
from controller.ports import BatchkeeperError

Database = AsyncDatabase[Document]
Migration = Callable[[Database], Awaitable[None]]

SCHEMA_VERSION = 1
MIGRATIONS: Mapping[int, Migration] = {}
"""By number: what brings a database of the version before to that version. Never edited once released."""

ATTEMPTS = {"task_id": {"$type": "string"}}
"""What an attempt has and a batch parent has not; queries repeat it to use the partial indexes."""
IN_BATCH = {"batch_id": {"$exists": True}}
FAILED = TERMINAL - {Status.COMPLETED}
IN_LINE = {"status": Status.WAITING.value}


def _values(statuses: frozenset[Status]) -> list[str]:
    return sorted(status.value for status in statuses)


def _index(name: str, keys: str, partial: Document, *, unique: bool = False) -> IndexModel:
    """An index of that name on the fields of ``keys`` (``-`` before one: descending)."""
    directions = [
        (key.removeprefix("-"), DESCENDING if key.startswith("-") else ASCENDING) for key in keys.split()
    ]
    return IndexModel(directions, name=name, unique=unique, partialFilterExpression=partial)


HOLDING: Document = {"slot": {"$type": "number"}, "status": {"$in": _values(ACTIVE)}}
"""Active attempts, as the index of that name wants to be asked."""

OPEN: Document = {"batch_status": {"$in": sorted(s.value for s in BatchStatus if not s.closed)}}
"""Batch parents that are not over."""

UNTOLD: Document = {"notices.at": {"$exists": True}}
"""Batch parents of which something is still to be told."""

UNFINISHED = "unfinished_by_age"
"""The index of retries whose lifecycle is unfinished."""
SUPERSEDED = frozenset({"unfinished"})
"""Indexes that older programs made, and that nothing asks any more."""
JOB_INDEXES = [
    _index("slot", "batch_id slot", {"slot": {"$type": "number"}}, unique=True),
    _index("attempt", "batch_id task_id attempt", ATTEMPTS, unique=True),
    _index("job_name", "namespace name", ATTEMPTS, unique=True),
    _index("batch_name", "namespace name", {"batch_job": True}, unique=True),
    _index(
        "request",
        "request_id retry_parent",
        {"request_id": {"$type": "string"}, "retry_parent": {"$type": "objectId"}},
        unique=True,
    ),
    # Who stands in line. Entries leave with the status, so a finished batch costs a pass nothing.
    _index("line_retries", "batch_id when not_before index origin", {**IN_LINE, "attempt": {"$gt": 0}}),
    _index("line_roots", "batch_id index", {**IN_LINE, "attempt": 0}),
    # What is active, and which batches have anything alive: one look-up per batch, not per record.
    _index("active", "status updated", {"slot": {"$type": "number"}}),
    _index("live", "status batch_id", {"status": {"$in": _values(LIVE)}}),
    # All of a batch: its tally without reading a record, and its records in the order of the spec.
    _index("tally", "batch_id status when attempt verdict finished", IN_BATCH),
    _index("order", "batch_id index attempt _id", IN_BATCH),
    _index("failures", "batch_id -finished -_id", {"status": {"$in": _values(FAILED)}}),
    # Lineage.
    _index("lineage", "retry_parent attempt", {"retry_parent": {"$exists": True}}),
    _index(UNFINISHED, "inserted _id", {"retry_toggle": False, "retry_parent": {"$exists": True}}),
    _index("batches", "batch_status -inserted -_id", {"batch_job": True}),
    # What is still to be told: an entry leaves when it is.
    _index("untold", "notices.at", UNTOLD),
]
REQUESTS_KEPT = 24 * 60 * 60
"""Seconds for which the API remembers a request by its idempotency key."""
REQUEST_INDEXES = [IndexModel([("at", ASCENDING)], name="kept", expireAfterSeconds=REQUESTS_KEPT)]
GATE_INDEXES = [IndexModel([("epoch", ASCENDING)], name="epoch")]

_NAMESPACE_EXISTS = 48
_INDEX_NOT_FOUND = 27
_NO_SLOT = {"not": {"required": ["slot"]}}


def _in(statuses: list[str]) -> Document:
    return {"status": {"enum": statuses}}


JOB_VALIDATOR: Document = {
    "$jsonSchema": {
        "bsonType": "object",
        "required": ["status", "namespace", "name"],
        "anyOf": [
            {"properties": _in([Status.WAITING.value, Status.ESTIMATING.value]), **_NO_SLOT},
            {
                "properties": {**_in(_values(ACTIVE)), "slot": {"bsonType": ["int", "long"]}},
                "required": ["slot"],
            },
            {
                "properties": {**_in(_values(TERMINAL)), "finished": {"bsonType": "date"}},
                "required": ["finished"],
                **_NO_SLOT,
            },
            {
                "properties": {**_in([Status.RUNNING.value]), "batch_job": {"enum": [True]}},
                "required": ["batch_job"],
                **_NO_SLOT,
            },
        ],
    }
}
"""A tripwire, not a rule: a slot exactly while active, an end with its instant (R3, R4)."""

GATE_VALIDATOR: Document = {
    "$jsonSchema": {
        "bsonType": "object",
        "required": ["max", "paused", "epoch", "holders", "foreign"],
        "properties": {
            "max": {"bsonType": ["int", "long"], "minimum": 0},
            "paused": {"bsonType": "bool"},
            "epoch": {"bsonType": ["int", "long"]},
            "holders": {"bsonType": "array"},
            "foreign": {"bsonType": "array"},
        },
    }
}


async def prepare(
    db: Database, version: int = SCHEMA_VERSION, migrations: Mapping[int, Migration] = MIGRATIONS
) -> None:
    """Bring the database to this version of the schema.

    Raises ``BatchkeeperError`` when a newer program has already brought it further.
    """
    found = await _version(db, version)
    if found > version:
        raise BatchkeeperError(
            f"the database {db.name!r} has schema version {found}, this program knows {version}: "
            "start the newer batchkeeper that wrote it, or name another database"
        )
    for number in range(found + 1, version + 1):
        await migrations[number](db)
        await db["meta"].update_one({"_id": "schema", "version": number - 1}, {"$set": {"version": number}})
    await _collection(db, "jobs", JOB_VALIDATOR)
    await _collection(db, "gates", GATE_VALIDATOR)
    await build(db["jobs"], JOB_INDEXES)
    await _drop_superseded(db)
    await build(db["gates"], GATE_INDEXES)
    await build(db["requests"], REQUEST_INDEXES)


async def _version(db: Database, version: int) -> int:
    """The database's schema version; an empty database begins with ours."""
    found = await db["meta"].find_one({"_id": "schema"})
    if found is None:
        try:
            await db["meta"].insert_one({"_id": "schema", "version": version})
        except DuplicateKeyError:  # another process began at the same instant
            return await _version(db, version)
        return version
    return int(found["version"])


async def _collection(db: Database, name: str, validator: Document) -> None:
    """Make the collection, or bring its validator up to date."""
    options: dict[str, Any] = {"validator": validator, "validationAction": "error"}
    listed = await (await db.list_collections(filter={"name": name})).to_list()
    if not listed:
        try:
            await db.create_collection(name, **options)
        except (CollectionInvalid, OperationFailure) as error:
            if isinstance(error, OperationFailure) and error.code != _NAMESPACE_EXISTS:
                raise
            # Another process made it at the same instant, with the same validator.
    elif listed[0].get("options", {}).get("validator") != validator:
        await db.command("collMod", name, **options)


async def _drop_superseded(db: Database) -> None:
    for name in SUPERSEDED & (await db["jobs"].index_information()).keys():
        try:
            await db["jobs"].drop_index(name)
        except OperationFailure as error:
            if error.code != _INDEX_NOT_FOUND:  # another process dropped it at the same instant
                raise
