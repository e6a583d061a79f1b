"""The real API server accepts all that the chart renders, in a namespace that enforces restricted pods."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from controller.adapters.kube_render import Rendering, render_job
from tests.chart.helm import CHART, CI, Document, Helm, pods, several
from tests.control_plane.admin import Refused
from tests.control_plane.plane import ControlPlane
from tests.kube_pure.things import new_job

RESTRICTED = {f"pod-security.kubernetes.io/{mode}": "restricted" for mode in ("enforce", "warn")}
OPERATORS = ("ServiceMonitor", "PrometheusRule")
"""Kinds of Prometheus' operator, which this API server does not serve."""


@contextmanager
def restricted(plane: ControlPlane) -> Iterator[str]:
    """A namespace where no other pods may be."""
    with plane.namespace(labels=RESTRICTED) as name:
        yield name


def path_of(plane: ControlPlane, document: Document) -> str:
    """Where such an object is created, as the API server tells."""
    version = document["apiVersion"]
    root = f"/apis/{version}" if "/" in version else f"/api/{version}"
    known = {r["kind"]: r for r in plane.admin.get(root)["resources"] if "/" not in r["name"]}
    found = known[document["kind"]]
    where = f"/namespaces/{document['metadata']['namespace']}" if found["namespaced"] else ""
    return f"{root}{where}/{found['name']}"


def dry_run(plane: ControlPlane, document: Document) -> None:
    """Have the API server check it, unknown and doubled fields too. Raises ``Refused``."""
    query = {"dryRun": "All", "fieldValidation": "Strict"}
    plane.admin.call("POST", path_of(plane, document), document, query)


@pytest.mark.parametrize("values", CI, ids=lambda path: path.stem)
def test_the_api_server_accepts_it(helm: Helm, control_plane: ControlPlane, values: Path) -> None:
    """Each object, and each pod by itself, where admission would refuse what is not restricted."""
    with restricted(control_plane) as namespace:
        documents = helm.template(values, namespace=namespace, workNamespaces=[namespace])
        for document in documents:
            if document["kind"] not in (*OPERATORS, "Pod"):
                dry_run(control_plane, document)
        account = next(iter(several(documents, "ServiceAccount")), None)
        name = account["metadata"]["name"] if account else "batchkeeper"
        control_plane.service_account(namespace, name)
        for number, spec in enumerate(pods(documents).values()):
            metadata = {"name": f"pod-{number}", "namespace": namespace}
            dry_run(control_plane, {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec})


def test_the_check_would_see_it(helm: Helm, control_plane: ControlPlane) -> None:
    """An unknown field and a pod that may do more are refused by the same check."""
    with restricted(control_plane) as namespace:
        documents = helm.template(CHART / "ci" / "trial-values.yaml", namespace=namespace)
        (service, *_) = several(documents, "Service")
        with pytest.raises(Refused, match="unknown field"):
            dry_run(control_plane, {**service, "spec": {**service["spec"], "prots": []}})
        spec = {**pods(documents)["Deployment keep-batchkeeper"], "serviceAccountName": "default"}
        loose = {**spec, "securityContext": {}}
        metadata = {"name": "loose", "namespace": namespace}
        with pytest.raises(Refused, match="violates PodSecurity"):
            dry_run(control_plane, {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": loose})


def test_the_pod_of_a_job_is_not_restricted(control_plane: ControlPlane) -> None:
    """As docs/security.md warns: where restricted pods are enforced no job of ours would run."""
    with restricted(control_plane) as namespace:
        pod = render_job(new_job(), Rendering("lab"))["spec"]["template"]["spec"]
        metadata = {"name": "trait-2", "namespace": namespace}
        with pytest.raises(Refused, match=r"violates PodSecurity \"restricted"):
            dry_run(control_plane, {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": pod})
