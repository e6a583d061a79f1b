"""The adapter while a real control plane is hit: nothing is doubled, nothing is believed, and it goes on."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import aclosing, asynccontextmanager
from pathlib import Path

import pytest

from controller.adapters import kube_credentials
from controller.adapters.kube_access import RULES
from controller.adapters.kube_client import KubeClient
from controller.adapters.kube_cluster import KubeCluster
from controller.adapters.system_clock import SystemClock
from controller.core.sight import Hint
from controller.ports import Cluster, CreateResult, NewJob, Unavailable
from tests.contract.cluster_world import LONG, Does
from tests.control_plane.admin import Refused
from tests.control_plane.plane import ControlPlane
from tests.control_plane.recorder import recorded
from tests.kube.lossy import lossy
from tests.kube.place import rules
from tests.kube.storm import sent_away
from tests.kube.world import KubeWorld, settings


class HitWorld(KubeWorld):
    """With the client below the adapter, and what was said of its watches."""

    client: KubeClient
    restarts: list[tuple[str, str]]


@asynccontextmanager
async def world_on(
    plane: ControlPlane, namespace: str, kubeconfig: Path | None = None
) -> AsyncIterator[HitWorld]:
    """An adapter, by that kubeconfig, and an independent watcher."""
    told, restarts = settings(kubeconfig or plane.kubeconfig(), namespace), list[tuple[str, str]]()
    client = KubeClient(told.access)
    await client.open()
    cluster = KubeCluster(client, told, SystemClock(), lambda *restart: restarts.append(restart))
    try:
        with recorded(plane.admin, namespace) as recorder:
            world = HitWorld(plane, namespace, cluster, recorder)
            world.client, world.restarts = client, restarts
            yield world
    finally:
        await cluster.close()


@pytest.fixture
def alone(private_control_plane: ControlPlane) -> Iterator[str]:
    """A namespace on a control plane that may be broken."""
    with private_control_plane.namespace() as name:
        yield name


async def heard(hints: AsyncIterator[Hint], so: Callable[[Hint], bool]) -> Hint:
    """The first hint that is so."""
    async with asyncio.timeout(60):
        async for hint in hints:
            if so(hint):
                return hint
    raise AssertionError("the hints ended")


# ---------------------------------------------------------------------------------------- lost replies


async def test_the_reply_to_a_create_is_lost(control_plane: ControlPlane, namespace: str) -> None:
    """It was applied and nobody knows: unknown. The same create again finds ours, and it ran once."""
    async with (
        lossy(control_plane.kubeconfig()) as (way, kubeconfig),
        world_on(control_plane, namespace, kubeconfig) as world,
    ):
        job = world.job("sweep-1", Does.SUCCEED)
        await world.shown(job)  # the connection stands
        way.lose()
        with pytest.raises(Unavailable):
            await world.cluster.create(job)
        assert way.lost == 1
        again = await world.cluster.create(job)
        assert again.result is CreateResult.EXISTS_OURS
        assert (await world.finished(job)).uid == again.uid
        assert world.kinds(job) == ["create", "start", "end"]


async def test_the_reply_to_a_burial_is_lost(control_plane: ControlPlane, namespace: str) -> None:
    """The same burial again finds the tombstone."""
    async with (
        lossy(control_plane.kubeconfig()) as (way, kubeconfig),
        world_on(control_plane, namespace, kubeconfig) as world,
    ):
        job = world.job("sweep-1", Does.SUCCEED)
        await world.shown(job)
        way.lose()
        with pytest.raises(Unavailable):
            await world.cluster.bury(job, LONG)
        assert (await world.cluster.bury(job, LONG)).result is CreateResult.EXISTS_TOMBSTONE
        assert world.kinds(job) == ["tombstone"]


async def test_the_reply_to_a_delete_is_lost(control_plane: ControlPlane, namespace: str) -> None:
    """Unknown, and not repeated by the client: the server was asked once. Asked again, it goes."""
    async with (
        lossy(control_plane.kubeconfig()) as (way, kubeconfig),
        world_on(control_plane, namespace, kubeconfig) as world,
    ):
        job = world.job("sweep-1", Does.STAY)
        created = await world.cluster.create(job)
        await world.started(job)
        body = {"propagationPolicy": "Foreground", "preconditions": {"uid": created.uid}}
        path = f"apis/batch/v1/namespaces/{namespace}/jobs/{job.name}"
        way.lose()
        with pytest.raises(Unavailable):
            await world.client.request("DELETE", path, body, resource="jobs")
        await world.cluster.delete(namespace, job.name, created.uid)
        await world.gone(job)
        assert way.lost == 1
        assert world.kinds(job) == ["create", "start", "end", "delete"]


# ------------------------------------------------------------------------------------------- outages


async def test_an_api_server_that_is_away(private_control_plane: ControlPlane, alone: str) -> None:
    """While it is down everything is unknown; when it is back hints go on and what ended is seen."""
    plane = private_control_plane
    async with world_on(plane, alone) as world, aclosing(world.cluster.changes()) as hints:  # type: ignore[type-var]
        job = world.job("sweep-1", Does.STAY)
        created = await world.cluster.create(job)
        await heard(hints, lambda hint: hint.job is not None and hint.job.started)
        await asyncio.to_thread(plane.kill)
        for call in calls(world.cluster, job, created.uid):
            with pytest.raises(Unavailable):
                await call
        await asyncio.to_thread(plane.start)
        await world.started(job)
        await world.cluster.delete(alone, job.name, created.uid)
        await heard(hints, lambda hint: hint.job_id == job.job_id and hint.job is None)
        await world.gone(job)
        assert world.kinds(job) == ["create", "start", "end", "delete"]


def calls(cluster: Cluster, job: NewJob, uid: str) -> list[Awaitable[object]]:
    """Every call of the port that asks the API server."""
    return [
        cluster.observe([job.namespace]),
        cluster.get(job.namespace, job.name, job.job_id),
        cluster.get_uid(job.namespace, job.name, "Job", uid),
        cluster.create(job),
        cluster.bury(job, LONG),
        cluster.delete(job.namespace, job.name, uid),
        cluster.expire(job.namespace, job.name, uid, LONG),
    ]


async def test_every_watch_has_expired(private_control_plane: ControlPlane, alone: str) -> None:
    """After a compaction no watch can go on where it was: what changed is found by a new list."""
    plane = private_control_plane
    async with world_on(plane, alone) as world, aclosing(world.cluster.changes()) as hints:  # type: ignore[type-var]
        job = world.job("sweep-1", Does.STAY)
        await world.cluster.create(job)
        await heard(hints, lambda hint: bool(hint.job and hint.job.started))
        await asyncio.to_thread(plane.expire_watches)
        shown = await world.started(job)
        await world.cluster.delete(alone, job.name, shown.uid)
        await heard(hints, lambda hint: hint.job_id == job.job_id and hint.job is None)
        later = world.job("sweep-2", Does.FAIL)
        await world.cluster.create(later)
        told = await heard(hints, lambda hint: bool(hint.job and hint.job.finished))
        assert told.job
        assert (told.job_id, told.job.exit_code) == (later.job_id, 3)
        assert {resource for resource, _ in world.restarts} == {"jobs", "pods"}


async def test_a_storm_of_429(private_control_plane: ControlPlane, alone: str) -> None:
    """Creates that the API server sends away are unknown and made later, each of them once."""
    plane = private_control_plane
    account = plane.service_account(alone, "keeper", rules(RULES))
    async with world_on(plane, alone, account.kubeconfig) as world:
        jobs: list[NewJob] = []
        left: dict[str, NewJob] = {}
        away: list[str] = []

        async def one(job: NewJob) -> None:
            try:
                assert (await world.cluster.create(job)).result is CreateResult.CREATED
                del left[job.name]
            except Unavailable as error:
                away.append(str(error))

        async def more() -> bool:
            await asyncio.gather(*map(one, list(left.values())))
            return not left

        with sent_away(plane, account):
            while not any("429" in said for said in away):
                wave = [world.job(f"sweep-{len(jobs) + n}", Does.SUCCEED) for n in range(20)]
                jobs += wave
                left |= {job.name: job for job in wave}
                await more()
        await world.until(more)
        for job in jobs:
            await world.finished(job)
            assert world.kinds(job) == ["create", "start", "end"]


# ---------------------------------------------------------------------------------------------- tokens


async def test_a_token_is_rotated(
    control_plane: ControlPlane, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When the old token is refused the new one is read: at most one call is unknown, and hints go on."""
    monkeypatch.setattr(kube_credentials, "NOT_BEFORE", 0.0)
    account = control_plane.service_account(namespace, "keeper", rules(RULES))
    async with (
        world_on(control_plane, namespace, account.kubeconfig) as world,
        aclosing(world.cluster.changes()) as hints,  # type: ignore[type-var]
    ):
        await world.cluster.observe([namespace])
        assert await anext(hints) == Hint()
        before = account.api
        account.rotate()

        async def refused() -> bool:
            try:
                await asyncio.to_thread(before.get, f"/apis/batch/v1/namespaces/{namespace}/jobs")
            except Refused as told:
                return told.status == 401
            return False

        await world.until(refused, tries=400)
        with pytest.raises(Unavailable, match="401"):
            await world.cluster.observe([namespace])
        assert (await world.cluster.observe([namespace])).namespaces == {namespace}
        job = world.job("sweep-1", Does.FAIL)
        await world.cluster.create(job)
        await heard(hints, lambda hint: bool(hint.job and hint.job.finished))
