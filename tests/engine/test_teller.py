"""The teller: what fails is tried again for a while and given up, one way never waits for another."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

from controller import requests
from controller.core.model import Status
from controller.core.notices import Channel, Notice, Topic
from controller.ports import ClusterEvent, Rejected, Throttled, Unavailable
from controller.requests import Caller
from controller.teller import EVENT_AGE, Manner
from tests.engine.telling import leading, played, told
from tests.fakes.memory_objects import End
from tests.simulation.explaining import drive
from tests.simulation.faults import Fault
from tests.simulation.people import OWNER
from tests.simulation.stage import Stage, perform


def test_a_batch_from_acceptance_to_its_end() -> None:
    """Each once, in the order in which it happened; the message says how it ended, and for how long."""

    async def trace(stage: Stage) -> None:
        daemon, teller, notes = await leading(stage, manner=Manner(link="https://keeper.example/"))
        await stage.drop(3, 2)
        await stage.until_over(daemon)
        await told(teller)
        assert stage.world.events.reasons("scan") == ["BatchAccepted", "CapReached", "BatchFinished"]
        (text,) = stage.world.webhook.texts
        assert text.startswith(
            "*scan in lab*: finished, 2 of 3 tasks completed, 1 failed (configuration-error 1), after "
        )
        assert text.endswith(f"<https://keeper.example/#/batches/{stage.batch.id}|open>")
        assert {outcome for *_, outcome, _ in notes.told_} == {"delivered"}
        event = stage.world.events.there["lab", f"scan.{stage.batch.id}.batchfinished"]
        assert event.note.startswith("2 of 3 tasks completed, 1 failed")
        assert (event.subject.kind, event.subject.uid) == ("Batch", stage.batch.id)
        assert stage.batch.finished is not None
        assert timedelta() <= event.at - stage.batch.finished < timedelta(seconds=1)

    played(trace)


def test_a_second_end_is_a_message_and_no_second_event() -> None:
    """A retry reopens the batch: whoever waits is told again, and the batch's Events stay bounded."""

    async def trace(stage: Stage) -> None:
        daemon, teller, _ = await leading(stage)
        await stage.drop(2, 2)
        await stage.until_over(daemon)
        await told(teller)
        await stage.retry("scan-t0")
        await stage.until_over(daemon)
        await told(teller)
        assert stage.world.events.reasons("scan").count("BatchFinished") == 1
        first, second = stage.world.webhook.texts
        assert "1 of 2 tasks completed" in first
        assert "2 of 2 tasks completed, after" in second

    played(trace)


def test_a_cancel_that_is_lifted_late_is_told_once() -> None:
    """The lifting failed, and the end that had been written was written, and told, once more."""

    async def trace(stage: Stage) -> None:
        daemon, teller, _ = await leading(stage)
        await stage.drop(2, 2)
        await stage.passes(daemon, 1)
        await requests.cancel_batch(stage.people, Caller(OWNER), stage.batch, "not needed")
        stage.script.lines.append(("lift_cancel", Fault.FAILED))
        while not stage.batch.status.closed:
            await stage.passes(daemon, 1)
        assert not stage.script.lines, "it was not lifted"
        await told(teller)
        finished = stage.batch.finished
        await daemon.batch_pass(stage.batch.id, None)
        await stage.until_over(daemon)
        await told(teller)
        assert stage.gate.cancel is None
        assert len(stage.world.webhook.texts) == 1
        assert stage.batch.finished == finished

    played(trace)


def test_without_a_way_nothing_is_written() -> None:
    """One machine without a webhook pays nothing for what nobody reads."""

    async def trace(stage: Stage) -> None:
        daemon = await stage.leader()
        await stage.drop(2, 1)
        await stage.until_over(daemon)
        assert (stage.batch.notices, stage.batch.told) == ((), ())

    played(trace)


def test_a_dead_webhook_holds_up_no_event_and_no_job() -> None:
    """It is tried ever more rarely, then given up; meanwhile everything else goes on."""

    async def trace(stage: Stage) -> None:
        def dead(text: str) -> None:
            raise Unavailable("the webhook did not answer within 10 s")

        stage.world.webhook.fails = dead
        daemon, teller, notes = await leading(stage, manner=Manner(give_up_after=timedelta(minutes=20)))
        await stage.drop(3, 2)
        await stage.until_over(daemon)
        await told(teller, 2000)
        assert len(stage.world.events.there) == 3
        outcomes = notes.outcomes(Channel.WEBHOOK)
        assert outcomes[-1] == "given-up"
        assert set(outcomes[:-1]) == {"failed"}
        assert 10 < len(outcomes) < 40, "twenty minutes at one a minute, after the first few"
        assert stage.batch.notices == ()

    played(trace)


def test_a_webhook_that_asks_for_time_gets_it() -> None:
    """429 with Retry-After: nothing is sent before that, and then it arrives once."""

    async def trace(stage: Stage) -> None:
        times: list[float] = []

        def busy(text: str) -> None:
            times.append(stage.world.clock.monotonic())
            if len(times) == 1:
                raise Throttled("the webhook answered 429 and asks for 120 s", 120.0)

        stage.world.webhook.fails = busy
        daemon, teller, _ = await leading(stage)
        await stage.drop(1, 1)
        await stage.until_over(daemon)
        await told(teller, 300)
        assert len(times) == 2
        assert 120 <= times[1] - times[0] < 140
        assert len(stage.world.webhook.posts) == 1

    played(trace)


def test_a_webhook_that_refuses_is_not_asked_again() -> None:
    """A revoked address: said once, with what to do, and not repeated."""

    async def trace(stage: Stage) -> None:
        def gone(text: str) -> None:
            raise Rejected("the webhook answered 404: is its address still valid?", 404)

        stage.world.webhook.fails = gone
        daemon, teller, notes = await leading(stage)
        await stage.drop(1, 1)
        await stage.until_over(daemon)
        await told(teller)
        assert stage.world.webhook.asked == 1
        (last,) = [note for note in notes.told_ if note[0] == "webhook"]
        assert last[2:] == (
            "refused",
            {"batch": "scan", "why": "the webhook answered 404: is its address still valid?"},
        )

    played(trace)


def test_forbidden_events_are_said_once() -> None:
    """A missing right costs one line per namespace and nothing else."""

    async def trace(stage: Stage) -> None:
        def forbidden(event: ClusterEvent) -> None:
            raise Rejected("events is forbidden", 403)

        stage.world.events.fails = forbidden
        daemon, teller, notes = await leading(stage)
        await stage.drop(2, 1)
        await stage.until_over(daemon)
        await told(teller)
        refused = [facts for *_, outcome, facts in notes.told_ if outcome == "refused"]
        assert len(refused) == 3
        assert [facts.get("why") for facts in refused] == ["events is forbidden", None, None]
        assert len(stage.world.webhook.posts) == 1
        assert stage.batch.notices == ()

    played(trace)


def test_an_outage_of_the_api_server_is_waited_for_and_bounded() -> None:
    """What is told late enough is told when it is back; what is too old by then is given up."""

    async def trace(stage: Stage) -> None:
        def away(event: ClusterEvent) -> None:
            raise Unavailable("no way there")

        daemon, teller, notes = await leading(stage)
        await stage.drop(2, 1)
        stage.world.events.fails = away
        await stage.passes(daemon, 5)
        await told(teller, EVENT_AGE.total_seconds() - 100)
        await stage.until_over(daemon)
        await told(teller, 200)
        stage.world.events.fails = lambda event: None
        await told(teller)
        assert stage.world.events.reasons("scan") == ["BatchFinished"]
        assert notes.outcomes(Channel.EVENT).count("given-up") == 2

    played(trace)


def test_who_does_not_lead_tells_nothing() -> None:
    """A standby, and one that has stepped down."""

    async def trace(stage: Stage) -> None:
        daemon, teller, _ = await leading(stage)
        await stage.drop(1, 1)
        await stage.until_over(daemon)
        daemon.step_down("the lock was lost")
        await told(teller)
        assert not stage.world.events.asked
        assert not stage.world.webhook.asked

    played(trace)


def test_two_that_lead_tell_it_once() -> None:
    """Both read it before either began: who takes it first delivers it."""

    async def trace(stage: Stage) -> None:
        daemon, one, _ = await leading(stage)
        await stage.drop(2, 2)
        await stage.until_over(daemon)
        _, other, _ = await leading(stage, "two")
        await asyncio.gather(*(each.tell(channel) for each in (one, other) for channel in Channel))
        await told(one)
        await told(other)
        assert len(stage.world.webhook.posts) == 1
        assert sorted(stage.world.events.asked) == sorted(set(stage.world.events.asked))

    played(trace)


def test_one_that_dies_on_the_way_leaves_it_to_the_next() -> None:
    """The message was begun and nobody knows whether it arrived: after its time another one begins it."""

    async def trace(stage: Stage) -> None:
        daemon, teller, _ = await leading(stage)
        await stage.drop(1, 1)
        await stage.until_over(daemon)
        (due,) = [n for n in stage.batch.notices if n.channel is Channel.WEBHOOK]
        (one,) = [each for each in await stage.world.store.untold() if each.notice == due]
        assert await stage.world.store.move_notice(one, stage.world.clock.now() + timedelta(seconds=12))
        await told(teller, 6)
        assert not stage.world.webhook.posts, "it may be under way"
        await told(teller, 30)
        assert len(stage.world.webhook.posts) == 1

    played(trace)


def test_a_notice_that_fails_unforeseen_costs_itself() -> None:
    """It is left alone like any sick item; the others are told."""

    async def trace(stage: Stage) -> None:
        def broken(event: ClusterEvent) -> None:
            if event.reason is Topic.ACCEPTED:
                raise RuntimeError("nobody thought of that")

        daemon, teller, _ = await leading(stage)
        await stage.drop(2, 1)
        await stage.until_over(daemon)
        stage.world.events.fails = broken
        await told(teller, 30)
        assert stage.world.events.reasons("scan") == ["CapReached", "BatchFinished"]
        assert stage.world.trouble
        stage.world.trouble.clear()

    played(trace)


def test_a_reaped_job_is_told_by_whoever_comes_next() -> None:
    """The leader dies right before it remembers it: the job's place is still taken, so the next one sees."""

    async def trace(stage: Stage) -> None:
        real, dying = stage.world.store.set_batch, [True]

        async def dies(
            batch_id: str, sources: Any, fields: Any, notices: tuple[Notice, ...] = (), epoch: Any = None
        ) -> bool:
            if dying and any(notice.topic is Topic.REAPED for notice in notices):
                daemon.step_down("it died")
                raise Unavailable("it died")
            return await real(batch_id, sources, fields, notices, epoch)

        stage.world.store.set_batch = dies  # type: ignore[assignment, method-assign]
        daemon, _, _ = await leading(stage)
        await stage.drop(1, 1)
        for _ in range(100):
            await daemon.full_pass()
            await asyncio.sleep(5)
        assert not daemon.engine.epoch
        assert stage.job("scan-t0").status is Status.TERMINATED
        assert Topic.REAPED not in stage.batch.told
        dying.clear()
        heir, teller, _ = await leading(stage, "two")
        await stage.until_over(heir)
        await told(teller)
        assert "JobReaped" in stage.world.events.reasons("scan")

    perform(trace, ends={"scan-t0": End(0.0, 100_000.0)}, running_after=60.0)


def test_the_store_is_away_while_it_is_told() -> None:
    """Nothing is delivered that could not be taken before, and nothing is lost."""

    async def trace(stage: Stage) -> None:
        daemon, teller, _ = await leading(stage)
        await stage.drop(1, 1)
        await stage.until_over(daemon)
        begun_and_not_ended = (Fault.SLOW, Fault.FAILED)
        for fault in (Fault.FAILED, Fault.FAILED, *begun_and_not_ended, *begun_and_not_ended):
            stage.script.lines.append(("move_notice", fault))
        for _ in range(4):
            for channel in Channel:
                try:
                    await teller.tell(channel)
                except Unavailable:
                    continue
        await told(teller)
        assert len(stage.world.webhook.posts) == 1
        assert len(stage.world.events.there) == 3
        assert drive(stage.world.store.untold()) == []

    played(trace)
