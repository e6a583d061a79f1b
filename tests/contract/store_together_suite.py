"""Changes of many records in one go: each has its guard, and an answer of its own."""

from __future__ import annotations

import dataclasses
from datetime import timedelta

import pytest

from controller.core.change import Change
from controller.core.machine import Event
from controller.core.model import Attempt, Status, Stop, Verdict
from controller.ports import Conflict
from tests.contract.store_machine_suite import EPOCH
from tests.contract.store_world import StoreWorld


class TogetherSuite:
    """``changes_many``, beside ``change``."""

    async def test_many_changes_at_once(self, world: StoreWorld) -> None:
        """Of many changes each has an answer of its own; a bad one stops them all first."""
        await world.add_batch()
        jobs = [await world.put(), await world.put(Status.QUEUED), await world.put()]
        changes = [Change(job.id, Event.WITHDRAWN, "cancel") for job in jobs]
        for bad in (Change(world.store.new_id(), Event.SEEN, "x"), changes[0]):
            with pytest.raises(ValueError, match=r"epoch|one record"):
                await world.store.changes_many([*changes, bad])
        assert [await world.read(job.id) for job in jobs] == jobs
        gone = Change(world.store.new_id(), Event.WITHDRAWN, "cancel")
        first, queued, second, none = await world.store.changes_many([*changes, gone])
        assert (queued, none) == (None, None)
        assert [first, second] == [await world.read(job.id) for job in (jobs[0], jobs[2])]
        assert isinstance(first, Attempt)
        assert first.status is Status.TERMINATED
        assert await world.read(jobs[1].id) == jobs[1]
        assert await world.store.changes_many([]) == []

    async def test_many_changes_that_stand_already(self, world: StoreWorld) -> None:
        """Who asks twice for the same is told the record; for another end of it, nothing."""
        await world.add_batch()
        job, other = await world.put(), await world.put(Status.QUEUED)
        changes = [Change(one.id, Event.WITHDRAWN, "cancel") for one in (job, other)]
        first = await world.store.changes_many(changes)
        assert first[0]
        assert await world.store.changes_many(changes) == [first[0], None]
        error = [dataclasses.replace(change, fields={"error": "another"}) for change in changes]
        assert await world.store.changes_many(error) == [None, None]

    async def test_what_a_store_keeps_otherwise_was_applied_beside_what_was_not(
        self, world: StoreWorld
    ) -> None:
        """Unset is the field's default, instants are whole milliseconds: an end was called not written."""
        await world.add_batch()
        ends, late, over = [await world.put(one) for one in (Status.RUNNING, Status.QUEUED, Status.COMPLETED)]
        fields = {"exit_code": 3, "verdict": Verdict.APPLICATION_ERROR, "error": "x", "node": None}
        stop = Stop("start-timeout", "daemon", world.now + timedelta(microseconds=123))
        changes = [
            Change(ends.id, Event.ENDED, "finished", Status.ERROR, fields),
            Change(late.id, Event.GIVEN_UP, "start-deadline", None, {"stop": stop}),
            Change(over.id, Event.ENDED, "finished", Status.COMPLETED, {"exit_code": 0}),
        ]
        told = await world.store.changes_many(changes, EPOCH)
        assert list(told) == [await world.read(ends.id), await world.read(late.id), None]

    async def test_many_claims_of_which_some_were_taken(self, world: StoreWorld) -> None:
        """A claim is told as applied where it brought its token; a taken slot is that one's conflict."""
        await world.add_batch()
        mine, taken, clash = await world.put(), await world.put(), await world.put()
        claims = [
            Change(job.id, Event.CLAIMED, "place-free", fields={"slot": slot}, add_token=f"mine {slot}")
            for slot, job in enumerate((mine, taken))
        ]
        theirs = dataclasses.replace(claims[1], add_token="theirs")
        assert await world.store.change(theirs, EPOCH)
        twice = Change(clash.id, Event.CLAIMED, "place-free", fields={"slot": 1}, add_token="clash")
        one, none, conflict = await world.store.changes_many([*claims, twice], EPOCH)
        assert isinstance(one, Attempt)
        assert [create.token for create in one.open_creates] == ["mine 0"]
        assert none is None
        assert isinstance(conflict, Conflict)
        assert await world.read(clash.id) == clash

    async def test_many_answers_of_which_some_came_late(self, world: StoreWorld) -> None:
        """A create's answer is told as recorded only where its token is closed."""
        await world.add_batch()
        jobs = [await world.put(), await world.put()]
        for slot, job in enumerate(jobs):
            claim = Change(job.id, Event.CLAIMED, "place-free", fields={"slot": slot}, add_token=f"{slot}")
            assert await world.store.change(claim, EPOCH)
        seen = Change(jobs[1].id, Event.ACCEPTED, "accepted", fields={"scheduler_id": "uid"})
        assert await world.store.change(seen, EPOCH)
        answers = [
            dataclasses.replace(seen, job=job.id, drop_token=f"{slot}") for slot, job in enumerate(jobs)
        ]
        first, late = await world.store.changes_many(answers, EPOCH)
        assert isinstance(first, Attempt)
        assert (first.status, first.open_creates) == (Status.QUEUED, ())
        assert late is None
        assert [create.token for create in (await world.read(jobs[1].id)).open_creates] == ["1"]
