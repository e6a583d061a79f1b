"""Records that have long been in a status, as a daemon of long ago would have left them."""

from __future__ import annotations

import asyncio
import os
from datetime import UTC, datetime, timedelta
from typing import Any

from controller.adapters import local_files, local_objects
from controller.adapters.local_folders import Folders
from controller.adapters.local_settings import LocalSettings
from controller.adapters.mongo import MongoStore
from controller.ports import NewJob
from tests.e2e.place import Place


class Forge:
    """Writes what a daemon would have written, only earlier, for a batch that is paused.

    The daemon must be frozen meanwhile.
    """

    def __init__(self, place: Place, store: MongoStore) -> None:
        self._place = place
        self._store = store
        self._held: list[int] = []

    async def created(self, name: str, *, slot: int, since: timedelta, there: bool = False) -> None:
        """A place was taken so long ago, its create got no answer; ``there``: it has landed all the same."""
        at = datetime.now(UTC) - since
        self._claim(name, slot, at)
        if there:
            await self._object(name)

    async def queued(self, name: str, *, slot: int, since: timedelta) -> None:
        """Accepted by the cluster so long ago and never started: its supervisor hangs."""
        at = datetime.now(UTC) - since
        self._claim(name, slot, at)
        uid = await self._object(name)
        await asyncio.sleep(0.01)  # the change stream tells milliseconds: the object is seen to come first
        lock = local_files.try_lock(str(self._place.folder(name) / "lock"))
        assert lock is not None
        self._held.append(lock)
        self._write(
            name, {"$set": {"status": "queued", "queued": at, "scheduler_id": uid, "open_creates": []}}
        )

    def let_go(self) -> None:
        """The supervisors that hang are gone."""
        while self._held:
            os.close(self._held.pop())

    def _claim(self, name: str, slot: int, at: datetime) -> None:
        job = self._place.job(name)
        holder = {"job": job["_id"], "slot": slot}
        gates, mine = self._place.db["gates"], {"_id": job["batch_id"]}
        gates.update_one(mine, {"$set": {"paused": False}})
        gates.update_one(mine, {"$push": {"holders": holder}})
        gates.update_one(mine, {"$set": {"paused": True}})
        token = {"token": f"forged-{slot}", "at": at}
        self._write(
            name, {"$set": {"status": "created", "slot": slot, "created": at, "open_creates": [token]}}
        )

    def _write(self, name: str, update: dict[str, Any]) -> None:
        self._place.db["jobs"].update_one({"_id": self._place.job(name)["_id"]}, update)

    async def _object(self, name: str) -> str:
        """The job's folder, without anybody who would start it; its uid."""
        job = await self._store.job(self._place.id(name))
        assert job is not None
        batch = await self._store.batch(job.batch_id)
        assert batch is not None
        wanted = NewJob(
            name=job.name,
            namespace=job.namespace,
            batch=batch.name,
            batch_id=job.batch_id,
            task_id=job.task_id,
            attempt=job.attempt,
            job_id=job.id,
            input=job.job_input,
        )
        uid = f"forged-{job.id}"
        settings = LocalSettings(self._place.state, node="here")
        root = self._place.state / "cluster"
        Folders(str(root)).create(local_objects.document(wanted, uid, local_files.mark(), settings))
        return uid
