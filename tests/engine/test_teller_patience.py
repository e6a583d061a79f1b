"""For how long the teller tries: a slow receiver, a week of failures, a night without a daemon."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta
from types import SimpleNamespace
from typing import cast

from controller.core.notices import Channel
from controller.ports import Notifier, Untold
from controller.teller import LONGEST_KEPT, Manner
from controller.tellers import telling_passes
from tests.engine.acting import batch_named, drop
from tests.engine.telling import leading, played, told
from tests.simulation.explaining import drive
from tests.simulation.stage import Stage, perform


def test_a_slow_webhook_gets_each_message_once() -> None:
    """Its pass was cut off in the middle of a delivery: that message had arrived, and was sent once more."""

    async def trace(stage: Stage) -> None:
        daemon, teller, _ = await leading(stage)
        post = stage.world.webhook.post

        async def slowly(text: str) -> None:
            await post(text)
            await asyncio.sleep(9)

        teller.webhook = cast(Notifier, SimpleNamespace(post=slowly))
        batches = [await drop(stage, f"b{number}", 1, 1) for number in range(12)]
        await stage.passes(daemon, 60)
        assert all(batch_named(stage, batch.name).status.closed for batch in batches)
        (hook,) = [each for each in telling_passes(teller, timedelta(seconds=60)) if "webhook" in each.name]
        assert hook.timeout
        for _ in range(20):
            async with asyncio.timeout(hook.timeout.total_seconds()):
                await hook.run()
            await asyncio.sleep(hook.interval.total_seconds())
        assert len(stage.world.webhook.posts) == len(batches)

    perform(trace)


def test_a_week_of_failures_stands_in_nobodys_way() -> None:
    """After a thousand tries the next wait was too large a number, and nothing behind it was told."""

    async def trace(stage: Stage) -> None:
        daemon, teller, notes = await leading(stage, manner=Manner(give_up_after=timedelta(days=7)))
        await drop(stage, "first", 1, 1)
        await stage.passes(daemon, 30)
        for tries in range(1100):
            (one,) = [
                each for each in await stage.world.store.untold() if each.notice.channel is Channel.WEBHOOK
            ]
            assert one.notice.tries == tries
            assert await stage.world.store.move_notice(one, stage.world.clock.now())
        await drop(stage, "second", 1, 1)
        await stage.passes(daemon, 30)
        await told(teller)
        assert [text.split()[0] for text in stage.world.webhook.texts] == ["*first", "*second"]
        assert set(notes.outcomes(Channel.WEBHOOK)) == {"delivered"}

    perform(trace)


def test_what_nobody_could_tell_is_told_after_a_night() -> None:
    """The daemon was away for longer than a message is tried: its batch had ended, and nobody was told."""

    async def trace(stage: Stage) -> None:
        daemon, _, _ = await leading(stage)
        await stage.drop(1, 1)
        await stage.until_over(daemon)
        daemon.step_down("the whole cluster went away")
        await asyncio.sleep(12 * 3600)
        _, heir, notes = await leading(stage, "two")
        await told(heir)
        assert len(stage.world.webhook.posts) == 1
        assert stage.world.events.reasons("scan") == ["BatchAccepted", "CapReached", "BatchFinished"]
        assert {outcome for *_, outcome, _ in notes.told_} == {"delivered"}

    played(trace)


def test_an_event_that_was_begun_before_a_night_is_not_made_twice() -> None:
    """It may have been there, and its hour is over; a message may come twice, and comes."""

    async def trace(stage: Stage) -> None:
        daemon, _, _ = await leading(stage)
        await stage.drop(1, 1)
        await stage.until_over(daemon)
        for one in await stage.world.store.untold():
            assert await stage.world.store.move_notice(one, stage.world.clock.now())
        daemon.step_down("the whole cluster went away")
        await asyncio.sleep(12 * 3600)
        _, heir, notes = await leading(stage, "two")
        await told(heir)
        assert len(stage.world.webhook.posts) == 1
        assert not stage.world.events.there
        assert notes.outcomes(Channel.EVENT) == ["given-up"] * 3

    played(trace)


def test_nothing_is_kept_for_ever() -> None:
    """Whoever comes back after weeks tells nothing of long ago."""

    async def trace(stage: Stage) -> None:
        daemon, _, _ = await leading(stage)
        await stage.drop(1, 1)
        await stage.until_over(daemon)
        daemon.step_down("nobody needs it for a while")
        await asyncio.sleep(LONGEST_KEPT.total_seconds() + 60)
        _, heir, notes = await leading(stage, "two")
        await told(heir)
        assert {outcome for *_, outcome, _ in notes.told_} == {"given-up"}
        assert drive(stage.world.store.untold()) == []

    played(trace)


def test_a_notice_that_makes_no_sense_costs_itself() -> None:
    """Written by hand, it can be read, and nobody can deliver it: the others are told, it is named."""

    async def trace(stage: Stage) -> None:
        daemon, teller, _ = await leading(stage)
        await drop(stage, "one", 1, 1)
        await drop(stage, "two", 1, 1)
        await stage.passes(daemon, 60)
        real = stage.world.store.untold

        async def untold() -> list[Untold]:
            first, *others = await real()
            odd = {"sentence": ["no", "text"], "tries": "often"}
            return [replace(first, notice=replace(first.notice, **odd)), *others]  # type: ignore[arg-type]

        waiting = await real()
        stage.world.store.untold = untold  # type: ignore[method-assign]
        await told(teller, 30)
        assert len(await real()) == 1 < len(waiting)
        assert stage.world.trouble
        stage.world.trouble.clear()

    perform(trace)
