"""What goes on beside the passes, and what a pass need not wait for."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Coroutine
from dataclasses import replace

import pytest

from controller import requests
from controller.core.change import Change
from controller.core.machine import Event
from controller.core.model import Attempt, BatchStatus, Counts, Status
from controller.core.sight import Hint
from controller.daemon import Daemon
from controller.ending import end_all
from controller.leading import retire, stand
from controller.ports import Created, NewJob, Unavailable
from controller.posts import Posts
from controller.requests import Caller
from tests.engine.acting import records
from tests.engine.test_going_by import slow_logs
from tests.engine.test_posts import LONG, creating, followed
from tests.fakes.memory_objects import End
from tests.simulation.people import OWNER
from tests.simulation.stage import Stage, perform


def test_what_is_half_told_when_its_batch_ends_is_let_go_all_the_same() -> None:
    """A live look told of its end, the news still called it active: nothing was noted, its batch closed."""

    async def trace(stage: Stage) -> None:
        daemon = await stage.leader()
        await stage.drop(1, 1)
        await daemon.full_pass()
        job, running = stage.job("scan-t0"), stage.found("scan-t0")
        daemon._cluster_says(Hint(job.id, job.batch_id, running))
        await daemon.batch_pass(job.batch_id, frozenset({job.id}))
        await asyncio.sleep(6)
        found = stage.found("scan-t0")
        assert found is not None
        assert found.finished
        # As kube_watch tells of an end that needs its events, for good; or until its pod is shown.
        daemon._cluster_says(Hint(job.id, job.batch_id, replace(found, half_told=True)))
        await daemon.batch_pass(job.batch_id, frozenset({job.id}))
        assert stage.job("scan-t0").status is Status.COMPLETED
        assert stage.batch.status is BatchStatus.FINISHED
        await stage.passes(daemon, 1000)
        await stage.passes(await stage.leader("two"), 1000)
        found = stage.found("scan-t0")
        assert found is None or found.expiring, "it stays for ever"
        assert stage.job("scan-t0").evidence.log_tail == "all is well"

    perform(trace, ends={"scan-t0": End(0.0, 5.0, log="all is well")})


def test_an_item_that_fails_beside_the_passes_rests_ever_longer() -> None:
    """The pass that begins its create calls it well again each time."""

    async def trace(stage: Stage) -> None:
        daemon = await stage.leader()

        async def fails(job: NewJob) -> Created:
            raise KeyError("a bug of ours")

        asked = creating(stage, fails)
        following = await followed(stage, daemon, 1, 1)
        await stage.passes(daemon, 600)
        n, times = len(asked), daemon.engine.sick.until[f"job:{stage.job('scan-t0').id}"][0]
        tokens = len(stage.job("scan-t0").open_creates)
        await end_all([following])
        stage.world.trouble.clear()
        assert n < 12, f"asked {n} times, ill for the {times}. time, {tokens} open creates"

    perform(trace)


def test_a_count_of_all_records_counts_no_answer_twice_that_is_being_written() -> None:
    """All were counted anew while a create beside the passes wrote its answer, which was added then."""

    async def trace(stage: Stage) -> None:
        answered, write = asyncio.Event(), stage.world.store.change
        create, recount = stage.world.cluster.create, stage.world.store.recount

        async def held(job: NewJob) -> Created:
            await answered.wait()
            return await create(job)

        async def slow(change: Change, epoch: int | None = None) -> Attempt | None:
            answer = await write(change, epoch)
            if change.event is Event.ACCEPTED and answered.is_set():
                await asyncio.sleep(2)
            return answer

        async def meets(batch_id: str, *, keep: bool = True) -> Counts:
            if stage.names() and stage.gate.holders and not answered.is_set():
                answered.set()
                while stage.job("scan-t0").status is Status.CREATED:
                    await asyncio.sleep(0.01)
            return await recount(batch_id, keep=keep)

        stage.world.store.change = slow  # type: ignore[method-assign]
        stage.world.store.recount = meets  # type: ignore[method-assign]
        daemon = await stage.leader()
        creating(stage, held)
        following = await followed(stage, daemon, 30, 4)
        await stage.passes(daemon, 60)
        assert stage.gate.hold
        shown = daemon.engine.counts.counted(stage.batch).counts.status
        there = Counter(job.status for job in stage.world.records())
        await end_all([following])
        assert shown == there

    ends = {f"scan-t{n}": End(0.0, 1.0, 1) for n in range(1, 30)}
    perform(trace, ends=ends | {"scan-t0": LONG})


class _Elected:
    identity = "one"
    trouble = ""

    async def acquire(self) -> None:
        return

    async def lost(self) -> str:
        await asyncio.Event().wait()
        return ""

    async def release(self) -> None:
        return


def test_a_process_that_ends_hears_the_answers_of_its_creates_before_it_leads_no_more() -> None:
    """``app`` ends the events and the office at once, and who leads no more believes no answer."""

    async def trace(stage: Stage) -> None:
        daemon: Daemon = stage.controller()
        create = stage.world.cluster.create

        async def soon(job: NewJob) -> Created:
            await asyncio.sleep(0.5)
            return await create(job)

        creating(stage, soon)
        events = asyncio.ensure_future(daemon.follow_events())
        office = asyncio.ensure_future(stand(daemon, _Elected(), lambda _: None))
        await asyncio.sleep(0.5)
        await stage.drop(1, 1)
        while not (stage.names() and stage.job("scan-t0").open_creates):
            daemon.agenda.everything()
            await asyncio.sleep(0.05)
        await retire(events, office)
        left = stage.job("scan-t0").open_creates
        await stage.until_over(await stage.leader("two"))
        assert left == ()

    perform(trace)


def test_a_batch_that_goes_on_waits_for_no_logs_of_what_has_ended() -> None:
    """Only its end is to wait for them: a resume's own move waits too, and the batch with it."""

    async def trace(stage: Stage) -> None:
        daemon = await stage.leader()
        slow_logs(stage, 60)
        following = await followed(stage, daemon, 6, 2)
        await requests.pause(stage.people, Caller(OWNER), stage.batch)
        await asyncio.sleep(8)  # the first has ended, and its log is being kept beside the passes
        assert (stage.job("scan-t0").status, stage.batch.status) == (Status.COMPLETED, BatchStatus.PAUSED)
        await requests.resume(stage.people, Caller(OWNER), stage.batch)
        await asyncio.sleep(1)
        assert stage.job("scan-t2").status.active
        await asyncio.sleep(20)
        later = stage.job("scan-t3").status
        await end_all([following])
        await stage.cancel("scan-t2")
        await stage.until_over(daemon)
        assert later is not Status.WAITING, "the second ended long ago, and its place is nobody's"

    perform(trace, ends={"scan-t1": End(0.0, 15.0), "scan-t2": LONG})


def test_an_object_of_others_that_cannot_be_asked_about_costs_its_own_place_alone() -> None:
    """No job of its batch ended any more, and none started."""

    async def trace(stage: Stage) -> None:
        sick, get = [True], stage.world.cluster.get_uid

        async def refused(namespace: str, name: str, kind: str, uid: str) -> bool:
            if sick:
                raise Unavailable("GET of this one: 403")
            return await get(namespace, name, kind, uid)

        stage.world.cluster.get_uid = refused  # type: ignore[method-assign]
        daemon = await stage.leader()
        await stage.drop(2, 3)
        stage.world.cluster.add_foreign("lab", "scan-others")
        await daemon.full_pass()
        stage.world.cluster.remove_foreign("lab", "scan-others")
        await stage.passes(daemon, 300)
        statuses = [job.status for job in records(stage, stage.batch)]
        sick.clear()
        await stage.until_over(daemon)
        assert statuses == [Status.COMPLETED, Status.COMPLETED]

    perform(trace)


def test_no_more_creates_are_sent_again_than_there_are_hands_for() -> None:
    """Each that was asked for again found a hand free while others were still being recorded for it."""

    async def trace(stage: Stage) -> None:
        one, create, most = await stage.leader(), stage.world.cluster.create, list[int]()

        async def hangs(job: NewJob) -> Created:
            await asyncio.sleep(20 + 7 * int(job.task_id.removeprefix("t")))
            return await create(job)

        stage.world.cluster.create = hangs  # type: ignore[method-assign]
        one.engine.settings = replace(one.engine.settings, concurrency=9)
        following = await followed(stage, one, 9, 9)
        await end_all([following])
        assert [job.status for job in records(stage, stage.batch)] == [Status.CREATED] * 9
        two = await stage.leader("two")
        two.engine.settings = replace(two.engine.settings, concurrency=3)
        begin = two.engine.posts.begin

        def counted(batch_id: str, job_id: str, post: Coroutine[None, None, None]) -> None:
            begin(batch_id, job_id, post)
            most.append(len(two.engine.posts._under_way))

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Posts, "begin", lambda posts, *given: counted(*given))
            following = asyncio.ensure_future(two.follow_events())
            await stage.passes(two, 120)
            await end_all([following])
        assert max(most) == 3
        await stage.until_over(two)

    perform(trace)
