"""Attempts: inserting, reading, standing in line, listing."""

from __future__ import annotations

import dataclasses
from datetime import timedelta
from typing import Any

import pytest

from controller.core.change import Change
from controller.core.machine import Event
from controller.core.model import (
    Attempt,
    Evidence,
    JobInput,
    LocalJob,
    Mount,
    OpenCreate,
    Origin,
    Resources,
    Status,
    TerminatedCode,
    Verdict,
    When,
)
from controller.ports import Conflict, JobFilter
from tests.contract.store_world import HOUR, SECOND, StoreWorld, differing

HOSTILE = {"$where": "sleep(1)", "a.b": "$$NOW", "": "", "née": "☃\0", "{$gt": "}"}
INPUT = JobInput(
    "image@sha256:0",
    ("$0", "--", "{$set: 1}"),
    HOSTILE,
    Resources(12_000, 32 << 30, 1),
    (Mount("/data", host_path="/hpi/data", read_only=True), Mount("/tmp", empty_dir=True)),
    ("gwas-credentials",),
    timedelta(hours=24),
    timedelta(minutes=15, milliseconds=1),
    {"kubernetes.io/hostname": "node-1", "$node": "x"},
    ({"key": "gpu", "operator": "Exists", "tolerationSeconds": 30}, {}),
    "high",
    "runner",
    ("pull",),
    LocalJob(("python", "scan.py"), HOSTILE, "/srv"),
)


class RecordSuite:
    """One record, or several."""

    async def test_a_record_comes_back_as_it_was(self, world: StoreWorld) -> None:
        """Every field survives, whatever characters a user put into keys and values."""
        await world.add_batch()
        job = world.attempt(
            Status.ERROR,
            job_input=INPUT,
            retry_parent=world.store.new_id(),
            retry_ids=(world.store.new_id(),),
            retry_toggle=True,
            attempt=1,
            rule="spec[0]",
            when=When.BATCH_END,
            origin=Origin.USER,
            request_id="$request",
            not_before=world.now,
            stop=world.stop(TerminatedCode.USER, "$enough"),
            no_retry=True,
            open_creates=(OpenCreate("$token", world.now),),
            tombstone=True,
            exit_code=0,
            verdict=Verdict.CANCELLED,
            reason="$reason",
            evidence=Evidence("$r", "m\0", "n", ("FailedMount: $x",), "☃\n$", ("re.*",)),
            terminated_code=TerminatedCode.USER,
            error="{$err: 1}",
            image_digest="sha256:1",
            scheduler_type="local",
            scheduler_id="$uid",
            node="node-1",
            epoch=3,
            **dict.fromkeys(("created", "queued", "running"), world.now - HOUR),
        )
        assert list(await world.store.add_jobs([job])) == [True]
        assert await world.store.job(job.id) == job
        assert await world.store.job_named("lab", job.name) == job
        assert list(await world.store.jobs([job.id, job.id])) == [job]

    async def test_large_numbers_of_a_record_are_plain_ones(self, world: StoreWorld) -> None:
        """Of exactly our own type: no writer has to know others."""
        await world.add_batch()
        asked = Resources(2**40, 2**41, 2**42)
        tolerations = ({"key": "gpu", "tolerationSeconds": 2**43},)
        job = await world.put(job_input=dataclasses.replace(INPUT, resources=asked, tolerations=tolerations))
        found, (toleration,) = job.job_input.resources, job.job_input.tolerations
        assert (found, toleration) == (asked, tolerations[0])
        numbers = (found.cpu, found.memory, found.gpu, toleration["tolerationSeconds"])
        assert [type(number) for number in numbers] == [int] * 4

    async def test_hostile_values_in_a_change(self, world: StoreWorld) -> None:
        """What a user or a cluster says is stored as it is: never an operator, a path or a variable."""
        await world.add_batch()
        job = await world.put(Status.RUNNING, scheduler_id="uid")
        evidence = Evidence("$$ROOT", "$updated", "a.b", ("$x",), "{$set: {status: 1}}", ("$",))
        seen = Change(job.id, Event.SEEN, "$status", fields={"evidence": evidence, "node": "$node"})
        after = await world.store.change(seen, 1)
        assert after is not None
        assert (after.evidence, after.node, after.reason) == (evidence, "$node", "$status")
        assert differing(job, after) == {"evidence", "node", "reason", "updated"}

    async def test_half_a_character_loses_no_record(self, world: StoreWorld) -> None:
        """A log tail cut in the middle of a character must not keep a record from its end."""
        await world.add_batch()
        job = await world.put(Status.RUNNING)
        fields = {"evidence": Evidence(log_tail="the end \udce2"), "error": "cut \ud83d"}
        after = await world.store.change(Change(job.id, Event.ENDED, "finished", Status.ERROR, fields), 1)
        assert after is not None
        assert after.evidence.log_tail.startswith("the end ")
        assert after.error.startswith("cut ")

    async def test_instants_have_milliseconds(self, world: StoreWorld) -> None:
        """What was written with microseconds reads back to the millisecond, never later than it was."""
        await world.add_batch()
        instant = world.now.replace(microsecond=123_999)
        job = await world.put(not_before=instant, inserted=instant)
        assert job.not_before == job.inserted == instant.replace(microsecond=123_000)

    async def test_what_is_not_there(self, world: StoreWorld) -> None:
        """An unknown id, text that is no id, and a batch parent are no record."""
        batch = await world.add_batch()
        for job_id in (world.store.new_id(), "gwas-t1", "", batch.id):
            assert await world.store.job(job_id) is None
            assert list(await world.store.jobs([job_id])) == []
        assert await world.store.job_named("lab", "gwas") is None
        assert await world.store.change(Change(world.store.new_id(), Event.WITHDRAWN, "x")) is None
        assert dict(world.store.quarantined()) == {}

    async def test_ids(self, world: StoreWorld) -> None:
        """Ids are 24 hexadecimal digits and never come twice."""
        ids = {world.store.new_id() for _ in range(1000)}
        assert len(ids) == 1000
        assert all(len(job) == 24 and int(job, 16) >= 0 for job in ids)

    async def test_every_unique_key(self, world: StoreWorld) -> None:
        """Id, attempt number, name, slot and request each let one record in, and the others go on."""
        await world.add_batch()
        root = world.store.new_id()
        retry: dict[str, Any] = {"retry_parent": root, "request_id": "r", "attempt": 1}
        first = await world.put(Status.CREATED, slot=7, **retry)
        clashes = [
            world.attempt(id=first.id),
            world.attempt(task_id=first.task_id, attempt=1, name="another"),
            world.attempt(name=first.name),
            world.attempt(Status.QUEUED, slot=7),
            world.attempt(**retry),
        ]
        fine = [
            world.attempt(Status.QUEUED, slot=8),
            world.attempt(**(retry | {"request_id": "r2"})),
            world.attempt(**(retry | {"retry_parent": world.store.new_id()})),
            world.attempt(request_id="r"),
            world.attempt(request_id="r"),
            world.attempt(namespace="other", name=first.name),
            world.attempt(),
        ]
        mixed = [job for pair in zip(fine, [*clashes, None, None], strict=True) for job in pair if job]
        added = dict(zip((id(job) for job in mixed), await world.store.add_jobs(mixed), strict=True))
        assert not any(added[id(job)] for job in clashes)
        assert all(added[id(job)] for job in fine)
        assert await world.read(first.id) == first

    async def test_the_same_again(self, world: StoreWorld) -> None:
        """Repeating an insert whose answer was lost adds nothing and changes nothing."""
        await world.add_batch()
        jobs = [world.attempt() for _ in range(3)]
        assert list(await world.store.add_jobs(jobs[:2])) == [True, True]
        assert await world.store.change(Change(jobs[0].id, Event.WITHDRAWN, "x"))
        assert list(await world.store.add_jobs(jobs)) == [False, False, True]
        assert (await world.read(jobs[0].id)).status is Status.TERMINATED
        assert list(await world.store.add_jobs([])) == []

    async def test_a_taken_slot_keeps_no_other_change_back(self, world: StoreWorld) -> None:
        """Of a bulk of changes one hits a unique key: that one is told, and all others are applied."""
        await world.add_batch()
        jobs = [await world.put() for _ in range(3)]
        claims = [
            Change(job.id, Event.CLAIMED, "place-free", fields={"slot": slot})
            for job, slot in zip(jobs, (0, 0, 1), strict=True)
        ]
        told = await world.store.changes_many(claims, 1)
        assert isinstance(told[1], Conflict)
        assert [told[0], told[2]] == [await world.read(job.id) for job in (jobs[0], jobs[2])]
        found = [(await world.read(job.id)).slot for job in jobs]
        assert found == [0, None, 1]


class LineSuite:
    """Who stands in line, and what a pass asks about a batch."""

    async def test_the_line(self, world: StoreWorld) -> None:
        """Due retries first, by ``not_before``; then the roots in spec order; never one that isn't due."""
        batch = await world.add_batch()
        roots = [await world.put(Status.ERROR) for _ in range(5)]
        late = await world.put_retry(roots[0], not_before=world.now + HOUR)
        second = await world.put_retry(roots[1], not_before=world.now - SECOND)
        third = await world.put_retry(roots[2], not_before=world.now)
        first = await world.put_retry(roots[3], origin=Origin.USER)
        at_end = await world.put_retry(roots[4], when=When.BATCH_END)
        waiting = [await world.put(index=index) for index in (9, 7, 8)]
        await world.put(Status.CREATED, index=1)
        line = [first, second, third, waiting[1], waiting[2], waiting[0]]
        for limit in range(8):
            assert list(await world.store.waiting(batch.id, limit, world.now)) == line[:limit]
        people = [first, *line[3:]]
        assert list(await world.store.waiting(batch.id, 9, world.now, with_auto=False)) == people
        later = await world.store.waiting(batch.id, 9, world.now + HOUR)
        assert list(later) == [*line[:3], late, *line[3:]]
        assert list(await world.store.waiting(world.store.new_id(), 9, world.now)) == []
        assert list(await world.store.waiting_for_end(batch.id, 9, world.now)) == [at_end]
        assert list(await world.store.waiting_for_end(batch.id, 0, world.now)) == []

    async def test_what_is_due_next(self, world: StoreWorld) -> None:
        """The earliest instant after now at which a waiting record becomes due, of either line."""
        batch = await world.add_batch()
        root = await world.put(Status.ERROR)
        assert await world.store.next_due(batch.id, world.now) is None
        await world.put_retry(root, 1, not_before=world.now)
        assert await world.store.next_due(batch.id, world.now) is None
        await world.put_retry(root, 2, not_before=world.now + 2 * HOUR)
        assert await world.store.next_due(batch.id, world.now) == world.now + 2 * HOUR
        job = await world.put_retry(root, 3, not_before=world.now + HOUR, when=When.BATCH_END)
        assert await world.store.next_due(batch.id, world.now) == world.now + HOUR
        assert await world.store.change(Change(job.id, Event.HURRIED, "now", fields={"not_before": None}))
        assert await world.store.next_due(batch.id, world.now) == world.now + 2 * HOUR
        assert [found.id for found in await world.store.waiting_for_end(batch.id, 9, world.now)] == [job.id]

    async def test_whether_there_is_any(self, world: StoreWorld) -> None:
        """``has`` looks at one batch, at these statuses, and at ``when`` if asked to."""
        batch = await world.add_batch()
        root = await world.put(Status.ERROR)
        await world.put_retry(root, when=When.BATCH_END)
        other = await world.add_batch("other")
        assert await world.store.has(batch.id, [Status.ERROR, Status.RUNNING])
        assert not await world.store.has(batch.id, [Status.COMPLETED, Status.RUNNING])
        assert not await world.store.has(batch.id, [])
        assert not await world.store.has(other.id, [Status.ERROR])
        assert await world.store.has(batch.id, [Status.WAITING], when=When.BATCH_END)
        assert not await world.store.has(batch.id, [Status.WAITING], when=When.NOW)

    async def test_ids_in_line(self, world: StoreWorld) -> None:
        """Ids of waiting records of whichever line, as many as asked for."""
        batch = await world.add_batch()
        root = await world.put(Status.ERROR)
        waiting = {(await world.put()).id, (await world.put_retry(root, not_before=world.now + HOUR)).id}
        assert set(await world.store.waiting_ids(batch.id, 9)) == waiting
        assert len(await world.store.waiting_ids(batch.id, 1)) == 1
        assert list(await world.store.waiting_ids(batch.id, 0)) == []

    async def test_active_and_roots(self, world: StoreWorld) -> None:
        """All active records of every batch; the roots of one, in spec order."""
        await world.add_batch("other")
        elsewhere = await world.put(Status.RUNNING)
        batch = await world.add_batch()
        made = {status: await world.put(status, index=9 - n) for n, status in enumerate(sorted(Status)[:3])}
        rest = [await world.put(Status.QUEUED, index=3), await world.put(index=2)]
        await world.put_retry(rest[1])
        active = {job.id for job in (*made.values(), *rest, elsewhere) if job.status.active}
        assert {job.id for job in await world.store.active()} == active
        assert {job.id for job in await world.store.active(but=sorted(active)[1:])} == {min(active)}
        in_order = sorted((*made.values(), *rest), key=lambda job: job.index)
        assert list(await world.store.roots(batch.id)) == [job.id for job in in_order]

    async def test_the_last_failures(self, world: StoreWorld) -> None:
        """What ended in error or terminated, the newest end first; what completed or goes on is none."""
        batch = await world.add_batch()
        ends = (Status.ERROR, Status.TERMINATED, Status.ERROR, Status.COMPLETED)
        ended = [await world.put(s, finished=world.now - n * SECOND) for n, s in enumerate(ends)]
        await world.put(Status.RUNNING)
        assert list(await world.store.last_failures(batch.id, 9)) == ended[:3]
        assert list(await world.store.last_failures(batch.id, 2)) == ended[:2]
        assert list(await world.store.last_failures(batch.id, 0)) == []


class ListingSuite:
    """What people list."""

    async def test_filters(self, world: StoreWorld) -> None:
        """Each filter alone and together; what is not asked does not matter."""
        await world.add_batch("other")
        elsewhere = await world.put(Status.ERROR, verdict=Verdict.LOST)
        batch = await world.add_batch()
        lost = await world.put(Status.ERROR, verdict=Verdict.LOST)
        oom = await world.put(Status.ERROR, verdict=Verdict.OUT_OF_MEMORY, user="bob")
        done = await world.put(Status.COMPLETED, verdict=Verdict.SUCCEEDED)
        retry = await world.put_retry(lost)

        async def found(**what: Any) -> list[Attempt]:
            return [job async for job in world.store.find_jobs(JobFilter(**what))]

        assert await found() == [elsewhere, lost, retry, oom, done]
        assert await found(batch_id=batch.id) == [lost, retry, oom, done]
        assert await found(batch_id=batch.id, status=(Status.ERROR,)) == [lost, oom]
        assert await found(verdict=(Verdict.LOST, Verdict.SUCCEEDED)) == [elsewhere, lost, done]
        assert await found(user="bob") == [oom]
        assert await found(newest_only=True) == [elsewhere, retry, oom, done]
        assert await found(newest_only=True, status=(Status.ERROR,)) == [elsewhere, oom]
        assert await found(batch_id=world.store.new_id()) == []

    async def test_going_on(self, world: StoreWorld) -> None:
        """A listing goes on after any record, in pages of any size, and misses and repeats none."""
        batch = await world.add_batch()
        roots = [await world.put(Status.ERROR, index=n) for n in range(4)]
        retries = [await world.put_retry(root) for root in roots]
        ordered = [job for pair in zip(roots, retries, strict=True) for job in pair]
        for size in (1, 3, 8):
            seen: list[Attempt] = []
            while True:
                after = seen[-1].id if seen else ""
                page = [j async for j in world.store.find_jobs(JobFilter(batch.id), after, size)]
                if not page:
                    break
                seen += page
            assert seen == ordered
        with pytest.raises(ValueError, match="go on"):
            await anext(world.store.find_jobs(JobFilter(), world.store.new_id()))

    async def test_more_than_a_page(self, world: StoreWorld) -> None:
        """A long listing is complete and in order, filtered or not."""
        batch = await world.add_batch()
        jobs = [world.attempt(Status.COMPLETED if n % 3 else Status.ERROR) for n in range(1234)]
        assert all(await world.store.add_jobs(jobs))
        ids = [job.id for job in jobs]
        every = [job.id async for job in world.store.find_jobs(JobFilter(batch.id))]
        assert every == ids
        failed = JobFilter(batch.id, (Status.ERROR,), newest_only=True)
        assert [job.id async for job in world.store.find_jobs(failed)] == ids[::3]
        assert list(await world.store.roots(batch.id)) == ids
        fetched = await world.store.jobs(ids)
        assert {job.id for job in fetched} == set(ids)
        assert dataclasses.replace(fetched[0], evidence=Evidence()) == fetched[0]
