"""Batch parents: names, status, settings, counts."""

from __future__ import annotations

import asyncio
import dataclasses
from typing import Any

import pytest

from controller.core.change import Change
from controller.core.machine import Event
from controller.core.model import (
    BatchStatus,
    Counts,
    Gate,
    Halt,
    Halts,
    Origin,
    Result,
    Setting,
    Status,
    Verdict,
)
from controller.ports import Conflict, Standing
from tests.contract.store_world import HOUR, SECOND, StoreWorld

OPEN = [status for status in BatchStatus if not status.closed]
HOSTILE = {
    "$where": "1",
    "a.b": {"$gt": [{"%24.": None}, 0.5, True]},
    "": "empty",
    "née": "\0",
    "__proto__": -1,
}


class BatchSuite:
    """The records with ``batch_job: true``."""

    async def test_a_batch_comes_back_as_it_was(self, world: StoreWorld) -> None:
        """Every field survives, keys that a database might take for operators included."""
        batch = await world.add_batch(
            spec=HOSTILE,
            settings={"retry": Setting([HOSTILE], "traits.yaml", world.now)},
            status=BatchStatus.HELD,
            reason="systemic-failure: $sum",
            resumed=world.now,
            superseded=("0" * 64, "1" * 64),
        )
        assert await world.store.batch(batch.id) == batch
        assert await world.store.batch_named("lab", "gwas") == batch
        assert await world.gate() == Gate(batch.id, 5)

    async def test_large_numbers_of_a_batch_are_plain_ones(self, world: StoreWorld) -> None:
        """Of exactly our own type, wherever they are in a spec or a setting: no writer has to know others."""
        batch = await world.add_batch(
            spec={"memory": 2**40, "a.b": [{"least": -(2**40)}]},
            settings={"retry": Setting([{"memory": 2**40}], "traits.yaml", world.now)},
        )
        read = await world.store.batch(batch.id)
        assert read == batch
        spec, rules = read.spec, read.settings["retry"].value
        numbers = (spec["memory"], spec["a.b"][0]["least"], rules[0]["memory"])
        assert [type(number) for number in numbers] == [int] * 3

    async def test_how_a_batch_stands(self, world: StoreWorld) -> None:
        """Batch, gate, halts and records in one answer; what is not there, or no record, is left out."""
        batch = await world.add_batch(spec=HOSTILE)
        jobs = [await world.put(Status.RUNNING), await world.put()]
        await world.store.list_children(batch.id, [job.id for job in jobs])
        ids = [jobs[0].id, world.store.new_id(), "gwas", batch.id, jobs[1].id]
        halt = Halt("maintenance", "olga", world.now)
        await world.store.set_halt("retries", halt)
        now = await world.store.standing(batch.id, ids)
        assert (now.batch, now.gate) == (await world.store.batch(batch.id), Gate(batch.id, 5))
        assert now.halts == await world.store.halts() == Halts(retries=halt)
        assert sorted(job.id for job in now.jobs) == sorted(job.id for job in jobs)
        assert [job for job in now.jobs if job.id == jobs[0].id] == jobs[:1]
        await world.store.set_halt("retries", None)
        for nobody in (world.store.new_id(), "gwas", jobs[0].id):
            assert await world.store.standing(nobody) == Standing(None, None, Halts(), [])

    async def test_names_are_for_ever(self, world: StoreWorld) -> None:
        """A name is taken once per namespace, also after its end; another namespace has its own."""
        batch = await world.add_batch()
        finish = {"status": BatchStatus.FINISHED, "result": Result.COMPLETED}
        assert await world.store.set_batch(batch.id, OPEN, finish)
        with pytest.raises(Conflict):
            await world.add_batch()
        with pytest.raises(Conflict):
            await world.store.add_batch(batch, Gate(batch.id, 5))
        await world.add_batch(namespace="other-lab")

    async def test_what_is_not_there(self, world: StoreWorld) -> None:
        """An unknown id, text that is no id, and the id of a record are no batch."""
        await world.add_batch()
        job = await world.put()
        for batch_id in (world.store.new_id(), "gwas", "", job.id):
            assert await world.store.batch(batch_id) is None
        assert await world.store.batch_named("lab", "other") is None
        assert await world.store.batch_named("other", "gwas") is None
        assert not await world.store.set_batch(world.store.new_id(), OPEN, {"reason": "x"})

    async def test_batches_by_their_ids(self, world: StoreWorld) -> None:
        """Those that are there, by id; what is no id, unknown, or a job's is left out."""
        one, two = await world.add_batch("one"), await world.add_batch("two")
        job = await world.put()
        ids = [two.id, "nonsense", world.store.new_id(), job.id, one.id]
        assert await world.store.batches_with(iter(ids)) == {one.id: one, two.id: two}
        assert await world.store.batches_with([]) == {}
        assert await world.store.recorded(iter(ids)) == {one.id, two.id}

    async def test_batches_newest_first(self, world: StoreWorld) -> None:
        """All, or only those that are (not) closed, and not more than asked for."""
        ids = []
        for n in range(4):
            batch = await world.add_batch(f"b{n}", inserted=world.now + n * SECOND)
            ids.append(batch.id)
        finish = {"status": BatchStatus.FINISHED, "result": Result.FAILED}
        assert await world.store.set_batch(ids[1], OPEN, finish)
        assert await world.store.set_batch(ids[3], OPEN, {"status": BatchStatus.CANCELLED})

        async def listed(**which: Any) -> list[int]:
            return [ids.index(batch.id) for batch in await world.store.batches(**which)]

        assert await listed() == [3, 2, 1, 0]
        assert await listed(limit=2) == [3, 2]
        assert await listed(closed=True) == [3, 1]
        assert await listed(closed=False) == [2, 0]
        assert await listed(closed=False, limit=1) == [2]

    async def test_a_batch_moves_from_where_it_was_read(self, world: StoreWorld) -> None:
        """``set_batch`` writes only while the status is one that the caller decided on."""
        batch = await world.add_batch()
        assert not await world.store.set_batch(batch.id, [BatchStatus.PAUSED], {"reason": "x"})
        assert await world.store.batch(batch.id) == batch
        await world.tick()
        fields: dict[str, Any] = {
            "status": BatchStatus.PAUSED,
            "reason": "paused by $ada",
            "spec_hash": "1",
            "superseded": ("0" * 64,),
            "spec": {"$a": 1},
        }
        assert await world.store.set_batch(batch.id, [BatchStatus.RUNNING], fields)
        moved = await world.store.batch(batch.id)
        assert moved is not None
        assert moved.updated > batch.updated
        assert moved == dataclasses.replace(batch, updated=moved.updated, **fields)

    async def test_closing_and_reopening(self, world: StoreWorld) -> None:
        """A closing batch gets its instant and its result, a reopened one loses both."""
        batch = await world.add_batch()
        with pytest.raises(ValueError, match="result"):
            await world.store.set_batch(batch.id, OPEN, {"status": BatchStatus.FINISHED})
        closings: list[dict[str, Any]] = [
            {"status": BatchStatus.FINISHED, "result": Result.PARTIAL},
            {"status": BatchStatus.CANCELLED},
        ]
        for closing in closings:
            assert await world.store.set_batch(batch.id, OPEN, closing)
            closed = await world.store.batch(batch.id)
            assert closed is not None
            assert closed.status.closed
            assert closed.result == closing.get("result")
            assert closed.finished == closed.updated
            assert await world.store.set_batch(batch.id, [closed.status], {"status": BatchStatus.RUNNING})
            opened = await world.store.batch(batch.id)
            assert opened is not None
            assert (opened.finished, opened.result) == (None, None)

    async def test_only_what_may_change(self, world: StoreWorld) -> None:
        """Identity and counts are not for ``set_batch``, and only four settings may change."""
        batch = await world.add_batch()
        for name in ("id", "name", "namespace", "counts", "child_jobs", "$set"):
            with pytest.raises(ValueError, match="set"):
                await world.store.set_batch(batch.id, OPEN, {name: "x"})
        with pytest.raises(ValueError, match="setting"):
            await world.store.set_setting(batch.id, "image", Setting("x", "ada", world.now))
        assert await world.store.batch(batch.id) == batch

    async def test_the_later_setting_wins(self, world: StoreWorld) -> None:
        """Per setting the later change is kept, whichever is written last."""
        batch = await world.add_batch()
        later = Setting(9, "ada", world.now + SECOND)
        assert await world.store.set_setting(batch.id, "maxConcurrent", later)
        assert not await world.store.set_setting(
            batch.id, "maxConcurrent", Setting(3, "traits.yaml", world.now)
        )
        assert await world.store.set_setting(batch.id, "maxConcurrent", later), "of one instant: the last"
        assert await world.store.set_setting(batch.id, "paused", Setting(True, "ada", world.now))
        found = await world.store.batch(batch.id)
        assert found is not None
        assert found.settings == {"maxConcurrent": later, "paused": Setting(True, "ada", world.now)}
        assert not await world.store.set_setting(world.store.new_id(), "paused", later)

    async def test_counts(self, world: StoreWorld) -> None:
        """Counts are added to and taken from; nothing is left of what comes to nought."""
        batch = await world.add_batch()
        await world.store.add_counts(
            batch.id, Counts({Status.WAITING: 3, Status.ERROR: 1}, {Verdict.LOST: 1})
        )
        await world.store.add_counts(batch.id, Counts({Status.WAITING: -1, Status.ERROR: -1}))
        await world.store.add_counts(batch.id, Counts())
        found = await world.store.batch(batch.id)
        assert found is not None
        assert found.counts == Counts({Status.WAITING: 2}, {Verdict.LOST: 1})

    async def test_counting_at_once(self, world: StoreWorld) -> None:
        """Additions at the same time all count."""
        batch = await world.add_batch()
        one = Counts({Status.QUEUED: 1})
        await asyncio.gather(*(world.store.add_counts(batch.id, one) for _ in range(30)))
        found = await world.store.batch(batch.id)
        assert found is not None
        assert found.counts == Counts({Status.QUEUED: 30})

    async def test_recounting(self, world: StoreWorld) -> None:
        """Attempts by status; ended first attempts by verdict, since the last resume only; kept if wanted."""
        batch = await world.add_batch()
        await world.store.add_counts(batch.id, Counts({Status.RUNNING: 99}))
        old = await world.put(Status.ERROR, verdict=Verdict.MOUNT_FAILURE, finished=world.now - 2 * HOUR)
        await world.put(Status.ERROR, verdict=Verdict.MOUNT_FAILURE, finished=world.now)
        await world.put(Status.COMPLETED, verdict=Verdict.SUCCEEDED, finished=world.now)
        retry = await world.put_retry(old)
        await world.store.change(
            Change(retry.id, Event.WITHDRAWN, "x", fields={"verdict": Verdict.CANCELLED})
        )
        await world.put(Status.QUEUED)
        status = {Status.ERROR: 2, Status.COMPLETED: 1, Status.TERMINATED: 1, Status.QUEUED: 1}
        counts = Counts(status, {Verdict.MOUNT_FAILURE: 2, Verdict.SUCCEEDED: 1})
        assert await world.store.recount(batch.id, keep=False) == counts
        found = await world.store.batch(batch.id)
        assert found is not None
        assert found.counts == Counts({Status.RUNNING: 99})
        assert await world.store.recount(batch.id) == counts
        assert await world.store.set_batch(batch.id, OPEN, {"resumed": world.now - HOUR})
        counts = Counts(status, {Verdict.MOUNT_FAILURE: 1, Verdict.SUCCEEDED: 1})
        assert await world.store.recount(batch.id) == counts
        found = await world.store.batch(batch.id)
        assert found is not None
        assert found.counts == counts
        assert await world.store.recount(world.store.new_id()) == Counts()

    async def test_which_batches_are_alive(self, world: StoreWorld) -> None:
        """A batch has live jobs while one of its records waits or is active."""
        alive = []
        for status in Status:
            if status is Status.ESTIMATING:
                continue
            batch = await world.add_batch(f"b-{status}")
            await world.put(status, name=f"b-{status}-t1")
            if not status.terminal:
                alive.append(batch.id)
        await world.add_batch("empty")
        assert await world.store.batches_with_live_jobs() == frozenset(alive)

    async def test_a_retry_by_a_person(self, world: StoreWorld) -> None:
        """A person's retry counts among the statuses, never among the first attempts."""
        batch = await world.add_batch()
        root = await world.put(Status.ERROR, verdict=Verdict.LOST)
        await world.put_retry(root, origin=Origin.USER, request_id="r")
        counts = await world.store.recount(batch.id)
        assert counts == Counts({Status.ERROR: 1, Status.WAITING: 1}, {Verdict.LOST: 1})
