"""Situations on a real API server in which a planted bug must show: each fails when a rule is gone.

Most are tests of the suites as they stand. A situation makes its own place, so that it can be had twice.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from controller.adapters import kube_watch
from controller.adapters.kube_access import Right, rules_for
from controller.adapters.kube_client import KubeClient
from controller.adapters.kube_cluster import KubeCluster
from controller.adapters.system_clock import SystemClock
from controller.core.policy import Policy
from controller.core.sight import ForeignObject, Stray
from controller.ports import Rejected, Unavailable
from tests.contract.cluster_suite import ClusterSuite
from tests.contract.cluster_world import Does
from tests.control_plane.jobs import jobs_path, manifest
from tests.control_plane.plane import ControlPlane
from tests.control_plane.recorder import recorded
from tests.kube import test_answers, test_client, test_faults, test_watch_streams
from tests.kube.loopback import Loopback, loopback, status, streams
from tests.kube.place import rules
from tests.kube.world import KubeWorld, opened, settings
from tests.leading import test_lease
from tests.leading.candidates import TERMS, candidate, play
from tests.leading.leases import HANGS, Leases

EARLIER = {"propagationPolicy": "Orphan"}


@dataclass(frozen=True, slots=True)
class Here:
    """Where a situation takes place: a control plane with a namespace of its own, and a folder."""

    plane: ControlPlane
    namespace: str
    folder: Path


Situation = Callable[[Here], Awaitable[None]]


@asynccontextmanager
async def world_of(here: Here, kubeconfig: Path | None = None, **more: Any) -> AsyncIterator[KubeWorld]:
    """An adapter there; ``more`` are fields of its settings."""
    cluster = await opened(settings(kubeconfig or here.plane.kubeconfig(), here.namespace, **more))
    try:
        with recorded(here.plane.admin, here.namespace) as recorder:
            yield KubeWorld(here.plane, here.namespace, cluster, recorder)
    finally:
        await cluster.close()


@asynccontextmanager
async def server_of(here: Here) -> AsyncIterator[tuple[Loopback, KubeClient]]:
    """A server that misbehaves as it is told, and a client of it."""
    async with loopback() as server:
        client = await test_client.opened(server, here.folder)
        try:
            yield server, client
        finally:
            await client.close()


def suite(test: Callable[[ClusterSuite, KubeWorld], Awaitable[None]]) -> Situation:
    """A test of the contract."""

    async def situation(here: Here) -> None:
        async with world_of(here) as world:
            await test(ClusterSuite(), world)

    return situation


def elections(test: Callable[[], None]) -> Situation:
    """A test of the election, on virtual time; a loop of its own needs a thread of its own."""

    async def situation(here: Here) -> None:
        await asyncio.to_thread(test)

    return situation


# ---------------------------------------------------------------------------------------- requests


async def replaced_under_a_delete(here: Here) -> None:
    """Between the look and the delete another controller replaces the object: that one stays."""
    async with world_of(here) as world:
        job = world.job("sweep-1", Does.STAY)
        first = await world.cluster.create(job)
        await world.started(job)
        assert isinstance(world.cluster, KubeCluster)
        look = world.cluster._is_ours_still
        replaced: list[str] = []

        async def looked(namespace: str, name: str, uid: str) -> bool:
            found = await look(namespace, name, uid)
            world.remove_foreign(name)
            await world.gone(job)
            replaced.append((await world.cluster.create(job)).uid)
            return found

        world.cluster._is_ours_still = looked  # type: ignore[method-assign]
        await world.cluster.delete(here.namespace, job.name, first.uid)
        shown = await world.shown(job)
        assert shown is not None
        assert (shown.uid, shown.deleting) == (replaced[0], False)


async def reply_lost(here: Here) -> None:
    """A create is applied, and nobody hears it."""
    await test_faults.test_the_reply_to_a_create_is_lost(here.plane, here.namespace)


async def answered_503(here: Here) -> None:
    """A server in front of the API server gives up: the create may be done all the same."""
    async with server_of(here) as (server, client):
        cluster = KubeCluster(client, settings(here.folder, "lab"), SystemClock())
        server.will(status(503, "ServiceUnavailable"))
        with pytest.raises(Unavailable):
            await cluster.create(test_answers.JOB)


async def dropped_under_a_delete(here: Here) -> None:
    """A connection is dropped under a delete: the server sees it once."""
    async with server_of(here) as (server, client):
        await test_client.test_no_request_is_replayed(server, client, "DELETE", library=False)


async def forbidden_image(here: Here) -> None:
    """An older policy's record asks for an image that the operator no longer allows."""
    policy = Policy(namespaces=(here.namespace,), images=("registry.example.com",))
    async with world_of(here, policy=policy) as world:
        with pytest.raises(Rejected, match="policy"):
            await world.cluster.create(world.job("sweep-1", Does.SUCCEED))
        assert world.history() == []


# ------------------------------------------------------------------------------------------- reads


async def pods_may_not_be_listed(here: Here) -> None:
    """A Role was cut short under way: the namespace is blind, and not empty."""
    rights = [Right("", "pods", ("get",)) if one.resource == "pods" else one for one in rules_for(())]
    account = here.plane.service_account(here.namespace, "short", rules(rights))
    async with world_of(here, account.kubeconfig) as world:
        with pytest.raises(Unavailable, match="can't be listed"):
            await world.cluster.observe([here.namespace])


async def looked_at_on_its_way(here: Here) -> None:
    """What the API server is asked for when a list expires and begins anew."""
    async with server_of(here) as (server, client):
        await test_watch_streams.test_a_list_that_expires_under_way(server, client)


async def job_before_its_pod(here: Here) -> None:
    """Somebody deletes our Job in the background: its pod still runs, and is seen."""
    async with world_of(here) as world:
        job = world.job("sweep-1", Does.IGNORE)
        await world.cluster.create(job)
        await world.started(job)
        path = jobs_path(here.namespace, job.name)
        here.plane.admin.delete(path, propagationPolicy="Background")
        await world.gone(job)
        assert (await world.cluster.get(here.namespace, job.name, job.job_id)).pods == 1


async def pod_without_its_job(here: Here) -> None:
    """A list shows the pod that runs on, as the Job that it had; that uid stands for it until it ends."""
    async with world_of(here) as world:
        job = world.job("sweep-1", Does.IGNORE)
        made = await world.cluster.create(job)
        await world.started(job)
        assert (await world.cluster.observe([here.namespace])).strays == ()
        path = jobs_path(here.namespace, job.name)
        here.plane.admin.delete(path, propagationPolicy="Background")
        await world.gone(job)
        left = ForeignObject(job.name, here.namespace, made.uid, "Job", started=True, orphan=True)
        assert (await world.cluster.observe([here.namespace])).strays == (Stray(job.job_id, left),)
        assert await world.cluster.get_uid(here.namespace, left.name, left.kind, left.uid)


async def pod_of_an_earlier_job(here: Here) -> None:
    """The Job before was deleted and its ended pod kept; the new one, which gets no pod, has not ended."""
    async with world_of(here) as world:
        job = world.job("sweep-1", Does.FAIL)
        await world.cluster.create(job)
        await world.finished(job)
        here.plane.admin.delete(jobs_path(here.namespace, job.name), **EARLIER)
        await world.gone(job)
        await no_more_pods(here, world)
        again = await world.cluster.create(job)
        shown = await world.shown(job)
        assert shown is not None
        assert (shown.uid, shown.finished, shown.exit_code) == (again.uid, False, None)


async def no_more_pods(here: Here, world: KubeWorld) -> None:
    """A quota that is used up by the pods that there are."""
    quotas = f"/api/v1/namespaces/{here.namespace}/resourcequotas"
    here.plane.admin.create(quotas, {"metadata": {"name": "none"}, "spec": {"hard": {"count/pods": "1"}}})

    async def counted() -> bool:
        return bool(here.plane.admin.get(f"{quotas}/none").get("status", {}).get("used"))

    await world.until(counted)


async def others_are_counted(here: Here) -> None:
    """One Job of others runs and one never starts: two places, whatever they have made."""
    async with world_of(here) as world:
        for name, end in (("others-1", "never"), ("others-2", "mount-failure")):
            here.plane.admin.create(jobs_path(here.namespace), manifest(name, {"END": end}))

        async def pods() -> bool:
            found = here.plane.admin.get(f"/api/v1/namespaces/{here.namespace}/pods")["items"]
            return [one["status"].get("phase") for one in found].count("Running") == 1 and len(found) == 2

        await world.until(pods)
        seen = await world.cluster.observe([here.namespace])
        assert sorted((one.kind, one.name) for one in seen.foreign) == [
            ("Job", "others-1"),
            ("Job", "others-2"),
        ]


async def watch_has_expired(here: Here) -> None:
    """What went and came while a watch was too old is listed."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(kube_watch, "PAUSE", (0.01, 0.02))
        patch.setattr(test_watch_streams, "PATIENCE", 3)
        async with server_of(here) as (server, client):
            fault = streams(test_watch_streams.GONE_EVENT)
            await test_watch_streams.test_what_was_missed_is_listed(server, client, fault, "expired")


async def watch_is_silent(here: Here) -> None:
    """A watch that has begun says nothing more: it is given up, and told so."""
    async with server_of(here) as (server, client), asyncio.timeout(10):
        client._silence = 0.5
        await test_watch_streams.test_broken_watches(server, client, "silence")


def no_renewal() -> None:
    """No request of a leader is answered: it is over before anybody may take the Lease."""

    async def main() -> None:
        leases = Leases()
        leader = candidate(leases, "a")
        await leader.acquire()
        leases.fate = lambda who, method: HANGS
        async with asyncio.timeout(TERMS.duration.total_seconds()):
            await leader.lost()

    play(main)


SITUATIONS: Mapping[str, Situation] = {
    "replaced under a delete": replaced_under_a_delete,
    "an object stays until its pod is gone": suite(ClusterSuite.test_an_object_stays_until_its_pod_is_gone),
    "what is foreign is never deleted": suite(ClusterSuite.test_what_is_foreign_is_never_deleted),
    "the reply to a create is lost": reply_lost,
    "a create is answered 503": answered_503,
    "a connection is dropped under a delete": dropped_under_a_delete,
    "a foreign name is left alone": suite(ClusterSuite.test_a_foreign_name_is_left_alone),
    "the policy forbids the image": forbidden_image,
    "pods may not be listed": pods_may_not_be_listed,
    "a list is looked at on its way": looked_at_on_its_way,
    "a Job goes before its pod": job_before_its_pod,
    "a list shows a pod without its Job": pod_without_its_job,
    "a pod of an earlier Job is left": pod_of_an_earlier_job,
    "a tombstone is never observed": suite(ClusterSuite.test_a_tombstone_is_never_observed),
    "others' Jobs are counted": others_are_counted,
    "a list tells how a job ended": suite(ClusterSuite.test_a_list_tells_how_a_job_ended),
    "an expiring Job runs": suite(ClusterSuite.test_a_list_leaves_out_only_what_expires_and_has_ended),
    "a watch has expired": watch_has_expired,
    "a watch falls silent": watch_is_silent,
    "a Lease is renewed": elections(test_lease.test_a_renewed_lease_is_not_taken),
    "a Lease cannot be renewed": elections(no_renewal),
    "two take over a Lease at once": elections(
        test_lease.test_of_two_that_take_it_over_at_once_one_is_elected
    ),
}
