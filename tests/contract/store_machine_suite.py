"""The state machine's table, proved against a store: what is not in it is refused by the store itself."""

from __future__ import annotations

import dataclasses
from datetime import timedelta
from typing import Any

import pytest

from controller.core.change import Change
from controller.core.machine import TABLE, Event, Guard, Writer
from controller.core.model import (
    Attempt,
    Evidence,
    JobInput,
    OpenCreate,
    Origin,
    Status,
    TerminatedCode,
    Verdict,
)
from controller.ports import Conflict
from tests.contract.store_world import HOUR, SECOND, StoreWorld, differing

STATUSES = [status for status in Status if status is not Status.ESTIMATING]
EPOCH = 7
END = {"verdict": Verdict.LOST, "error": "gone", "exit_code": 137}

Case = tuple[Attempt, Change]


def targets(event: Event) -> list[Status | None]:
    """What a row's status may become; None where it stays."""
    return [*sorted(TABLE[event].targets)] or [None]


def fields_of(world: StoreWorld, event: Event) -> dict[str, Any]:
    """What an event usually writes."""
    coded, bare = world.stop(TerminatedCode.USER, "enough"), world.stop()
    usual: dict[Event, dict[str, Any]] = {
        Event.CLAIMED: {"slot": 1000 + world.made},
        Event.ACCEPTED: {"scheduler_id": "uid", "scheduler_type": "local"},
        Event.STARTED: {"node": "node-1"},
        Event.REPOINTED: {"scheduler_id": "uid-2"},
        Event.ADOPTED: {"scheduler_id": "uid", "kind": "TrainingWorkload", "origin": Origin.ADOPTED},
        Event.WITHDRAWN: {"verdict": Verdict.CANCELLED, "terminated_code": TerminatedCode.USER},
        Event.STOP_ASKED: {"stop": coded},
        Event.OVERDUE: {"stop": world.stop(TerminatedCode.AUTOMATION, "queued too long")},
        Event.GIVEN_UP: {"stop": bare, "evidence": Evidence(reason="FailedMount")},
        Event.NO_RETRY: {"no_retry": True},
        Event.HURRIED: {"not_before": None},
        Event.BURIED: {"tombstone": True},
        Event.SEEN: {"evidence": Evidence(log_tail="…"), "node": "node-1"},
        Event.LINKED: {"retry_ids": (world.store.new_id(),)},
        Event.TOGGLED: {"retry_toggle": True},
    }
    ends = (Event.ENDED, Event.VANISHED, Event.NEVER_CREATED, Event.REJECTED, Event.COLLIDED)
    return END if event in ends else usual.get(event, {})


def _slot_of(world: StoreWorld, event: Event, target: Status | None) -> dict[str, Any]:
    """A take-over takes a slot with what is active, and none with what has ended."""
    takes_place = event is Event.ADOPTED and target is not None and target.active
    return {"slot": 1000 + world.made} if takes_place else {}


def ideal(world: StoreWorld, event: Event, status: Status, target: Status | None) -> Case:
    """A record in that status to which nothing but its status can be held against the event."""
    row = TABLE[event]
    needs: dict[str, Any] = {"scheduler_id": "uid"}
    if target is Status.TERMINATED and event is not Event.WITHDRAWN:
        needs["stop"] = world.stop(TerminatedCode.USER, "enough")
    elif Guard.STOP_SET in row.guards:
        needs["stop"] = world.stop()
    if Guard.IS_RETRY in row.guards:
        needs |= {"retry_parent": world.store.new_id(), "attempt": 1, "retry_toggle": False}
    if event is Event.CREATE_CLOSED:
        needs["open_creates"] = (OpenCreate("token", world.now),)
    job = world.attempt(status, **needs)
    change = Change(
        job.id,
        event,
        "because",
        status=target,
        fields=fields_of(world, event) | _slot_of(world, event, target),
        add_token="fresh" if event in (Event.CLAIMED, Event.CREATE_OPENED) else "",
        drop_token="token" if event is Event.CREATE_CLOSED else "",
        uid="uid",
        entered=getattr(job, status.value, None) if status.active else world.now,
        limit=HOUR,
    )
    return job, change


def violated(world: StoreWorld, guard: Guard, job: Attempt, change: Change) -> list[Case]:
    """The ideal case with exactly this guard's fact untrue, in each way in which it can be."""
    coded = world.stop(TerminatedCode.USER, "enough")
    token = (OpenCreate("late", world.now),)
    records: dict[Guard, list[dict[str, Any]]] = {
        Guard.STOP_UNSET: [{"stop": world.stop()}],
        Guard.STOP_SET: [{"stop": None}],
        Guard.STOP_NOT_CODED: [{"stop": coded}],
        Guard.CREATES_SETTLED: [{"open_creates": token}],
        Guard.NO_OPEN_CREATES: [{"open_creates": token}, {"open_creates": token, "tombstone": True}],
        Guard.SAME_UID: [{"scheduler_id": "another"}, {"scheduler_id": ""}],
        Guard.DUE: [{"not_before": world.now + HOUR}],
        Guard.IS_RETRY: [{"retry_parent": None}],
        Guard.TOGGLE_FALSE: [{"retry_toggle": True}, {"retry_toggle": None}],
        Guard.OURS: [{"kind": "TrainingWorkload"}],
    }
    changes: dict[Guard, list[dict[str, Any]]] = {
        Guard.SAME_UID: [{"uid": "another"}, {"uid": ""}],
        Guard.SAME_ENTRY: [{"entered": (change.entered or world.now) + SECOND}],
        Guard.PAST_LIMIT: [{"limit": 5 * HOUR}],
    }
    return [
        *((dataclasses.replace(job, **fields), change) for fields in records.get(guard, ())),
        *((job, dataclasses.replace(change, **fields)) for fields in changes.get(guard, ())),
    ]


def renewed(world: StoreWorld, case: Case) -> Case:
    """The same case as a record of its own."""
    job, change = case
    fresh = world.attempt(attempt=job.attempt)
    same = {name: getattr(fresh, name) for name in ("id", "task_id", "name", "index")}
    slot = None if job.slot is None else world.made
    return dataclasses.replace(job, slot=slot, **same), dataclasses.replace(change, job=fresh.id)


class MachineSuite:
    """Every event against every status, every guard both ways, every rule about targets and epochs."""

    @pytest.mark.parametrize("event", Event)
    async def test_the_table_and_nothing_else(self, world: StoreWorld, event: Event) -> None:
        """An event is written exactly in the statuses that its row lists, and changes only its fields."""
        await world.add_batch()
        row = TABLE[event]
        for status in STATUSES:
            for target in targets(event):
                job, change = ideal(world, event, status, target)
                assert list(await world.store.add_jobs([job])) == [True]
                before = await world.read(job.id)
                await world.tick()
                after = await world.store.change(change, EPOCH)
                if status not in row.sources:
                    assert after is None, f"{event} in {status}"
                    assert await world.read(job.id) == before
                    continue
                assert after is not None, f"{event} in {status}"
                assert after == await world.read(job.id)
                moved = {"status", "slot"} if target and target.terminal else {"status"} if target else set()
                allowed = row.writes | moved
                assert {"updated", "reason"} <= differing(before, after) <= allowed
                assert after.status is (target or status)
                assert (after.slot is not None) == after.status.active
                assert (after.finished is not None) == after.status.terminal

    @pytest.mark.parametrize("event", [event for event in Event if TABLE[event].guards])
    async def test_every_guard(self, world: StoreWorld, event: Event) -> None:
        """With one guard's fact untrue and everything else in order, nothing is written."""
        await world.add_batch()
        row = TABLE[event]
        for guard in sorted(row.guards):
            status, target = min(row.sources), targets(event)[0]
            cases = violated(world, guard, *ideal(world, event, status, target))
            assert cases, f"no case for {guard}"
            for case in cases:
                job, change = renewed(world, case)
                assert list(await world.store.add_jobs([job])) == [True]
                before = await world.read(job.id)
                assert await world.store.change(change, EPOCH) is None, f"{event}: {guard}"
                assert await world.read(job.id) == before

    @pytest.mark.parametrize("event", Event)
    async def test_a_stale_leader_changes_nothing(self, world: StoreWorld, event: Event) -> None:
        """A record stamped by a later epoch refuses an earlier one's decision and takes its own."""
        await world.add_batch()
        status, target = min(TABLE[event].sources), targets(event)[0]
        job, change = ideal(world, event, status, target)
        await world.store.add_jobs([dataclasses.replace(job, epoch=EPOCH)])
        assert await world.store.change(change, EPOCH - 1) is None
        assert await world.store.change(change, EPOCH) is not None

    @pytest.mark.parametrize("event", Event)
    async def test_who_may_write(self, world: StoreWorld, event: Event) -> None:
        """A leader's row without an epoch is a bug of the caller; a request needs none."""
        await world.add_batch()
        status, target = min(TABLE[event].sources), targets(event)[0]
        job, change = ideal(world, event, status, target)
        await world.store.add_jobs([dataclasses.replace(job, epoch=EPOCH)])
        if TABLE[event].writer is Writer.LEADER:
            with pytest.raises(ValueError, match="epoch"):
                await world.store.change(change)
        else:
            assert await world.store.change(change) is not None

    @pytest.mark.parametrize("event", Event)
    async def test_what_the_table_cannot_mean(self, world: StoreWorld, event: Event) -> None:
        """A field that the row does not write and a status that is not its target are bugs of the caller."""
        await world.add_batch()
        status, target = min(TABLE[event].sources), targets(event)[0]
        job, change = ideal(world, event, status, target)
        await world.store.add_jobs([job])
        before = await world.read(job.id)
        more = {**change.fields, "job_input": JobInput("another")}
        unheard = [
            dataclasses.replace(change, fields=more),
            dataclasses.replace(change, fields={**change.fields, "status": Status.WAITING}),
            dataclasses.replace(change, status=Status.WAITING),
        ]
        if len(TABLE[event].targets) > 1:
            unheard.append(dataclasses.replace(change, status=None))
        if "open_creates" not in TABLE[event].writes:
            unheard += [
                dataclasses.replace(change, add_token="x"),
                dataclasses.replace(change, drop_token="x"),
            ]
        for bad in unheard:
            with pytest.raises(ValueError, match=event.value):
                await world.store.change(bad, EPOCH)
        assert await world.read(job.id) == before

    @pytest.mark.parametrize("event", [event for event in Event if Status.TERMINATED in TABLE[event].targets])
    async def test_terminated_needs_an_order_with_a_code(self, world: StoreWorld, event: Event) -> None:
        """Only a stop with a code makes an end terminated; what never had a slot is withdrawn without."""
        await world.add_batch()
        for stop in (None, world.stop()):
            if stop is None and Guard.STOP_SET in TABLE[event].guards:
                continue
            job, change = ideal(world, event, min(TABLE[event].sources), Status.TERMINATED)
            await world.store.add_jobs([dataclasses.replace(job, stop=stop)])
            after = await world.store.change(change, EPOCH)
            assert (after is not None) == (event is Event.WITHDRAWN)

    @pytest.mark.parametrize("event", [event for event in Event if Status.ERROR in TABLE[event].targets])
    async def test_error_needs_no_order_with_a_code(self, world: StoreWorld, event: Event) -> None:
        """An attempt that somebody stopped never ends as an error, which automation might retry."""
        await world.add_batch()
        job, change = ideal(world, event, min(TABLE[event].sources), Status.ERROR)
        stopped = dataclasses.replace(job, stop=world.stop(TerminatedCode.USER, "enough"))
        await world.store.add_jobs([stopped])
        assert await world.store.change(change, EPOCH) is None
        assert (await world.read(job.id)).status is job.status

    async def test_success_in_spite_of_a_stop(self, world: StoreWorld) -> None:
        """A finished object that succeeded is completed, whatever was ordered meanwhile (R4)."""
        await world.add_batch()
        for stop in (None, world.stop(), world.stop(TerminatedCode.USER, "enough")):
            job = await world.put(Status.RUNNING, stop=stop)
            change = Change(job.id, Event.ENDED, "finished", Status.COMPLETED, {"exit_code": 0})
            after = await world.store.change(change, EPOCH)
            assert after is not None
            assert (after.status, after.exit_code, after.stop) == (Status.COMPLETED, 0, stop)

    @pytest.mark.parametrize("event", [Event.STOP_ASKED, Event.OVERDUE, Event.GIVEN_UP])
    async def test_an_order_is_never_taken_back(self, world: StoreWorld, event: Event) -> None:
        """No row unsets a stop, and each writes its own kind of stop only."""
        await world.add_batch()
        job, change = ideal(world, event, Status.QUEUED, None)
        await world.store.add_jobs([job])
        coded, bare = world.stop(TerminatedCode.USER, "enough"), world.stop()
        for wrong in (None, coded if event is Event.GIVEN_UP else bare):
            with pytest.raises(ValueError, match="stop"):
                await world.store.change(dataclasses.replace(change, fields={"stop": wrong}), EPOCH)

    async def test_a_cancel_overwrites_the_start_deadline(self, world: StoreWorld) -> None:
        """A stop without a code gives way to one with a code, never the other way round (R4)."""
        await world.add_batch()
        job = await world.put(Status.QUEUED)
        given_up = Change(job.id, Event.GIVEN_UP, "start-deadline", fields={"stop": world.stop()})
        cancel = Change(
            job.id, Event.STOP_ASKED, "cancel", fields={"stop": world.stop(TerminatedCode.USER, "enough")}
        )
        assert await world.store.change(given_up, EPOCH)
        after = await world.store.change(cancel)
        assert after is not None
        assert after.stop == world.stop(TerminatedCode.USER, "enough")
        assert await world.store.change(given_up, EPOCH) is None
        assert await world.store.change(cancel) is None

    async def test_a_batch_parent_is_no_attempt(self, world: StoreWorld) -> None:
        """No event of the table touches a batch parent, whatever its status says."""
        batch = await world.add_batch()
        for event in Event:
            _, change = ideal(world, event, min(TABLE[event].sources), targets(event)[0])
            assert await world.store.change(dataclasses.replace(change, job=batch.id), EPOCH) is None
        assert await world.store.batch(batch.id) == batch

    async def test_two_records_in_one_slot(self, world: StoreWorld) -> None:
        """The slot's unique key is a tripwire: the second record is refused and stays as it was."""
        await world.add_batch()
        first, second = await world.put(), await world.put()
        claims = [Change(job.id, Event.CLAIMED, "place-free", fields={"slot": 0}) for job in (first, second)]
        assert await world.store.change(claims[0], EPOCH)
        with pytest.raises(Conflict):
            await world.store.change(claims[1], EPOCH)
        assert await world.read(second.id) == second


class ClockSuite:
    """What is stamped and judged by the store's own clock."""

    async def test_instants_are_the_stores(self, world: StoreWorld) -> None:
        """The instant of entering a status is the store's own unless the caller knows a better one."""
        await world.add_batch()
        job = await world.put()
        await world.tick()
        claimed = await world.store.change(
            Change(job.id, Event.CLAIMED, "place-free", fields={"slot": 0}), EPOCH
        )
        assert claimed is not None
        assert claimed.created == claimed.updated > world.now
        known = world.now - SECOND
        fields = {"scheduler_id": "uid", "queued": known}
        queued = await world.store.change(Change(job.id, Event.ACCEPTED, "accepted", fields=fields), EPOCH)
        assert queued is not None
        assert queued.queued == known
        assert queued.updated >= claimed.updated

    async def test_tokens(self, world: StoreWorld) -> None:
        """A token is stamped by the store, stands once, leaves alone, and may be followed by others."""
        await world.add_batch()
        job = await world.put(Status.CREATED)
        for token in ("$one", "two", "$one"):
            await world.tick()
            opened = Change(job.id, Event.CREATE_OPENED, "creating-again", add_token=token)
            assert await world.store.change(opened, EPOCH)
        held = (await world.read(job.id)).open_creates
        assert [create.token for create in held] == ["two", "$one"]
        assert world.now < held[0].at < held[1].at <= await world.store.now()
        for token in ("unheard-of", "two", "two", "$one"):
            closed = Change(job.id, Event.CREATE_CLOSED, "create-answered", drop_token=token)
            assert await world.store.change(closed, EPOCH)
        assert (await world.read(job.id)).open_creates == ()

    async def test_an_old_token_is_closed(self, world: StoreWorld) -> None:
        """A token older than H by the store's clock holds nothing back; a younger one does (R5)."""
        await world.add_batch()
        token = (OpenCreate("late", world.now - HOUR),)
        for event in (Event.REJECTED, Event.NEVER_CREATED):
            stop = world.stop() if event is Event.NEVER_CREATED else None
            job = await world.put(Status.CREATED, open_creates=token, stop=stop)
            change = Change(job.id, event, "refused", Status.ERROR, END)
            for hold, applies in ((2 * HOUR, False), (HOUR - timedelta(minutes=1), True)):
                after = await world.store.change(dataclasses.replace(change, hold=hold), EPOCH)
                assert (after is not None) is applies

    async def test_a_buried_name_settles_creates(self, world: StoreWorld) -> None:
        """With the name buried, an end need not wait for open tokens (R5)."""
        await world.add_batch()
        token = (OpenCreate("late", world.now),)
        job = await world.put(Status.QUEUED, open_creates=token, tombstone=True, scheduler_id="uid")
        gone = Change(job.id, Event.VANISHED, "lost", Status.ERROR, END, uid="uid")
        assert await world.store.change(gone, EPOCH)

    async def test_not_before_passes(self, world: StoreWorld) -> None:
        """A claim waits for ``not_before`` by the store's clock, and then goes through."""
        await world.add_batch()
        job = await world.put(not_before=world.now + timedelta(milliseconds=200))
        claim = Change(job.id, Event.CLAIMED, "place-free", fields={"slot": 0})
        assert await world.store.change(claim, EPOCH) is None
        for _ in range(50):
            await world.tick()
        assert await world.store.change(claim, EPOCH)

    async def test_the_clock_moves(self, world: StoreWorld) -> None:
        """The store's clock is aware, in UTC, and goes on."""
        before = await world.store.now()
        await world.tick()
        assert before.utcoffset() == timedelta(0)
        assert before < await world.store.now()
