"""The Cluster port in memory, deterministic under an injected clock: for contract suite and simulator."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from datetime import timedelta
from typing import Any

from controller.core.copying import replace
from controller.core.sight import Adoptable, ClusterJob, Hint, Live, Observation
from controller.ports import Clock, Created, NewJob, Rejected, Unavailable
from tests.fakes.memory_machine import Machine
from tests.fakes.memory_objects import End, Thing, others_job

__all__ = ["End", "MemoryCluster"]

_FORBIDDEN, _UNPROCESSABLE = 403, 422


class MemoryCluster(Machine):
    """A ``Machine`` behind the Cluster port.

    While ``down`` is set every call raises ``Unavailable`` with it and changes nothing; ``blind``
    (namespace → why) does so for one namespace.
    """

    scheduler_type = "memory"

    def __init__(self, clock: Clock, ends: Callable[[NewJob], End] = lambda job: End(), **more: Any) -> None:
        super().__init__(clock, ends, **more)
        self.down = ""
        self.blind: dict[str, str] = {}
        self._closed = False

    async def observe(self, namespaces: Sequence[str]) -> Observation:
        """See ``Cluster.observe``."""
        self._reach()
        blind = {name: self.blind[name] for name in namespaces if name in self.blind}
        seen = self.snapshot([name for name in namespaces if name not in blind])
        if blind and not seen.namespaces:
            raise Unavailable(next(iter(blind.values())))
        return replace(seen, blind=blind) if blind else seen

    async def get(self, namespace: str, name: str, job_id: str) -> Live:
        """See ``Cluster.get``."""
        self._reach(namespace)
        thing = self._things.get((namespace, name))
        everywhere = (*self._things.values(), *self._orphans)
        pods = sum(one.job_id == job_id and one.pod_unfinished for one in everywhere)
        job = self._shown(thing) if thing and thing.job_id == job_id else None
        return Live(self._clock.monotonic(), job, thing.uid if thing and not job else "", pods)

    async def get_uid(self, namespace: str, name: str, kind: str, uid: str) -> bool:
        """See ``Cluster.get_uid``: its pod may run on when it is gone."""
        self._reach(namespace)
        thing = self._held(namespace, name, uid)
        left = any(one.uid == uid and one.pod_unfinished for one in self._orphans)
        return left or (thing is not None and thing.active)

    async def find(self, namespace: str, prefix: str) -> Sequence[Adoptable]:
        """See ``Cluster.find``."""
        self._reach(namespace)
        return [
            Adoptable(thing.kind, self._shown(thing) if thing.job else others_job(thing, self._wall))
            for thing in self._things.values()
            if not thing.tombstone and thing.namespace == namespace and thing.name.startswith(prefix)
        ]

    async def find_uid(self, namespace: str, name: str, kind: str, uid: str) -> ClusterJob | None:
        """See ``Cluster.find_uid``: what is left of it is its pod, when it is gone."""
        self._reach(namespace)
        left = (one for one in self._orphans if one.uid == uid)
        thing = self._held(namespace, name, uid) or next(left, None)
        return others_job(thing, self._wall) if thing and thing.kind == kind else None

    async def create(self, job: NewJob) -> Created:
        """See ``Cluster.create``."""
        self._reach(job.namespace)
        if why := self.refuse(job):
            raise Rejected(why, _UNPROCESSABLE)
        answer = self._put(job)
        self._settle()
        return answer

    async def bury(self, job: NewJob, ttl: timedelta) -> Created:
        """See ``Cluster.bury``."""
        self._reach(job.namespace)
        return self._put(job, ttl.total_seconds())

    async def delete(self, namespace: str, name: str, uid: str) -> None:
        """See ``Cluster.delete``."""
        self._reach(namespace)
        self._delete(self._mine(namespace, name, uid))
        self._settle()

    async def expire(self, namespace: str, name: str, uid: str, ttl: timedelta) -> None:
        """See ``Cluster.expire``; ``ttl`` counts from the object's end."""
        self._reach(namespace)
        if thing := self._mine(namespace, name, uid):
            self._set_ttl(thing, ttl.total_seconds())
            self._settle()

    async def log_tail(self, job: ClusterJob, max_bytes: int) -> str:
        """See ``Cluster.log_tail``; empty once the object is gone."""
        self._reach(job.namespace)
        thing = self._held(job.namespace, job.name, job.uid)
        if thing is None or thing.started is None or max_bytes <= 0:
            return ""
        return thing.script.log.encode()[-max_bytes:].decode(errors="replace")

    async def changes(self) -> AsyncIterator[Hint]:
        """See ``Cluster.changes``; an empty hint first."""
        queue: deque[Thing] = deque()
        self._listeners.append(queue)
        try:
            yield Hint()
            while not self._closed:
                self._settle()
                while queue:
                    yield self._hint(queue.popleft())
                self._news.clear()
                await self._something()
        finally:
            # By identity: two empty queues are equal.
            self._listeners[:] = [other for other in self._listeners if other is not queue]

    async def close(self) -> None:
        """See ``Cluster.close``."""
        self._closed = True
        self._news.set()

    async def _something(self) -> None:
        """Wait until something was done to the cluster, or something is due in it."""
        due = self.next_due()
        waits: list[asyncio.Future[Any]] = [asyncio.ensure_future(self._news.wait())]
        if due is not None:
            waits.append(asyncio.ensure_future(self._clock.sleep(max(0.0, due - self._clock.monotonic()))))
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()

    def _hint(self, thing: Thing) -> Hint:
        """As the object of this job id is now: it may be another one than whose pod has ended."""
        here = self._things.get((thing.namespace, thing.name))
        job = self._shown(here) if here and here.job_id == thing.job_id and not here.tombstone else None
        return Hint(thing.job_id, thing.job.batch_id if thing.job else "", job)

    def _mine(self, namespace: str, name: str, uid: str) -> Thing | None:
        thing = self._held(namespace, name, uid)
        if thing and thing.job is None:
            raise Rejected(f"{namespace}/{name} is not ours: nothing of others is changed", _FORBIDDEN)
        return thing

    def _reach(self, namespace: str = "") -> None:
        self._settle()
        if why := self.down or self.blind.get(namespace, ""):
            raise Unavailable(why)
