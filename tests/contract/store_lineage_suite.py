"""The retry lifecycle's steps (R9), chains, and what the store knows about the installation."""

from __future__ import annotations

import asyncio
import dataclasses
import functools
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from datetime import timedelta

import pytest

from controller.core.change import Change
from controller.core.machine import Event
from controller.core.model import BatchStatus, Halt, Halts, Result, Status, TerminatedCode
from controller.ports import StaleEpoch, Unavailable
from tests.contract.store_machine_suite import EPOCH
from tests.contract.store_world import HOUR, SECOND, StoreWorld


class LineageSuite:
    """Lists are sets, and the toggle follows what was read."""

    async def test_the_four_steps(self, world: StoreWorld) -> None:
        """A child is listed only when both its parents are read to list it; its toggle is set once."""
        batch = await world.add_batch()
        root = await world.put(Status.ERROR)
        child = await world.put_retry(root)
        other = await world.put_retry(await world.put(Status.ERROR))
        assert await world.store.listed([child, other]) == {}
        await world.store.list_children(batch.id, [child.id, other.id])
        assert await world.store.listed([child, other]) == {}
        await world.store.list_retries({root.id: [child.id]})
        assert await world.store.listed([child, other]) == {child.id: (child.id,)}
        assert await world.store.toggle([child.id, root.id, world.store.new_id()]) == 1
        assert await world.store.toggle([child.id]) == 0
        toggled = await world.read(child.id)
        assert toggled.retry_toggle is True
        assert (await world.read(root.id)).retry_toggle is None
        assert await world.store.listed([]) == {}

    async def test_what_is_listed_is_oldest_first(self, world: StoreWorld) -> None:
        """Also where a later attempt was listed before an earlier one; what has no record comes last."""
        batch = await world.add_batch()
        root, gone = await world.put(Status.ERROR), world.store.new_id()
        children = [await world.put_retry(root, n, status=Status.ERROR) for n in (3, 1, 2)]
        three, one, two = (child.id for child in children)
        await world.store.list_children(batch.id, [one, two, three])
        for child in (gone, three, one, two):
            await world.store.list_retries({root.id: [child]})
        assert await world.store.listed([children[0]]) == {three: (one, two, three, gone)}

    async def test_only_the_batch_or_only_the_root(self, world: StoreWorld) -> None:
        """A child that the root lists and the batch does not is not listed."""
        await world.add_batch()
        root = await world.put(Status.ERROR)
        child = await world.put_retry(root)
        await world.store.list_retries({root.id: [child.id]})
        assert await world.store.listed([child]) == {}

    async def test_lists_are_sets(self, world: StoreWorld) -> None:
        """Whoever repeats a step, in whatever order and at the same time, each child stands once."""
        batch = await world.add_batch()
        root = await world.put(Status.ERROR)
        ids = [world.store.new_id() for _ in range(6)]
        await asyncio.gather(
            *(world.store.list_retries({root.id: ids[n % 4 : n % 4 + 3]}) for n in range(12)),
            *(world.store.list_children(batch.id, ids[n % 4 : n % 4 + 3]) for n in range(12)),
        )
        listed = (await world.read(root.id)).retry_ids
        assert sorted(listed) == sorted(ids)
        before = await world.read(root.id)
        await world.tick()
        await world.store.list_retries({root.id: ids})
        await world.store.list_retries({root.id: []})
        assert await world.read(root.id) == before

    async def test_a_listed_child_is_news_of_its_batch(self, world: StoreWorld) -> None:
        """A new child moves the batch parent's ``updated``; one that is listed already changes nothing."""
        batch = await world.add_batch()
        child = world.store.new_id()
        await world.tick()
        await world.store.list_children(batch.id, [child])
        after = await world.store.batch(batch.id)
        assert after is not None
        assert after.updated > batch.updated
        await world.tick()
        await world.store.list_children(batch.id, [child])
        assert await world.store.batch(batch.id) == after

    async def test_linking_by_the_table(self, world: StoreWorld) -> None:
        """The table's own event for step 3 adds to the list, too, and never replaces it."""
        await world.add_batch()
        ids = [world.store.new_id() for _ in range(3)]
        root = await world.put(Status.TERMINATED, retry_ids=(ids[0],))
        after = await world.store.change(
            Change(root.id, Event.LINKED, "linked", fields={"retry_ids": tuple(ids[:2])})
        )
        assert after is not None
        assert sorted(after.retry_ids) == sorted(ids[:2])

    async def test_many_children(self, world: StoreWorld) -> None:
        """Ten thousand ids go into a list, and are found in it, in one stroke each."""
        batch = await world.add_batch()
        root = await world.put(Status.ERROR)
        child = await world.put_retry(root)
        ids = [world.store.new_id() for _ in range(10_000)]
        await world.store.list_children(batch.id, ids)
        await world.store.list_children(batch.id, [*ids[:5000], child.id])
        await world.store.list_retries({root.id: [child.id]})
        assert await world.store.listed([child]) == {child.id: (child.id,)}

    async def test_nobody_there(self, world: StoreWorld) -> None:
        """Parents that don't exist take no list, and nothing is invented for them."""
        await world.add_batch()
        nobody = world.store.new_id()
        await world.store.list_children(nobody, [nobody])
        await world.store.list_retries({nobody: [nobody]})
        assert await world.store.job(nobody) is None
        assert await world.store.batch(nobody) is None
        assert await world.store.listed([world.attempt(attempt=1, retry_parent=nobody)]) == {}

    async def test_unfinished_lifecycles(self, world: StoreWorld) -> None:
        """Old children with the toggle false, oldest first; a terminal child's lifecycle counts as well."""
        await world.add_batch()
        root = await world.put(Status.ERROR)
        children = [
            await world.put_retry(root, n, inserted=world.now - n * SECOND, status=status)
            for n, status in ((1, Status.WAITING), (2, Status.TERMINATED), (3, Status.CREATED))
        ]
        await world.put_retry(root, 4, inserted=world.now - HOUR, retry_toggle=True)
        await world.put(inserted=world.now - HOUR)
        by_age = children[::-1]
        assert list(await world.store.unfinished_lifecycles(world.now, 9)) == by_age
        assert list(await world.store.unfinished_lifecycles(world.now, 2)) == by_age[:2]
        assert list(await world.store.unfinished_lifecycles(world.now - 2 * SECOND, 9)) == by_age[:1]

    async def test_unfinished_lifecycles_page_by_page(self, world: StoreWorld) -> None:
        """Each page goes on after the last one's place, also among those of one instant, and also when what
        stood there is finished meanwhile."""
        await world.add_batch()
        root, age = await world.put(Status.ERROR), (3, 2, 2, 2, 2, 1)
        put = [
            await world.put_retry(root, n, inserted=world.now - at * SECOND) for n, at in enumerate(age, 1)
        ]
        by_age = sorted(put, key=lambda child: (child.inserted, child.id))
        ask = functools.partial(world.store.unfinished_lifecycles, world.now, 2)
        assert list(await ask()) == by_age[:2]
        assert list(await ask(by_age[1])) == by_age[2:4]
        assert await world.store.toggle([child.id for child in by_age[2:4]]) == 2
        assert list(await ask(by_age[3])) == by_age[4:]
        assert list(await ask(by_age[4])) == by_age[5:]
        assert list(await ask(by_age[5])) == []

    async def test_chains(self, world: StoreWorld) -> None:
        """All attempts of a task by number; of many tasks by root, without those that don't exist."""
        batch = await world.add_batch()
        one, two = await world.put(Status.ERROR), await world.put(Status.ERROR)
        second = await world.put_retry(one, 2)
        first = await world.put_retry(one, 1)
        assert list(await world.store.chain(batch.id, one.task_id)) == [one, first, second]
        assert list(await world.store.chain(batch.id, "t99")) == []
        chains = await world.store.chains([one.id, two.id, world.store.new_id()])
        assert {root: list(chain) for root, chain in chains.items()} == {
            one.id: [one, first, second],
            two.id: [two],
        }
        assert dict(await world.store.chains([])) == {}


class MetaSuite:
    """Epochs, halts, good passes, refused specs, hints."""

    async def test_epochs(self, world: StoreWorld) -> None:
        """Every mint is a new number, also of those who ask at the same time."""
        assert await world.store.epoch() == 0
        assert await world.store.next_epoch("$one") == 1
        minted = await asyncio.gather(*(world.store.next_epoch(f"h{n}") for n in range(10)))
        assert sorted(minted) == list(range(2, 12))
        assert await world.store.epoch() == 11

    async def test_stamping(self, world: StoreWorld) -> None:
        """A new leader stamps all gates and all active records, and nothing else (R12)."""
        await world.add_batch()
        await world.tick()
        jobs = [await world.put(status) for status in Status if status is not Status.ESTIMATING]
        await world.store.stamp(4)
        assert (await world.gate()).epoch == 4
        for job in jobs:
            after = await world.read(job.id)
            assert after.epoch == (4 if job.status.active else 0)
            assert after.status is job.status

    async def test_who_waits_with_a_place_is_stamped(self, world: StoreWorld) -> None:
        """Who took it, slept and wakes does not start it after its successor has stamped the gate (R12)."""
        await world.add_batch()
        job, other = await world.put(), await world.put()
        await world.store.stamp(3)
        assert await world.store.claim(world.batch_id, [(job.id, 0)], 3)
        await world.store.stamp(4)
        assert [(await world.read(one.id)).epoch for one in (job, other)] == [4, 0]
        fields = {"slot": 0, "epoch": 3}
        claimed = Change(job.id, Event.CLAIMED, "place-free", fields=fields, add_token="t")
        assert await world.store.change(claimed, 3) is None
        assert await world.store.change(dataclasses.replace(claimed, fields={"slot": 0, "epoch": 4}), 4)

    async def test_an_open_batch_is_stamped(self, world: StoreWorld) -> None:
        """Who saw all of it ended, slept and wakes does not close it; people's own changes need no epoch."""
        batch = await world.add_batch()
        await world.store.stamp(4)
        finish = {"status": BatchStatus.FINISHED, "result": Result.COMPLETED}
        open_ones = [status for status in BatchStatus if not status.closed]
        assert not await world.store.set_batch(batch.id, open_ones, finish, (), 3)
        assert await world.store.set_batch(batch.id, open_ones, {"reason": "x"})
        assert await world.store.set_batch(batch.id, open_ones, finish, (), 4)
        await world.store.stamp(5)
        assert await world.store.set_batch(batch.id, [BatchStatus.FINISHED], {"reason": "y"}, (), 4)

    async def test_a_late_stamp(self, world: StoreWorld) -> None:
        """Whoever finds a later epoch on a gate does not lead, and leaves active records alone."""
        await world.add_batch()
        await world.store.stamp(4)
        job = await world.put(Status.RUNNING)
        with pytest.raises(StaleEpoch):
            await world.store.stamp(3)
        assert (await world.gate()).epoch == 4
        assert await world.read(job.id) == job
        await world.store.stamp(4)

    async def test_halts(self, world: StoreWorld) -> None:
        """Each kill switch is set and lifted alone."""
        halt = Halt("$ada", "the disk is full", world.now)
        assert await world.store.halts() == Halts()
        await world.store.set_halt("submissions", halt)
        assert await world.store.halts() == Halts(submissions=halt)
        await world.store.set_halt("retries", halt)
        await world.store.set_halt("submissions", None)
        await world.store.set_halt("submissions", None)
        assert await world.store.halts() == Halts(retries=halt)
        with pytest.raises(ValueError, match="halt"):
            await world.store.set_halt("$everything", halt)

    async def test_blind_gaps(self, world: StoreWorld) -> None:
        """A silence longer than allowed is a gap in its namespace, a short one is not; old ones go."""
        longest = 30 * SECOND
        passes = [timedelta(0), 30 * SECOND, HOUR, HOUR + SECOND, timedelta(minutes=1), timedelta(days=40)]
        for since in passes:
            await world.store.note_good_pass(world.now + since, longest, ["lab"])
        await world.store.note_good_pass(world.now, longest, ["lab", "other"])
        await world.store.note_good_pass(world.now + HOUR, longest, ["other"])
        await world.store.note_good_pass(world.now + 2 * HOUR, longest, [])
        gaps = [(world.now + 30 * SECOND, world.now + HOUR)]
        gaps.append((world.now + HOUR + SECOND, world.now + timedelta(days=40)))
        found = await world.store.blind_gaps()
        assert [tuple(gap) for gap in found["lab"]] == gaps
        assert [tuple(gap) for gap in found["other"]] == [(world.now, world.now + HOUR)]
        await world.store.note_good_pass(world.now + timedelta(days=61), timedelta(days=99), ["lab"])
        assert [tuple(gap) for gap in (await world.store.blind_gaps())["lab"]] == gaps[1:]

    async def test_refused_specs(self, world: StoreWorld) -> None:
        """A spec's problems are remembered until there are none."""
        await world.store.set_quarantine("in/$b.yaml", ["line 1: $x", "line 2"])
        await world.store.set_quarantine("a.yaml", ["first"])
        await world.store.set_quarantine("a.yaml", ["second"])
        found = await world.store.quarantine()
        assert {key: list(problems) for key, problems in found.items()} == {
            "a.yaml": ["second"],
            "in/$b.yaml": ["line 1: $x", "line 2"],
        }
        await world.store.set_quarantine("a.yaml", [])
        await world.store.set_quarantine("never.yaml", [])
        assert list(await world.store.quarantine()) == ["in/$b.yaml"]

    async def test_what_people_ask_is_hinted(self, world: StoreWorld) -> None:
        """Whatever a request writes is hinted at within seconds, with its batch where it has one."""
        batch = await world.add_batch()
        await world.store.set_batch(batch.id, BatchStatus, {"status": BatchStatus.EXPANDING})
        running, waiting = await world.put(Status.RUNNING), await world.put(not_before=world.now)
        failed, unwanted, aborted = await world.put(Status.ERROR), await world.put(), await world.put()
        stop = world.stop(TerminatedCode.USER, "enough")
        halt = Halt("ada", "x", world.now)
        hints = world.store.requests()
        assert await _next(hints) == ""
        ask, store = world.store.change, world.store
        cancel = Change(running.id, Event.STOP_ASKED, "x", fields={"stop": stop})
        hurry = Change(waiting.id, Event.HURRIED, "x", fields={"not_before": None})
        forbid = Change(failed.id, Event.NO_RETRY, "x", fields={"no_retry": True})
        by_ada = {"terminated_code": TerminatedCode.USER}
        withdraw = Change(unwanted.id, Event.WITHDRAWN, "x", fields=by_ada)
        aborts = {"terminated_code": TerminatedCode.BATCH_ABORT}
        abort = Change(aborted.id, Event.WITHDRAWN, "x", fields=aborts)
        stopped = Change(running.id, Event.ENDED, "x", Status.TERMINATED, {**by_ada, "slot": None})
        steps: list[tuple[str, Callable[[], Awaitable[object]]]] = [
            (batch.id, lambda: ask(cancel)),
            (batch.id, lambda: ask(hurry)),
            (batch.id, lambda: ask(forbid)),
            (batch.id, lambda: ask(withdraw)),
            (batch.id, lambda: store.add_jobs([world.attempt()])),
            (batch.id, lambda: store.set_gate(batch.id, {"max": 3})),
            (batch.id, lambda: store.set_gate(batch.id, {"cancel": stop})),
            (batch.id, lambda: store.set_gate(batch.id, {"cancel": None, "paused": True})),
            (batch.id, lambda: store.set_batch(batch.id, BatchStatus, {"status": BatchStatus.RUNNING})),
            ("", lambda: store.set_halt("retries", halt)),
            ("", lambda: store.set_halt("retries", None)),
            ("", store.nudge),
            ("", store.nudge),
        ]
        for expected, step in steps:
            await step()
            assert await _next(hints) == expected
        await store.set_gate(batch.id, {"max": 3})  # it is 3 already, which is no news
        await store.set_batch(batch.id, BatchStatus, {"status": BatchStatus.RUNNING, "reason": "as it was"})
        await store.set_batch(batch.id, BatchStatus, {"status": BatchStatus.PAUSED})
        await store.add_jobs([world.attempt(Status.ERROR)])
        assert await ask(abort)
        assert await ask(stopped, EPOCH)
        new = await world.add_batch("new")
        assert await _next(hints) == new.id
        assert isinstance(hints, AsyncGenerator)
        await hints.aclose()

    async def test_a_closed_store_hints_no_more(self, world: StoreWorld) -> None:
        """Whoever listens when the store is closed is told so."""
        hints = world.store.requests()
        assert await _next(hints) == ""
        await world.store.close()
        with pytest.raises(Unavailable):
            await _next(hints)


async def _next(hints: AsyncIterator[str]) -> str:
    async with asyncio.timeout(20):
        return await anext(hints)
