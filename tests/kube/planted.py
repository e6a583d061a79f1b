"""Bugs to plant into the Kubernetes adapter: each takes one safety rule out of it for the time of a test."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import pytest

from controller.adapters import kube_adoption, kube_cluster, kube_foreign, kube_listing, kube_policy
from controller.adapters.kube_client import KubeClient, Refused
from controller.adapters.kube_cluster import KubeCluster
from controller.adapters.kube_lease import LeaseElector
from controller.adapters.kube_look import Look
from controller.adapters.kube_reading import job_of, text
from controller.adapters.kube_watch import Watching
from controller.ports import Created, CreateResult

Patch = pytest.MonkeyPatch
Json = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Bug:
    """One planted bug. ``sows`` patches it in; ``situation`` names what must find it."""

    name: str
    sows: Callable[[Patch], None]
    situation: str


# ---------------------------------------------------------------------------------------- requests


def _deletes_with(patch: Patch, change: Callable[[dict[str, Any]], object]) -> None:
    original = KubeClient.request

    async def request(client: KubeClient, method: str, path: str, body: Any = None, **more: Any) -> Any:
        if method == "DELETE":
            change(body)
        return await original(client, method, path, body, **more)

    patch.setattr(KubeClient, "request", request)


def deletes_by_name(patch: Patch) -> None:
    """The uid is looked at, and whatever has the name by then is deleted."""
    _deletes_with(patch, lambda body: body.pop("preconditions"))


def deletes_in_the_background(patch: Patch) -> None:
    """The Job goes at once, and its pod when it likes."""
    _deletes_with(patch, lambda body: body.update(propagationPolicy="Background"))


def deletes_what_is_not_ours(patch: Patch) -> None:
    """Nobody asks whose the object is."""

    async def still(cluster: KubeCluster, namespace: str, name: str, uid: str) -> bool:
        return True

    patch.setattr(KubeCluster, "_is_ours_still", still)


def no_answer_is_a_refusal(patch: Patch) -> None:
    """A request that nobody answered is taken for one that was refused."""

    async def unanswered(client: KubeClient, where: str, error: Exception, limit: float) -> Refused:
        return Refused(400, "NoAnswer", str(error), where)

    patch.setattr(KubeClient, "_unanswered", unanswered)


def server_errors_are_refusals(patch: Patch) -> None:
    """A 5xx is taken for a refusal, though what was asked may have been done."""
    original = KubeClient._meaning

    async def meaning(client: KubeClient, response: Any, body: str, where: str) -> Any:
        if response.status >= 500:
            return Refused(response.status, "Error", body, where)
        return await original(client, response, body, where)

    patch.setattr(KubeClient, "_meaning", meaning)


def library_repeats(patch: Patch) -> None:
    """The HTTP library sends a request again on its own when a connection was dropped."""
    original = KubeClient._connect

    async def connect(client: KubeClient) -> None:
        await original(client)
        assert client._session
        client._session._retry_connection = True

    patch.setattr(KubeClient, "_connect", connect)


def taken_is_made(patch: Patch) -> None:
    """Whoever holds a name that is taken, it is believed to be ours."""

    async def holder(cluster: KubeCluster, job: Any) -> Created:
        found = await cluster._find(kube_foreign.JOB, job.namespace, job.name)
        return Created(CreateResult.EXISTS_OURS, text((found or {}).get("metadata", {}), "uid"))

    patch.setattr(KubeCluster, "_holder", holder)


def policy_skipped(patch: Patch) -> None:
    """What is rendered goes to the API server as it is."""
    patch.setattr(kube_policy, "check", lambda body, policy, asked: None)


# ------------------------------------------------------------------------------------------- reads


def refused_list_is_empty(patch: Patch) -> None:
    """What may not be listed is taken for nothing."""
    original = kube_listing.list_if_served

    async def list_if_served(client: Any, kind: Any, namespace: str, *keep: Any) -> Any:
        try:
            return await original(client, kind, namespace, *keep)
        except Refused:
            return []

    patch.setattr(kube_listing, "list_if_served", list_if_served)


def reads_from_a_cache(patch: Patch) -> None:
    """Lists ask for any version, however old."""
    original = KubeClient.request

    async def request(client: KubeClient, method: str, path: str, body: Any = None, **more: Any) -> Any:
        if more.get("query"):
            more["query"] = {**more["query"], "resourceVersion": "0"}
        return await original(client, method, path, body, **more)

    patch.setattr(KubeClient, "request", request)


def pods_go_with_their_job(patch: Patch) -> None:
    """Where there is no Job, nobody looks for its pods."""
    original = KubeCluster.get

    async def get(cluster: KubeCluster, namespace: str, name: str, job_id: str) -> Any:
        live = await original(cluster, namespace, name, job_id)
        return replace(live, pods=live.pods if live.job else 0)

    patch.setattr(KubeCluster, "get", get)


def any_pod_is_the_jobs(patch: Patch) -> None:
    """A pod with the job id is this Job's, whichever Job made it."""
    for module in (kube_listing, kube_cluster):
        patch.setattr(module, "folded", lambda job, pods, events=(): job_of(job, pods, events))


def tombstones_are_jobs(patch: Patch) -> None:
    """A tombstone is read as a job of ours, which is complete."""
    patch.setattr(kube_listing, "job_of", lambda *parts: replace(job_of(*parts), tombstone=False))


def owned_count_too(patch: Patch) -> None:
    """A Job and each pod that it made take a place."""
    patch.setattr(kube_foreign, "_owned", lambda about, kinds: False)


def only_running_counts(patch: Patch) -> None:
    """Of others only what runs is counted: what is about to start is not."""
    original = kube_foreign.active

    def active(kind: Any, thing: Json, pods: Any = ()) -> bool:
        return original(kind, thing, pods) and kube_foreign._runs(kind, thing, pods)

    for module in (kube_foreign, kube_adoption, kube_cluster):
        patch.setattr(module, "active", active)


def expired_watch_goes_on(patch: Patch) -> None:
    """After a 410 a watch begins where it can, and what changed before is never listed."""
    original = Watching._list
    listed: set[tuple[str, str]] = set()

    async def once(watching: Watching, kind: Any, namespace: str) -> str:
        if (kind.kind, namespace) in listed:
            return ""
        listed.add((kind.kind, namespace))
        return await original(watching, kind, namespace)

    patch.setattr(Watching, "_list", once)


def silence_is_waited_out(patch: Patch) -> None:
    """A connection that says nothing may be half open: it is listened to for ever."""
    original = KubeClient.watch

    def watch(client: KubeClient, *given: Any, **more: Any) -> Any:
        client._silence = 86_400.0
        return original(client, *given, **more)

    patch.setattr(KubeClient, "watch", watch)


# ------------------------------------------------------------------------------------------ leading


def stolen_before_its_end(patch: Patch) -> None:
    """A standby does not wait until the Lease has been silent for its whole duration."""
    patch.setattr(LeaseElector, "_expires_at", lambda elector: 0.0)


def leads_for_ever(patch: Patch) -> None:
    """A leader that cannot renew goes on."""
    patch.setattr(LeaseElector, "_left", lambda elector: 5.0)


# ----------------------------------------------------------------------------------------- looks


def ended_pods_unasked(patch: Patch) -> None:
    """A Job that shows no pod has none: how it ended is not told."""

    async def ended(*given: Any) -> list[Json]:
        return []

    patch.setattr(Look, "_ended", ended)


def label_hides(patch: Patch) -> None:
    """What carries the label of what has ended is over, although a pod of it runs."""

    async def running_on(*given: Any) -> list[Json]:
        return []

    patch.setattr(Look, "_running_on", running_on)


def pods_need_a_job(patch: Patch) -> None:
    """A pod whose Job is gone is in no list."""
    patch.setattr(kube_cluster, "strays", lambda *given: ())


# --------------------------------------------------------------------------------------------- Leases


def conflict_is_success(patch: Patch) -> None:
    """A write that was refused because another was quicker is taken for done."""
    original = LeaseElector._granted

    async def granted(elector: LeaseElector, method: str, path: str, body: Any) -> bool:
        await original(elector, method, path, body)
        return True

    patch.setattr(LeaseElector, "_granted", granted)


BUGS: tuple[Bug, ...] = (
    Bug("no uid precondition", deletes_by_name, "replaced under a delete"),
    Bug("delete in the background", deletes_in_the_background, "an object stays until its pod is gone"),
    Bug("deletes what is not ours", deletes_what_is_not_ours, "what is foreign is never deleted"),
    Bug("no answer taken for a refusal", no_answer_is_a_refusal, "the reply to a create is lost"),
    Bug("5xx taken for a refusal", server_errors_are_refusals, "a create is answered 503"),
    Bug("the library repeats a delete", library_repeats, "a connection is dropped under a delete"),
    Bug("a taken name is ours", taken_is_made, "a foreign name is left alone"),
    Bug("policy not applied", policy_skipped, "the policy forbids the image"),
    Bug("a refused list is empty", refused_list_is_empty, "pods may not be listed"),
    Bug("lists from a cache", reads_from_a_cache, "a list is looked at on its way"),
    Bug("pods that outlive their Job", pods_go_with_their_job, "a Job goes before its pod"),
    Bug("a pod without its Job is not seen", pods_need_a_job, "a list shows a pod without its Job"),
    Bug("a pod of an earlier Job", any_pod_is_the_jobs, "a pod of an earlier Job is left"),
    Bug("tombstone is a success", tombstones_are_jobs, "a tombstone is never observed"),
    Bug("owned pods count too", owned_count_too, "others' Jobs are counted"),
    Bug("only running foreign counts", only_running_counts, "others' Jobs are counted"),
    Bug("ended pods are not asked for", ended_pods_unasked, "a list tells how a job ended"),
    Bug("a label hides what runs", label_hides, "an expiring Job runs"),
    Bug("410 of a watch ignored", expired_watch_goes_on, "a watch has expired"),
    Bug("a silent watch is waited for", silence_is_waited_out, "a watch falls silent"),
    Bug("Lease taken before its end", stolen_before_its_end, "a Lease is renewed"),
    Bug("leads without its Lease", leads_for_ever, "a Lease cannot be renewed"),
    Bug("409 on a Lease is success", conflict_is_success, "two take over a Lease at once"),
)


@contextmanager
def planted(bug: Bug) -> Iterator[None]:
    """The adapter with this bug in it."""
    with pytest.MonkeyPatch.context() as patch:
        bug.sows(patch)
        yield
