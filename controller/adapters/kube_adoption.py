"""Objects under a batch's names, with the evidence that is still there: others' may be taken over (S11).

Reads only. A workload, the Job that it made and that Job's pods are one object: its root. Called by
``kube_cluster`` for ``find`` and ``find_uid``.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from controller.adapters.kube_client import KubeClient, Refused
from controller.adapters.kube_foreign import JOB, POD, Kind, active, roots
from controller.adapters.kube_listing import get_one, list_all, list_namespace, our_jobs, owned_by
from controller.adapters.kube_logs import CONTROLLER_UID
from controller.adapters.kube_reading import dig, items, job_of, main_container, meta, pod_ended, text
from controller.adapters.kube_refusals import NOT_FOUND
from controller.adapters.kube_render import MAIN
from controller.core.sight import Adoptable, ClusterJob
from controller.ports import Unavailable

Json = Mapping[str, Any]

RUNNING = "Running"
COMPLETE = "Complete"
"""The condition by which a Job proves its success; a workload's phase says the same."""


def others_job(kind: Kind, thing: Json, pods: Sequence[Json]) -> ClusterJob:
    """The object as the engine sees one; ``pods``: its own. Whatever labels it wears are not ours."""
    about = meta(thing)
    takes_place = active(kind, thing, pods)
    succeeded = None if takes_place else _succeeded(kind, thing)
    shown = job_of(thing if kind == JOB else None, _telling(pods, succeeded))
    if succeeded is None:
        succeeded = shown.succeeded
    proven = succeeded is True and kind != POD
    created_at = job_of(thing).created_at
    # Not every workload's pods are owned by a kind that is counted: its phase tells as much.
    runs = takes_place and kind not in (JOB, POD) and text(dig(thing, "status"), "phase") == RUNNING
    conditions = tuple(dict.fromkeys((*shown.conditions, COMPLETE))) if proven else shown.conditions
    return replace(
        shown,
        name=text(about, "name"),
        namespace=text(about, "namespace"),
        uid=text(about, "uid"),
        job_id="",
        batch_id="",
        task_id="",
        attempt=0,
        tombstone=False,
        deleting="deletionTimestamp" in about,
        finished=not takes_place,
        pod_unfinished=any(not pod_ended(pod) for pod in pods),
        succeeded=succeeded,
        exit_code=None if proven and shown.exit_code != 0 else shown.exit_code,
        conditions=conditions,
        created_at=created_at,
        started_at=shown.started_at or (created_at if runs else None),
    )


def _succeeded(kind: Kind, thing: Json) -> bool | None:
    """What an object that has ended says itself of its end; None: its pods tell."""
    if kind == JOB:
        return job_of(thing).succeeded
    return None if kind == POD else text(dig(thing, "status"), "phase") in kind.succeeded


def _telling(pods: Sequence[Json], succeeded: bool | None) -> list[Json]:
    """The one pod to judge by: one that runs, else the newest that ended as the object did."""
    phase = {True: "Succeeded", False: "Failed"}.get(succeeded) if succeeded is not None else None

    def rank(pod: Json) -> tuple[bool, bool, str, str]:
        fits = text(dig(pod, "status"), "phase") == phase
        return not pod_ended(pod), fits, text(meta(pod), "creationTimestamp"), text(meta(pod), "name")

    return [_with_main(max(pods, key=rank))] if pods else []


def _with_main(pod: Json) -> Json:
    """The pod with only that container's status, under the name that our own has."""
    name = main_container(pod)
    kept = [
        {**one, "name": MAIN}
        for one in items(dig(pod, "status"), "containerStatuses")
        if text(one, "name") == name
    ]
    return {**pod, "status": {**dig(pod, "status"), "containerStatuses": kept}}


def pods_of(uid: str, jobs: Iterable[Json], pods: Iterable[Json]) -> list[Json]:
    """The pods of the object with this uid: itself, its own, and those of the Jobs that it made."""
    owners = {uid, *(text(meta(job), "uid") for job in jobs if owned_by(job, uid))}
    return [
        pod
        for pod in pods
        if text(meta(pod), "uid") == uid or any(owned_by(pod, owner) for owner in owners if owner)
    ]


class Others:
    """Asks the API server for objects of others.

    ``find`` and ``find_uid`` raise ``Unavailable`` when they can't see all.
    """

    def __init__(self, client: KubeClient, kinds: Sequence[Kind], instance: str) -> None:
        self._client = client
        self._kinds = {kind.kind: kind for kind in kinds}
        self._instance = instance

    async def find(self, namespace: str, prefix: str) -> list[Adoptable]:
        """See ``Cluster.find``."""
        try:
            lists = await list_namespace(self._client, self._kinds.values(), namespace)
        except Refused as error:
            raise Unavailable(str(error)) from None
        if lists[JOB] is None or lists[POD] is None:
            raise Unavailable(f"namespace {namespace}: the API server serves no Jobs or no Pods")
        listed = {kind: things or [] for kind, things in lists.items()}
        by_uid = {text(meta(thing), "uid"): thing for things in listed.values() for thing in things}
        ours = our_jobs(listed[JOB], listed[POD], self._instance).values()
        found = [Adoptable(JOB.kind, job) for job in ours if job.name.startswith(prefix)]
        return found + [
            Adoptable(
                root.kind,
                others_job(
                    self._kinds[root.kind], by_uid[root.uid], pods_of(root.uid, listed[JOB], listed[POD])
                ),
            )
            for root in roots(listed, self._instance, only_active=False)
            if root.name.startswith(prefix) and root.uid in by_uid
        ]

    async def find_uid(self, namespace: str, name: str, kind: str, uid: str) -> ClusterJob | None:
        """See ``Cluster.find_uid``. A kind that is counted no longer can't be followed: ``Unavailable``."""
        known = self._kinds.get(kind)
        if known is None:
            raise Unavailable(f"{kind} {namespace}/{name} was taken over, and its kind is counted no more")
        try:
            thing = await self._get(known, namespace, name)
            pods = await self.pods(namespace, known, uid)
        except Refused as error:
            raise Unavailable(str(error)) from None
        if thing is not None and text(meta(thing), "uid") == uid:
            return others_job(known, thing, [thing] if known == POD else pods)
        if known == POD or all(pod_ended(pod) for pod in pods):
            return None
        left = {"metadata": {"name": name, "namespace": namespace, "uid": uid}}
        return replace(others_job(known, left, pods), finished=False)

    async def _get(self, kind: Kind, namespace: str, name: str) -> Json | None:
        try:
            return await get_one(self._client, kind, namespace, name)
        except Refused as error:
            if error.absent:
                return None
            if error.code == NOT_FOUND:  # a path that nobody serves: it may live on as another version
                raise Unavailable(
                    f"{kind.kind} {namespace}/{name} was taken over, and {kind.api} is not served: "
                    "what became of it can't be seen"
                ) from None
            raise

    async def pods(self, namespace: str, kind: Kind, uid: str) -> list[Json]:
        """The object's own pods: of a Job by its label, else by their owners. Raises ``Refused``, too."""
        if kind == POD:
            return []
        if kind == JOB:
            pods, _ = await list_all(self._client, POD, namespace, f"{CONTROLLER_UID}={uid}")
            return list(pods)
        (jobs, _), (pods, _) = await asyncio.gather(
            list_all(self._client, JOB, namespace), list_all(self._client, POD, namespace)
        )
        return pods_of(uid, jobs, pods)
