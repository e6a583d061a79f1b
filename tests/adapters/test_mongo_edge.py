"""The edge to MongoDB: errors in our words, bounded time, stored forms, and records that can't be read."""

from __future__ import annotations

import asyncio
import dataclasses
import os
import shutil
import signal
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pymongo
import pytest
from bson import CodecOptions, ObjectId, decode, encode
from bson.datetime_ms import DatetimeMS
from bson.errors import InvalidBSON, InvalidDocument
from bson.raw_bson import RawBSONDocument
from pymongo import errors
from pymongo.database import Database

from controller.adapters import mongo, mongo_edge, mongo_listing
from controller.adapters.mongo import open_store
from controller.adapters.mongo_edge import translated
from controller.adapters.mongo_shapes import Document
from controller.adapters.mongod import acquire
from controller.core.change import Change
from controller.core.machine import Event
from controller.core.model import BatchStatus, JobInput, Setting, Status
from controller.core.notices import Channel, Notice, Topic
from controller.finding import find_batch, find_either, find_job
from controller.people import NotFound
from controller.ports import BatchkeeperError, Conflict, JobFilter, Rejected, Unavailable
from tests.contract.store_world import StoreWorld
from tests.freezing import freeze

EVENT = Channel.EVENT
HOSTILE = {"$where": "1", "a.b": "2", "$$NOW": "3", "": "4"}


@pytest.fixture
async def world(mongo_uri: str, mongo_database: str) -> AsyncIterator[StoreWorld]:
    """A store on an empty database."""
    store = await open_store(mongo_uri, mongo_database)
    yield StoreWorld(store, lambda: asyncio.sleep(0.006), await store.now())
    await store.close()


@pytest.fixture
def raw(mongo_uri: str, mongo_database: str) -> Iterator[Database[Document]]:
    """The same database, past the adapter."""
    with pymongo.MongoClient[Document](mongo_uri, tz_aware=True) as client:
        yield client[mongo_database]


@pytest.mark.parametrize(
    ("error", "ours"),
    [
        (errors.DuplicateKeyError("E11000", 11000), Conflict),
        (errors.BulkWriteError({"writeErrors": [{"code": 11000}]}), Conflict),
        (errors.BulkWriteError({"writeErrors": [{"code": 11000}, {"code": 121}]}), Conflict),
        (errors.BulkWriteError({"writeErrors": [{"code": 11000}, {"code": 14031}]}), Unavailable),
        (errors.BulkWriteError({"writeErrors": [{"code": 121}]}), Rejected),
        (errors.BulkWriteError({"writeErrors": [], "writeConcernErrors": [{"code": 64}]}), Unavailable),
        (errors.WriteError("validation", 121), Rejected),
        (errors.WriteError("Resulting document after update is larger than 16777216", 17419), Rejected),
        (errors.DocumentTooLarge("17 MB"), Rejected),
        (InvalidDocument("cannot encode"), Rejected),
        (OverflowError("int too large"), Rejected),
        (UnicodeEncodeError("utf-8", "\ud800", 0, 1, "surrogates not allowed"), Rejected),
        (errors.AutoReconnect("reset"), Unavailable),
        (errors.NetworkTimeout("timed out"), Unavailable),
        (errors.ServerSelectionTimeoutError("nobody there"), Unavailable),
        (errors.NotPrimaryError("stepped down"), Unavailable),
        (errors.WTimeoutError("waiting for replication", 64), Unavailable),
        (errors.WriteConcernError("shutting down", 91), Unavailable),
        (errors.ExecutionTimeout("too slow", 50), Unavailable),
        (errors.OperationFailure("not authorized", 13), Unavailable),
        (errors.OperationFailure("no space", 14031), Unavailable),
        (errors.CursorNotFound("gone", 43), Unavailable),
        (errors.InvalidOperation("after close"), Unavailable),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else None,
)
def test_errors_in_our_words(error: Exception, ours: type[BatchkeeperError]) -> None:
    """Every error of the driver is one of ours: later, never, or taken; with one line and its cause."""
    with pytest.raises(BatchkeeperError) as caught, translated("change"):
        raise error
    assert type(caught.value) is ours
    assert caught.value.__cause__ is error
    assert str(caught.value).startswith("mongodb: change")
    assert "\n" not in str(caught.value)


async def test_half_a_character_is_in_no_name(world: StoreWorld) -> None:
    """An argument of a command may be any bytes: the store refuses what no text of its own can be, and who
    looks for it is told that there is none."""
    await world.add_batch()
    with pytest.raises(Rejected):
        await world.store.batch_named("lab", "\ud800")
    for find in (find_batch, find_job, find_either):
        with pytest.raises(NotFound, match=r"there is no .* lab/\?"):
            await find(world.store, "lab/\udcff")


def test_our_own_bugs_stay_bugs() -> None:
    """What the driver did not raise is not made to look like trouble with the database."""
    with pytest.raises(ValueError, match="ours"), translated("change"):
        raise ValueError("ours")


async def test_nobody_there() -> None:
    """A server that can't be reached is said to be so, within the patience asked for."""
    began = time.monotonic()
    with pytest.raises(Unavailable, match="connecting"):
        await open_store("mongodb://127.0.0.1:1/?directConnection=true", patience=timedelta(seconds=0.5))
    assert time.monotonic() - began < 5


@pytest.mark.parametrize(
    "uri", ["mongodb://", "http://secret@x", "mongodb://a:secret:c@x", "mongodb://x:secret"]
)
async def test_no_address(uri: str) -> None:
    """An address that can't be read is a matter for its author, not for another try."""
    with pytest.raises(BatchkeeperError, match="cannot be read: write") as caught:
        await open_store(uri)
    assert not isinstance(caught.value, Unavailable)
    assert "secret" not in str(caught.value)
    assert caught.value.__cause__ is None


async def test_an_unsuitable_server(mongo_uri: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that is too old is refused with what is needed."""
    monkeypatch.setattr(mongo, "OLDEST", (99, 0))
    with pytest.raises(BatchkeeperError, match="is version 6"):
        await open_store(mongo_uri, "test_never_made")


async def test_a_server_that_hangs() -> None:
    """A call to a server that has stopped answering ends in time; once it answers, all goes on."""
    memory = Path("/dev/shm")
    state = Path(tempfile.mkdtemp(dir=memory if os.access(memory, os.W_OK) else None))
    mongod = await acquire(state)
    store = await open_store(mongod.uri, patience=timedelta(seconds=1))
    try:
        world = StoreWorld(store, lambda: asyncio.sleep(0.006), await store.now())
        await world.add_batch()
        job = await world.put()
        freeze(mongod.pid)
        began = time.monotonic()
        with pytest.raises(Unavailable):
            await store.change(Change(job.id, Event.WITHDRAWN, "cancel"))
        with pytest.raises(Unavailable):
            await store.active()
        assert time.monotonic() - began < 10
        os.kill(mongod.pid, signal.SIGCONT)
        await store.change(Change(job.id, Event.WITHDRAWN, "cancel"))
        assert (await world.read(job.id)).status is Status.TERMINATED
    finally:
        os.kill(mongod.pid, signal.SIGCONT)
        await store.close()
        await mongod.release()
        shutil.rmtree(state)


async def test_a_record_that_cannot_be_read(world: StoreWorld, raw: Database[Document]) -> None:
    """One malformed record costs one record: it is named with its reason, the others are served."""
    await world.add_batch()
    good, bad, worse = [await world.put(Status.RUNNING) for _ in range(3)]
    raw["jobs"].update_one({"_id": ObjectId(bad.id)}, {"$set": {"origin": "nobody"}})
    raw["jobs"].update_one({"_id": ObjectId(worse.id)}, {"$unset": {"job_input": ""}})
    assert list(await world.store.active()) == [good]
    assert await world.store.job(bad.id) is None
    assert [job async for job in world.store.find_jobs(JobFilter())] == [good]
    unreadable = world.store.quarantined()
    assert set(unreadable) == {bad.id, worse.id}
    assert "nobody" in unreadable[bad.id]
    assert "job_input" in unreadable[worse.id]
    assert await world.store.has(world.batch_id, [Status.RUNNING])


@pytest.mark.parametrize("date", [DatetimeMS(2**60), "yesterday"], ids=["far", "text"])
async def test_a_date_that_is_none_costs_one_record(
    world: StoreWorld, raw: Database[Document], date: object
) -> None:
    """Python has no year 36536598: what has it is named with its reason, all else is served."""
    sick = await world.add_batch("sick")
    batch = await world.add_batch("well")
    good, bad = [await world.put(Status.RUNNING) for _ in range(2)]
    raw["jobs"].update_one({"_id": ObjectId(bad.id)}, {"$set": {"queued": date}})
    raw["jobs"].update_one({"_id": ObjectId(sick.id)}, {"$set": {"resumed": date}})
    assert list(await world.store.active()) == [good]
    assert list(await world.store.jobs([bad.id, good.id])) == [good]
    assert list(await world.store.batches(closed=False)) == [batch]
    assert set(world.store.quarantined()) == {bad.id, sick.id}
    due = await world.put(not_before=world.now)
    raw["jobs"].update_one({"_id": ObjectId(due.id)}, {"$set": {"attempt": 1, "not_before": date}})
    assert await world.store.next_due(batch.id, world.now) is None


@pytest.mark.parametrize("field", ["task_id", "attempt", "index"])
@pytest.mark.parametrize("value", [None, [], {"n": 1}, "gone"], ids=str)
async def test_a_bent_record_costs_a_report_one_line(
    world: StoreWorld, raw: Database[Document], monkeypatch: pytest.MonkeyPatch, field: str, value: object
) -> None:
    """Whatever stands where its place in the order should, all others are listed, page by page."""
    monkeypatch.setattr(mongo_listing, "PAGE", 2)
    await world.add_batch()
    jobs = [await world.put(Status.ERROR) for _ in range(5)]
    update = {"$unset": {field: ""}} if value == "gone" else {"$set": {field: value}}
    raw["jobs"].update_one({"_id": ObjectId(jobs[2].id)}, update)
    there = {job.id for job in jobs if job is not jobs[2]}
    for newest in (True, False):
        what = JobFilter(batch_id=world.batch_id, newest_only=newest)
        assert {job.id async for job in world.store.find_jobs(what)} >= there


@pytest.mark.parametrize(
    "bent",
    [{"topic": "rumour"}, {"at": DatetimeMS(2**60)}, {"channel": []}, "no notice"],
    ids=["topic", "far", "channel", "text"],
)
async def test_a_notice_that_cannot_be_read_costs_itself(
    world: StoreWorld, raw: Database[Document], bent: Any
) -> None:
    """One of a refused spec kept all others from being told, of batches and of specs, by every way."""
    batch = await world.add_batch()
    notice = Notice(Topic.REFUSED, Channel.WEBHOOK, "no")
    await world.store.set_batch(batch.id, BatchStatus, {}, [notice])
    for key in ("a.yaml", "b.yaml"):
        await world.store.set_quarantine(key, ["no"], [notice, dataclasses.replace(notice, channel=EVENT)])
    (first, _) = raw["quarantine"].find_one({"_id": "a.yaml"})["notices"]  # type: ignore[index]
    sick = {**first, **bent} if isinstance(bent, dict) else bent
    raw["quarantine"].update_one({"_id": "a.yaml"}, {"$set": {"notices.0": sick}})
    told = [
        (one.batch.name if one.batch else one.spec, one.notice.channel) for one in await world.store.untold()
    ]
    assert told == [
        (batch.name, Channel.WEBHOOK),
        ("a.yaml", EVENT),
        ("b.yaml", Channel.WEBHOOK),
        ("b.yaml", EVENT),
    ]
    assert "a notice of it" in world.store.quarantined()["a.yaml"]


async def test_text_that_is_no_utf8_costs_itself(world: StoreWorld, raw: Database[Document]) -> None:
    """A record with it is served, and shows where it was."""
    await world.add_batch()
    job = await world.put(Status.RUNNING)
    replaced = CodecOptions(RawBSONDocument, unicode_decode_error_handler="replace")
    for document in raw["jobs"].find({"_id": ObjectId(job.id)}):
        sick = encode({**document, "node": "n-XX-n"}).replace(b"n-XX-n", b"n-\xff\xfe-n")
        raw["jobs"].replace_one({"_id": document["_id"]}, RawBSONDocument(sick, replaced))
    expected = [dataclasses.replace(job, node="n-\ufffd\ufffd-n")]
    assert list(await world.store.active()) == expected
    assert list(await world.store.jobs([job.id])) == expected


async def test_a_document_that_cannot_be_decoded_costs_itself(
    world: StoreWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever the driver makes of it: the others of the same read are served."""
    await world.add_batch()
    good, bad = [await world.put(Status.RUNNING) for _ in range(2)]

    def read(raw: bytes, options: Any) -> Any:
        if ObjectId(bad.id).binary in raw:
            raise InvalidBSON("objsize too large")
        return decode(raw, options)

    monkeypatch.setattr(mongo_edge, "decode", read)
    assert list(await world.store.jobs([bad.id, good.id])) == [good]
    assert "objsize" in world.store.quarantined()[bad.id]


async def test_the_published_form(world: StoreWorld, raw: Database[Document]) -> None:
    """Other programs read these documents: names and types are those that contracts.md publishes."""
    setting = Setting(9, "traits.yaml", world.now)
    batch = await world.add_batch(settings={"maxConcurrent": setting}, spec={"job": {"env": HOSTILE}})
    root = await world.put(Status.ERROR, job_input=JobInput("image", env=HOSTILE))
    child = await world.put_retry(root, scheduler_id="")
    await world.store.list_children(batch.id, [root.id])
    await world.store.list_retries({root.id: [child.id]})
    parent = raw["jobs"].find_one({"batch_job": True})
    record = raw["jobs"].find_one({"_id": ObjectId(root.id)})
    retry = raw["jobs"].find_one({"_id": ObjectId(child.id)})
    assert parent is not None
    assert record is not None
    assert retry is not None
    assert parent["_id"] == record["batch_id"] == ObjectId(batch.id)
    assert (parent["status"], parent["batch_status"]) == ("running", "running")
    assert parent["settings"] == {"maxConcurrent": {"value": 9, "from": "traits.yaml", "at": world.now}}
    assert parent["child_jobs"] == [ObjectId(root.id)]
    assert record["retry_ids"] == [ObjectId(child.id)]
    assert (retry["retry_parent"], retry["retry_toggle"]) == (ObjectId(root.id), False)
    assert record["job_input"]["env"][0] == {"name": "$where", "value": "1"}
    for document in (parent, record, retry):
        names = list(_names(document))
        assert not [name for name in names if name.startswith("$") or "." in name or not name.isascii()]
        assert None not in document.values()
    assert "slot" not in record
    assert "scheduler_id" not in retry


def _names(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for name, item in value.items():
            yield name
            yield from _names(item)
    elif isinstance(value, list):
        for item in value:
            yield from _names(item)


async def test_numbers_that_no_database_holds(world: StoreWorld) -> None:
    """A number too large for the database is refused once and for all, and nothing is written."""
    with pytest.raises(Rejected, match="cannot be stored"):
        await world.add_batch(spec={"n": 2**70})
    assert list(await world.store.batches()) == []
