"""A store that only pretends to write, so that a dry run goes through the very code of the real one."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, cast

from controller.core.model import Attempt, Batch, BatchStatus, Counts, Gate, Setting
from controller.ports import Standing, Store


class Pretence:
    """What ``intake.accept`` writes is taken and forgotten; everything it reads comes from the store."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._added: list[str] = []

    def new_id(self) -> str:
        """As the store makes them."""
        return self._store.new_id()

    async def batch_named(self, namespace: str, name: str) -> Batch | None:
        """Read."""
        return await self._store.batch_named(namespace, name)

    async def now(self) -> datetime:
        """Read."""
        return await self._store.now()

    async def batch(self, batch_id: str) -> Batch | None:
        """None: what was pretended is not there to be read again."""
        return None

    async def epoch(self) -> int:
        """Read."""
        return await self._store.epoch()

    async def gates(self, batch_ids: Iterable[str]) -> Mapping[str, Gate]:
        """Read."""
        return await self._store.gates(batch_ids)

    async def standing(self, batch_id: str, job_ids: Iterable[str] = ()) -> Standing:
        """Read."""
        return await self._store.standing(batch_id, job_ids)

    async def add_batch(self, batch: Batch, gate: Gate) -> Batch:
        """Pretended."""
        return batch

    async def ensure_gate(self, gate: Gate) -> None:
        """Pretended."""

    async def add_jobs(self, jobs: Sequence[Attempt]) -> Sequence[bool]:
        """Pretended."""
        self._added += [job.id for job in jobs]
        return [True] * len(jobs)

    async def roots(self, batch_id: str) -> Sequence[str]:
        """What would be there."""
        return self._added

    async def list_children(self, batch_id: str, ids: Iterable[str]) -> None:
        """Pretended."""

    async def recount(self, batch_id: str) -> Counts:
        """Pretended; nobody asks for the numbers of a batch that is not made."""
        return Counts()

    async def set_batch(
        self, batch_id: str, sources: Iterable[BatchStatus], fields: Mapping[str, Any]
    ) -> bool:
        """Pretended."""
        return True

    async def set_gate(self, batch_id: str, fields: Mapping[str, Any]) -> bool:
        """Pretended."""
        return True

    async def set_setting(self, batch_id: str, name: str, setting: Setting) -> bool:
        """Pretended."""
        return True


def pretend(store: Store) -> Store:
    """The store for a dry run of ``intake.accept``, which uses these methods and no other."""
    return cast("Store", Pretence(store))
