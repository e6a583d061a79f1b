"""A release on the test control plane: its namespace, its volumes, and all objects that are there.

Made by the tests of installing and upgrading. Pods run on simulated nodes: they start and are ready, and
nothing runs in them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.chart.helm import CHART, RELEASE, Document, Helm, Said
from tests.control_plane.plane import ControlPlane
from tests.e2e.waiting import wait_for

PREVIOUS = Path(__file__).parent / "previous" / "batchkeeper-0.1.0.tgz"
"""The chart as `helm package` made it of the version before this one."""
CLAIMS = (f"{RELEASE}-batchkeeper-specs", f"data-{RELEASE}-batchkeeper-mongodb-0")
RESTRICTED = {"pod-security.kubernetes.io/enforce": "restricted"}
VALUES: Document = {
    "image": {"repository": "registry.example.org/batchkeeper", "tag": "1"},
    "mongodb": {"trial": {"enabled": True}},
}
DERIVED = frozenset({"Event", "Endpoints", "EndpointSlice", "ConfigMap kube-root-ca.crt"})
"""What the cluster makes by itself, and takes away in its own time."""


@dataclass(frozen=True)
class Place:
    """A namespace for one release, and volumes for its two claims: there is nobody who would make them."""

    helm: Helm
    plane: ControlPlane
    namespace: str
    values: Path

    def install(self, chart: Path = CHART) -> None:
        """Install it, and wait until all of it is ready."""
        self.call("install", str(chart), *self.told())

    def upgrade(self, chart: Path = CHART) -> None:
        """Upgrade it, and wait until all of it is ready."""
        self.call("upgrade", str(chart), *self.told())

    def told(self) -> tuple[str, ...]:
        """The options of both."""
        return ("--values", str(self.values), "--wait", "--timeout", "180s")

    def call(self, verb: str, *arguments: str) -> str:
        """One of Helm's commands on this release."""
        return self.helm.done(verb, RELEASE, *arguments, "--namespace", self.namespace)

    def try_call(self, verb: str, *arguments: str) -> Said:
        """The same, where it may fail."""
        return self.helm.call(verb, RELEASE, *arguments, "--namespace", self.namespace)

    def objects(self) -> dict[str, str]:
        """Everything in the namespace that somebody made: uid by kind and name."""
        found: dict[str, str] = {}
        for kind, path in _listed(self.plane):
            for item in self.plane.admin.get(path.format(self.namespace))["items"]:
                name = f"{kind} {item['metadata']['name']}"
                if kind not in DERIVED and name not in DERIVED:
                    found[name] = item["metadata"]["uid"]
        return found

    def get(self, path: str, **query: str) -> Document:
        """An object or a list of the namespace: ``apps/v1/deployments``."""
        version, _, rest = path.rpartition("v1/")
        root = f"/apis/{version}v1" if version else "/api/v1"
        return self.plane.admin.get(f"{root}/namespaces/{self.namespace}/{rest}", **query)

    def pods(self) -> dict[str, str]:
        """The daemon's pods: whether each is ready, by uid."""
        chosen = self.get("v1/pods", labelSelector="app.kubernetes.io/component=controller")["items"]
        return {pod["metadata"]["uid"]: _ready(pod) for pod in chosen}


def _ready(pod: Document) -> str:
    conditions = pod["status"].get("conditions", ())
    return next((one["status"] for one in conditions if one["type"] == "Ready"), "False")


def _listed(plane: ControlPlane) -> Iterator[tuple[str, str]]:
    """Kind and path of everything that can be listed in a namespace."""
    groups = plane.admin.get("/apis")["groups"]
    roots = ["/api/v1", *(f"/apis/{group['preferredVersion']['groupVersion']}" for group in groups)]
    for root in roots:
        for resource in plane.admin.get(root)["resources"]:
            if resource["namespaced"] and "list" in resource["verbs"]:
                yield resource["kind"], f"{root}/namespaces/{{}}/{resource['name']}"


@contextmanager
def a_place(helm: Helm, plane: ControlPlane, values: Path) -> Iterator[Place]:
    """The namespace and the volumes; both go at the end."""
    with plane.namespace(labels=RESTRICTED) as namespace:
        volumes = [_volume(plane, namespace, claim) for claim in CLAIMS]
        try:
            yield Place(helm, plane, namespace, values)
        finally:
            for volume in volumes:
                plane.admin.delete(volume)


def _volume(plane: ControlPlane, namespace: str, claim: str) -> str:
    """A volume that only this claim gets; its path."""
    path = "/api/v1/persistentvolumes"
    body: dict[str, Any] = {
        "metadata": {"name": f"{namespace}-{claim}"},
        "spec": {
            "accessModes": ["ReadWriteMany", "ReadWriteOnce"],
            "capacity": {"storage": "10Gi"},
            "hostPath": {"path": "/nowhere"},
            "claimRef": {"namespace": namespace, "name": claim},
            "persistentVolumeReclaimPolicy": "Retain",
        },
    }
    plane.admin.create(path, body)
    return f"{path}/{namespace}-{claim}"


def until(place: Place, wanted: Mapping[str, object]) -> None:
    """Wait until exactly these objects are there."""
    seen: set[str] = set()

    def same() -> bool:
        seen.clear()
        seen.update(place.objects().keys() ^ wanted.keys())
        return not seen

    try:
        wait_for("what is left", same)
    except AssertionError:
        raise AssertionError(f"left though it should not be, or gone: {sorted(seen)}") from None
