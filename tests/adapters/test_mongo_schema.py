"""Collections, indexes, validators and migrations: safe to run twice, at once, and after a crash."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import pytest
from bson import ObjectId
from pymongo import AsyncMongoClient, IndexModel
from pymongo.errors import NetworkTimeout, WriteError
from pymongo.monitoring import CommandFailedEvent, CommandListener, CommandStartedEvent, CommandSucceededEvent

from controller.adapters.mongo_indexes import build
from controller.adapters.mongo_schema import SCHEMA_VERSION, Database, prepare
from controller.adapters.mongo_shapes import Document
from controller.ports import BatchkeeperError

NOW = datetime(2026, 3, 1, tzinfo=UTC)


@pytest.fixture
async def db(mongo_uri: str, mongo_database: str) -> AsyncIterator[Database]:
    """A database with nothing in it."""
    async with AsyncMongoClient[Document](mongo_uri) as client:
        yield client[mongo_database]


class Sent(CommandListener):
    """The commands that a client sends."""

    def __init__(self) -> None:
        self.names: list[str] = []
        self.limits: list[int] = []
        """How many milliseconds the server is given for indexes, of each such command."""

    def started(self, event: CommandStartedEvent) -> None:
        """A command is sent."""
        self.names.append(event.command_name)
        if event.command_name == "createIndexes":
            self.limits.append(event.command["maxTimeMS"])

    def succeeded(self, event: CommandSucceededEvent) -> None:
        """It was answered."""

    def failed(self, event: CommandFailedEvent) -> None:
        """It was not."""


async def version(db: Database) -> int:
    """The schema version that the database says it has."""
    found = await db["meta"].find_one({"_id": "schema"})
    assert found is not None
    return int(found["version"])


async def test_an_empty_database(db: Database) -> None:
    """Preparing makes everything, and preparing again, also five times at once, changes nothing."""
    await asyncio.gather(*(prepare(db) for _ in range(5)))
    assert await version(db) == SCHEMA_VERSION
    indexes = await db["jobs"].index_information()
    unique = {name for name, index in indexes.items() if index.get("unique")}
    assert unique == {"slot", "attempt", "job_name", "batch_name", "request"}
    validators = {c["name"]: c["options"] async for c in await db.list_collections() if c["options"]}
    assert {"jobs", "gates"} <= set(validators)
    await prepare(db)
    assert await db["jobs"].index_information() == indexes


async def test_an_index_of_an_older_program(db: Database) -> None:
    """One that nothing asks any more costs every write no longer, whoever comes first to drop it."""
    await db["jobs"].create_index("inserted", name="unfinished")
    await asyncio.gather(*(prepare(db) for _ in range(5)))
    assert "unfinished" not in await db["jobs"].index_information()


async def test_an_index_may_take_long_to_build(mongo_uri: str, mongo_database: str) -> None:
    """When the time of a command is over the server drops what it has built, and each start began anew: of
    enough records no index was ever made. While it is at work it may take longer."""
    sent, usual = Sent(), 5000
    async with AsyncMongoClient[Document](mongo_uri, timeoutMS=usual, event_listeners=[sent]) as client:
        records = client[mongo_database]["records"]
        await records.insert_many([{"number": number} for number in range(100_000)])
        await build(records, [IndexModel("number", name="number")], patience=0.01)
        assert "number" in await records.index_information()
    assert sent.names.count("currentOp") > 1
    assert min(sent.limits) > 100 * usual


async def test_nobody_waits_for_a_build_that_is_none(mongo_uri: str, mongo_database: str) -> None:
    """An answer that never comes, of a server that does nothing: a start says so and is tried again."""

    async def never(*_: Any, **__: Any) -> None:
        await asyncio.Event().wait()

    async with AsyncMongoClient[Document](mongo_uri, timeoutMS=5000) as client:
        records = client[mongo_database]["records"]
        records.create_indexes = never  # type: ignore[method-assign, assignment]
        with pytest.raises(NetworkTimeout, match="records, and it is not being done"):
            await build(records, [IndexModel("number", name="number")], patience=0.01)


async def test_an_old_validator(db: Database) -> None:
    """A validator that is not ours any more is replaced."""
    await prepare(db)
    await db.command("collMod", "jobs", validator={})
    await prepare(db)
    with pytest.raises(WriteError):
        await db["jobs"].insert_one({"status": "running"})


async def test_migrations(db: Database) -> None:
    """An older database goes through each migration in order, once, also when two programs start at once."""
    await prepare(db, 1)
    await db["jobs"].insert_one({"status": "waiting", "namespace": "lab", "name": "x", "old": 1})
    ran: list[int] = []

    async def rename(db: Database) -> None:
        ran.append(2)
        await db["jobs"].update_many({"old": {"$exists": True}}, {"$rename": {"old": "new"}})

    async def double(db: Database) -> None:
        ran.append(3)
        await db["jobs"].update_many({"new": {"$lt": 2}}, {"$set": {"new": 2}})

    migrations = {2: rename, 3: double}
    await prepare(db, 3, migrations)
    await prepare(db, 3, migrations)
    assert ran == [2, 3]
    assert await version(db) == 3
    found = await db["jobs"].find_one({}, {"_id": 0, "old": 1, "new": 1})
    assert found == {"new": 2}


async def test_two_programs_migrate_at_once(db: Database) -> None:
    """Both may run the same migration; the version ends where it belongs."""
    await prepare(db, 1)

    async def slow(db: Database) -> None:
        await asyncio.sleep(0.05)

    await asyncio.gather(*(prepare(db, 3, {2: slow, 3: slow}) for _ in range(3)))
    assert await version(db) == 3


async def test_a_migration_that_fails(db: Database) -> None:
    """A migration that did not come to its end is run again by the next start."""
    await prepare(db, 1)
    done: list[str] = []

    async def first(db: Database) -> None:
        done.append("first")

    async def broken(db: Database) -> None:
        raise RuntimeError("pulled the plug")

    async def second(db: Database) -> None:
        done.append("second")

    with pytest.raises(RuntimeError):
        await prepare(db, 3, {2: first, 3: broken})
    assert await version(db) == 2
    await prepare(db, 3, {2: first, 3: second})
    assert done == ["first", "second"]
    assert await version(db) == 3


async def test_a_newer_database(db: Database) -> None:
    """A program never works on a database that a newer one has changed; the one line says what to do."""
    await prepare(db, SCHEMA_VERSION + 1, {SCHEMA_VERSION + 1: prepare})
    with pytest.raises(BatchkeeperError, match=r"this program knows 1: start the newer batchkeeper"):
        await prepare(db)
    assert await version(db) == SCHEMA_VERSION + 1


@pytest.mark.parametrize(
    ("fields", "fine"),
    [
        ({"status": "waiting"}, True),
        ({"status": "waiting", "slot": 1}, False),
        ({"status": "created"}, False),
        ({"status": "created", "slot": 1}, True),
        ({"status": "running", "slot": None}, False),
        ({"status": "running", "batch_job": True}, True),
        ({"status": "running", "batch_job": False}, False),
        ({"status": "error"}, False),
        ({"status": "error", "finished": NOW}, True),
        ({"status": "error", "finished": NOW, "slot": 1}, False),
        ({"status": "completed", "batch_job": True}, False),
        ({"status": "estimating"}, True),
        ({"status": "finished"}, False),
        ({}, False),
    ],
)
async def test_the_tripwire(db: Database, fields: dict[str, Any], fine: bool) -> None:
    """The database itself refuses a slot that is not exactly while active, and an end without instant."""
    await prepare(db)
    insert = db["jobs"].insert_one({"_id": ObjectId(), "namespace": "lab", "name": "x", **fields})
    if fine:
        assert (await insert).acknowledged
    else:
        with pytest.raises(WriteError, match="validation"):
            await insert


async def test_a_gate_is_whole(db: Database) -> None:
    """A gate without max, or with less than none, cannot be written."""
    await prepare(db)
    whole = {"max": 5, "paused": False, "epoch": 0, "holders": [], "foreign": []}
    await db["gates"].insert_one(dict(whole))
    for broken in ({"max": -1}, {"max": "5"}, {"paused": None}, {"holders": None}):
        with pytest.raises(WriteError, match="validation"):
            await db["gates"].insert_one({**whole, **broken})
    with pytest.raises(WriteError, match="validation"):
        await db["gates"].update_one({}, {"$unset": {"max": ""}})
