"""Complete lists of what a namespace holds, and the folding of Jobs and Pods into the engine's words."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from controller.adapters import labels
from controller.adapters.kube_client import KubeClient, Refused
from controller.adapters.kube_foreign import JOB, POD, Kind
from controller.adapters.kube_page import ITEMS, read_page
from controller.adapters.kube_reading import dig, is_ours, items, job_of, labels_of, meta, pod_ended, text
from controller.adapters.kube_refusals import NOT_FOUND, of_another
from controller.core.sight import ClusterJob, ForeignObject, Stray
from controller.ports import Unavailable

Json = dict[str, Any]

PAGE = 1000
"""Objects in one page of a list: ten thousand Jobs and their Pods are twenty requests in a pass."""
RESTARTS = 3
"""How often a list starts anew because its pages expired under it."""
CONFLICT, GONE = 409, 410

Keep = Callable[[Mapping[str, Any]], Json]
Chosen = Mapping[str, str]
"""Selectors of a list, as its query has them."""


def whole(thing: Mapping[str, Any]) -> Json:
    """The object as it came."""
    return dict(thing)


async def list_all(
    client: KubeClient,
    kind: Kind,
    namespace: str,
    selector: str = "",
    size: int = PAGE,
    keep: Keep = whole,
    chosen: Chosen | None = None,
) -> tuple[list[Json], str]:
    """Every object of the kind in the namespace, in pages of that size, and the list's resource version.

    ``keep`` makes what is returned of each: no more than one object is ever held as it came. ``chosen``: what
    else is asked of the API server than all, or than those of the label ``selector``.
    From etcd, never from a cache that may be stale (no ``resourceVersion=0``); a page that expired starts
    the list anew. Raises ``Refused``, ``Unavailable``.
    """
    for _ in range(RESTARTS):
        try:
            asked = {"labelSelector": selector} if selector else {}
            return await _pages(client, kind, namespace, asked | dict(chosen or {}), size, keep)
        except Refused as error:
            if error.code != GONE:
                raise
    raise Unavailable(f"the list of {kind.resource} in {namespace} expired {RESTARTS} times under way")


async def _pages(
    client: KubeClient, kind: Kind, namespace: str, chosen: Chosen, size: int, keep: Keep
) -> tuple[list[Json], str]:
    path = f"{kind.path}/namespaces/{namespace}/{kind.resource}"
    found: list[Json] = []
    query, read = {"limit": str(size), **chosen}, partial(read_page, keep=keep)
    while True:
        page = await client.request("GET", path, resource=kind.resource, query=query, read=read)
        if not isinstance(page.get("metadata"), dict):
            raise of_another(f"GET {path}")
        found += page[ITEMS]
        about = meta(page)
        if not (more := text(about, "continue")):
            return found, text(about, "resourceVersion")
        query["continue"] = more


async def get_one(client: KubeClient, kind: Kind, namespace: str, name: str) -> Json:
    """The object of this name. Raises ``Refused``, ``Unavailable``."""
    path = f"{kind.path}/namespaces/{namespace}/{kind.resource}/{name}"
    return object_of(await client.request("GET", path, resource=kind.resource), f"GET {path}")


def object_of(answer: Json, where: str) -> Json:
    """The answer, if it is an object. Raises ``Unavailable``."""
    if not text(meta(answer), "uid"):
        raise of_another(where)
    return answer


async def list_if_served(
    client: KubeClient, kind: Kind, namespace: str, keep: Keep = whole, chosen: Chosen | None = None
) -> list[Json] | None:
    """All objects of the kind; None where its API group is not served at all."""
    try:
        found, _ = await list_all(client, kind, namespace, keep=keep, chosen=chosen)
    except Refused as error:
        if error.code == NOT_FOUND:
            return None
        raise
    return found


async def list_namespace(
    client: KubeClient,
    kinds: Iterable[Kind],
    namespace: str,
    keep: Keep = whole,
    chosen: Mapping[Kind, Chosen] | None = None,
) -> dict[Kind, list[Json] | None]:
    """The lists of all kinds side by side; None for a kind that is not served."""
    wanted, choice = tuple(kinds), chosen or {}
    lists = await asyncio.gather(
        *(list_if_served(client, kind, namespace, keep, choice.get(kind)) for kind in wanted)
    )
    return dict(zip(wanted, lists, strict=True))


def pods_by_job(pods: Iterable[Mapping[str, Any]]) -> dict[str, list[Mapping[str, Any]]]:
    """Pods by their job-id label, whatever owns them."""
    found: dict[str, list[Mapping[str, Any]]] = {}
    for pod in pods:
        if job_id := text(dig(meta(pod), "labels"), labels.JOB_ID):
            found.setdefault(job_id, []).append(pod)
    return found


def folded(
    job: Mapping[str, Any],
    pods: Sequence[Mapping[str, Any]],
    events: Sequence[Mapping[str, Any]] = (),
) -> ClusterJob:
    """The Job with its own pod; a pod of an earlier Job of the same job id only keeps it unfinished."""
    uid = text(meta(job), "uid")
    own = [pod for pod in pods if owned_by(pod, uid)]
    shown = job_of(job, own, events)
    strays = any(not pod_ended(pod) for pod in pods if not owned_by(pod, uid))
    return replace(shown, pod_unfinished=True) if strays else shown


def owned_by(pod: Mapping[str, Any], uid: str) -> bool:
    """Whether an object of this uid owns the pod."""
    return any(text(owner, "uid") == uid for owner in items(meta(pod), "ownerReferences"))


def our_jobs(
    jobs: Iterable[Mapping[str, Any]], pods: Iterable[Mapping[str, Any]], instance: str
) -> dict[str, ClusterJob]:
    """Our objects by job id, tombstones left out. Of two with one job id, the one that takes a place."""
    by_job = pods_by_job(pods)
    found: dict[str, ClusterJob] = {}
    for job in jobs:
        if is_ours(job, instance):
            put(found, folded(job, by_job.get(labels_of(job)[labels.JOB_ID], ())))
    return found


def put(found: dict[str, ClusterJob], shown: ClusterJob) -> None:
    """Add one of ours to those of the same list; which of two is told does not hang on the list's order."""
    other = found.get(shown.job_id)
    if not shown.tombstone and (other is None or _tells_more(shown) > _tells_more(other)):
        found[shown.job_id] = shown


def _tells_more(job: ClusterJob) -> tuple[bool, bool, str]:
    return job.active, not job.finished, job.uid


def strays(
    jobs: Iterable[Mapping[str, Any]], pods: Iterable[Mapping[str, Any]], instance: str
) -> tuple[Stray, ...]:
    """Pods of ours that have not ended and that none of these Jobs owns, each as the Job that it names."""
    there = {text(meta(job), "uid") for job in jobs}
    found = []
    for pod in pods:
        owners = items(meta(pod), "ownerReferences")
        if not is_ours(pod, instance) or pod_ended(pod) or any(text(one, "uid") in there for one in owners):
            continue
        job = next((one for one in owners if text(one, "kind") == JOB.kind), None)
        about, kind = (job, JOB.kind) if job else (meta(pod), POD.kind)
        runs = text(dig(pod, "status"), "phase") == "Running"
        place = text(meta(pod), "namespace")
        left = ForeignObject(text(about, "name"), place, text(about, "uid"), kind, True, runs, orphan=True)
        found.append(Stray(labels_of(pod)[labels.JOB_ID], left))
    return tuple(found)


def needs_events(job: ClusterJob) -> bool:
    """Whether only Events can tell what became of it: it never started, and may never."""
    return not job.started and not job.succeeded and not job.tombstone and not job.expiring


__all__ = [
    "JOB",
    "POD",
    "folded",
    "list_all",
    "list_namespace",
    "needs_events",
    "our_jobs",
    "pods_by_job",
    "strays",
]
