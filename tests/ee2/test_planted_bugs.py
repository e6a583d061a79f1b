"""Bugs planted in the code that keeps EE2's records: the oracle finds each, and none without them."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from bson import ObjectId

from controller.adapters import mongo_ee2
from controller.adapters.mongo_ee2 import MongoEe2
from controller.core.ee2 import Stuck, read_stuck
from controller.core.ee2_decide import Step
from controller.ee2 import reap as reaping
from controller.ee2 import repair as repairing
from controller.ee2.desk import Ee2Desk
from controller.ee2.reap import reap
from controller.ee2.repair import repair
from controller.ports import Rejected
from tests.ee2.forge import DAY, HOUR, Ee2
from tests.ee2.oracle import Oracle
from tests.ee2.scheduler import Scheduler

Patch = pytest.MonkeyPatch


async def world(ee2: Ee2, desk: Ee2Desk, scheduler: Scheduler, oracle: Oracle) -> list[str]:
    """A bit of everything, with a user who cancels in the middle; what the oracle has to say."""
    batch = ee2.batch(40 * DAY)
    root, other = ee2.child_of(batch, DAY), ee2.child_of(batch, DAY)
    for job in (root, other):
        ee2.queue(job, DAY)
        ee2.end(job)
    late = ee2.launch(root, HOUR / 2)
    ee2.tell_batch(batch, late)
    ee2.launch(root, HOUR / 2)
    ee2.launch(other, timedelta(minutes=5))
    young, old, moves = (ee2.run_job(20 * DAY) for _ in range(3))
    ee2.queue(young, DAY)
    ee2.queue(old, 20 * DAY)
    ee2.queue(moves, 20 * DAY)

    def meanwhile(stuck: Stuck) -> None:
        if stuck.id == moves:
            ee2.end(moves, "terminated", terminated_code=0)

    scheduler.meanwhile = meanwhile
    epoch = await desk.records.next_epoch("test")
    with oracle.watching():
        await asyncio.gather(repair(desk), repair(desk))
        await reap(desk, epoch, trusted=True)
    found, oracle.violations = oracle.violations, []
    return found


# ------------------------------------------------------------------------------------- the planted


def toggles_without_reading(patch: Patch) -> None:
    """The toggle before the lists."""

    async def nothing(self: Any, left: Any) -> None:
        pass

    patch.setattr(repairing._Page, "_list", nothing)
    patch.setattr(repairing, "steps_left", lambda child, parents: (Step.TOGGLE,))


def writes_a_field_of_ours(patch: Patch) -> None:
    """The epoch on the record: EE2 would not read it any more."""
    patch.setattr(
        MongoEe2, "toggle", _updating({"retry_saved_toggle": True, "updated": mongo_ee2.SECONDS, "epoch": 7})
    )


def forgets_updated(patch: Patch) -> None:
    """Nobody who looks by ``updated`` sees the write."""
    patch.setattr(MongoEe2, "toggle", _updating({"retry_saved_toggle": True}))


def writes_dates(patch: Patch) -> None:
    """A date instead of seconds."""
    patch.setattr(mongo_ee2, "SECONDS", "$$NOW")


def replaces_lists(patch: Patch) -> None:
    """The new children instead of all of them."""
    patch.setattr(mongo_ee2, "union", lambda name, values: {"$literal": values})


def writes_ids_as_objects(patch: Patch) -> None:
    """References as our own records have them."""
    ids = lambda name, values: {"$concatArrays": [f"${name}", {"$literal": [ObjectId(v) for v in values]}]}  # noqa: E731
    patch.setattr(mongo_ee2, "union", ids)


def ends_without_guards(patch: Patch) -> None:
    """No second look, and an update by id alone: a user's cancel is overwritten."""

    async def always(self: Any) -> bool:
        return True

    async def end(self: MongoEe2, job: Stuck, limit: timedelta) -> bool:
        now = mongo_ee2.SECONDS
        fields = {"status": "terminated", "terminated_code": 2, "finished": now, "updated": now}
        await self._records.update_one({"_id": ObjectId(job.id)}, [{"$set": fields}])
        return True

    patch.setattr(reaping._Case, "_still_so", always)
    patch.setattr(MongoEe2, "terminate", end)


def ends_without_asking(patch: Patch) -> None:
    """The hook is taken for said yes."""

    async def yes(self: Any, failures: int) -> bool:
        return True

    patch.setattr(reaping._Case, "_cancelled", yes)


def takes_a_refusal_for_a_yes(patch: Patch) -> None:
    """Success is not required."""
    real = Scheduler.cancel

    async def refuse(self: Scheduler, job: Stuck) -> str:
        await real(self, job)
        self.agreed.remove(job.id)
        raise Rejected("no")

    async def shrug(self: Any, failures: int) -> bool:
        with contextlib.suppress(Rejected):
            await self._canceller.cancel(self._job)
        return True

    patch.setattr(Scheduler, "cancel", refuse)
    patch.setattr(reaping._Case, "_cancelled", shrug)


def ends_by_age_of_the_record(patch: Patch) -> None:
    """A job that was queued yesterday is ended, for it was made long ago."""
    patch.setattr(reaping, "limit_passed", lambda job, now, reaper: timedelta(seconds=1))


def ends_batch_parents(patch: Patch) -> None:
    """The parents that stay created for ever."""
    patch.setattr(mongo_ee2, "_stuck", lambda status: {"status": status})
    real = read_stuck
    patch.setattr(reaping, "read_stuck", lambda record, *more: real({**record, "batch_job": False}, *more))
    ends_without_guards(patch)


def touches_the_young(patch: Patch) -> None:
    """EE2 is still between its steps."""
    real = MongoEe2.unfinished

    async def all_of_them(self: MongoEe2, before: Any, *more: Any) -> Any:
        return await real(self, before + timedelta(minutes=10), *more)

    patch.setattr(MongoEe2, "unfinished", all_of_them)


def _updating(fields: dict[str, Any]) -> Callable[..., Any]:
    async def toggle(self: MongoEe2, children: list[str]) -> int:
        ids = [ObjectId(child) for child in children]
        return (await self._records.update_many({"_id": {"$in": ids}}, [{"$set": fields}])).modified_count

    return toggle


PLANTED = [
    toggles_without_reading,
    writes_a_field_of_ours,
    forgets_updated,
    writes_dates,
    replaces_lists,
    writes_ids_as_objects,
    ends_without_guards,
    ends_without_asking,
    takes_a_refusal_for_a_yes,
    ends_by_age_of_the_record,
    ends_batch_parents,
    touches_the_young,
]


@pytest.mark.parametrize("plant", PLANTED)
async def test_the_oracle_finds_a_planted_bug(
    ee2: Ee2,
    desk: Ee2Desk,
    scheduler: Scheduler,
    oracle: Oracle,
    plant: Callable[[Patch], None],
    monkeypatch: Patch,
) -> None:
    """Each is wrong in one way only, and no check but the oracle's is asked."""
    plant(monkeypatch)
    assert await world(ee2, desk, scheduler, oracle)


async def test_the_code_as_it_is_has_none_of_them(
    ee2: Ee2, desk: Ee2Desk, scheduler: Scheduler, oracle: Oracle
) -> None:
    """The same world without a planted bug: nothing to say, and there was something to judge."""
    figures = replace(desk.figures, clock_skew=timedelta(seconds=30))
    assert await world(ee2, replace(desk, figures=figures), scheduler, oracle) == []
    assert oracle.writes == 1 + 1 + 2 + 1, "the batch's list, the root's, two toggles, one end"
