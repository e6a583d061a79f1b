"""What people are still to be told, in memory. ``memory_store`` extends this."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from controller.core.model import Batch, BatchStatus
from controller.core.notices import Channel, Notice
from controller.ports import Untold
from tests.fakes.memory_batches import MemoryBatches
from tests.fakes.memory_changes import kept


class MemoryNotices(MemoryBatches):
    """Notices on batches and on refused specs. They are no part of the oplog: no safety rule reads them."""

    def __init__(self, *args: Any, **more: Any) -> None:
        super().__init__(*args, **more)
        self._spec_notices: dict[str, tuple[Notice, ...]] = {}

    async def set_batch(
        self,
        batch_id: str,
        sources: Iterable[BatchStatus],
        fields: Mapping[str, Any],
        notices: Sequence[Notice] = (),
        epoch: int | None = None,
    ) -> bool:
        """Set fields of a batch parent, and add notices in the same instant."""
        if fields:
            done = await super().set_batch(batch_id, sources, fields, epoch=epoch)
        else:
            done = batch_id in self._batches and self._batches[batch_id].status in set(sources)
        if done:
            self._tell(self._batches[batch_id], notices)
        return done

    async def set_quarantine(self, key: str, problems: Sequence[str], notices: Sequence[Notice] = ()) -> None:
        """Remember why a spec is refused as it is now; no problems: it no longer is."""
        known = bool(problems) and self._quarantine.get(key) == tuple(problems)
        await super().set_quarantine(key, problems)
        if not problems:
            self._spec_notices.pop(key, None)
        elif not known:
            self._spec_notices[key] = tuple(map(self._fresh, notices))

    def _tell(self, batch: Batch, notices: Sequence[Notice]) -> None:
        new = [one for one in notices if one.channel is not Channel.EVENT or one.topic not in batch.told]
        told = dict.fromkeys((*batch.told, *(one.topic for one in new if one.channel is Channel.EVENT)))
        self._batches[batch.id] = dataclasses.replace(
            batch, notices=(*batch.notices, *map(self._fresh, new)), told=tuple(told)
        )

    def _fresh(self, notice: Notice) -> Notice:
        return dataclasses.replace(notice, at=self._now(), due=self._now(), tries=0)

    async def untold(self) -> Sequence[Untold]:
        """Everything that waits to be told."""
        of_batches = [Untold(one, batch) for batch in self._batches.values() for one in batch.notices]
        of_specs = [
            Untold(one, spec=key) for key, notices in sorted(self._spec_notices.items()) for one in notices
        ]
        return [*of_batches, *of_specs]

    async def move_notice(self, one: Untold, due: datetime | None) -> bool:
        """Begin its next delivery, if its number of tries is still what was read; None: it is over."""
        waiting = self._beside(one)
        if due is None:
            self._keep(one, [each for each in waiting if not _same(each, one.notice)])
            return len(self._beside(one)) < len(waiting)
        mine = [each for each in waiting if _same(each, one.notice) and each.tries == one.notice.tries]
        for each in mine:
            taken = dataclasses.replace(each, due=kept(due), tries=each.tries + 1)
            self._keep(one, [taken if other is each else other for other in waiting])
        return bool(mine)

    def _beside(self, one: Untold) -> Sequence[Notice]:
        if one.batch is None:
            return self._spec_notices.get(one.spec, ())
        batch = self._batches.get(one.batch.id)
        return batch.notices if batch else ()

    def _keep(self, one: Untold, notices: Sequence[Notice]) -> None:
        if one.batch is None:
            self._spec_notices[one.spec] = tuple(notices)
        elif batch := self._batches.get(one.batch.id):
            self._batches[batch.id] = dataclasses.replace(batch, notices=tuple(notices))


def _same(one: Notice, other: Notice) -> bool:
    return (one.topic, one.channel, one.at) == (other.topic, other.channel, other.at)
