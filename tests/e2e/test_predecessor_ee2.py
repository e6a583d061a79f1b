"""EE2's own checklist for retries, repair and reapers, against real records, a real daemon and real jobs."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import pytest
from bson import ObjectId

from controller import lifecycle
from controller.adapters.mongo_meta import PASSES
from controller.adapters.system_clock import SystemClock
from controller.core.model import Resources, Status
from controller.people import Caller, People, Refused
from controller.ports import Store, Unavailable
from controller.requests import cancel_batch, cancel_jobs
from controller.retrying import NO_PARENTS, retry
from tests.e2e.asking import Crashing, desk
from tests.e2e.forge import Forge
from tests.e2e.history import starts
from tests.e2e.place import Place
from tests.e2e.specs import batch

pytestmark = pytest.mark.asyncio

SECOND = '[ "$BATCHKEEPER_ATTEMPT" -ge 1 ] || exit 3'
"""A program with a bug that somebody corrects before the first retry."""
STEPS = ["add_jobs", "list_children", "list_retries", "toggle"]
"""The four steps of a retry's lifecycle, by the store's call that makes each."""


def failed(place: Place, name: str, *tasks: str, do: str = SECOND, **more: Any) -> None:
    """A batch of tasks whose first attempts have all ended in error."""
    place.drop(batch(name, dict.fromkeys(tasks, do), **more))
    place.over(name)


def ends(place: Place, name: str) -> dict[str, str]:
    """Each job's status, once the batch has come to its end again."""
    place.over(name)
    return place.statuses(name)


# ------------------------------------------------------------------------------ what may be retried


async def test_a_job_in_error_is_retried_with_the_same_input(shared: Place) -> None:
    """The retry runs the very bytes of the original: command, environment, resources and image digest."""
    digest = "sha256:" + "a" * 64
    job = {"image": f"ghcr.io/example/x@{digest}", "resources": {"cpu": 2, "memory": "64Mi"}}
    failed(shared, "same", "a", job=job)
    async with desk(shared) as at:
        (answer,) = await at.retry("same-a")
    assert (answer.error, answer.retry_toggle) == ("", True)
    assert ends(shared, "same") == {"same-a": "error", "same-a-r1": "completed"}
    root, child = shared.jobs("same")
    assert str(child["_id"]) == answer.retry_id
    assert child["job_input"] == root["job_input"]
    assert child["job_input"]["image"].endswith(digest)
    assert child.get("image_digest") == root.get("image_digest")
    assert (child["retry_parent"], child["origin"]) == (root["_id"], "user")


async def test_resources_may_be_overridden(shared: Place) -> None:
    """The caller's resources replace the original's, and nothing else does."""
    failed(shared, "more", "a", job={"resources": {"cpu": 1, "memory": "64Mi"}})
    async with desk(shared) as at:
        await at.retry("more-a", resources=Resources(cpu=500, memory=128 * 2**20))
    ends(shared, "more")
    root, child = shared.jobs("more")
    assert child["job_input"]["resources"] == {"cpu": 500, "memory": 128 * 2**20, "gpu": 0}
    assert {**child["job_input"], "resources": root["job_input"]["resources"]} == root["job_input"]


async def test_a_terminated_job_is_retried(shared: Place) -> None:
    """A job that its user cancelled may be asked for again."""
    shared.drop(batch("ended", {"a": '[ "$BATCHKEEPER_ATTEMPT" -ge 1 ] || exec sleep 300'}))
    shared.is_("ended-a", "running")
    async with desk(shared) as at:
        (cancelled,) = await cancel_jobs(at.people, at.owner, [shared.id("ended-a")], "not this one")
        assert not cancelled.error
        ended = shared.is_("ended-a", "terminated")
        assert (ended["terminated_code"], ended["verdict"]) == (0, "cancelled")
        (answer,) = await at.retry("ended-a")
        assert not answer.error
    assert ends(shared, "ended") == {"ended-a": "terminated", "ended-a-r1": "completed"}


async def test_what_runs_waits_or_completed_is_not_retried(shared: Place) -> None:
    """Running, waiting and completed jobs are refused, each with its reason, and no record is written."""
    go = shared.root / "go-states"
    does = {"done": "true", "runs": f"until [ -e {go} ]; do sleep 0.02; done", "waits": "true"}
    shared.drop(batch("states", does, most=1))
    shared.is_("states-runs", "running")
    async with desk(shared) as at:
        assert "completed" in await at.refusal("states-done")
        assert "running" in await at.refusal("states-runs")
        assert "waiting" in await at.refusal("states-waits")
    assert len(shared.jobs("states")) == 3
    go.touch()
    assert set(ends(shared, "states").values()) == {"completed"}


async def test_a_batch_parent_is_refused_with_the_known_sentence(shared: Place) -> None:
    """EE2's clients know this sentence by heart, from the API and from the command line."""
    failed(shared, "parent", "a")
    parent = str(shared.parent("parent")["_id"])
    async with desk(shared) as at:
        (answer,) = await retry(at.people, at.owner, [parent])
    assert answer.error == "Cannot retry batch job parents. Must retry individual jobs" == NO_PARENTS
    ran = shared.cli("retry", parent, "-o", "json")
    assert ran.code == 3
    assert [one["error"] for one in ran.json] == [NO_PARENTS]


# ------------------------------------------------------------------------------------------- lineage


async def test_a_retry_of_a_retry_goes_to_the_root(shared: Place) -> None:
    """The root lists every retry in order, the batch parent lists every record, and each toggle is true."""
    failed(shared, "line", "a", do='[ "$BATCHKEEPER_ATTEMPT" -ge 2 ] || exit 3')
    async with desk(shared) as at:
        await at.retry("line-a")
        ends(shared, "line")
        (second,) = await at.retry("line-a-r1")
        assert not second.error
    assert ends(shared, "line") == {"line-a": "error", "line-a-r1": "error", "line-a-r2": "completed"}
    root, *children = shared.jobs("line")
    assert [child["retry_parent"] for child in children] == [root["_id"]] * 2
    assert [child["retry_toggle"] for child in children] == [True, True]
    assert root["retry_ids"] == [child["_id"] for child in children]
    assert "retry_toggle" not in root
    assert sorted(shared.parent("line")["child_jobs"]) == sorted(job["_id"] for job in (root, *children))
    shown = shared.cli("jobs", "line", "-o", "json").json
    assert [(job["name"], job["attempt"]) for job in shown] == [
        ("line-a", 0),
        ("line-a-r1", 1),
        ("line-a-r2", 2),
    ]


async def test_retry_of_an_older_attempt_makes_the_next_one(shared: Place) -> None:
    """Asked for the root again after a failed retry, the chain goes on at its end, not at a used number."""
    failed(shared, "older", "a", do='[ "$BATCHKEEPER_ATTEMPT" -ge 2 ] || exit 3')
    async with desk(shared) as at:
        await at.retry("older-a")
        ends(shared, "older")
        (answer,) = await at.retry("older-a")
    assert "older-a-r2" in answer.did
    assert ends(shared, "older")["older-a-r2"] == "completed"


# ---------------------------------------------------------------------------------------------- bulk


async def test_the_same_id_twice_is_refused(shared: Place) -> None:
    """Then nothing at all is done, for any id of the request."""
    failed(shared, "twice", "a", "b")
    async with desk(shared) as at:
        with pytest.raises(Refused, match="same id"):
            await at.retry("twice-a", "twice-b", "twice-a")
    assert len(shared.jobs("twice")) == 2


async def test_equal_parameters_under_different_ids_are_fine(shared: Place) -> None:
    """Two tasks that do the very same are two tasks."""
    failed(shared, "equal", "a", "b")
    async with desk(shared) as at:
        answers = await at.retry("equal-a", "equal-b")
    assert [answer.error for answer in answers] == ["", ""]
    assert list(ends(shared, "equal").values()) == ["error", "completed", "error", "completed"]


async def test_bad_ids_cost_themselves_only(shared: Place) -> None:
    """One request across two batches with good, finished and unknown ids: each gets its own answer, in the
    order of the request, and each batch parent learns of its own child."""
    failed(shared, "bulk-x", "a")
    failed(shared, "bulk-y", "a")
    shared.drop(batch("bulk-z", {"done": "true"}))
    shared.over("bulk-z")
    unknown = str(ObjectId())
    ids = [shared.id("bulk-x-a"), unknown, shared.id("bulk-z-done"), "nonsense", shared.id("bulk-y-a")]
    async with desk(shared) as at:
        answers = await retry(at.people, at.owner, ids)
    assert [answer.job_id for answer in answers] == ids
    assert [bool(answer.error) for answer in answers] == [False, True, True, True, False]
    assert {answer.stage for answer in answers if answer.error} == {"preflight"}
    for name in ("bulk-x", "bulk-y"):
        ends(shared, name)
        assert shared.parent(name)["child_jobs"] == [job["_id"] for job in shared.jobs(name)]
        assert len(shared.jobs(name)) == 2
    assert len(shared.jobs("bulk-z")) == 1
    ran = shared.cli("retry", "bulk-z-done", unknown, "-o", "json")
    assert ran.code == 3
    assert all(one["error"] for one in ran.json)


async def test_a_second_retry_in_flight_names_the_first(shared: Place) -> None:
    """While a retry waits or runs, another one of the same task is refused, and the refusal names it."""
    go = shared.root / "go-flight"
    does = f'[ "$BATCHKEEPER_ATTEMPT" -ge 1 ] || exit 3; until [ -e {go} ]; do sleep 0.02; done'
    failed(shared, "flight", "a", do=does)
    async with desk(shared) as at:
        await at.retry("flight-a")
        shared.is_("flight-a-r1", "running")
        assert "flight-a-r1" in await at.refusal("flight-a")
    go.touch()
    assert ends(shared, "flight")["flight-a-r1"] == "completed"


async def test_two_people_at_the_same_moment(shared: Place) -> None:
    """Of many simultaneous requests for one task exactly one is recorded; the others are told who won."""
    failed(shared, "race", "a")
    async with desk(shared) as at:
        answers = [one for (one,) in await asyncio.gather(*(at.retry("race-a") for _ in range(6)))]
    won = [answer for answer in answers if not answer.error]
    assert len(won) == 1
    assert all("race-a-r1" in answer.error for answer in answers if answer.error)
    assert ends(shared, "race") == {"race-a": "error", "race-a-r1": "completed"}


async def test_a_repeated_request_is_the_same_request(shared: Place) -> None:
    """A client that got no answer asks again under the same request id, and gets the first one's child."""
    failed(shared, "again", "a")
    async with desk(shared) as at:
        (first,) = await at.retry("again-a", request_id="once")
        (second,) = await at.retry("again-a", request_id="once")
    assert first.retry_id == second.retry_id != ""
    assert len(ends(shared, "again")) == 2


async def test_permissions(shared: Place) -> None:
    """The owner may, an admin may, anybody else may not; and to be an admin one has to say so."""
    failed(shared, "mine", "a", "b")
    async with desk(shared) as at:
        refusal = await at.refusal("mine-a", at.other)
        assert at.other.user in refusal
        assert at.owner.user in refusal
        await at.refusal("mine-a", Caller("root-of-all"))
        (answer,) = await retry(at.people, at.admin, [shared.id("mine-b")])
        assert not answer.error
        (cancelled,) = await cancel_jobs(at.people, at.other, [shared.id("mine-a")], "no reason")
        assert cancelled.error
    assert ends(shared, "mine") == {"mine-a": "error", "mine-b": "error", "mine-b-r1": "completed"}


async def test_a_hundred_ids_are_answered_without_the_cluster(shared: Place) -> None:
    """A hundred retries are recorded and answered while the batch may start nothing at all: the answer
    waits for no place, no job and no daemon."""
    tasks = [f"t{n}" for n in range(100)]
    names = [f"hundred-{task}" for task in tasks]
    shared.drop(batch("hundred", dict.fromkeys(tasks, "true"), paused=True))
    shared.until("100 records", lambda: len(shared.statuses("hundred")) == 100)
    async with desk(shared) as at:
        withdrawn = await cancel_jobs(at.people, at.owner, [shared.id(name) for name in names], "not yet")
        assert not any(answer.error for answer in withdrawn)
        answers = await at.retry(*names)
        for_all = await at.store.batch_named("default", "hundred")
        assert for_all is not None
        children = shared.jobs("hundred", attempt=1)
        await cancel_batch(at.people, at.owner, for_all, "it was a test")
    assert [answer.error for answer in answers] == [""] * 100
    assert [answer.name for answer in answers] == names
    assert [str(child["_id"]) for child in children] == [answer.retry_id for answer in answers]
    assert {(child["status"], child["retry_toggle"]) for child in children} == {("waiting", True)}
    assert not [entry for entry in shared.history() if entry.name.startswith("hundred-")]
    shared.over("hundred")


# ----------------------------------------------------------------------------- crashes and their repair


@pytest.mark.parametrize("before", STEPS)
async def test_a_crash_between_two_steps_is_repaired(shared: Place, before: str) -> None:
    """Whoever asks dies before this step: either nothing was recorded, or the daemon's repair completes it;
    and the retry runs once."""
    name = f"crash-{before.replace('_', '-')}"
    failed(shared, name, "a")
    async with desk(shared) as at:
        people = People(cast(Store, Crashing(at.store, before)), SystemClock())
        with pytest.raises(Unavailable, match=before):
            await retry(people, at.owner, [shared.id(f"{name}-a")])
    if before == "add_jobs":
        assert ends(shared, name) == {f"{name}-a": "error"}
        return
    shared.until("it is repaired", lambda: shared.job(f"{name}-a-r1").get("retry_toggle"))
    assert ends(shared, name) == {f"{name}-a": "error", f"{name}-a-r1": "completed"}
    root, child = shared.jobs(name)
    assert root["retry_ids"] == [child["_id"]]
    assert shared.parent(name)["child_jobs"] == [root["_id"], child["_id"]]


async def test_two_repairers_at_once(shared: Place) -> None:
    """Repairs at the same moment, the daemon's among them, list each child once."""
    failed(shared, "repairers", "a", "b", "c")
    async with desk(shared) as at:
        people = People(cast(Store, Crashing(at.store, "list_children")), SystemClock())
        ids = [shared.id(f"repairers-{task}") for task in "abc"]
        with pytest.raises(Unavailable):
            await retry(people, at.owner, ids)
        children = await at.store.jobs([str(job["_id"]) for job in shared.jobs("repairers", attempt=1)])
        await asyncio.gather(*(lifecycle.complete(at.store, children) for _ in range(4)))
    ends(shared, "repairers")
    listed = shared.parent("repairers")["child_jobs"]
    assert len(listed) == len(set(listed)) == 6
    assert [len(job["retry_ids"]) for job in shared.jobs("repairers", attempt=0)] == [1, 1, 1]
    assert all(job["retry_toggle"] for job in shared.jobs("repairers", attempt=1))


async def test_repair_by_hand(place: Place) -> None:
    """``repair`` without a daemon says what is unfinished, and finishes it."""
    place.configure(repair={"interval": "1h", "after": "0s"})
    place.drop(batch("byhand", {"a": SECOND}))
    place.start()
    place.over("byhand")
    place.start_no_more()
    async with desk(place) as at:
        people = People(cast(Store, Crashing(at.store, "list_retries")), SystemClock())
        with pytest.raises(Unavailable):
            await retry(people, at.owner, [place.id("byhand-a")])
    assert [job["name"] for job in place.cli("repair", "--dry-run", "-o", "json").json] == ["byhand-a-r1"]
    assert place.job("byhand-a-r1")["retry_toggle"] is False
    assert place.cli("repair").code == 0
    assert place.job("byhand-a-r1")["retry_toggle"] is True
    place.left_open = "its retry stands in line: no daemon is there to start it"


# ------------------------------------------------------------------------------------------- reapers


LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)


async def test_reapers(place: Place) -> None:
    """Created for over an hour and queued for over 14 days: terminated by automation, and the place is free
    only once nothing of them is left. What is younger, what moved on meanwhile and what waits in line are
    left alone, and so is the batch parent."""
    place.know(limits={Status.CREATED: timedelta(0), Status.QUEUED: timedelta(0)})
    tasks = dict.fromkeys(["created", "queued", "young", "moved", "waits"], "true")
    place.drop(batch("reap", tasks, most=4, paused=True))
    daemon = place.start()
    daemon.ready()
    place.until("its records", lambda: len(place.statuses("reap")) == 5)
    place.until("others were looked for", lambda: not place.gate("reap").get("hold"))
    seen = {"_id": f"{PASSES}default"}
    place.until("a pass has seen the namespace", lambda: place.db["meta"].find_one(seen))
    async with desk(place) as at:
        forge = Forge(place, at.store)
        with daemon.frozen():
            place.backdate("reap-waits", "inserted", timedelta(days=99))
            place.db["jobs"].update_one({"batch_job": True}, {"$set": {"inserted": LONG_AGO}})
            await forge.queued("reap-queued", slot=0, since=timedelta(days=14, hours=1))
            await forge.created("reap-moved", slot=1, since=timedelta(hours=2), there=True)
            await forge.created("reap-young", slot=2, since=timedelta(minutes=58))
            await forge.created("reap-created", slot=3, since=timedelta(hours=1, minutes=1))
        stopping = place.until("the order to stop", lambda: place.job("reap-queued").get("stop"))
        assert stopping["code"] == 2
        ended = place.is_("reap-created", "terminated")
        assert (ended["terminated_code"], ended["verdict"]) == (2, "reaped")
        assert ended["tombstone"], "its create may still land: the name must be taken"
        queued = place.job("reap-queued")
        assert (queued["status"], queued["slot"]) == ("queued", 0), "its object is still there"
        forge.let_go()
    ended = place.is_("reap-queued", "terminated")
    assert (ended["terminated_code"], ended["verdict"]) == (2, "reaped")
    assert not place.folder("reap-queued").exists()
    place.is_("reap-young", "completed")
    place.is_("reap-moved", "completed")
    assert place.statuses("reap")["reap-waits"] == "waiting"
    assert place.cli("resume", "reap").code == 0
    place.over("reap")
    assert place.statuses("reap")["reap-waits"] == "completed"
    assert place.parent("reap")["result"] == "partial"
    assert starts(place.history())["reap-moved"] == 1
