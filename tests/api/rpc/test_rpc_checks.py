"""Reading over /rpc: which jobs are shown to whom, in which of EE2's shapes, on a real database."""

from typing import Any

import pytest

from controller.api import rpc_methods
from controller.core.model import JobInput, Status
from tests.api.rpc.world import BOB, ROOT, RpcWorld


async def test_check_job(rpc: RpcWorld) -> None:
    """The job in EE2's shape, without what is excluded; null excludes nothing."""
    job = await rpc.failed()
    state = await rpc.call("check_job", {"job_id": job.id, "exclude_fields": None})
    assert (state["job_id"], state["user"], state["status"]) == (job.id, "ada", "error")
    assert state["created"] == int(job.inserted.timestamp() * 1000)
    assert state["batch_id"] == rpc.records.batch_id
    short = await rpc.call("check_job", {"job_id": job.id, "exclude_fields": ["job_input", "error"]})
    assert short == {name: value for name, value in state.items() if name not in ("job_input", "error")}


async def test_waiting_is_created(rpc: RpcWorld) -> None:
    """EE2's clients know no waiting."""
    job = await rpc.records.put()
    assert (await rpc.call("check_job", {"job_id": job.id}))["status"] == "created"


async def test_a_retry_is_seen_from_both_ends(rpc: RpcWorld) -> None:
    """The root counts it, the batch parent lists it, and it names its root."""
    job = await rpc.failed()
    retry = (await rpc.call("retry_job", {"job_id": job.id}))["retry_id"]
    root = await rpc.call("check_job", {"job_id": job.id})
    assert (root["retry_count"], root["retry_ids"]) == (1, [retry])
    child = await rpc.call("check_job", {"job_id": retry})
    assert (child["retry_parent"], child["retry_saved_toggle"]) == (job.id, True)
    parent = await rpc.call("check_job", {"job_id": rpc.records.batch_id})
    assert (parent["batch_job"], parent["child_jobs"]) == (True, [job.id, retry])


async def test_check_jobs(rpc: RpcWorld) -> None:
    """A list in the order of the ids, or by id; an empty list stands for a job that is not there."""
    one, two, none = await rpc.failed(), await rpc.records.put(), "0" * 24
    ids = [two.id, none, one.id, rpc.records.batch_id]
    listed = await rpc.call("check_jobs", {"job_ids": ids})
    by_id = await rpc.call("check_jobs", {"job_ids": ids, "return_list": 0})
    assert list(listed) == ["job_states"]
    assert list(by_id) == ids
    assert listed["job_states"] == list(by_id.values())
    assert by_id[none] == []
    assert [by_id[each]["job_id"] for each in (two.id, one.id)] == [two.id, one.id]
    assert (await rpc.call("check_jobs", {"job_ids": ids, "return_list": None})) == by_id


async def test_check_job_batch(rpc: RpcWorld) -> None:
    """The parent and every child's state; a job that is no parent has none."""
    jobs = [await rpc.failed() for _ in range(3)]
    answer = await rpc.call("check_job_batch", {"job_id": rpc.records.batch_id, "exclude_fields": ["error"]})
    assert set(answer) == {"batch_jobstate", "child_jobstates"}
    assert [state["job_id"] for state in answer["child_jobstates"]] == [job.id for job in jobs]
    assert answer["batch_jobstate"]["child_jobs"] == [job.id for job in jobs]
    assert all("error" not in state for state in answer["child_jobstates"])
    answer = await rpc.call("check_job_batch", {"job_id": jobs[0].id})
    assert answer["child_jobstates"] == []
    words = "You can't exclude child jobs from this endpoint"
    params: dict[str, Any] = {"job_id": rpc.records.batch_id, "exclude_fields": ["child_jobs"]}
    assert await rpc.refusal("check_job_batch", params) == words


async def test_others_see_nothing(rpc: RpcWorld) -> None:
    """Neither a job nor its env nor a batch's children; an admin does, and as_admin needs one."""
    secret = JobInput("image@sha256:0", env={"PASSWORD": "hunter2"})
    job = await rpc.failed(job_input=secret)
    ids = [job.id, rpc.records.batch_id]
    for method, params in (
        ("check_job", {"job_id": job.id}),
        ("check_job", {"job_id": rpc.records.batch_id}),
        ("check_job_batch", {"job_id": rpc.records.batch_id}),
    ):
        assert "No read permissions" in await rpc.refusal(method, params, token=BOB)
        assert "not an admin" in await rpc.refusal(method, {**params, "as_admin": 1}, token=BOB)
        assert "hunter2" in str(await rpc.call("check_job", {"job_id": job.id, "as_admin": 1}, token=ROOT))
    states = await rpc.call("check_jobs", {"job_ids": ids, "return_list": 0}, token=BOB)
    assert states == {
        each: {"failure": f"No read permissions for {each}", "check_job_error": True} for each in ids
    }


async def test_what_is_not_there(rpc: RpcWorld) -> None:
    """EE2's words where none is; no id at all; and what is no id."""
    assert await rpc.refusal("check_job", {"job_id": "x"}) == "Cannot find job with ids: ['x']"
    assert "Cannot find job" in await rpc.refusal("check_jobs", {"job_ids": ["0" * 24, "\ud800"]})
    capital = (await rpc.failed(id="ABCDEF0123456789ABCDEF01".lower())).id.upper()
    for method, params in (("check_job", {"job_id": capital}), ("check_jobs", {"job_ids": [capital]})):
        assert "Cannot find job" in await rpc.refusal(method, params)
    assert "non empty list" in await rpc.refusal("check_jobs", {"job_ids": []})
    assert "must be a string" in await rpc.refusal("check_jobs", {"job_ids": [{"$ne": None}]})
    assert "must be a list" in await rpc.refusal("check_jobs", {"job_ids": {"$gt": ""}})
    assert "must be a list" in await rpc.refusal("check_job", {"job_id": "x", "exclude_fields": "error"})
    assert "return_list" in await rpc.refusal("check_jobs", {"job_ids": ["x"], "return_list": []})


async def test_a_large_batch_is_bounded(rpc: RpcWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    """An answer lists so many children and no more, over all parents together, and says what to do."""
    for _ in range(3):
        await rpc.records.put(Status.COMPLETED)
    monkeypatch.setattr(rpc_methods, "MAX_CHILDREN", 3)
    parent = rpc.records.batch_id
    assert len((await rpc.call("check_job_batch", {"job_id": parent}))["child_jobstates"]) == 3
    await rpc.records.put(Status.COMPLETED)
    assert "children" in await rpc.refusal("check_job_batch", {"job_id": parent})
    assert "children" in await rpc.refusal("check_job", {"job_id": parent})
    state = await rpc.call("check_job", {"job_id": parent, "exclude_fields": ["child_jobs"]})
    assert "child_jobs" not in state
