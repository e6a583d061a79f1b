"""Repair in place: whatever EE2 left undone between two of its steps is done, once, and nothing else is."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta
from typing import Any, cast

import pytest

from controller.adapters.mongo_ee2 import MongoEe2
from controller.ee2.desk import Ee2Desk
from controller.ee2.repair import repair
from controller.ports import Unavailable
from controller.ports.ee2 import Ee2Records
from tests.ee2.forge import DAY, HOUR, Ee2
from tests.ee2.oracle import Oracle
from tests.ee2.scheduler import Told

YOUNG = timedelta(minutes=9)


def failed(ee2: Ee2, batch: str = "", ago: timedelta = DAY) -> str:
    """A job that ended in error; with a batch, one of its own."""
    root = ee2.child_of(batch, ago) if batch else ee2.run_job(ago)
    ee2.queue(root, ago)
    ee2.end(root)
    return root


def complete(ee2: Ee2, root: str, child: str, batch: str = "") -> bool:
    """Whether EE2 itself would call the lifecycle complete."""
    listed = child in ee2.job(root)["retry_ids"] and ee2.job(child)["retry_saved_toggle"] is True
    return listed and (not batch or child in ee2.job(batch)["child_jobs"])


@pytest.mark.parametrize("done", range(4))
@pytest.mark.parametrize("batched", [True, False])
async def test_a_crash_between_any_two_steps(
    ee2: Ee2, desk: Ee2Desk, oracle: Oracle, batched: bool, done: int
) -> None:
    """EE2 made ``done`` steps after the launch and died: the rest is done, and a second repair has nothing
    to do."""
    batch = ee2.batch(2 * DAY) if batched else ""
    root = failed(ee2, batch)
    child = ee2.launch(root, HOUR)
    if batched and done > 0:
        ee2.tell_batch(batch, child)
    if done > 1:
        ee2.tell_root(root, child)
    if done > 2:
        ee2.toggle(child)
    with oracle.watching():
        found = await repair(desk)
        assert complete(ee2, root, child, batch)
        assert await repair(desk) == []
    assert [one.job for one in found] == ([] if done == 3 else [child])
    assert oracle.writes == 3 - (done if batched else max(done, 1))
    assert cast(Told, desk.journal).gauges["retry_lifecycle_incomplete"] == 0


async def test_a_child_that_ee2_is_still_writing_is_left_alone(
    ee2: Ee2, desk: Ee2Desk, oracle: Oracle
) -> None:
    """Younger than ten minutes: EE2 may be between its steps."""
    root = failed(ee2)
    ee2.launch(root, YOUNG)
    with oracle.watching():
        assert await repair(desk) == []
    assert oracle.writes == 0


async def test_many_children_of_one_batch_and_one_root(
    ee2: Ee2, desk: Ee2Desk, oracle: Oracle, monkeypatch: pytest.MonkeyPatch
) -> None:
    """More children than a page has, some of one root: every list has each once, in few writes."""
    monkeypatch.setattr("controller.ee2.repair.PAGE", 20)
    monkeypatch.setattr("controller.ee2.desk.PAGE", 20)
    batch = ee2.batch(DAY)
    roots = [failed(ee2, batch) for _ in range(10)]
    children = [ee2.launch(root, HOUR) for root in roots for _ in range(5)]
    with oracle.watching():
        assert {one.job for one in await repair(desk)} == set(children)
    assert sorted(ee2.job(batch)["child_jobs"]) == sorted(roots + children)
    assert oracle.writes <= len(children) + 3 * (1 + len(roots)), "one write for each parent and page"
    assert cast(Told, desk.journal).counts == {
        "child_jobs": 50,
        "retry_ids": 50,
        "retry_saved_toggle": 50,
    }


async def test_two_repairers_at_once(ee2: Ee2, desk: Ee2Desk, oracle: Oracle) -> None:
    """However their writes mingle: each list has each child once, each toggle is true."""
    batch = ee2.batch(DAY)
    roots = [failed(ee2, batch) for _ in range(20)]
    children = {root: ee2.launch(root, HOUR) for root in roots}
    ee2.tell_batch(batch, children[roots[0]])
    with oracle.watching():
        await asyncio.gather(*(repair(desk) for _ in range(4)))
    assert all(complete(ee2, root, child, batch) for root, child in children.items())


async def test_ee2_goes_on_beside_a_repairer(ee2: Ee2, desk: Ee2Desk, oracle: Oracle) -> None:
    """EE2, asleep for an hour between two steps, wakes and does the rest itself: nothing is doubled."""
    batch = ee2.batch(DAY)
    root = failed(ee2, batch)
    child = ee2.launch(root, HOUR)
    with oracle.watching():
        await repair(desk)
        ee2.tell_batch(batch, child)
        ee2.tell_root(root, child)
        ee2.toggle(child)
    assert complete(ee2, root, child, batch)


async def test_a_child_that_was_never_launched_gets_its_steps_and_no_launch(
    ee2: Ee2, desk: Ee2Desk, oracle: Oracle
) -> None:
    """Without a scheduler id it stays created; that no record is made is the oracle's word."""
    root = failed(ee2)
    child = ee2.launch(root, HOUR, scheduled=False)
    with oracle.watching():
        await repair(desk)
    assert complete(ee2, root, child)
    assert (ee2.job(child)["status"], "scheduler_id" in ee2.job(child)) == ("created", False)


async def test_a_child_that_ee2_cancelled_is_completed_too(ee2: Ee2, desk: Ee2Desk, oracle: Oracle) -> None:
    """EE2 ends a child whose parents it could not tell: its lineage is written all the same."""
    root = failed(ee2)
    child = ee2.launch(root, HOUR)
    ee2.end(child, "terminated", terminated_code=4)
    with oracle.watching():
        await repair(desk)
    assert complete(ee2, root, child)
    assert ee2.job(child)["terminated_code"] == 4


async def test_fields_that_nobody_knows_survive(ee2: Ee2, desk: Ee2Desk, oracle: Oracle) -> None:
    """A field of a later EE2 in the child and both parents is there afterwards, odd names included."""
    batch = ee2.batch(DAY)
    root = failed(ee2, batch)
    child = ee2.launch(root, HOUR)
    for job in (batch, root, child):
        ee2.spoil(job, later={"a": [1, {"b": None}], "": "empty"})
    with oracle.watching():
        await repair(desk)
    assert all(ee2.job(job)["later"] == {"a": [1, {"b": None}], "": "empty"} for job in (batch, root, child))


async def test_a_list_that_is_null_or_missing_is_begun(ee2: Ee2, desk: Ee2Desk) -> None:
    """Older records lack the lists."""
    root = failed(ee2)
    child = ee2.launch(root, HOUR)
    ee2.jobs.update_many({}, {"$unset": {"retry_ids": "", "child_jobs": ""}})
    await repair(desk)
    assert complete(ee2, root, child)


SICK: dict[str, tuple[str, dict[str, Any], str]] = {
    "parent is gone": ("child", {"retry_parent": "5" * 24}, "no record 5555"),
    "parent is no id": ("child", {"retry_parent": "nobody"}, "not an id"),
    "parent is a number": ("child", {"retry_parent": 7}, "not a text"),
    "batch is gone": ("child", {"batch_id": "6" * 24}, "no record 6666"),
    "batch is a list": ("child", {"batch_id": ["x"]}, "not a text"),
    "toggle is a text": ("child", {"retry_saved_toggle": "no"}, "not true or false"),
    "child is a batch parent": ("child", {"batch_job": True}, "batch parent"),
    "root is a batch parent": ("root", {"batch_job": True}, "a batch parent"),
    "root's list is a text": ("root", {"retry_ids": "x"}, "is no list"),
    "batch parent is none": ("batch", {"batch_job": False}, "no batch parent"),
    "batch's list is a mapping": ("batch", {"child_jobs": {"a": 1}}, "is no list"),
}


@pytest.mark.parametrize("sick", SICK)
async def test_a_malformed_record_costs_itself_only(
    ee2: Ee2, desk: Ee2Desk, records: MongoEe2, oracle: Oracle, sick: str
) -> None:
    """It is quarantined with its reason and not written; the healthy one beside it is repaired. Once it is
    put right, it is repaired and no longer quarantined."""
    which, fields, reason = SICK[sick]
    jobs = {"batch": ee2.batch(DAY)}
    jobs["root"] = failed(ee2, jobs["batch"])
    jobs["child"] = ee2.launch(jobs["root"], HOUR)
    healthy = failed(ee2)
    other = ee2.launch(healthy, HOUR)
    good = {name: value for name, value in ee2.job(jobs[which]).items() if name in fields}
    ee2.spoil(jobs[which], **fields)
    before = ee2.job(jobs["child"])
    with oracle.watching():
        found = await repair(desk)
    assert complete(ee2, healthy, other)
    assert ee2.job(jobs["child"]) == before
    assert any(one.job == jobs["child"] and reason in one.why for one in found)
    assert [reason in why for why in (await records.all_set_aside())[jobs["child"]]] == [True]
    ee2.spoil(jobs[which], **good)
    await repair(desk)
    assert complete(ee2, jobs["root"], jobs["child"], jobs["batch"])
    assert await records.all_set_aside() == {}


class Dying:
    """The records, whose process dies before or after its n-th write."""

    def __init__(self, records: Ee2Records, writes: int, *, applied: bool) -> None:
        self._records, self._left, self._applied = records, writes, applied

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._records, name)
        if name not in ("list_in", "toggle"):
            return method

        async def write(*arguments: Any) -> Any:
            self._left -= 1
            if self._left < 0:
                if self._applied:
                    await method(*arguments)
                raise Unavailable("the process died here")
            return await method(*arguments)

        return write


@pytest.mark.parametrize("writes", range(3))
@pytest.mark.parametrize("applied", [True, False])
async def test_a_repairer_that_dies_between_any_two_writes(
    ee2: Ee2, desk: Ee2Desk, oracle: Oracle, writes: int, applied: bool
) -> None:
    """The next repair finds the same work by the toggle and ends it."""
    batch = ee2.batch(DAY)
    root = failed(ee2, batch)
    child = ee2.launch(root, HOUR)
    with oracle.watching():
        dying = cast(Ee2Records, Dying(desk.records, writes, applied=applied))
        with pytest.raises(Unavailable):
            await repair(replace(desk, records=dying))
        await repair(desk)
    assert complete(ee2, root, child, batch)


async def test_a_dry_run_says_what_it_would_do_and_writes_nothing(
    ee2: Ee2, desk: Ee2Desk, records: MongoEe2, oracle: Oracle
) -> None:
    """Neither to EE2's records nor to ours."""
    batch = ee2.batch(DAY)
    root = failed(ee2, batch)
    child = ee2.launch(root, HOUR)
    ee2.tell_batch(batch, child)
    lost = ee2.launch(failed(ee2), HOUR)
    ee2.spoil(lost, retry_parent="5" * 24)
    with oracle.watching():
        found = {one.job: one.deed for one in await repair(desk, dry_run=True)}
    assert found == {child: "retry_ids, retry_saved_toggle", lost: "quarantine"}
    assert oracle.writes == 0
    assert await records.all_set_aside() == {}
