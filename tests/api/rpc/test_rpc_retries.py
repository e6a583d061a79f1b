"""Retries and cancels over /rpc, as EE2's clients ask for them, on a real database."""

import asyncio

import pytest

from controller.core.model import Status, TerminatedCode, Verdict
from tests.api.rpc.client import HttpError
from tests.api.rpc.world import BOB, ROOT, RpcWorld
from tests.contract.store_world import HOUR


async def test_one_retry(rpc: RpcWorld) -> None:
    """The child stands in line with its lineage, and the answer names the two."""
    job = await rpc.failed()
    answer = await rpc.call("retry_job", {"job_id": job.id})
    assert set(answer) == {"job_id", "retry_id"}
    child = await rpc.records.read(answer["retry_id"])
    assert (answer["job_id"], child.retry_parent, child.status) == (job.id, job.id, Status.WAITING)
    assert child.retry_toggle is True
    assert (await rpc.records.read(job.id)).retry_ids == (child.id,)


async def test_a_retry_of_a_retry_is_the_roots(rpc: RpcWorld) -> None:
    """Whichever attempt is named, the answer and the child name the root (E2)."""
    root = await rpc.failed()
    again = await rpc.records.put_retry(
        root, status=Status.ERROR, verdict=Verdict.LOST, finished=rpc.records.now - HOUR
    )
    answer = await rpc.call("retry_jobs", {"job_ids": [again.id], "as_admin": 0})
    assert [set(each) for each in answer] == [{"job_id", "retry_id"}]
    assert answer[0]["job_id"] == root.id
    assert (await rpc.records.read(answer[0]["retry_id"])).retry_parent == root.id


async def test_each_id_has_its_own_answer(rpc: RpcWorld) -> None:
    """In the order of the ids; what is refused hinders nothing and is not written (E7)."""
    first, second = await rpc.failed(), await rpc.failed()
    running = await rpc.records.put(Status.RUNNING)
    parent, nobody = rpc.records.batch_id, "0" * 24
    ids = [first.id, running.id, parent, nobody, "$where", second.id]
    answer = await rpc.call("retry_jobs", {"job_ids": ids})
    assert [each["job_id"] for each in answer] == ids
    assert [set(each) for each in answer] == [
        {"job_id", "retry_id"},
        *[{"job_id", "error"}] * 4,
        {"job_id", "retry_id"},
    ]
    assert "only jobs in error or terminated can be retried" in answer[1]["error"]
    assert answer[2]["error"] == "Cannot retry batch job parents. Must retry individual jobs"
    assert rpc.database["jobs"].count_documents({"retry_parent": {"$exists": True}}) == 2


@pytest.mark.parametrize("method", ["retry_job", "retry_jobs"])
async def test_a_second_retry_names_the_first(rpc: RpcWorld, method: str) -> None:
    """E6: while one is in flight the next is refused with its id."""
    job = await rpc.failed()
    first = (await rpc.call("retry_job", {"job_id": job.id}))["retry_id"]
    if method == "retry_job":
        assert first in await rpc.refusal("retry_job", {"job_id": job.id})
    else:
        before = rpc.dump()
        answer = await rpc.call("retry_jobs", {"job_ids": [job.id]})
        assert first in answer[0]["error"]
        assert rpc.dump() == before


async def test_an_id_that_is_named_twice_refuses_all(rpc: RpcWorld) -> None:
    """E6, in EE2's words; the other ids are not retried either."""
    one, two = await rpc.failed(), await rpc.failed()
    message = await rpc.refusal("retry_jobs", {"job_ids": [one.id, two.id, one.id]})
    words = f"Retry of the same id in the same request is not supported. Offending ids: ['{one.id}']"
    assert message.startswith(words)


async def test_only_the_owner_and_an_acting_admin_may(rpc: RpcWorld) -> None:
    """E9: another user may not, as_admin needs an admin, and an admin needs as_admin."""
    job = await rpc.failed()
    assert "belongs to ada" in await rpc.refusal("retry_job", {"job_id": job.id}, token=BOB)
    assert "not an admin" in await rpc.refusal("retry_job", {"job_id": job.id, "as_admin": 1}, token=BOB)
    assert "not an admin" in await rpc.refusal("retry_jobs", {"job_ids": [job.id], "as_admin": True})
    assert "belongs to ada" in await rpc.refusal("retry_job", {"job_id": job.id}, token=ROOT)
    assert "belongs to ada" in await rpc.refusal("cancel_job", {"job_id": job.id}, token=BOB)
    answer = await rpc.call("retry_job", {"job_id": job.id, "as_admin": 1}, token=ROOT)
    child = await rpc.records.read(answer["retry_id"])
    assert child.user == "ada"


async def test_empty_and_too_many(rpc: RpcWorld) -> None:
    """None are refused in EE2's words, more than 10,000 with 413; exactly 10,000 are looked at."""
    assert await rpc.refusal("retry_jobs", {"job_ids": []}) == "No job_ids provided to retry"
    assert await rpc.refusal("retry_jobs", {}) == "No job_ids provided to retry"
    with pytest.raises(HttpError) as caught:
        await rpc.call("retry_jobs", {"job_ids": [f"{n:024x}" for n in range(10_001)]})
    assert caught.value.status == 413
    message = await rpc.refusal("retry_jobs", {"job_ids": ["0" * 24] * 10_000})
    assert message.startswith("Retry of the same id")


@pytest.mark.parametrize("many", [False, True])
async def test_two_clients_in_the_same_instant(rpc: RpcWorld, many: bool) -> None:
    """One child each, whoever wins; the others are told that there is one already."""
    jobs = [await rpc.failed() for _ in range(3 if many else 1)]
    ids = [job.id for job in jobs]
    calls = [rpc.call("retry_jobs", {"job_ids": ids if n % 2 else ids[::-1]}) for n in range(8)]
    answers = [each for answer in await asyncio.gather(*calls) for each in answer]
    won = [each for each in answers if "retry_id" in each]
    assert sorted(each["job_id"] for each in won) == sorted(ids)
    children = list(rpc.database["jobs"].find({"retry_parent": {"$exists": True}}))
    assert {str(child["_id"]) for child in children} == {each["retry_id"] for each in won}
    for each in answers:
        assert each in won or any(str(child["_id"]) in each["error"] for child in children)


async def test_cancel_what_waits(rpc: RpcWorld) -> None:
    """It ends at once; nothing is given back; who asked is recorded, whatever the client says."""
    job = await rpc.records.put()
    assert await rpc.call("cancel_job", {"job_id": job.id, "terminated_code": 2}) is None
    after = await rpc.records.read(job.id)
    assert (after.status, after.terminated_code) == (Status.TERMINATED, TerminatedCode.USER)
    assert (await rpc.call("check_job", {"job_id": job.id}))["status"] == "terminated"


async def test_cancel_what_runs_and_what_has_ended(rpc: RpcWorld) -> None:
    """What is active gets its order to stop, by an admin here; asking again, or too late, is no error."""
    job, done = await rpc.records.put(Status.RUNNING), await rpc.records.put(Status.COMPLETED)
    for _ in range(2):
        assert await rpc.call("cancel_job", {"job_id": job.id, "as_admin": True}, token=ROOT) is None
    stop = (await rpc.records.read(job.id)).stop
    assert stop is not None
    assert (stop.by, stop.code) == ("root", TerminatedCode.ADMIN)
    before = rpc.dump()
    assert await rpc.call("cancel_job", {"job_id": done.id}) is None
    assert rpc.dump() == before


async def test_cancel_a_batch(rpc: RpcWorld) -> None:
    """The parent's id cancels all of it; another user's does not."""
    parent = rpc.records.batch_id
    assert "belongs to ada" in await rpc.refusal("cancel_job", {"job_id": parent}, token=BOB)
    assert await rpc.call("cancel_job", {"job_id": parent}) is None
    cancel = (await rpc.records.gate()).cancel
    assert cancel is not None
    assert cancel.by == "ada"


@pytest.mark.parametrize(
    ("params", "words"),
    [
        ({}, "job_id is missing"),
        ({"job_id": ""}, "valid job_id"),
        ({"job_id": "0" * 24}, "there is no job"),
        ({"job_id": {"$ne": ""}}, "must be a string, not a mapping"),
        ({"job_id": None}, "must be a string, not null"),
        ({"job_id": "0" * 24, "terminated_code": 9}, "terminated_code"),
        ({"job_id": "0" * 24, "terminated_code": True}, "terminated_code"),
        ({"job_id": "0" * 24, "as_admin": "yes"}, "as_admin"),
        ({"job_id": "0" * 24, "as_admin": {"$gt": 0}}, "as_admin"),
    ],
)
async def test_params_are_typed(rpc: RpcWorld, params: dict[str, object], words: str) -> None:
    """What is not of its type is refused by name, and a job that is not there too."""
    assert words in await rpc.refusal("cancel_job", params)
