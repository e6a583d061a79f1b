"""The Cluster port on Kubernetes: `batch/v1` Jobs, one pod each, known by their labels and uids.

Run:ai is this adapter with its own scheduler and more kinds to count. Every write has three outcomes:
done, ``Rejected`` (a definite 4xx) or ``Unavailable`` (unknown). Deletes and patches carry the uid.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

from controller.adapters import kube_policy, labels
from controller.adapters.kube_adoption import Others
from controller.adapters.kube_client import JSON_PATCH, KubeClient, Refused, rejected
from controller.adapters.kube_folded import Folded
from controller.adapters.kube_foreign import JOB, POD, Kind, active, roots
from controller.adapters.kube_listing import (
    folded,
    get_one,
    list_all,
    needs_events,
    object_of,
    pods_by_job,
    strays,
)
from controller.adapters.kube_logs import Logs
from controller.adapters.kube_look import TOGETHER, Look
from controller.adapters.kube_object_events import ObjectEvents
from controller.adapters.kube_reading import event_lines, is_ours, labels_of, meta, pod_ended, text
from controller.adapters.kube_render import render_job, render_tombstone
from controller.adapters.kube_settings import KubeSettings
from controller.adapters.kube_shared import Shared
from controller.adapters.kube_watch import Watching
from controller.core.sight import Adoptable, ClusterJob, ForeignObject, Hint, Live, Observation, Stray
from controller.ports import Clock, Created, CreateResult, NewJob, Rejected, Unavailable

Json = Mapping[str, Any]

FORBIDDEN, CONFLICT, UNPROCESSABLE, THROTTLED = 403, 409, 422, 429


@dataclass(frozen=True, slots=True)
class _Seen:
    """What the lists of one namespace show."""

    jobs: dict[str, ClusterJob]
    foreign: tuple[ForeignObject, ...]
    unserved: frozenset[str]
    strays: tuple[Stray, ...]


class KubeCluster:
    """A Kubernetes cluster. ``open`` the client first; ``close`` lets it go, jobs go on."""

    def __init__(
        self,
        client: KubeClient,
        settings: KubeSettings,
        clock: Clock,
        restarted: Callable[[str, str], None] | None = None,
    ) -> None:
        """``restarted`` is told the resource and the reason of each watch that is begun anew."""
        self.scheduler_type = settings.scheduler_type
        self._client = client
        self._settings = settings
        self._clock = clock
        self._restarted = restarted or (lambda resource, reason: None)
        self._kinds = {kind.kind: kind for kind in settings.kinds}
        self._logs = Logs(client)
        self._events = ObjectEvents(client)
        self._look = Look(client, settings.kinds, settings.instance)
        self._folded = Folded(settings.instance)
        self._others = Others(client, settings.kinds, settings.instance)
        self._pod_lists = Shared("pods", TOGETHER, self._pods_of)

    # -------------------------------------------------------------------------------------------- reads

    async def observe(self, namespaces: Sequence[str]) -> Observation:
        """See ``Cluster.observe``: all kinds of a namespace, or the namespace is blind."""
        asked = self._clock.monotonic()
        found = await asyncio.gather(*(self._namespace(one) for one in namespaces))
        jobs: dict[str, ClusterJob] = {}
        foreign: list[ForeignObject] = []
        left: list[Stray] = []
        blind, unserved = {}, frozenset[str]()
        for namespace, seen in zip(namespaces, found, strict=True):
            if isinstance(seen, str):
                blind[namespace] = seen
            else:
                jobs |= seen.jobs
                foreign += seen.foreign
                unserved |= seen.unserved
                left += seen.strays
        listed = frozenset(namespaces) - blind.keys()
        if blind and not listed:
            raise Unavailable(next(iter(blind.values())))
        return Observation(asked, listed, blind, jobs, tuple(foreign), unserved, tuple(left))

    async def _namespace(self, namespace: str) -> _Seen | str:
        """What is to be seen of a namespace, or why it can't be listed."""
        try:
            lists = await self._look.lists(namespace)
            unserved = frozenset(kind.api for kind, things in lists.items() if things is None)
            listed = {kind: things or [] for kind, things in lists.items()}
            if {JOB.api, POD.api} & unserved:
                return f"namespace {namespace}: the API server serves no Jobs or no Pods"
            jobs = await self._folded.jobs(namespace, listed[JOB], listed[POD])
            instance = self._settings.instance
            left = strays(listed[JOB], listed[POD], instance)
            return _Seen(await self._with_events(jobs), roots(listed, instance), unserved, left)
        except (Refused, Unavailable) as error:
            return f"namespace {namespace} can't be listed: {error}"

    async def _with_events(self, jobs: dict[str, ClusterJob]) -> dict[str, ClusterJob]:
        """Events for what has ended without ever starting: nothing else tells what became of it."""
        silent = [job for job in jobs.values() if job.finished and needs_events(job)]

        async def told(job: ClusterJob) -> ClusterJob:  # all at one time: they share their lists
            pods = await self._pods(job.namespace, job.job_id)
            return replace(job, events=event_lines(await self._told(job.namespace, job.uid, pods)))

        for job in await asyncio.gather(*map(told, silent)):
            jobs[job.job_id] = job
        return jobs

    async def get(self, namespace: str, name: str, job_id: str) -> Live:
        """See ``Cluster.get``. Events are asked for where only they can tell why nothing starts."""
        asked = self._clock.monotonic()
        try:
            job = await self._find(JOB, namespace, name)
            pods = await self._pods(namespace, job_id)
        except Refused as error:
            raise Unavailable(str(error)) from None
        unfinished = sum(not pod_ended(pod) for pod in pods)
        if job is None:
            return Live(asked, pods=unfinished)
        if not self._is(job, job_id):
            return Live(asked, foreign_uid=text(meta(job), "uid"), pods=unfinished)
        shown = folded(job, pods)
        if needs_events(shown):
            shown = folded(job, pods, await self._told(namespace, shown.uid, pods))
        return Live(asked, shown, pods=unfinished)

    async def get_uid(self, namespace: str, name: str, kind: str, uid: str) -> bool:
        """See ``Cluster.get_uid``. A kind that is counted no longer takes no place."""
        known = self._kinds.get(kind)
        if known is None:
            return False
        try:
            thing = await self._find(known, namespace, name)
            there = thing if thing is not None and text(meta(thing), "uid") == uid else None
            if there is not None and known != JOB and active(known, there):
                return True
            # It may have gone in the background, or say that it is over: its pods may run all the same.
            pods = await self._others.pods(namespace, known, uid)
        except Refused as error:
            raise Unavailable(str(error)) from None
        if there is not None and active(known, there, pods):
            return True
        return any(not pod_ended(pod) for pod in pods)

    async def find(self, namespace: str, prefix: str) -> Sequence[Adoptable]:
        """See ``Cluster.find``."""
        return await self._others.find(namespace, prefix)

    async def find_uid(self, namespace: str, name: str, kind: str, uid: str) -> ClusterJob | None:
        """See ``Cluster.find_uid``."""
        return await self._others.find_uid(namespace, name, kind, uid)

    async def log_tail(self, job: ClusterJob, max_bytes: int) -> str:
        """See ``Cluster.log_tail``."""
        return await self._logs.tail(job, max_bytes)

    # ------------------------------------------------------------------------------------------- writes

    async def create(self, job: NewJob) -> Created:
        """See ``Cluster.create``. What heals (a quota, our rights) is ``Rejected`` with code 429."""
        body = render_job(job, self._settings.rendering)
        kube_policy.check(body, self._settings.policy, job.input.image)
        return await self._post(job, body)

    async def bury(self, job: NewJob, ttl: timedelta) -> Created:
        """See ``Cluster.bury``."""
        return await self._post(job, render_tombstone(job, self._settings.rendering, ttl))

    async def _post(self, job: NewJob, body: Mapping[str, Any]) -> Created:
        try:
            path = _job_path(job.namespace)
            answer = await self._client.request("POST", path, body, resource="jobs")
            made = object_of(answer, f"POST {path}")
        except Refused as error:
            if error.code == CONFLICT:
                return await self._holder(job)
            if error.heals:
                raise Rejected(str(error), THROTTLED) from None
            raise rejected(error) from None
        return Created(CreateResult.CREATED, text(meta(made), "uid"))

    async def _holder(self, job: NewJob) -> Created:
        """Who holds the name that is taken."""
        try:
            found = await self._find(JOB, job.namespace, job.name)
        except Refused as error:
            raise Unavailable(str(error)) from None
        if found is None:
            # This POST has made nothing, whatever was in its way: the name, or two at once on one quota.
            raise Rejected(f"job {job.namespace}/{job.name} met a conflict that is over", THROTTLED)
        uid = text(meta(found), "uid")
        if not self._is(found, job.job_id):
            return Created(CreateResult.EXISTS_FOREIGN, uid)
        buried = labels.TOMBSTONE in labels_of(found)
        return Created(CreateResult.EXISTS_TOMBSTONE if buried else CreateResult.EXISTS_OURS, uid)

    async def delete(self, namespace: str, name: str, uid: str) -> None:
        """See ``Cluster.delete``: in the foreground, so that the Job goes after its pod."""
        if not await self._is_ours_still(namespace, name, uid):
            return
        body = {"propagationPolicy": "Foreground", "preconditions": {"uid": uid}}
        try:
            await self._client.request("DELETE", _job_path(namespace, name), body, resource="jobs")
        except Refused as error:
            if not error.absent and error.code != CONFLICT:  # gone, or another uid by now
                raise _not_done(error) from None

    async def expire(self, namespace: str, name: str, uid: str, ttl: timedelta) -> None:
        """See ``Cluster.expire``; ``ttl`` counts from the object's end.

        The patch tests uid and labels itself, so that it needs no look before it.
        """
        patch: list[dict[str, Any]] = [
            {"op": "test", "path": "/metadata/uid", "value": uid},
            {
                "op": "test",
                "path": f"/metadata/labels/{_escaped(labels.MANAGED_BY)}",
                "value": labels.MANAGER,
            },
            {
                "op": "test",
                "path": f"/metadata/labels/{_escaped(labels.INSTANCE)}",
                "value": self._settings.instance,
            },
            {
                "op": "add",
                "path": "/spec/ttlSecondsAfterFinished",
                "value": max(0, round(ttl.total_seconds())),
            },
            {  # and no pass lists it any more
                "op": "add",
                "path": f"/metadata/labels/{_escaped(labels.EXPIRING)}",
                "value": self._settings.instance,
            },
        ]
        try:
            path = _job_path(namespace, name)
            await self._client.request("PATCH", path, patch, resource="jobs", content=JSON_PATCH)
        except Refused as error:
            if error.code == UNPROCESSABLE and not await self._is_ours_still(namespace, name, uid):
                return
            if not error.absent and error.code != CONFLICT:
                raise _not_done(error) from None

    async def _is_ours_still(self, namespace: str, name: str, uid: str) -> bool:
        """Whether this very object is there. Raises ``Rejected`` when it is somebody else's."""
        try:
            found = await self._find(JOB, namespace, name)
        except Refused as error:
            raise Unavailable(str(error)) from None
        if found is None or text(meta(found), "uid") != uid:
            return False
        if not is_ours(found, self._settings.instance):
            raise Rejected(f"{namespace}/{name} is not ours: nothing of others is changed", FORBIDDEN)
        return True

    # -------------------------------------------------------------------------------------------- hints

    def changes(self) -> AsyncIterator[Hint]:
        """See ``Cluster.changes``; without watches it says nothing, and the periodic pass is all."""
        return Watching(self._client, self._settings, self._restarted).hints()

    async def close(self) -> None:
        """See ``Cluster.close``."""
        await self._events.close()
        await self._pod_lists.close()
        await self._client.close()

    # ------------------------------------------------------------------------------------------ questions

    async def _find(self, kind: Kind, namespace: str, name: str) -> dict[str, Any] | None:
        """The object; None: there is none. Raises ``Refused`` when the API server did not say so."""
        try:
            return await get_one(self._client, kind, namespace, name)
        except Refused as error:
            if error.absent:
                return None
            raise

    async def _pods(self, namespace: str, job_id: str) -> list[Json]:
        """Pods by job-id label, whatever owns them, the oldest first."""
        return (await self._pod_lists.ask(namespace, {job_id})).get(job_id, [])

    async def _pods_of(self, namespace: str, job_ids: Collection[str]) -> Mapping[str, list[Json]]:
        """Those of several jobs, from one list: their label is in no index of the API server's."""
        first, *more = sorted(job_ids)
        one_of = f"{labels.JOB_ID} in ({','.join((first, *more))})" if more else f"{labels.JOB_ID}={first}"
        pods, _ = await list_all(self._client, POD, namespace, one_of)
        return pods_by_job(sorted(pods, key=lambda pod: text(meta(pod), "creationTimestamp")))

    async def _told(
        self, namespace: str, uid: str, pods: Sequence[Mapping[str, Any]]
    ) -> list[Mapping[str, Any]]:
        """Events about a Job and its pods; evidence only, so whoever may not read them goes without."""
        its_pods = {one for one in (text(meta(pod), "uid") for pod in pods) if one}
        told = await asyncio.gather(
            self._events.about("Job", namespace, {uid}), self._events.about("Pod", namespace, its_pods)
        )
        return [one for found in told for one in found]

    def _is(self, job: Mapping[str, Any], job_id: str) -> bool:
        return is_ours(job, self._settings.instance) and labels_of(job)[labels.JOB_ID] == job_id


def _not_done(error: Refused) -> Rejected | Unavailable:
    """A delete or a patch that was refused: for good, or for now."""
    return Unavailable(str(error)) if error.heals else rejected(error)


def _job_path(namespace: str, name: str = "") -> str:
    return f"{JOB.path}/namespaces/{namespace}/jobs" + (f"/{name}" if name else "")


def _escaped(key: str) -> str:
    """As one part of a JSON pointer."""
    return key.replace("~", "~0").replace("/", "~1")
