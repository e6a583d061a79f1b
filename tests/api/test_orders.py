"""Orders: once per key, once per task, whatever happens between two of their steps or to the cluster."""

from __future__ import annotations

import asyncio
import io
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from bson import ObjectId
from pydantic import ValidationError

from controller import lifecycle
from controller.api import guard
from controller.api.bodies import Cancel, Halt
from controller.core.model import Attempt
from controller.ports import BatchkeeperError, Unavailable
from tests.api.place import Place, place


class Gone:
    """A cluster that answers nothing, and is never waited for."""

    def __getattr__(self, name: str) -> Any:
        async def call(*args: Any, **kwargs: Any) -> Any:
            raise Unavailable(f"the API server is away ({name})")

        return call


async def test_a_bulk_retry_needs_no_cluster(tmp_path: Path, mongo_uri: str, mongo_database: str) -> None:
    """With the cluster gone every id is recorded and answered all the same; explain says what is unseen."""
    cluster: Any = Gone()
    async with place(tmp_path, mongo_uri, mongo_database, cluster=cluster) as here:
        batch, jobs = await here.failed(tasks=120)
        told = await here.ada.post("/api/v1/jobs/retry", {"job_ids": [job.id for job in jobs]})
        assert (told.status, told.body["done"]) == (200, 120)
        assert [one["job_id"] for one in told.body["answers"]] == [job.id for job in jobs]
        assert {one["retry_toggle"] for one in told.body["answers"]} == {True}
        assert len(await here.jobs(batch)) == 240
        assert (await here.ada.get(f"/api/v1/batches/{batch.id}/explain")).body["cause"] == "blind"


async def test_the_same_key_gives_the_same_answer(here: Place) -> None:
    """A repeated request is answered from memory; the child carries the request's id."""
    batch, jobs = await here.failed()
    body, key = {"job_ids": [job.id for job in jobs]}, {"Idempotency-Key": "k1"}
    first = await here.ada.post("/api/v1/jobs/retry", body, headers=key)
    again = await here.ada.post("/api/v1/jobs/retry", body, headers=key)
    assert again.body == first.body
    assert (first.headers.get("idempotent-replayed"), again.headers["idempotent-replayed"]) == (None, "true")
    children = [job for job in await here.jobs(batch) if job.attempt]
    assert len(children) == len(jobs)
    assert {child.request_id for child in children} == {first.headers["x-request-id"]}


async def test_a_key_is_bound_to_its_caller_and_request(here: Place) -> None:
    """With another body it is refused and nothing is done; another caller's same key is another key."""
    _, jobs = await here.failed()
    _, others = await here.failed("other", user="bob")
    key = {"Idempotency-Key": "k1"}
    assert (await here.ada.post(f"/api/v1/jobs/{jobs[0].id}/retry", headers=key)).status == 200
    for path, body in [
        (f"/api/v1/jobs/{jobs[1].id}/retry", {}),
        (f"/api/v1/jobs/{jobs[0].id}/retry", {"resources": {"memory": "2Gi"}}),
        (f"/api/v1/jobs/{jobs[0].id}/cancel", {}),
    ]:
        refused = await here.ada.post(path, body, headers=key)
        assert (refused.status, refused.body["type"]) == (422, "urn:batchkeeper:problem:key-reused")
    assert (await here.bob.post(f"/api/v1/jobs/{others[0].id}/retry", headers=key)).status == 200


async def test_duplicates_at_the_same_instant_make_one_child(here: Place) -> None:
    """The same request many times at once: each answer names the same one child."""
    batch, jobs = await here.failed()
    body, key = {"job_ids": [job.id for job in jobs]}, {"Idempotency-Key": "k1"}
    told = await asyncio.gather(*(here.ada.post("/api/v1/jobs/retry", body, headers=key) for _ in range(6)))
    assert {one.status for one in told} == {200}
    named = {tuple(answer["retry_id"] for answer in one.body["answers"]) for one in told}
    assert len(named) == 1
    assert len(await here.jobs(batch)) == 2 * len(jobs)


async def test_two_clients_retry_the_same_job_in_the_same_instant(here: Place) -> None:
    """Without a key, too: one of them has recorded it, the other is told so."""
    batch, jobs = await here.failed(tasks=1)
    told = await asyncio.gather(*(here.ada.post(f"/api/v1/jobs/{jobs[0].id}/retry") for _ in range(6)))
    assert sorted(one.status for one in told) == [200, 409, 409, 409, 409, 409]
    assert [job.attempt for job in await here.jobs(batch)] == [0, 1]


class Crash(BatchkeeperError):
    """The process died here."""


WRITES = (
    *("begin_request", "add_jobs", "add_counts", "list_children", "list_retries", "listed", "toggle"),
    "end_request",
)
"""Every call of a bulk retry at which its process may die, in their order."""


@pytest.mark.parametrize("applied", [False, True], ids=["before", "applied"])
@pytest.mark.parametrize("step", WRITES)
async def test_a_crash_at_any_step_is_made_good_once(
    here: Place, monkeypatch: pytest.MonkeyPatch, step: str, *, applied: bool
) -> None:
    """The request dies before that step or before its answer; its repetition under the same key and repair
    complete it, once, and every repetition after that names the very same children."""
    batch, jobs = await here.failed()
    body, key = {"job_ids": [job.id for job in jobs]}, {"Idempotency-Key": "k1"}
    original = getattr(here.store, step)

    async def die(*args: Any, **kwargs: Any) -> Any:
        if applied:
            await original(*args, **kwargs)
        raise Crash("died")

    with monkeypatch.context() as patch:
        patch.setattr(here.store, step, die)
        assert (await here.ada.post("/api/v1/jobs/retry", body, headers=key)).status == 500
    children = [job for job in await here.jobs(batch) if job.attempt]
    await lifecycle.complete(here.store, children)
    again = await here.ada.post("/api/v1/jobs/retry", body, headers=key)
    assert (again.status, again.body["done"]) == (200, len(jobs))
    records = await here.jobs(batch)
    assert [job.attempt for job in records] == [0, 1] * len(jobs)
    assert all(job.retry_toggle for job in records if job.attempt)
    assert all(len(job.retry_ids) == 1 for job in records if not job.attempt)
    named = {one["retry_id"] for one in again.body["answers"]}
    assert named == {job.id for job in records if job.attempt}
    assert (await here.ada.post("/api/v1/jobs/retry", body, headers=key)).body == again.body


async def test_other_resources_for_what_is_in_line(here: Place) -> None:
    """A retry in its back-off was hurried with the resources that it had; of those asked nothing was said."""
    batch, jobs = await here.failed()
    path, due = f"/api/v1/jobs/{jobs[0].id}/retry", datetime(2100, 1, 1, tzinfo=UTC)
    child = (await here.ada.post(path)).body["retry_id"]
    await here.store._jobs.update_one({"_id": ObjectId(child)}, {"$set": {"not_before": due}})
    other = await here.ada.post(path, {"now": True, "resources": {"memory": "64Gi"}})
    assert (other.status, "cancel it" in other.body["detail"]) == (409, True)
    assert next(job for job in await here.jobs(batch) if job.id == child).not_before == due
    assert (await here.ada.post(path, {"now": True, "resources": {"memory": "1Gi"}})).status == 200
    assert next(job for job in await here.jobs(batch) if job.id == child).not_before is None


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        ({"cpu": "0"}, "'0' is no CPU at all"),
        ({"cpu": "many"}, "not an amount of CPU"),
        ({"memory": "3 GB"}, "write 'G' instead of 'GB'"),
        ({"memory": "9" * 30}, "not an amount of memory"),
        ({"memory": 2**30}, "an amount is a text"),
        ({"memory": ["1Gi"]}, "an amount is a text"),
    ],
)
async def test_amounts_that_a_spec_may_not_ask_for(here: Place, asked: Any, says: str) -> None:
    """A retry's are read as a spec's are, and refused in the same words."""
    _, jobs = await here.failed(tasks=1)
    told = await here.ada.post(f"/api/v1/jobs/{jobs[0].id}/retry", {"resources": asked})
    assert (told.status, says in told.body["detail"]) == (422, True), told.body["detail"]


async def test_amounts_as_a_spec_has_them(here: Place) -> None:
    """What a spec and the command line take, a retry takes: parts of a unit, and plain numbers."""
    batch, jobs = await here.failed(tasks=1)
    asked = {"resources": {"memory": "1.5Gi", "cpu": "0.5"}}
    assert (await here.ada.post(f"/api/v1/jobs/{jobs[0].id}/retry", asked)).status == 200
    resources = (await here.jobs(batch))[1].job_input.resources
    assert (resources.memory, resources.cpu) == (3 * 2**29, 500)


async def test_what_is_being_cancelled_does_not_go_on(here: Place) -> None:
    """A resume was answered with "goes on", and the batch ended all the same."""
    batch = await here.submit()
    assert (await here.ada.post(f"/api/v1/batches/{batch.id}/cancel")).status == 200
    told = await here.ada.post(f"/api/v1/batches/{batch.id}/resume")
    assert (told.status, "being cancelled by ada" in told.body["detail"]) == (409, True)


async def waiting_retry(here: Place, job: Attempt) -> str:
    """A retry of this job that waits out its back-off: its id."""
    child = (await here.ada.post(f"/api/v1/jobs/{job.id}/retry")).body["retry_id"]
    due = {"not_before": datetime(2100, 1, 1, tzinfo=UTC)}
    await here.store._jobs.update_one({"_id": ObjectId(child)}, {"$set": due})
    return str(child)


async def test_nothing_is_hurried_in_a_batch_that_is_being_cancelled(here: Place) -> None:
    """A retry with ``now`` was answered with "starts with the next free place", and was withdrawn."""
    batch, jobs = await here.failed(tasks=2)
    child = await waiting_retry(here, jobs[0])
    assert (await here.ada.post(f"/api/v1/batches/{batch.id}/cancel")).status == 200
    plain = await here.ada.post("/api/v1/jobs/retry", {"job_ids": [jobs[1].id]})
    now = await here.ada.post("/api/v1/jobs/retry", {"job_ids": [jobs[0].id], "now": True})
    assert (plain.body["refused"], now.body["refused"]) == (1, 1)
    assert now.body["answers"][0]["error"] == plain.body["answers"][0]["error"]
    assert next(job for job in await here.jobs(batch) if job.id == child).not_before is not None


async def test_what_moved_on_is_not_said_to_be_hurried(here: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between the look and the write somebody withdrew the retry: the order says that it did nothing."""
    _, jobs = await here.failed(tasks=1)
    child = await waiting_retry(here, jobs[0])
    change = here.store.change

    async def late(asked: Any) -> Any:
        monkeypatch.setattr(here.store, "change", change)
        await here.ada.post(f"/api/v1/jobs/{child}/cancel")
        return await change(asked)

    monkeypatch.setattr(here.store, "change", late)
    told = await here.ada.post(f"/api/v1/jobs/{jobs[0].id}/retry", {"now": True})
    assert (told.status, "moved on" in told.body["detail"]) == (409, True)


async def test_a_dry_run_changes_nothing(here: Place) -> None:
    """Every order says what it would do; the database stays as it was."""
    batch, jobs = await here.failed()
    before = await here.store._jobs.find().sort("_id").to_list()
    for path, body in [
        ("jobs/retry", {"job_ids": [jobs[0].id]}),
        (f"jobs/{jobs[0].id}/cancel", {}),
        (f"batches/{batch.id}/pause", {}),
        (f"batches/{batch.id}/scale", {"max_concurrent": 9}),
    ]:
        told = await here.ada.post(f"/api/v1/{path}?dry_run=true", body)
        assert (told.status, told.body["dry_run"]) == (200, True), told.body
    assert await here.store._jobs.find().sort("_id").to_list() == before


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("jobs/retry", {"job_ids": [{"$ne": 1}]}, 422),
        ("jobs/retry", {"job_ids": {"$ne": 1}}, 422),
        ("jobs/retry", {"job_ids": []}, 422),
        ("jobs/retry", {"job_ids": ["x"]}, 422),
        ("jobs/retry", {"job_ids": ["0" * 24], "as_admin": "yes"}, 422),
        ("jobs/retry", {"job_ids": ["0" * 24], "unknown": 1}, 422),
        ("jobs/retry", {"job_ids": ["0" * 24] * 2}, 409),
        ("jobs/retry", {"job_ids": ["0" * 24] * 10_001}, 413),
        ("jobs/retry", ["0" * 24], 422),
        ("jobs/retry?dry-run=true", {"job_ids": ["0" * 24]}, 422),
        ("jobs/%7B%22$ne%22:1%7D/retry", {}, 422),
        ("halt", {"what": "everything", "as_admin": True}, 422),
    ],
)
async def test_what_is_refused(here: Place, path: str, body: Any, status: int) -> None:
    """No operator, no unknown key, no wrong type and not too much: each is a problem that says what to do."""
    told = await here.root.post(f"/api/v1/{path}", body)
    assert told.status == status, told.body
    assert told.headers.get("allow", "POST") == "POST" or path == "/api/v1/jobs"
    assert told.headers["content-type"].startswith("application/problem+json")
    assert told.body["status"] == status
    assert told.body["request_id"] == told.headers["x-request-id"]


@pytest.mark.parametrize("break_", ["\n", "\x1b", "\x7f", "\x85", "\x9b", "\u2028", "\u2029"])
def test_a_reason_is_one_line(break_: str) -> None:
    """What some reader takes for the end of a line, or for a command to a terminal, is in no reason."""
    for model, more in ((Cancel, {}), (Halt, {"what": "retries"})):
        model.model_validate({**more, "why": "power cut, größere Störung"})
        with pytest.raises(ValidationError, match="why"):
            model.model_validate({**more, "why": f"power{break_}cut"})


async def test_a_large_body_is_refused(here: Place) -> None:
    """More than 1 MiB is not read, whether its length is told or it comes in chunks."""

    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(20):
            yield b" " * 2**16

    for data in (io.BytesIO(b" " * (2**20 + 1)), chunks()):
        told = await here.ada.ask(
            "POST", "/api/v1/jobs/retry", data=data, headers={"Content-Type": "application/json"}
        )
        assert (told.status, told.body["type"]) == (413, "urn:batchkeeper:problem:too-large")


@pytest.mark.parametrize("path", ["/api/v1/jobs/retry", "/rpc"])
async def test_a_body_that_does_not_come(here: Place, monkeypatch: pytest.MonkeyPatch, path: str) -> None:
    """It was waited for as long as its sender kept the connection."""
    monkeypatch.setattr(guard, "PATIENCE", 0.1)
    never = asyncio.Event()

    async def slowly() -> AsyncIterator[bytes]:
        yield b"{"
        await never.wait()

    told = await here.ada.ask("POST", path, data=slowly(), headers={"Content-Type": "application/json"})
    assert (told.status, "send it at once" in str(told.body)) == (408, True)


@pytest.mark.parametrize(
    ("method", "path", "headers", "status"),
    [
        ("GET", "/api/v1/nothing", {}, 404),
        ("DELETE", "/api/v1/jobs", {}, 405),
        ("GET", "/api/v1/jobs/cancel?dry_run=true", {}, 405),
        ("DELETE", "/api/v1/jobs/retry", {}, 405),
        ("POST", "/api/v1/jobs/retry", {"Content-Type": "text/plain"}, 415),
        ("POST", "/api/v1/batches", {"Content-Type": "text/plain"}, 415),
    ],
)
async def test_every_error_is_a_problem(
    here: Place, method: str, path: str, headers: dict[str, str], status: int
) -> None:
    """What the framework refuses by itself looks like what we refuse."""
    told = await here.ada.ask(method, path, data=b"x" if method == "POST" else None, headers=headers)
    assert told.status == status, told.body
    assert told.headers.get("allow", "POST") == "POST" or path == "/api/v1/jobs"
    assert told.headers["content-type"].startswith("application/problem+json")
    assert told.headers["x-content-type-options"] == "nosniff"
    assert "access-control-allow-origin" not in told.headers


async def test_pages_are_stable_under_inserts(here: Place) -> None:
    """What is inserted between two pages moves nothing: every record that was there is shown once."""
    batch, jobs = await here.failed(tasks=7)
    for sort in ("order", "name", "status", "verdict", "node", "inserted", "finished", "seconds", "attempt"):
        for descending in ("false", "true"):
            shown, cursor = [], ""
            while cursor is not None:
                asked = {"batch": batch.id, "limit": "3", "sort": sort, "descending": descending}
                page = await here.ada.get("/api/v1/jobs", params={**asked, "cursor": cursor})
                assert page.status == 200, page.body
                shown += [job["id"] for job in page.items]
                cursor = page.body["next"]
                await here.submit(f"more-{sort}-{descending}-{len(shown)}", tasks=1)
            assert sorted(shown) == sorted(job.id for job in jobs), (sort, descending)
