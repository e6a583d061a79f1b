"""The lists of one namespace as every pass looks at it: what may still change, and no more.

Used by ``kube_cluster``. What has ended is kept for an hour or a day, thousands of Jobs and Pods that were
listed, sent and decoded in every pass to tell what is long recorded. So a Job gets a label together with its
time to live, and those are left out; of the Pods those are listed that have not ended, and where a Job shows
none, its own are asked for. What is left out is chosen by the API server, from a list that is no older.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from controller.adapters import labels
from controller.adapters.kube_client import KubeClient
from controller.adapters.kube_foreign import JOB, POD, Kind, jobless, may_have_ended
from controller.adapters.kube_kept import kept
from controller.adapters.kube_listing import list_all, list_namespace
from controller.adapters.kube_logs import CONTROLLER_UID
from controller.adapters.kube_reading import is_ours, items, labels_of, meta, text

Json = dict[str, Any]

TOGETHER = 150
"""Ids that are asked for at once: some five kilobytes of a request's line."""
MOST = 10 * TOGETHER
"""Where more of them are wanted, everything is listed."""
ONE_BY_ONE = 20
"""Jobs that are asked for by name: of more, all are listed."""
NOT_ENDED = "status.phase!=Succeeded,status.phase!=Failed"


class Look:
    """Lists what matters in a namespace: completely, or it raises ``Refused`` or ``Unavailable``."""

    def __init__(self, client: KubeClient, kinds: Sequence[Kind], instance: str) -> None:
        self._client = client
        self._kinds = kinds
        self._instance = instance
        self._chosen = {
            JOB: {"labelSelector": f"{labels.EXPIRING} notin ({instance})"},
            POD: {"fieldSelector": NOT_ENDED},
        }

    async def lists(self, namespace: str) -> dict[Kind, list[Json] | None]:
        """All kinds as they are kept; None for a kind that is not served."""
        lists = await list_namespace(self._client, self._kinds, namespace, kept, self._chosen)
        jobs, pods = lists[JOB], lists[POD]
        if jobs is not None and pods is not None:
            jobs += await self._running_on(namespace, jobs, pods)
            jobs += await self._made_since(namespace, jobs, pods)
            pods += await self._ended(namespace, jobs, pods)
        return lists

    async def _running_on(self, namespace: str, jobs: Sequence[Json], pods: Sequence[Json]) -> list[Json]:
        """Jobs that were left out, and a pod of theirs runs: somebody copied one of ours, label and all."""
        listed = {text(meta(job), "uid") for job in jobs}
        ids = {
            labels_of(pod)[labels.JOB_ID]
            for pod in pods
            if is_ours(pod, self._instance) and not listed & _owners(pod)
        }
        left_out = f",{labels.EXPIRING} in ({self._instance})"
        found = await self._with(JOB, namespace, labels.JOB_ID, ids, left_out)
        owners = {owner for pod in pods for owner in _owners(pod)}
        return [job for job in found if text(meta(job), "uid") in owners - listed]

    async def _made_since(self, namespace: str, jobs: Sequence[Json], pods: Sequence[Json]) -> list[Json]:
        """Jobs of others that were not listed, and a pod of theirs was: made in between. What else pods name
        is gone."""
        wanted = jobless(jobs, pods, self._instance)
        names = sorted({name for owner, _ in wanted.values() if (name := text(owner, "name"))})
        chosen = [{"fieldSelector": f"metadata.name={name}"} for name in names]
        if len(names) > ONE_BY_ONE:
            chosen = [{}]
        asked = (list_all(self._client, JOB, namespace, keep=kept, chosen=one) for one in chosen)
        found = [job for jobs, _ in await asyncio.gather(*asked) for job in jobs]
        return [job for job in found if text(meta(job), "uid") in wanted]

    async def _ended(self, namespace: str, jobs: Sequence[Json], pods: Sequence[Json]) -> list[Json]:
        """The pods of Jobs that show none: they may have ended, and tell how."""
        owners = {owner for pod in pods for owner in _owners(pod)}
        ours, theirs = set(), set()
        for job in jobs:
            marks, uid = labels_of(job), text(meta(job), "uid")
            if uid in owners:
                continue
            if not is_ours(job, self._instance):
                theirs |= {uid} if may_have_ended(job) else set()
            elif labels.TOMBSTONE not in marks:
                ours.add(marks[labels.JOB_ID])
        mine, others = await asyncio.gather(
            self._with(POD, namespace, labels.JOB_ID, ours),
            self._with(POD, namespace, CONTROLLER_UID, theirs),
        )
        listed = {text(meta(pod), "uid") for pod in pods}
        return [
            *(
                pod
                for pod in mine
                if labels_of(pod).get(labels.JOB_ID) in ours and text(meta(pod), "uid") not in listed
            ),
            *(pod for pod in others if _owners(pod) & theirs),
        ]

    async def _with(
        self, kind: Kind, namespace: str, key: str, values: Iterable[str], more: str = ""
    ) -> list[Json]:
        """Everything of this kind that carries one of these values under the label, and maybe more."""
        wanted = sorted(filter(None, values))
        selectors = [
            f"{key} in ({','.join(wanted[start : start + TOGETHER])}){more}"
            for start in range(0, len(wanted), TOGETHER)
        ]
        if len(wanted) > MOST:
            selectors = [f"{key}{more}"]
        asked = (list_all(self._client, kind, namespace, one, keep=kept) for one in selectors)
        return [thing for things, _ in await asyncio.gather(*asked) for thing in things]


def _owners(thing: Mapping[str, Any]) -> set[str]:
    return {text(owner, "uid") for owner in items(meta(thing), "ownerReferences")}
