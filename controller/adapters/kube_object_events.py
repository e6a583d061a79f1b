"""What Events say about Jobs and about Pods: one list of each for all who ask at the same time.

Used by ``kube_cluster``. The API server keeps Events in no cache: to tell those of one object it reads all of
the namespace, and hundreds of Jobs that wait for their pods are asked about within a minute.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from controller.adapters.kube_client import KubeClient, Refused
from controller.adapters.kube_foreign import Kind
from controller.adapters.kube_listing import list_all
from controller.adapters.kube_reading import dig, text
from controller.adapters.kube_shared import Shared
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
        self._lists = Shared("events", sys.maxsize, self._all)

    async def about(self, kind: str, namespace: str, uids: Collection[str]) -> list[Json]:
        """Those about these Jobs or these Pods, from a list that is begun after they were asked for."""
        if not uids:
            return []
        found = await self._lists.ask((kind, namespace), uids)
        return [one for one in found if text(dig(one, "involvedObject"), "uid") in uids]

    async def _all(self, which: tuple[str, str], _: Collection[str]) -> Sequence[Json]:
        kind, namespace = which
        try:
            found, _ = await list_all(
                self._client, EVENTS, namespace, chosen={"fieldSelector": TELLING[kind]}
            )
        except Refused:
            found = []
        except Unavailable:
            now = self._clock()
            if now - self._since.setdefault(which, now) < PATIENCE:
                raise
            return ()
        self._since.pop(which, None)
        return found

    async def close(self) -> None:
        """End the lists that are under way."""
        await self._lists.close()
