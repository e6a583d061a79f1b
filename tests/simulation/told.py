"""Judges at the end of a schedule what people were told: everything, nothing untrue, nothing too often."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from controller.core.model import Batch, BatchStatus, Verdict
from controller.core.notices import Topic
from controller.core.telling import event_name
from tests.simulation.explaining import drive
from tests.simulation.world import World

_ENDS = {BatchStatus.FINISHED: Topic.FINISHED, BatchStatus.CANCELLED: Topic.CANCELLED}


def untold(world: World) -> bool:
    """Whether something still waits to be told."""
    return bool(drive(world.store.untold()))


def wrongly_told(world: World, *, twice: int) -> Iterator[str]:
    """What is wrong, one line each. ``twice``: how many messages may have come twice, for crashes."""
    for batch in world.store._batches.values():
        yield from _events(world, batch)
        yield from _messages(world, batch, twice)
    known = {batch.name for batch in world.store._batches.values()}
    if strange := {event.subject.name for event in world.events.there.values()} - known:
        yield f"events about {strange}"


def _events(world: World, batch: Batch) -> Iterator[str]:
    there = {key[1]: event for key, event in world.events.there.items() if event.subject.uid == batch.id}
    told = {event_name(batch, topic) for topic in batch.told}
    if set(there) != told or len(there) > 8:
        yield f"{batch.name}: the events {sorted(there)} are there, told were {batch.told}"
    must = {topic for topic, _ in _ends(world, batch)}
    if batch.result is not None:  # one that was cancelled may never have got so far
        must.add(Topic.ACCEPTED)
    jobs = [job for job in world.records() if job.batch_id == batch.id]
    if any(job.verdict is Verdict.REAPED and job.created for job in jobs):
        must.add(Topic.REAPED)
    if missing := must - set(batch.told):
        yield f"{batch.name}: nobody was told {sorted(missing)}"
    first = dict(reversed(_ends(world, batch)))
    for topic in _ENDS.values():
        made = world.events.made.get((batch.namespace, event_name(batch, topic)))
        if made is not None and (topic not in first or made < first[topic]):
            yield f"{batch.name}: {topic} was told before it was so"


def _messages(world: World, batch: Batch, twice: int) -> Iterator[str]:
    about = [text for text in world.webhook.texts if text.startswith(f"*{batch.name} in ")]
    ends = len(_ends(world, batch))
    told = len([text for text in about if "tasks completed" in text])
    if not ends <= told <= ends + twice:
        yield f"{batch.name}: {told} messages of {ends} ends"


def _ends(world: World, batch: Batch) -> list[tuple[Topic, datetime]]:
    """Each time that it came to an end, as the log of the store has it."""
    writes = [one for one in world.store.oplog if one.collection == "batches" and one.id == batch.id]
    return [
        (_ENDS[write.after.status], write.at)
        for write in writes
        if write.before is not None
        and write.after.status.closed
        and (write.before.status, write.before.result) != (write.after.status, write.after.result)
    ]
