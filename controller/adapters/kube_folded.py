"""Our Jobs with their Pods as every pass lists them: folded again where something of them changed.

Used by ``kube_cluster``. Each is compared by its content with the last list's, not by its version: a cluster
that was set back counts its versions anew.
"""

from __future__ import annotations

import asyncio
import marshal
from collections.abc import Mapping, Sequence
from typing import Any

from controller.adapters import labels
from controller.adapters.kube_listing import folded, pods_by_job, put
from controller.adapters.kube_reading import is_ours, labels_of, meta, text
from controller.core.sight import ClusterJob

Json = Mapping[str, Any]

MANY = 200
"""Jobs that are folded, or found unchanged, before the event loop gets its turn."""
_PLAIN = 2
"""The format of marshal's in which equal content is equal bytes: later ones tell what is the same object."""


class Folded:
    """What was folded of each namespace's last list, and the hash of what it was folded from."""

    def __init__(self, instance: str) -> None:
        self._instance = instance
        self._last: dict[str, dict[str, tuple[int, ClusterJob]]] = {}
        """By namespace, then by the Job's uid."""

    async def jobs(self, namespace: str, jobs: Sequence[Json], pods: Sequence[Json]) -> dict[str, ClusterJob]:
        """The same as ``our_jobs`` of a list of this namespace."""
        by_job, before = pods_by_job(pods), self._last.get(namespace, {})
        now: dict[str, tuple[int, ClusterJob]] = {}
        found: dict[str, ClusterJob] = {}
        for number, job in enumerate(jobs, 1):
            if number % MANY == 0:
                await asyncio.sleep(0)
            if not is_ours(job, self._instance):
                continue
            own, uid = by_job.get(labels_of(job)[labels.JOB_ID], []), text(meta(job), "uid")
            content = hash(marshal.dumps((job, own), _PLAIN))  # type: ignore[arg-type]  # it came as JSON
            same = before.get(uid)
            shown = same[1] if same is not None and same[0] == content else folded(job, own)
            now[uid] = content, shown
            put(found, shown)
        self._last[namespace] = now
        return found
