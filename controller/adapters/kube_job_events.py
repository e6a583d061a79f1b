"""What Events say about Jobs: one list for all who ask at the same time.

Used by ``kube_cluster``. The API server keeps Events in no cache: to tell those of one object it reads all of
the namespace, and hundreds of Jobs that wait for their pods are asked about within a minute.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from controller.adapters.kube_client import KubeClient, Refused
from controller.adapters.kube_foreign import Kind
from controller.adapters.kube_listing import list_all
from controller.adapters.kube_reading import dig, text

Json = Mapping[str, Any]

EVENTS = Kind("", "v1", "events", "Event")
TELLING = "involvedObject.kind=Job,reason!=SuccessfulCreate,reason!=Completed"
"""Every Job has those two Events, and they say what its pod says."""


class JobEvents:
    """Lists them. Evidence only, so whoever may not read Events goes without."""

    def __init__(self, client: KubeClient) -> None:
        self._client = client
        self._one_at_a_time: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._next: dict[str, asyncio.Task[Sequence[Json]]] = {}
        """By namespace: the list that has not begun yet, for whoever asks before it does."""
        self._tasks: set[asyncio.Task[Sequence[Json]]] = set()

    async def of(self, namespace: str, uid: str) -> list[Json]:
        """Those about this Job, from a list that is begun after they were asked for."""
        task = self._next.get(namespace)
        if task is None:
            task = self._next[namespace] = asyncio.create_task(self._in_turn(namespace), name="events")
            self._tasks.add(task)
            task.add_done_callback(self._over)
        found = await asyncio.shield(task)  # whoever is cancelled takes nothing from the others
        return [one for one in found if text(dig(one, "involvedObject"), "uid") == uid]

    async def _in_turn(self, namespace: str) -> Sequence[Json]:
        async with self._one_at_a_time[namespace]:
            self._next.pop(namespace, None)  # who asks from here on waits for the next one
            try:
                found, _ = await list_all(self._client, EVENTS, namespace, chosen={"fieldSelector": TELLING})
            except Refused:
                return ()
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
