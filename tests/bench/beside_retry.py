"""A retry of 100 failed jobs: Batchkeeper's API, and the logic of EE2's ``retry_jobs``, on the same servers.

EE2's logic, told again in few lines: one id after the other, each read, checked, recorded, handed to the
cluster and entered into its parents before the next one; the answer comes after the last.
Called by ``beside``.
"""

from __future__ import annotations

import asyncio
import json
import secrets
import time
import urllib.request
from datetime import UTC, datetime
from typing import Any

from bson import ObjectId
from pymongo import AsyncMongoClient

from controller.adapters.mongo import connect
from tests.bench.beside_work import HEADER
from tests.bench.cluster_bare import bare
from tests.bench.cluster_place import empty_namespace, kube_place, story
from tests.bench.place import PATIENCE, Place
from tests.control_plane.jobs import manifest
from tests.e2e.waiting import wait_for
from tests.kube.place import KubePlace, spec

FAILED, SUCCEEDED, AT_ONCE = 100, 60, 50
WHAT = "a retry of 100 failed jobs, 50 at a time"


def _row(by: str, answered: float, submitted: float) -> tuple[str, ...]:
    told = f"answered after {answered:.2f}, the 100th Job acknowledged after {submitted:.2f}"
    return (WHAT, by, told, *["–"] * (len(HEADER) - 3))


async def retries(place: Place) -> list[tuple[str, ...]]:
    """Seconds from the request to its answer, and to the cluster's acknowledgement of the last Job."""
    token = secrets.token_hex(16)
    tokens = place.folder / "tokens"
    tokens.touch(mode=0o600)
    tokens.write_text(f"{token} root admins\n", encoding="utf-8")
    auth = {"static": {"file": str(tokens)}, "admin_groups": ["admins"]}
    with kube_place(place, auth=auth) as there:
        ours = await asyncio.to_thread(_ours, there, token)
    return [_row("Batchkeeper", *ours), _row("the logic of EE2's retry_jobs", *await _one_by_one(place))]


def _ours(there: KubePlace, token: str) -> tuple[float, float]:
    daemon = there.start()
    # Those that succeed go first: where first attempts fail alike, the batch is held.
    tasks: dict[str, dict[str, str]] = {f"good{k}": {} for k in range(SUCCEEDED)}
    tasks |= {f"bad{k}": {"END": "exit-3,exit-0"} for k in range(FAILED)}
    there.drop(spec("again", tasks, AT_ONCE))
    wait_for("the end", lambda: there.parent("again").get("batch_status") == "finished", 600)
    time.sleep(2)
    ids = [str(job["_id"]) for job in there.jobs("again", status="error")]
    assert len(ids) == FAILED, f"{len(ids)} failed"
    request = urllib.request.Request(
        f"{daemon.url}/api/v1/jobs/retry",
        json.dumps({"job_ids": ids, "as_admin": True}).encode(),
        {"Authorization": f"Bearer {token}", "Content-Type": "application/json"},
    )
    begin, at = time.perf_counter(), datetime.now(UTC)
    with urllib.request.urlopen(request, timeout=600) as answer:
        answers = json.loads(answer.read())
    answered = time.perf_counter() - begin
    assert answers["done"] == FAILED, f"{answers['refused']} were refused"
    made = FAILED + SUCCEEDED + FAILED
    wait_for("all Jobs", lambda: len(story(there.plane, there.namespace).creates) >= made, 600)
    return answered, (story(there.plane, there.namespace).creates[made - 1] - at).total_seconds()


async def _one_by_one(place: Place) -> tuple[float, float]:
    assert place.plane is not None
    client: AsyncMongoClient[dict[str, Any]] = connect(place.uri, PATIENCE)
    async with empty_namespace(place) as namespace, bare(place.plane, namespace) as hands:
        jobs = client[f"bench_{namespace.replace('-', '_')}"]["ee2_jobs"]
        try:
            parent = ObjectId()
            failed = [
                {
                    "_id": ObjectId(),
                    "status": "error",
                    "batch_id": str(parent),
                    "retry_ids": [],
                    "job_input": {"n": k},
                }
                for k in range(FAILED)
            ]
            batch = {"_id": parent, "batch_job": True, "child_jobs": [str(one["_id"]) for one in failed]}
            await jobs.insert_many([batch, *failed])
            begin, at = time.perf_counter(), datetime.now(UTC)
            for number, one in enumerate(failed):
                job = await jobs.find_one({"_id": one["_id"]})
                assert job is not None
                child = {**job, "_id": ObjectId(), "status": "created", "retry_parent": str(job["_id"])}
                await jobs.insert_one(child)
                await hands.create(manifest(f"retry-{number}", {"END": "exit-0"}))
                queued = {"$set": {"status": "queued", "scheduler_id": f"retry-{number}"}}
                await jobs.update_one({"_id": child["_id"]}, queued)
                await jobs.update_one({"_id": parent}, {"$push": {"child_jobs": str(child["_id"])}})
                await jobs.update_one({"_id": job["_id"]}, {"$push": {"retry_ids": str(child["_id"])}})
                await jobs.update_one({"_id": child["_id"]}, {"$set": {"retry_toggle": True}})
            answered = time.perf_counter() - begin
            told = await asyncio.to_thread(story, place.plane, namespace)
            return answered, (told.creates[-1] - at).total_seconds()
        finally:
            await client.drop_database(jobs.database.name)
            await client.close()
