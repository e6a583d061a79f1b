"""Kueue on the same control plane, with the quota of a ClusterQueue as the cap.

Called by ``beside``. Without its webhooks: what they would default, the Jobs here say themselves. Jobs are
submitted suspended, many at once, and Kueue lets as many run as the quota has room for.
"""

from __future__ import annotations

import json
import os
import shutil
import ssl
import subprocess
import tempfile
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from tests.bench.beside_systems import alone, jobs_of, over, per_index
from tests.bench.beside_work import Done, Work
from tests.bench.cluster_bare import Bare, creates
from tests.bench.kueue_binary import CRDS, recipe
from tests.bench.place import Place
from tests.bench.slots import PODS
from tests.control_plane.admin import Refused
from tests.control_plane.commands import free_port
from tests.control_plane.keeper import memory
from tests.control_plane.plane import RBAC, ControlPlane
from tests.e2e.waiting import wait_for

Document = dict[str, Any]
USER = "batchkeeper"
"""One of the control plane's users, who has no other part here."""
GROUP = "kueue.x-k8s.io"
API = f"/apis/{GROUP}/v1beta2"
QUEUE = "queue"
CERTIFICATES = "certificates"
FIXED_FOLDER = """
set -e
mkdir "$0/upper" "$0/work"
mount -t overlay overlay -o "lowerdir=/etc,upperdir=$0/upper,workdir=$0/work" /etc
mkdir -p /etc/kueue/metrics
cp -r "$1" /etc/kueue/metrics/certs
shift
exec "$@"
"""
"""Where it looks for a certificate can't be told to it: it gets an /etc that nobody else sees."""
GIVEN = 2
"""Times as many Jobs are submitted as are measured, so that the queue is never empty meanwhile."""


@contextmanager
def running(place: Place) -> Iterator[str]:
    """Its controller manager on the place's control plane; gives why there is none, or nothing."""
    plane = place.plane
    assert plane is not None
    programs = recipe().folder()
    if not programs.is_dir():
        yield "it is not built yet: python -m tests.bench.kueue_binary"
        return
    folder = place.folder / "kueue"
    folder.mkdir()
    _define(plane, sorted((programs / CRDS).glob("*.yaml")))
    health = free_port()
    config = _config(plane, folder, health)
    inside = [str(programs / "kueue"), f"--config={config}", "--zap-log-level=error"]
    environment = {**os.environ, "KUBECONFIG": str(plane.kubeconfig(USER))}
    with (folder / "log").open("wb") as log, tempfile.TemporaryDirectory(dir=memory()) as layer:
        command = ["unshare", "--mount", "sh", "-c", FIXED_FOLDER, layer, str(folder / CERTIFICATES), *inside]
        process = subprocess.Popen(
            command, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=folder
        )
        try:
            yield _why_not_ready(process, health, folder / "log")
        finally:
            process.kill()
            process.wait()


def _define(plane: ControlPlane, crds: list[Path]) -> None:
    """Its kinds, and the rights of an admin for its user."""
    context = ssl.create_default_context(cafile=plane.ca)
    for file in crds:
        request = urllib.request.Request(
            f"{plane.url}/apis/apiextensions.k8s.io/v1/customresourcedefinitions",
            file.read_bytes(),
            {"Authorization": f"Bearer {plane.admin.token}", "Content-Type": "application/yaml"},
        )
        with urllib.request.urlopen(request, timeout=60, context=context) as answer:
            answer.read()
    subject = {"kind": "User", "name": USER, "apiGroup": "rbac.authorization.k8s.io"}
    role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"}
    binding = {"metadata": {"name": "kueue"}, "roleRef": role, "subjects": [subject]}
    plane.admin.create(f"{RBAC}/clusterrolebindings", binding)
    flavor = {"apiVersion": f"{GROUP}/v1beta2", "kind": "ResourceFlavor", "metadata": {"name": "any"}}
    for kind in ("resourceflavors", "clusterqueues", "localqueues", "workloads"):
        wait_for(f"{kind} are served", partial(_served, plane, f"{API}/{kind}"))
    plane.admin.create(f"{API}/resourceflavors", flavor)


def _served(plane: ControlPlane, path: str) -> bool:
    try:
        known = {one["name"] for one in plane.admin.get(API)["resources"]}
        return path.rpartition("/")[2] in known and plane.admin.find(path) is not None
    except Refused:  # 429 while its storage is being made
        return False


def _config(plane: ControlPlane, folder: Path, health: int) -> Path:
    """As it comes, but one replica, no certificates of its own making, and no limit on its requests."""
    certificates = folder / CERTIFICATES
    certificates.mkdir()
    shutil.copyfile(plane.ca, certificates / "tls.crt")
    shutil.copyfile(plane.ca.with_suffix(".key"), certificates / "tls.key")
    config = {
        "apiVersion": "config.kueue.x-k8s.io/v1beta2",
        "kind": "Configuration",
        "health": {"healthProbeBindAddress": f"127.0.0.1:{health}"},
        "metrics": {"bindAddress": "0"},
        "webhook": {"port": free_port(), "host": "127.0.0.1", "certDir": str(certificates)},
        "leaderElection": {"leaderElect": False},
        "internalCertManagement": {"enable": False},
        "clientConnection": {"qps": 2000, "burst": 4000},
        "integrations": {"frameworks": ["batch/job"]},
        "featureGates": {"VisibilityOnDemand": False},
    }
    file = folder / "config.yaml"
    file.write_text(json.dumps(config), encoding="utf-8")
    return file


def _why_not_ready(process: subprocess.Popen[bytes], port: int, log: Path) -> str:
    try:
        wait_for("Kueue is ready", lambda: _ready(process, port, log), 120)
    except AssertionError as reason:
        return str(reason)
    return ""


def _ready(process: subprocess.Popen[bytes], port: int, log: Path) -> bool:
    assert process.poll() is None, f"Kueue ended: {log.read_text(errors='replace')[-2000:]}"
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=5) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def _queues(namespace: str, at_once: int) -> list[tuple[str, Document]]:
    """So many pods at once in this namespace."""
    quota = {"name": "any", "resources": [{"name": "pods", "nominalQuota": at_once}]}
    cluster_queue = {
        "apiVersion": f"{GROUP}/v1beta2",
        "kind": "ClusterQueue",
        "metadata": {"name": namespace},
        "spec": {
            "namespaceSelector": {},
            "resourceGroups": [{"coveredResources": ["pods"], "flavors": [quota]}],
        },
    }
    local_queue = {
        "apiVersion": f"{GROUP}/v1beta2",
        "kind": "LocalQueue",
        "metadata": {"name": QUEUE},
        "spec": {"clusterQueue": namespace},
    }
    return [
        (f"{API}/clusterqueues", cluster_queue),
        (f"{API}/namespaces/{namespace}/localqueues", local_queue),
    ]


def _suspended(job: Document, work: Work) -> Document:
    """As its webhook would have it; with retries of failures as a Job has them, where something fails."""
    job["metadata"]["labels"] |= {f"{GROUP}/queue-name": QUEUE}
    job["spec"]["suspend"] = True
    return per_index(job) if work.ends else job


async def kueue(place: Place, work: Work) -> Done:
    """Each task a Job of its own in Kueue's queue."""
    given = min(work.n, GIVEN * work.measured) if work.measured else work.n

    async def loop(hands: Bare) -> None:
        for path, document in _queues(hands.namespace, work.at_once):
            await hands.post(path, document)
        await creates(hands, [_suspended(job, work) for job in jobs_of(work, given)])
        await over(hands, given)

    return await alone(place, work, "Kueue", PODS, loop, account=USER)
