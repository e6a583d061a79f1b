"""Plays the cluster's part of the fidelity script in a world of the contract suite.

Left out of what is compared, for each cluster has its own: uids (they become ``sweep-1#2``, the second
object of that name), nodes, pods' names, instants, events, digests, and the words of a message.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from controller.core.sight import ClusterJob
from controller.ports import BatchkeeperError, NewJob
from tests.contract.cluster_world import Does, World
from tests.contract.fidelity import Operation

COMPARED = (
    *("name", "job_id", "tombstone", "deleting", "finished", "pod_unfinished", "expiring", "succeeded"),
    *("exit_code", "started", "active"),
)
IDS = {"ours": "a", "another": "b", "nobody": "c"}


class Player:
    """One world, and what its cluster answers."""

    def __init__(self, world: World) -> None:
        self.world = world
        self._uids: dict[tuple[str, str], str] = {}
        """By name too: a folder made by hand may be called as another one was."""
        self._now: dict[str, str] = {}
        """By name: the uid of the object that was made there last."""
        self._made: dict[str, int] = {}

    async def play(self, operations: Sequence[Operation]) -> list[Any]:
        """The reply to each operation."""
        return [await self._reply(operation) for operation in operations]

    async def _reply(self, operation: Operation) -> Any:
        arguments = {key: value for key, value in operation.items() if key != "do"}
        try:
            return await getattr(self, f"_{operation['do']}")(**arguments)
        except BatchkeeperError as error:
            return {"raises": type(error).__name__}

    def _job(self, name: str, does: str = "stay", whose: str = "ours") -> NewJob:
        return self.world.job(name, Does[does.upper()], _id(name, whose))

    def _called(self, name: str, uid: str) -> str:
        if uid and (name, uid) not in self._uids:
            self._made[name] = self._made.get(name, 0) + 1
            self._uids[name, uid] = f"{name}#{self._made[name]}"
            self._now[name] = uid
        return self._uids.get((name, uid), "")

    def _shown(self, job: ClusterJob | None) -> Any:
        if job is None:
            return None
        return {"uid": self._called(job.name, job.uid), **{name: getattr(job, name) for name in COMPARED}}

    # ---------------------------------------------------------------------------------------- deeds

    async def _create(self, name: str, does: str, whose: str) -> Any:
        job = self._job(name, does, whose)
        made = await self.world.cluster.create(job)
        if made.result == "created":
            await (self.world.started(job) if does == "stay" else self.world.finished(job))
        return [made.result.value, self._called(name, made.uid)]

    async def _bury(self, name: str, does: str, whose: str) -> Any:
        job = self._job(name, does, whose)
        made = await self.world.cluster.bury(job, timedelta(hours=1))
        if made.result == "created":
            await self.world.finished(job)  # a tombstone is born complete, as soon as a controller sees it
        return [made.result.value, self._called(name, made.uid)]

    async def _add_foreign(self, name: str) -> Any:
        return self._called(name, self.world.add_foreign(name))

    async def _remove_foreign(self, name: str) -> Any:
        self.world.remove_foreign(name)

    async def _delete(self, name: str, uid: str, goes: bool) -> Any:
        await self.world.cluster.delete(self.world.namespace, name, self._uid(name, uid))
        if goes:
            await self.world.gone(self._job(name))

    async def _expire(self, name: str, uid: str, ttl: int, goes: bool) -> Any:
        after = timedelta(seconds=ttl)
        await self.world.cluster.expire(self.world.namespace, name, self._uid(name, uid), after)
        if goes:
            await self.world.gone(self._job(name))

    def _uid(self, name: str, which: str) -> str:
        return self._now.get(name, "none") if which == "right" else "another"

    # -------------------------------------------------------------------------------------- questions

    async def _get(self, name: str, whose: str) -> Any:
        live = await self.world.cluster.get(self.world.namespace, name, _id(name, whose))
        return [self._shown(live.job), self._called(name, live.foreign_uid), live.pods]

    async def _get_uid(self, name: str, whose: str) -> Any:
        uid = self._uid(name, "wrong" if whose == "nobody" else "right")
        return await self.world.cluster.get_uid(self.world.namespace, name, self.world.foreign_kind, uid)

    async def _observe(self) -> Any:
        seen = await self.world.cluster.observe([self.world.namespace])
        # What has ended and may expire is listed by some, and left out by others: both may.
        listed = [job for job in seen.jobs.values() if job.active or not job.expiring]
        jobs = sorted((self._shown(job) for job in listed), key=lambda shown: shown["name"])
        foreign = sorted((one.name, self._called(one.name, one.uid), one.active) for one in seen.foreign)
        return [jobs, foreign, dict(seen.blind)]

    async def _find(self, prefix: str) -> Any:
        found = await self.world.cluster.find(self.world.namespace, prefix)
        return sorted(
            (one.job.name, self._called(one.job.name, one.job.uid), one.job.job_id) for one in found
        )

    async def _find_uid(self, name: str, whose: str) -> Any:
        uid = self._uid(name, "wrong" if whose == "nobody" else "right")
        kinds = {one.job.uid: one.kind for one in await self.world.cluster.find(self.world.namespace, name)}
        kind = kinds.get(uid, self.world.foreign_kind)
        found = await self.world.cluster.find_uid(self.world.namespace, name, kind, uid)
        return None if found is None else [self._called(name, found.uid), found.active]

    async def _log_tail(self, name: str, max_bytes: int) -> Any:
        live = await self.world.cluster.get(self.world.namespace, name, _id(name, "ours"))
        return await self.world.cluster.log_tail(live.job, max_bytes) if live.job else "nothing there"

    async def _close(self) -> Any:
        await self.world.cluster.close()


def _id(name: str, whose: str) -> str:
    return (IDS[whose] + name[-1]).ljust(24, "0")
