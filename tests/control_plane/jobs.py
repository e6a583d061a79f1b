"""Jobs as the program submits them, written down a second time on purpose: what tests of the control plane
itself create, and what others on the cluster have.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tests.control_plane.plane import ControlPlane
from tests.e2e.waiting import wait_for

Document = dict[str, Any]
IMAGE = "example.org/scan:1.0"


def manifest(
    name: str, env: Mapping[str, str] | None = None, labels: Mapping[str, str] | None = None, **pod: Any
) -> Document:
    """A Job whose pod ends as its environment says; ``pod``: more of the pod's spec."""
    container = {
        "name": "main",
        "image": IMAGE,
        "env": [{"name": k, "value": v} for k, v in (env or {}).items()],
    }
    rules = [
        {"action": "FailJob", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]},
        {
            "action": "FailJob",
            "onExitCodes": {"containerName": "main", "operator": "NotIn", "values": [0]},
        },
    ]
    metadata = {"labels": dict(labels or {})}
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": name, **metadata},
        "spec": {
            "backoffLimit": 0,
            "podReplacementPolicy": "Failed",
            "podFailurePolicy": {"rules": rules},
            "template": {
                "metadata": metadata,
                "spec": {"restartPolicy": "Never", "containers": [container], **pod},
            },
        },
    }


def jobs_path(namespace: str, name: str = "") -> str:
    """Where Jobs are, or one of them."""
    return f"/apis/batch/v1/namespaces/{namespace}/jobs" + (f"/{name}" if name else "")


def submit(plane: ControlPlane, namespace: str, job: Document) -> Document:
    """Create it, as the admin."""
    return plane.admin.create(jobs_path(namespace), job)


def pods_of(plane: ControlPlane, namespace: str, job: str) -> list[Document]:
    """The pods of a Job."""
    found = plane.admin.get(f"/api/v1/namespaces/{namespace}/pods", labelSelector=f"job-name={job}")
    return list(found["items"])


def condition_of(plane: ControlPlane, namespace: str, name: str) -> Document | None:
    """The condition that says how a Job has ended; None: it has not."""
    job = plane.admin.get(jobs_path(namespace, name))
    conditions = job.get("status", {}).get("conditions", ())
    ends = (entry for entry in conditions if entry["type"] in ("Complete", "Failed"))
    return next((entry for entry in ends if entry["status"] == "True"), None)


def ended(plane: ControlPlane, namespace: str, name: str) -> Document:
    """That condition, as soon as there is one."""
    return wait_for(f"the end of {name}", lambda: condition_of(plane, namespace, name))
