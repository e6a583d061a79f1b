"""Both passes read by an index, however many records there are; a missing one is named, never made."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from bson import ObjectId

from controller.adapters.mongo_ee2 import INDEXES, MongoEe2, open_ee2
from tests.ee2.conftest import PATIENCE
from tests.ee2.forge import DAY, HOUR, Ee2, id_made

MANY = 20_000


def fill(ee2: Ee2) -> None:
    """Many records that are over, many batch parents, many complete retries; few that matter."""
    plain: dict[str, Any] = {
        "status": "completed",
        "batch_job": False,
        "queued": 1.0,
        "retry_saved_toggle": False,
    }
    parent = {**plain, "status": "created", "batch_job": True}
    retry = {**plain, "retry_saved_toggle": True, "retry_parent": str(ObjectId())}
    for kind in (plain, parent, retry):
        ee2.jobs.insert_many([{"_id": id_made(30 * DAY), **kind} for _ in range(MANY // 3)], ordered=False)
    for _ in range(3):
        job = ee2.run_job(20 * DAY)
        ee2.queue(job, 20 * DAY)
        ee2.run_job(2 * HOUR)
        ee2.launch(job, HOUR)


async def test_the_passes_look_at_few_records(ee2: Ee2, records: MongoEe2) -> None:
    """What the server's profiler counts for each read is near what it returned."""
    fill(ee2)
    assert await records.unserved() == []
    database = ee2.jobs.database
    database.command("profile", 2)
    now = await records.now()
    found = [
        await records.stuck("created", now - HOUR),
        await records.stuck("queued", now - 14 * DAY),
        await records.unfinished(now - timedelta(minutes=10)),
    ]
    database.command("profile", 0)
    assert [len(page) for page in found] == [3, 3, 3]
    reads = list(database["system.profile"].find({"op": "query", "ns": ee2.jobs.full_name}))
    assert len(reads) == 3
    assert max(max(read["keysExamined"], read["docsExamined"]) for read in reads) <= 10


async def test_a_missing_index_is_named_and_not_made(ee2: Ee2, mongo_uri: str) -> None:
    """Without leave EE2's collection gets none; one line each says what to create."""
    fill(ee2)
    database = ee2.jobs.database.name
    opened = await open_ee2(mongo_uri, database, "ee2_jobs", "batchkeeper_ee2", PATIENCE)
    await opened.prepare(indexes=False)
    lines = await opened.unserved()
    await opened.close()
    assert list(ee2.jobs.index_information()) == ["_id_"]
    assert [line.partition("createIndex")[2][:30] for line in lines] == [
        "({status: 1, batch_job: 1, _id",
        "({retry_saved_toggle: 1, _id: ",
    ]
    assert all(index.document["name"] in line for index, line in zip(INDEXES, lines, strict=True))


async def test_an_index_of_the_operators_own_serves_as_well(ee2: Ee2, mongo_uri: str) -> None:
    """What matters is how the server reads, not the index's name."""
    fill(ee2)
    ee2.jobs.create_index("status")
    ee2.jobs.create_index("retry_parent", sparse=True)
    database = ee2.jobs.database.name
    opened = await open_ee2(mongo_uri, database, "ee2_jobs", "batchkeeper_ee2", PATIENCE)
    lines = await opened.unserved()
    await opened.close()
    assert lines == []
