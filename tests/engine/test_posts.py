"""Creates beside the passes: no place waits for the answer of another one's."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

from controller.core.change import Change
from controller.core.model import Attempt, BatchStatus, Status
from controller.daemon import MOST_REST, Daemon
from controller.ending import end_all
from controller.ports import Created, NewJob, Rejected, Unavailable
from tests.engine.acting import records
from tests.engine.test_hints import Telling
from tests.fakes.memory_objects import End
from tests.simulation.faults import Fault
from tests.simulation.stage import Stage, perform

LONG = End(0.0, 10_000.0)
HANGS = 60.0
Create = Callable[[NewJob], Awaitable[Created]]


def creating(stage: Stage, first: Create, of: str = "scan-t0") -> list[str]:
    """The creates of this name go so; the names that were asked for, filled as it happens."""
    create, asked = stage.world.cluster.create, list[str]()

    async def told(job: NewJob) -> Created:
        asked.append(job.name)
        return await (first if job.name == of else create)(job)

    stage.world.cluster.create = told  # type: ignore[method-assign]
    return asked


def hanging(stage: Stage) -> list[str]:
    """The first job's create is answered after a minute, and lands then."""
    create = stage.world.cluster.create

    async def late(job: NewJob) -> Created:
        await asyncio.sleep(HANGS)
        return await create(job)

    return creating(stage, late)


async def followed(stage: Stage, daemon: Daemon, tasks: int, most: int) -> asyncio.Task[None]:
    """The batch is taken in, and the daemon goes by events; full passes are the test's own."""
    following = asyncio.ensure_future(daemon.follow_events())
    await stage.drop(tasks, most)
    daemon.agenda.add(stage.batch.id, None)
    await asyncio.sleep(1)
    return following


def test_a_create_that_hangs_holds_up_no_other_place() -> None:
    """Each pass waited for all its creates: one webhook that hung for one object kept them all."""

    async def trace(stage: Stage) -> None:
        daemon, asked = await stage.leader(), hanging(stage)
        following = await followed(stage, daemon, 6, 2)
        await stage.passes(daemon, 30)
        assert len(asked) == 6, "one place is the hanging one's, the other went from one to the next"
        assert len(asked) == len(set(asked)), "nobody asks again for what is being asked for"
        assert stage.job("scan-t0").status is Status.CREATED
        await stage.passes(daemon, HANGS)
        assert stage.job("scan-t0").status is Status.COMPLETED
        await end_all([following])
        await stage.until_over(daemon)

    perform(trace)


def test_what_is_cancelled_while_its_create_hangs_is_judged_when_that_is_over() -> None:
    """The object comes after the cancel: it is seen, and goes."""

    async def trace(stage: Stage) -> None:
        daemon, _ = await stage.leader(), hanging(stage)
        following = await followed(stage, daemon, 2, 2)
        await stage.cancel("scan-t0")
        await stage.passes(daemon, HANGS - 10)
        assert stage.job("scan-t0").status is Status.CREATED
        assert stage.job("scan-t0").id in [holder.job for holder in stage.gate.holders]
        await asyncio.sleep(20)
        assert stage.job("scan-t0").status is Status.TERMINATED, "no full pass was needed for it"
        await end_all([following])
        await stage.until_over(daemon)

    perform(trace)


def test_a_create_that_landed_without_an_answer_is_accepted_when_it_is_shown() -> None:
    """The watch tells, long before the next full pass."""

    async def trace(stage: Stage) -> None:
        daemon = await stage.leader()
        stage.script.lines.append(("create", Fault.REPLY_LOST))
        following = await followed(stage, daemon, 2, 2)
        assert [job.status for job in records(stage, stage.batch)] == [Status.RUNNING, Status.RUNNING]
        await end_all([following])
        await stage.until_over(daemon)

    perform(trace, ends={"scan-t0": End(0.0, 60.0), "scan-t1": End(0.0, 60.0)})


def test_an_end_that_was_shown_before_its_create_was_answered_is_recorded_with_the_answer() -> None:
    """The pass of its own that it had asked for had to leave it alone."""

    async def trace(stage: Stage) -> None:
        daemon, create = await stage.leader(), stage.world.cluster.create

        async def answered_late(job: NewJob) -> Created:
            answer = await create(job)
            await asyncio.sleep(10)
            return answer

        creating(stage, answered_late)
        following = await followed(stage, daemon, 1, 1)
        await asyncio.sleep(8.5)
        assert stage.job("scan-t0").status is Status.CREATED
        await asyncio.sleep(0.6)
        assert stage.job("scan-t0").status is Status.COMPLETED
        await end_all([following])
        await stage.until_over(daemon)

    perform(trace, ends={"scan-t0": End(0.0, 3.0)})


def test_a_create_that_never_gets_an_answer_is_sent_again_by_full_passes_alone() -> None:
    """Each failure would ask for the next try, without a pause."""

    async def trace(stage: Stage) -> None:
        daemon = await stage.leader()

        async def fails(job: NewJob) -> Created:
            raise Unavailable("500 from a webhook")

        asked = creating(stage, fails)
        following = await followed(stage, daemon, 3, 2)
        await asyncio.sleep(30)
        assert sorted(asked) == ["scan-t0", "scan-t1", "scan-t2"]
        for times in (2, 3):
            await daemon.full_pass()
            await asyncio.sleep(5)
            assert asked.count("scan-t0") == times
        await end_all([following])

    perform(trace)


def test_a_refusal_frees_the_place_for_the_next() -> None:
    """Nobody waits in the pass for the answer, and one is asked for when it comes."""

    async def trace(stage: Stage) -> None:
        daemon = await stage.leader()

        async def refuses(job: NewJob) -> Created:
            await asyncio.sleep(2)
            raise Rejected("no such quantity", code=422)

        asked = creating(stage, refuses)
        following = await followed(stage, daemon, 2, 1)
        assert asked == ["scan-t0"]
        await asyncio.sleep(2)
        assert asked == ["scan-t0", "scan-t1"]
        assert stage.job("scan-t0").status is Status.ERROR
        await end_all([following])
        await stage.until_over(daemon)

    perform(trace)


def test_a_place_is_refilled_when_the_create_is_answered() -> None:
    """The latency is from the end before it to the acknowledgement, which no pass sees any more."""
    told: list[float] = []

    class Timing(Telling):
        def refilled(self, seconds: float) -> None:
            """Nothing but how long."""
            told.append(seconds)

    async def trace(stage: Stage) -> None:
        daemon, create = await stage.leader(), stage.world.cluster.create

        async def slowly(job: NewJob) -> Created:
            await asyncio.sleep(3)
            return await create(job)

        creating(stage, slowly, of="scan-t1")
        daemon.engine.journal = Timing([])
        following = await followed(stage, daemon, 2, 1)
        await asyncio.sleep(6)
        assert not told, "it is being asked for"
        await asyncio.sleep(3)
        assert [round(seconds) for seconds in told] == [3]
        assert not daemon.engine.refilling
        await end_all([following])
        await stage.until_over(daemon)

    perform(trace)


def test_what_waits_for_its_turn_is_not_asked_for_by_one_that_leads_no_more() -> None:
    """Sixteen at a time: the others stood in line, whoever led by then."""

    async def trace(stage: Stage) -> None:
        daemon, asked = await stage.leader(), hanging(stage)
        daemon.engine.settings = replace(daemon.engine.settings, concurrency=1)
        following = await followed(stage, daemon, 3, 3)
        assert asked == ["scan-t0"]
        await stage.leader("two")
        daemon.step_down("another one leads")
        await asyncio.sleep(HANGS + 5)
        assert asked == ["scan-t0"]
        await daemon.lead("one")
        await stage.passes(daemon, 60)
        assert stage.batch.status is BatchStatus.FINISHED
        await end_all([following])

    perform(trace)


def test_creates_are_broken_off_with_the_daemon() -> None:
    """Whoever leads next finds their open tokens, as after a crash."""

    async def trace(stage: Stage) -> None:
        daemon, asked = await stage.leader(), hanging(stage)
        following = await followed(stage, daemon, 1, 1)
        await end_all([following])
        assert (bool(daemon.engine.posts), daemon.engine.posts.beside) == (False, False)
        assert stage.job("scan-t0").open_creates
        await stage.passes(daemon, 2 * HANGS + 70)
        assert set(asked) == {"scan-t0"}
        await stage.until_over(daemon)

    perform(trace)


def test_a_daemon_that_ends_waits_a_moment_for_the_answers_of_its_creates() -> None:
    """What the API server answers at once leaves no open token for whoever leads next."""

    async def trace(stage: Stage) -> None:
        daemon, create = await stage.leader(), stage.world.cluster.create

        async def soon(job: NewJob) -> Created:
            await asyncio.sleep(1.5)
            return await create(job)

        creating(stage, soon)
        following = await followed(stage, daemon, 1, 1)
        assert stage.job("scan-t0").open_creates
        await end_all([following])
        assert (stage.job("scan-t0").status, stage.job("scan-t0").open_creates) == (Status.QUEUED, ())
        await stage.until_over(daemon)

    perform(trace)


def test_while_creates_are_under_way_passes_do_not_chase_one_another() -> None:
    """Each end had a pass of its own as soon as the last was over: twice the work for the same ends."""
    passes: list[str] = []

    async def trace(stage: Stage) -> None:
        daemon = await stage.leader()
        hanging(stage)
        following = await followed(stage, daemon, 40, 20)
        daemon.engine.journal = Telling(passes)
        engine, standing = daemon.engine, daemon.engine.store.standing

        async def slow(batch_id: str, job_ids: list[str]) -> object:
            await asyncio.sleep(0.05)
            return await standing(batch_id, job_ids)

        engine.store.standing = slow  # type: ignore[method-assign, assignment]
        for n in range(100):
            daemon.agenda.add(stage.batch.id, frozenset({f"{n}"}))
            await asyncio.sleep(0.01)
        assert 8 <= passes.count("batch") <= 11, "half of that second"
        await end_all([following])

    perform(trace, ends={f"scan-t{n}": LONG for n in range(40)})


def test_a_batch_rests_no_longer_than_its_last_create_is_under_way() -> None:
    """What came meanwhile waited although nobody was left to wait for: few jobs had late refills."""
    passes: list[str] = []

    async def trace(stage: Stage) -> None:
        daemon, create, answered = await stage.leader(), stage.world.cluster.create, asyncio.Event()

        async def late(job: NewJob) -> Created:
            await answered.wait()
            return await create(job)

        creating(stage, late)
        following = await followed(stage, daemon, 1, 1)
        daemon.engine.journal = Telling(passes)
        engine, standing = daemon.engine, daemon.engine.store.standing

        async def slow(batch_id: str, job_ids: list[str]) -> object:
            await asyncio.sleep(MOST_REST)
            return await standing(batch_id, job_ids)

        engine.store.standing = slow  # type: ignore[method-assign, assignment]
        daemon.agenda.add(stage.batch.id, frozenset({"1"}))
        while not passes:
            await asyncio.sleep(0.001)
        engine.store.standing = standing  # type: ignore[method-assign]
        daemon.agenda.add(stage.batch.id, frozenset({"2"}))
        await asyncio.sleep(MOST_REST / 2)
        assert passes == ["batch"], "it rests"
        answered.set()
        await asyncio.sleep(MOST_REST / 4)
        assert passes[1:], "and no longer"
        await end_all([following])

    perform(trace, ends={"scan-t0": LONG})


def test_a_count_of_all_records_that_a_change_ran_into_is_made_once_more() -> None:
    """An answer is written while the records are counted: met by the count, and added to it afterwards."""

    async def trace(stage: Stage) -> None:
        daemon, _ = await stage.leader(), hanging(stage)
        following = await followed(stage, daemon, 2, 2)
        engine = daemon.engine
        write = engine.store.change

        async def slow(change: Change, epoch: int | None = None) -> Attempt | None:
            answer = await write(change, epoch)
            await asyncio.sleep(4)
            return answer

        await stage.passes(daemon, 20)
        engine.store.change = slow  # type: ignore[method-assign]
        engine.counts.doubt(stage.batch.id)
        await asyncio.sleep(HANGS - stage.world.loop.time() + 2)
        assert stage.job("scan-t0").status is Status.QUEUED, "the answer is written, and nobody knows it yet"
        await engine.flush_counts(stage.batch.id)
        await asyncio.sleep(3)
        await engine.flush_counts(stage.batch.id)
        shown = engine.counts.counted(stage.batch).counts.status
        assert shown == {stage.job("scan-t0").status: 1, Status.COMPLETED: 1}
        engine.store.change = write  # type: ignore[method-assign]
        await end_all([following])
        await stage.until_over(daemon)

    perform(trace)


def test_live_looks_in_an_outage_end_after_a_row_of_hands() -> None:
    """Each of hundreds waited for its own time-out, sixteen at a time, before the pass was over."""
    asked, out = list[str](), [True]

    def silenced(call: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
        async def silent(*args: object) -> Any:
            if not out:
                return await call(*args)
            asked.append(f"{args}")
            await asyncio.sleep(10)
            raise Unavailable("no answer")

        return silent

    async def trace(stage: Stage) -> None:
        daemon = await stage.leader()
        daemon.engine.settings = replace(daemon.engine.settings, concurrency=4)
        for name in ("create", "get"):
            setattr(stage.world.cluster, name, silenced(getattr(stage.world.cluster, name)))
        await stage.drop(40, 40)
        await daemon.full_pass()
        assert len(asked) >= 40
        await asyncio.sleep(20)
        asked.clear()
        await daemon.full_pass()
        # The pass's own row, and of the creates beside it those that are asked about meanwhile.
        assert 4 <= len(asked) <= 4 * 4 < 40
        out.clear()
        await stage.until_over(daemon)

    perform(trace)
