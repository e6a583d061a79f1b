"""Plays the store's part of the fidelity script against a store, and tells what it answered."""

from __future__ import annotations

import asyncio
import dataclasses
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from datetime import datetime, timedelta
from typing import Any

from controller.core.model import Batch, Gate
from controller.core.notices import Channel, Topic
from controller.ports import BatchkeeperError, JobFilter, Store
from tests.contract.fidelity import REFERENCE, Meaning, Operation, hints

EVERY = 20
"""After so many operations all that a store shows is compared."""
FENCE = "j900000"
"""Symbol of a batch without records; a hint for it says that all earlier hints have come."""
UNORDERED = frozenset({"jobs", "active", "waiting_ids", "untold"})
"""Methods whose replies have no order."""
OWNERS = {"set_batch": "Batch", "set_gate": "Gate"}
"""By method: whose fields ``fields`` are."""


class Player:
    """One store, and what it answers. ``tick`` lets at least two milliseconds pass on the store's clock."""

    def __init__(self, store: Store, tick: Callable[[], Awaitable[object]]) -> None:
        self.store = store
        self._tick = tick
        self._hints: AsyncIterator[str] | None = None
        self._fences = 0

    async def play(self, operations: Sequence[Operation]) -> list[Any]:
        """The reply to each operation, and after some of them everything that the store shows."""
        self._meaning = Meaning(self.store.new_id, await self.store.now())
        await self._fence()
        replies: list[Any] = []
        for number, operation in enumerate(operations, 1):
            await self._tick()
            self._meaning.begin(await self.store.now())
            replies.append(await self._reply(operation))
            if number % EVERY == 0:
                replies.append({"all": await self._all()})
        return replies

    async def _reply(self, operation: Operation) -> Any:
        arguments = {key: value for key, value in operation.items() if key != "do"}
        special = getattr(self, f"_do_{operation['do']}", None)
        try:
            answer = await (special(**arguments) if special else self._call(operation["do"], arguments))
        except (BatchkeeperError, ValueError) as error:
            return {"raises": type(error).__name__}
        shown = self._meaning.shown(answer)
        return sorted(shown, key=json.dumps) if operation["do"] in UNORDERED else shown

    async def _call(self, method: str, arguments: Operation) -> Any:
        known = hints(getattr(Store, method))
        await self._look_up(arguments)
        given = {
            name: self._meaning.value(known[name], value, OWNERS.get(method, "") if name == "fields" else "")
            for name, value in arguments.items()
        }
        answer = getattr(self.store, method)(**given)
        return [each async for each in answer] if isinstance(answer, AsyncIterator) else await answer

    async def _look_up(self, arguments: Operation) -> None:
        """Read what the operation refers to."""
        for found in REFERENCE.finditer(json.dumps(arguments)):
            self._meaning.records[found["id"]] = await self.store.job(self._meaning.id(found["id"]))

    # ------------------------------------------------------------------ what is not asked like the rest

    async def _do_new_id(self) -> Any:
        one = self.store.new_id()
        return [len(one), int(one, 16) >= 0, one == self.store.new_id()]

    async def _do_quarantined(self) -> Any:
        return self.store.quarantined()

    async def _do_close(self) -> Any:
        await self.store.close()
        async with asyncio.timeout(30):
            assert self._hints is not None
            async for _ in self._hints:
                pass

    async def _do_move_notice(
        self, batch: str, topic: str, channel: str, tries: int, due: float | None
    ) -> Any:
        """The notice as it was read, or as it was read so many deliveries ago."""
        for one in await self.store.untold():
            same = (one.notice.topic, one.notice.channel) == (Topic(topic), Channel(channel))
            if one.batch and one.batch.id == self._meaning.id(batch) and same:
                read = dataclasses.replace(one.notice, tries=one.notice.tries - tries)
                stale = dataclasses.replace(one, notice=read)
                return await self.store.move_notice(stale, self._meaning.value(datetime | None, due))
        return "nothing of it waits"

    async def _do_requests(self) -> Any:
        """All batches that were hinted at since this was asked before; "look at all" may come at any time."""
        return await self._fence()

    async def _fence(self) -> set[str]:
        fence = self._meaning.id(FENCE)
        async with asyncio.timeout(30):
            if self._hints is None:
                self._hints = self.store.requests()
                await anext(self._hints)
                await self.store.ensure_gate(Gate(fence, 0))
            self._fences += 1
            await self.store.set_gate(fence, {"max": self._fences})
            told: set[str] = set()
            while (hint := await anext(self._hints)) != fence:
                told.add(hint)
            return told - {""}

    async def _line(self, batch_id: str) -> list[str]:
        """Everybody who waits in a batch, in order, whenever they are due."""
        late = await self.store.now() + timedelta(days=365)
        return [job.id for job in await self.store.waiting(batch_id, 1000, late, with_auto=True)]

    async def _all(self) -> Any:
        """Whatever the port can tell of what is in the store."""
        store = self.store
        batches: Sequence[Batch] = await store.batches()
        records = [job async for job in store.find_jobs(JobFilter())]
        shown = {
            "batches": batches,
            "gates": await store.gates([batch.id for batch in batches]),
            "records": records,
            "listed": await store.listed([job for job in records if job.retry_parent]),
            "lines": {batch.id: await self._line(batch.id) for batch in batches},
            "active": {job.id for job in await store.active()},
            "live": await store.batches_with_live_jobs(),
            "halts": await store.halts(),
            "epoch": await store.epoch(),
            "gaps": await store.blind_gaps(),
            "quarantine": await store.quarantine(),
            "untold": sorted(json.dumps(self._meaning.shown(one.notice)) for one in await store.untold()),
        }
        seen: dict[str, Any] = self._meaning.shown(shown)
        return seen
