"""What Events say about Jobs and about Pods: one list of each for all who ask at the same time.

Used by ``kube_cluster``. The API server keeps Events in no cache: to tell those of one object it reads all of
the namespace, and hundreds of Jobs that wait for their pods are asked about within a minute.
"""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from controller.adapters.kube_client import KubeClient, Refused
from controller.adapters.kube_foreign import Kind
from controller.adapters.kube_listing import list_all
from controller.adapters.kube_reading import dig, text
from controller.ports import Unavailable

Json = Mapping[str, Any]

EVENTS = Kind("", "v1", "events", "Event")
TELLING: Mapping[str, str] = {
    "Job": "involvedObject.kind=Job,reason!=SuccessfulCreate,reason!=Completed",
    "Pod": "involvedObject.kind=Pod,reason!=Scheduled,reason!=Pulled,reason!=Created,reason!=Started",
}
"""By kind: a selector that leaves out what every Job and every Pod has, and what its status says as well."""
PATIENCE = 60.0
"""Seconds for which a list that can't be had is asked for again. Events may have an etcd of their own, or be
too many: while they were waited for, their namespace was not seen, and nothing started in it."""


class ObjectEvents:
    """Lists them. Evidence only: whoever may not read Events, or can't for long, goes without."""

    def __init__(self, client: KubeClient, clock: Callable[[], float] = time.monotonic) -> None:
        self._client = client
        self._clock = clock
        self._since: dict[tuple[str, str], float] = {}
        """When this list could first not be had."""
        self._one_at_a_time: defaultdict[tuple[str, str], asyncio.Lock] = defaultdict(asyncio.Lock)
        self._next: dict[tuple[str, str], asyncio.Task[Sequence[Json]]] = {}
        """By kind and namespace: the list that has not begun yet, for whoever asks before it does."""
        self._tasks: set[asyncio.Task[Sequence[Json]]] = set()

    async def about(self, kind: str, namespace: str, uids: Collection[str]) -> list[Json]:
        """Those about these Jobs or these Pods, from a list that is begun after they were asked for."""
        if not uids:
            return []
        task = self._next.get((kind, namespace))
        if task is None:
            task = asyncio.create_task(self._in_turn(kind, namespace), name="events")
            self._next[kind, namespace] = task
            self._tasks.add(task)
            task.add_done_callback(self._over)
        found = await asyncio.shield(task)  # whoever is cancelled takes nothing from the others
        return [one for one in found if text(dig(one, "involvedObject"), "uid") in uids]

    async def _in_turn(self, kind: str, namespace: str) -> Sequence[Json]:
        chosen = {"fieldSelector": TELLING[kind]}
        async with self._one_at_a_time[kind, namespace]:
            self._next.pop((kind, namespace), None)  # who asks from here on waits for the next one
            try:
                found, _ = await list_all(self._client, EVENTS, namespace, chosen=chosen)
            except Refused:
                found = []
            except Unavailable:
                now = self._clock()
                if now - self._since.setdefault((kind, namespace), now) < PATIENCE:
                    raise
                return ()
            self._since.pop((kind, namespace), None)
            return found

    async def close(self) -> None:
        """End the lists that are under way."""
        self._next.clear()
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _over(self, task: asyncio.Task[Sequence[Json]]) -> None:
        """Whoever waited was told of an error; nobody may have."""
        self._tasks.discard(task)
        if not task.cancelled():
            task.exception()
