"""The chart's life on a real API server: installed, upgraded, tested, removed, installed again.

The nodes are simulated: pods become ready and end as their nodes say, those of `helm test` included. What
these ask is asked of a real daemon in ``test_checks``.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from tests.chart.helm import CHART, RELEASE, Document, Helm
from tests.chart.release import CLAIMS, PREVIOUS, VALUES, Place, a_place, until
from tests.control_plane.jobs import manifest
from tests.control_plane.plane import RBAC, ControlPlane
from tests.e2e.waiting import wait_for

NAME = f"{RELEASE}-batchkeeper"
OURS = {"app.kubernetes.io/managed-by": "batchkeeper"}


@pytest.fixture
def place(there: Helm, control_plane: ControlPlane, tmp_path: Path) -> Iterator[Place]:
    """A namespace and volumes for one release."""
    values = tmp_path / "values.json"
    values.write_text(json.dumps(VALUES), encoding="utf-8")
    with a_place(there, control_plane, values) as found:
        yield found


def version() -> str:
    """Of the chart as it is."""
    return str(YAML(typ="safe", pure=True).load(CHART / "Chart.yaml")["version"])


def cluster_wide(place: Place) -> list[str]:
    """What the release has outside of its namespace."""
    return [
        one["metadata"]["name"]
        for kind in ("clusterroles", "clusterrolebindings")
        for one in place.plane.admin.get(f"{RBAC}/{kind}")["items"]
        if one["metadata"]["name"].startswith(place.namespace)
    ]


def work(place: Place) -> None:
    """What a daemon leaves: a Job that runs, and its Lease."""
    job = manifest("sweep-t1", {"END": "never"})
    job["metadata"] = {**job["metadata"], "labels": {**job["metadata"].get("labels", {}), **OURS}}
    restricted = {"runAsNonRoot": True, "runAsUser": 1, "seccompProfile": {"type": "RuntimeDefault"}}
    pod = job["spec"]["template"]["spec"]
    pod["securityContext"] = restricted
    for container in pod["containers"]:
        container["securityContext"] = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
    admin = place.plane.admin
    admin.create(f"/apis/batch/v1/namespaces/{place.namespace}/jobs", job)
    lease = {"metadata": {"name": "batchkeeper-default"}, "spec": {"holderIdentity": "somebody"}}
    admin.create(f"/apis/coordination.k8s.io/v1/namespaces/{place.namespace}/leases", lease)
    wait_for("its pod", lambda: any(name.startswith("Pod sweep-t1") for name in place.objects()))


def test_from_the_previous_version_to_nothing(place: Place) -> None:
    """Installed as it was, upgraded to what it is: claims and jobs stay what they are. Uninstalled: jobs and
    records are left, and nothing else. Installed again, it takes up what it left."""
    before = place.objects()
    place.install(PREVIOUS)
    work(place)
    then = place.objects()
    assert len(place.pods()) == 2
    place.upgrade()
    now = place.objects()
    kept = [
        name for name in then if name.startswith(("PersistentVolumeClaim", "Job", "StatefulSet", "Service"))
    ]
    assert {name: now[name] for name in kept} == {name: then[name] for name in kept}
    deployment = place.get(f"apps/v1/deployments/{NAME}")
    assert deployment["metadata"]["labels"]["helm.sh/chart"] == f"batchkeeper-{version()}"
    assert version() not in PREVIOUS.name
    assert deployment["status"]["availableReplicas"] == 2
    assert "Phase:          Succeeded" in place.call("test", "--timeout", "120s")
    assert len(cluster_wide(place)) == 2

    place.call("uninstall", "--wait")
    left = {
        name: now[name]
        for name in now
        if name in before or name.startswith(("Job", "Pod sweep", "PersistentVolumeClaim", "Lease"))
    }
    until(place, left)
    assert {name for name in left if name.startswith("Persistent")} == {
        f"PersistentVolumeClaim {claim}" for claim in CLAIMS
    }
    assert cluster_wide(place) == []

    place.install()
    again = place.objects()
    assert {name: again[name] for name in left} == left


def test_what_cannot_start_replaces_nothing(place: Place) -> None:
    """A change whose pods never get ready leaves those that work; rolled back, they are still the same."""
    place.install()
    working = place.pods()
    assert list(working.values()) == ["True", "True"]
    broken: Document = {**VALUES, "extraEnv": [{"name": "END", "value": "image-pull"}]}
    place.values.write_text(json.dumps(broken), encoding="utf-8")
    place.call("upgrade", str(CHART), "--values", str(place.values))
    wait_for("a new pod that waits", lambda: list(place.pods().values()).count("False") == 1)
    assert working.items() <= place.pods().items()
    place.call("rollback", "--wait", "--timeout", "180s")
    wait_for("the new pod is gone", lambda: place.pods() == working)
