"""What people are to be told: written with the change, an Event once, delivered by one at a time."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from controller.core.model import BatchStatus, Result
from controller.core.notices import Channel, Notice, Topic
from controller.ports import Untold
from tests.contract.store_world import SECOND, StoreWorld

OPEN = [status for status in BatchStatus if not status.closed]
FINISH = {"status": BatchStatus.FINISHED, "result": Result.PARTIAL, "reason": "2 of 3 tasks completed"}
EVENT = Notice(Topic.FINISHED, Channel.EVENT, "2 of 3 tasks completed")
MESSAGE = replace(EVENT, channel=Channel.WEBHOOK)


async def waiting(world: StoreWorld) -> list[Untold]:
    """What waits to be told."""
    return list(await world.store.untold())


def said(found: list[Untold]) -> list[tuple[Topic, Channel, str]]:
    """Topic, way and sentence of each."""
    return [(one.notice.topic, one.notice.channel, one.notice.sentence) for one in found]


class NoticeSuite:
    """The outbox that is spread over the records it tells of."""

    async def test_a_notice_is_written_with_the_change(self, world: StoreWorld) -> None:
        """In one write, at the store's present; a change that is refused leaves nothing to tell."""
        batch = await world.add_batch()
        closed = [BatchStatus.CANCELLED]
        assert not await world.store.set_batch(batch.id, closed, FINISH, [EVENT, MESSAGE])
        assert await waiting(world) == []
        assert await world.store.set_batch(batch.id, OPEN, FINISH, [EVENT, MESSAGE])
        event, message = await waiting(world)
        assert said([event, message]) == [
            (Topic.FINISHED, Channel.EVENT, "2 of 3 tasks completed"),
            (Topic.FINISHED, Channel.WEBHOOK, "2 of 3 tasks completed"),
        ]
        after = await world.store.batch(batch.id)
        assert after is not None
        assert event.batch == after
        assert after.told == (Topic.FINISHED,)
        assert event.notice.at is not None
        assert event.notice.at == event.notice.due == after.finished
        assert event.notice.tries == 0

    async def test_an_event_of_a_topic_is_told_once(self, world: StoreWorld) -> None:
        """Whoever asks again, before or after its delivery, adds no Event; a message comes each time."""
        batch = await world.add_batch()
        for _ in range(3):
            await world.store.set_batch(
                batch.id, BatchStatus, {}, [EVENT, replace(EVENT, topic=Topic.REAPED), MESSAGE]
            )
            await world.tick()
        found = await waiting(world)
        assert [one.notice.channel for one in found].count(Channel.EVENT) == 2
        assert [one.notice.channel for one in found].count(Channel.WEBHOOK) == 3
        for one in found:
            await world.store.move_notice(one, None)
        await world.store.set_batch(batch.id, BatchStatus, {}, [EVENT])
        assert await waiting(world) == []
        after = await world.store.batch(batch.id)
        assert after is not None
        assert set(after.told) == {Topic.FINISHED, Topic.REAPED}
        assert after.updated == batch.updated, "nothing of the batch itself has changed"

    async def test_two_at_once_tell_it_once(self, world: StoreWorld) -> None:
        """Two that find out the same at the same time."""
        batch = await world.add_batch()
        await asyncio.gather(*(world.store.set_batch(batch.id, BatchStatus, {}, [EVENT]) for _ in range(5)))
        assert len(await waiting(world)) == 1

    async def test_one_delivers_at_a_time(self, world: StoreWorld) -> None:
        """Of those who read the same one takes it; the next try is somebody's who read it again."""
        batch = await world.add_batch()
        await world.store.set_batch(batch.id, BatchStatus, {}, [EVENT, MESSAGE])
        event, message = await waiting(world)
        later = world.now + 20 * SECOND
        taken = await asyncio.gather(*(world.store.move_notice(event, later) for _ in range(4)))
        assert sorted(taken) == [False, False, False, True]
        again, other = await waiting(world)
        assert (again.notice.tries, again.notice.due) == (1, later)
        assert again.notice.at == event.notice.at
        assert other == replace(message, batch=other.batch), "another one is not touched"
        assert await world.store.move_notice(again, later + SECOND)
        await world.store.move_notice(event, None)
        assert said(await waiting(world)) == said([message])
        assert not await world.store.move_notice(again, later), "it was told meanwhile"

    async def test_a_refused_spec_is_told_once_for_its_problems(self, world: StoreWorld) -> None:
        """Read again it is no news; other problems are; and what is right again is not told any more."""
        told = [replace(one, topic=Topic.REFUSED) for one in (EVENT, MESSAGE)]
        for _ in range(2):
            await world.store.set_quarantine("a.yaml", ["no", "$and no"], told)
        event, message = await waiting(world)
        assert (event.spec, event.batch) == ("a.yaml", None)
        assert await world.store.move_notice(event, world.now + SECOND)
        assert not await world.store.move_notice(event, world.now + SECOND)
        await world.store.move_notice(event, None)
        await world.store.set_quarantine("a.yaml", ["no", "$and no"], told)
        assert await waiting(world) == [message]
        await world.tick()
        await world.store.set_quarantine("a.yaml", ["something else"], told[1:])
        (other,) = await waiting(world)
        assert other.notice.at != message.notice.at
        await world.store.set_quarantine("a.yaml", [])
        assert await waiting(world) == []
        assert await world.store.quarantine() == {}

    async def test_what_is_not_there_has_nothing_to_tell(self, world: StoreWorld) -> None:
        """A batch that nobody knows."""
        batch = await world.add_batch()
        await world.store.set_batch(world.store.new_id(), BatchStatus, {}, [EVENT])
        await world.store.set_batch(batch.id, BatchStatus, {}, [])
        assert await waiting(world) == []
