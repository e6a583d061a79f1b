"""What the API shows, and to whom."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from bson import ObjectId

from controller.ports import Unavailable
from tests.api.place import Place, place


async def test_batches_and_jobs(here: Place) -> None:
    """The owner sees their batch and its jobs, in the order of the spec."""
    batch, jobs = await here.failed()
    listed = await here.ada.get("/api/v1/batches")
    assert listed.status == 200
    assert [one["batchId"] for one in listed.items] == [batch.id]
    one = await here.ada.get(f"/api/v1/batches/{batch.name}")
    assert one.body["tasks"]["endedWithoutSuccess"] == 5
    page = await here.ada.get("/api/v1/jobs", params={"batch": batch.id, "verdict": "mount-failure"})
    assert [job["id"] for job in page.items] == [job.id for job in jobs]
    assert page.body["total"] == 5
    job = await here.ada.get(f"/api/v1/jobs/{jobs[0].id}")
    assert job.body["job_input"]["env"]["PHRASE"] == "never-shown-to-others"
    assert job.body["task"]["attempts"][0]["id"] == jobs[0].id
    for path in (f"batches/{batch.id}/report", f"batches/{batch.id}/explain", f"jobs/{jobs[0].id}/explain"):
        assert (await here.ada.get(f"/api/v1/{path}")).status == 200, path
    log = await here.ada.get(f"/api/v1/jobs/{jobs[0].id}/log")
    assert log.body["text"] == "a secret line\n"


async def test_retry(here: Place) -> None:
    """A retry of many is answered per id, and the child stands in line."""
    _, jobs = await here.failed()
    told = await here.ada.post("/api/v1/jobs/retry", {"job_ids": [job.id for job in jobs]})
    assert told.status == 200, told.body
    assert (told.body["done"], told.body["refused"]) == (5, 0)
    again = await here.ada.post(f"/api/v1/jobs/{jobs[0].id}/retry")
    assert again.status == 409
    assert told.body["answers"][0]["retry_id"] in again.body["detail"] or "r1" in again.body["detail"]


@pytest.mark.parametrize("said", ["0.5", "1767225600", "1767225600000", "-1", "1e9", "1e-9"])
async def test_a_number_is_no_instant(here: Place, said: str) -> None:
    """Seconds or milliseconds of it, and since when, would be guessed."""
    told = await here.ada.get("/api/v1/jobs", params={"inserted_until": said})
    assert told.status == 422
    assert "2026-01-31T12:00:00Z" in told.body["detail"]
    for good in ("2026-01-31T12:00:00Z", "2026-01-31T12:00:00.5+01:00"):
        assert (await here.ada.get("/api/v1/jobs", params={"inserted_until": good})).status == 200


async def test_openapi(here: Place) -> None:
    """The document is there."""
    document = (await here.ada.get("/openapi.json")).body
    assert "/api/v1/jobs/retry" in document["paths"]


async def test_pages_of_a_batch_in_order(here: Place) -> None:
    """Two at a time, there and back: every attempt once, in the order of the spec and of the attempts."""
    batch, jobs = await here.failed()
    await here.failed("other")
    await here.ada.post("/api/v1/jobs/retry", {"job_ids": [job.id for job in jobs[1:3]]})
    wanted = ["sweep-1", "sweep-2", "sweep-2-r1", "sweep-3", "sweep-3-r1", "sweep-4", "sweep-5"]
    for descending in ("false", "true"):
        found, cursor = [], ""
        while cursor is not None:
            query = {"batch": batch.id, "limit": "2", "descending": descending, "cursor": cursor}
            page = await here.ada.get("/api/v1/jobs", params=query)
            found += [one["name"] for one in page.items]
            cursor = page.body["next"]
        assert found == (wanted if descending == "false" else wanted[::-1])


class Podless:
    """A cluster that has every Job, none of their pods, and can't be listed."""

    async def get(self, *args: Any) -> Any:
        """The Job is there."""
        return SimpleNamespace(job=SimpleNamespace())

    async def log_tail(self, *args: Any) -> str:
        """Its pod, and so its log, is not."""
        return ""

    async def observe(self, namespaces: Any) -> Any:
        """It does not answer."""
        raise Unavailable("the API server is away")


async def test_a_log_that_was_kept_outlives_its_pod(
    tmp_path: Path, mongo_uri: str, mongo_database: str
) -> None:
    """A Job whose node is gone has no log any more: that was shown, and not what the record has of it."""
    cluster: Any = Podless()
    async with place(tmp_path, mongo_uri, mongo_database, cluster=cluster) as here:
        _, jobs = await here.failed()
        log = (await here.ada.get(f"/api/v1/jobs/{jobs[0].id}/log")).body
        assert (log["text"], "kept with its record" in log["from"]) == ("a secret line\n", True)


async def test_what_is_over_needs_no_cluster(tmp_path: Path, mongo_uri: str, mongo_database: str) -> None:
    """Of a batch that had finished it was said that nothing is decided while the cluster can't be seen; what
    is drawn of it kept that for ever."""
    cluster: Any = Podless()
    async with place(tmp_path, mongo_uri, mongo_database, cluster=cluster) as here:
        batch, jobs = await here.failed()
        ended = {"batch_status": "finished", "status": "error", "result": "failed", "reason": "all failed"}
        over = {"$set": {**ended, "finished": datetime.now(UTC)}}
        await here.store._jobs.update_one({"_id": ObjectId(batch.id)}, over)
        path = f"/api/v1/batches/{batch.id}"
        assert (await here.ada.get(f"{path}/explain")).body["cause"] == "finished"
        shown, drawn = (await here.ada.get(path)).body, (await here.ada.get(f"{path}/charts")).body
        assert shown["waits"] == [drawn["why"]]
        assert drawn["why"].startswith("sweep is finished (failed)")
        why = (await here.ada.get(f"/api/v1/jobs/{jobs[0].id}/explain")).body
        assert why["sentence"].startswith("sweep-1 ended as error (mount-failure)")
