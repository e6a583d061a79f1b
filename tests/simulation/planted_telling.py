"""Bugs to plant into what people are told: lost in a crash, told twice, told before it is so."""

from __future__ import annotations

import dataclasses
from typing import Any

from controller import batch_deeds
from controller.core import telling
from controller.core.model import BatchStatus
from controller.core.notices import Channel, notices
from controller.teller import Teller
from tests.fakes.memory_notices import MemoryNotices
from tests.simulation.faults import Fault
from tests.simulation.planted import Bug, Patch


def dropped_before_delivery(patch: Patch) -> None:
    """A notice is dropped first and delivered then."""
    original = Teller._deliver

    async def deliver(teller: Teller, one: Any, this: Any) -> str:
        await teller.engine.store.move_notice(one, None)
        return await original(teller, one, this)

    patch.setattr(Teller, "_deliver", deliver)


def forgotten_when_told(patch: Patch) -> None:
    """What was told is remembered no longer than it waits for its delivery."""
    original = MemoryNotices.move_notice

    async def move(store: MemoryNotices, one: Any, due: Any) -> bool:
        moved = await original(store, one, due)
        batch = store._batches.get(one.batch.id) if one.batch else None
        if due is None and batch and one.notice.channel is Channel.EVENT:
            told = tuple(topic for topic in batch.told if topic is not one.notice.topic)
            store._batches[batch.id] = dataclasses.replace(batch, told=told)
        return moved

    patch.setattr(MemoryNotices, "move_notice", move)


def written_separately(patch: Patch) -> None:
    """The end of a batch is written, and that it is to be told in a write of its own."""
    original = batch_deeds._move_batch

    async def move(engine: Any, view: Any, step: Any) -> bool:
        told = tuple(notices(telling.moved(view.gate, step.move), view.channels))
        quiet = dataclasses.replace(view, channels=frozenset())
        changed = await original(engine, quiet, step)
        await engine.store.set_batch(view.batch.id, BatchStatus, {}, told)
        return changed

    patch.setattr(batch_deeds, "_move_batch", move)


_TELLS: dict[str, Any] = {"tells": True}
_CRASHES = {
    "tells": True,
    "rates": {Fault.CRASH_BEFORE: 0.03, Fault.CRASH_AFTER: 0.03},
    "most_faults": 200,
    "requests": 0,
}

TELLING_BUGS: tuple[Bug, ...] = (
    Bug("dropped before it is delivered", dropped_before_delivery, _CRASHES, 10),
    Bug("forgotten when told", forgotten_when_told, _TELLS),
)
"""All of them let nothing happen to a job: they are judged by ``told`` alone."""
OWN_WRITE = Bug("told in a write of its own", written_separately, {})
"""A crash must strike between the two: crash points find it, schedules hardly ever."""
