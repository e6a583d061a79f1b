"""Bugs that would make it faster still: writes believed before they are read, records never read again."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence

from controller import grouping
from controller.core.change import Change
from controller.core.model import Attempt
from controller.grouping import Writes
from controller.ports import Store
from tests.fakes.memory_store import MemoryStore
from tests.simulation.faults import Fault
from tests.simulation.planted import Bug, Patch


def believed_unread(patch: Patch) -> None:
    """Whatever went with a write that was answered is taken for applied, matched or not."""
    together = grouping._together

    async def believe(store: Store, group: list[grouping._Asked]) -> bool:
        written = await together(store, group)
        for one in group:
            if written and one.error is None and one.answer is None:
                one.answer = await store.job(one.change.job)
        return written

    patch.setattr(grouping, "_together", believe)


def told_before_written(patch: Patch) -> None:
    """Whoever asks goes on at once, and the write follows: a crash in between loses it."""
    change = Writes.change
    behind = set[asyncio.Task[Attempt | None]]()

    async def tell(writes: Writes, store: Store, asked: Change, epoch: int | None) -> Attempt | None:
        task = asyncio.create_task(change(writes, store, asked, epoch))
        behind.add(task)
        task.add_done_callback(behind.discard)
        await asyncio.wait([task], timeout=0.0)
        return await store.job(asked.job)

    patch.setattr(Writes, "change", tell)


def built_once(patch: Patch) -> None:
    """A record that was read is kept for good, whoever changes it since."""
    read = MemoryStore.jobs
    kept: dict[str, Attempt] = {}

    async def jobs(store: MemoryStore, job_ids: Iterable[str]) -> Sequence[Attempt]:
        found = await read(store, job_ids)
        return [kept.setdefault(f"{id(store)} {job.id}", job) for job in found]

    patch.setattr(MemoryStore, "jobs", jobs)


BELIEVED = Bug("a bulk is believed unread", believed_unread, {})
"""Caught where somebody withdraws a task between its place and its record: no schedule of a hundred does."""
_CRASHES = {"rates": {Fault.CRASH_BEFORE: 0.02, Fault.CRASH_AFTER: 0.02}, "most_faults": 200, "requests": 0}

SPEED_BUGS: tuple[Bug, ...] = (
    Bug("told before it is written", told_before_written, _CRASHES),
    Bug("a record that changed is not read again", built_once, {}),
)
