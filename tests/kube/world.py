"""A Kubernetes cluster under test: an adapter in a namespace of its own, and the hands of others."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

from controller.adapters.kube_client import Access, KubeClient
from controller.adapters.kube_cluster import KubeCluster
from controller.adapters.kube_render import Rendering
from controller.adapters.kube_settings import KubeSettings
from controller.adapters.local_history import Entry
from controller.adapters.system_clock import SystemClock
from controller.core.model import JobInput, Resources
from controller.core.policy import Policy
from controller.ports import NewJob
from tests.contract.cluster_world import Does, World
from tests.control_plane.admin import Refused
from tests.control_plane.history import happenings
from tests.control_plane.jobs import IMAGE, manifest
from tests.control_plane.plane import ControlPlane
from tests.control_plane.recorder import Recorder
from tests.e2e.waiting import wait_for
from tests.oracle.history import Deed

INSTANCE = "suite"
BATCH_ID = "0" * 24
DOES = {
    Does.SUCCEED: {},
    Does.FAIL: {"END": "exit-3"},
    Does.STAY: {"END": "never"},
    Does.IGNORE: {"END": "never", "ON_TERM": "ignore"},
}
KINDS = {
    Deed.CREATED: "create",
    Deed.BURIED: "tombstone",
    Deed.STARTED: "start",
    Deed.ENDED: "end",
    Deed.GONE: "delete",
}


def settings(kubeconfig: Path, namespace: str, **more: Any) -> KubeSettings:
    """An adapter for one namespace; ``more`` are fields of ``KubeSettings``."""
    access = Access(kubeconfig=str(kubeconfig), timeout=timedelta(seconds=5), rate=1000, burst=1000)
    policy = Policy(namespaces=(namespace,), any_host_path=True)
    return replace(
        KubeSettings(INSTANCE, access, Rendering(INSTANCE, grace=timedelta(seconds=2)), policy), **more
    )


async def opened(told: KubeSettings) -> KubeCluster:
    """An adapter that is connected."""
    client = KubeClient(told.access)
    await client.open()
    return KubeCluster(client, told, SystemClock())


def new_job(
    name: str, namespace: str, env: Mapping[str, str], *, job_id: str = "", attempt: int = 0
) -> NewJob:
    """A job whose pod ends as its environment says."""
    job_id = job_id or f"{abs(hash((namespace, name))):x}".rjust(24, "0")[:24]
    what = JobInput(image=IMAGE, env=env, resources=Resources(cpu=10))
    return NewJob(name, namespace, "sweep", BATCH_ID, name.rpartition("-")[2], attempt, job_id, what)


class KubeWorld(World):
    """The suite's world: simulated pods, a namespace of its own, somebody else's Job by the admin's hand."""

    foreign_kind = "Job"

    def __init__(self, plane: ControlPlane, namespace: str, cluster: KubeCluster, recorder: Recorder) -> None:
        self.plane = plane
        self.namespace = namespace
        self.cluster = cluster
        self.recorder = recorder

    def job(self, name: str, does: Does, job_id: str = "") -> NewJob:
        """A pod that ends so."""
        return new_job(name, self.namespace, DOES[does], job_id=job_id)

    async def pass_time(self) -> None:
        """Wait."""
        await asyncio.sleep(0.1)

    def add_foreign(self, name: str) -> str:
        """Somebody's Job that runs: its pod is there when this returns, and no other one will come."""
        path = f"/apis/batch/v1/namespaces/{self.namespace}/jobs"
        made = self.plane.admin.create(path, manifest(name, {"END": "never"}))
        wait_for(f"the pod of {name}", lambda: self._pods_of(name))
        return str(made["metadata"]["uid"])

    def remove_foreign(self, name: str) -> None:
        """Deleted by hand; its pod with it, before this returns."""
        path = f"/apis/batch/v1/namespaces/{self.namespace}/jobs/{name}"
        self.plane.admin.delete(path, propagationPolicy="Background", gracePeriodSeconds=0)
        for pod in self._pods_of(name):
            with suppress(Refused):  # it went by itself
                self.plane.tear_out(self.namespace, pod)

    def _pods_of(self, job: str) -> list[str]:
        path = f"/api/v1/namespaces/{self.namespace}/pods"
        found = self.plane.admin.get(path, labelSelector=f"batch.kubernetes.io/job-name={job}")
        return [pod["metadata"]["name"] for pod in found["items"]]

    def history(self) -> Sequence[Entry]:
        """What the recorder saw, numbered in its order; a tombstone is born complete."""
        seen = [one for one in happenings(self.recorder.changes()) if one.deed in KINDS]
        buried = {one.uid for one in seen if one.deed is Deed.BURIED}
        told = [one for one in seen if not (one.deed is Deed.ENDED and one.uid in buried)]
        return [
            Entry(number, one.at, KINDS[one.deed], one.namespace, one.name, one.uid, one.job_id)
            for number, one in enumerate(told, start=1)
        ]
