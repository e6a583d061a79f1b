"""A pod too many: the Job controller makes one where it got no answer to a create of its own.

It deletes it then; how that pod ended says nothing of the program.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from tests.control_plane.jobs import pods_of
from tests.kube.place import KubePlace

NAME = "a-first-in-every-list"
AT = "2026-01-01T00:00:00Z"


@contextmanager
def one_too_many(place: KubePlace, job: str) -> Iterator[None]:
    """A Job that runs ends well; a second pod of it, which is there meanwhile, was killed after that."""
    place.is_(job, "running")
    (pod,) = pods_of(place.plane, place.namespace, job)
    about, pods = pod["metadata"], f"/api/v1/namespaces/{place.namespace}/pods"
    path = f"{pods}/{NAME}"
    # Of two the one without a node is deleted; it stays until we let it go.
    unplaced = {key: value for key, value in pod["spec"].items() if key != "nodeName"}
    more = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": NAME,
            "labels": about["labels"],
            "ownerReferences": about["ownerReferences"],
            "finalizers": [*about["finalizers"], "example.org/kept"],
        },
        "spec": {**unplaced, "schedulerName": "nobody"},
    }
    place.plane.admin.create(pods, more)
    place.until("the other one has ended", lambda: "Succeeded" in _phases(place, job))
    assert place.plane.admin.get(path)["metadata"]["deletionTimestamp"]
    assert place.job(job)["status"] == "running"
    killed = {"exitCode": 143, "reason": "Error", "startedAt": AT, "finishedAt": AT}
    state = {"name": "main", "image": "", "imageID": "", "ready": False, "restartCount": 0}
    status = {"phase": "Failed", "containerStatuses": [{**state, "state": {"terminated": killed}}]}
    place.plane.admin.patch(f"{path}/status", {"status": status})
    yield
    assert place.plane.admin.get(path)["status"]["phase"] == "Failed"
    place.plane.admin.patch(path, {"metadata": {"finalizers": []}})


def _phases(place: KubePlace, job: str) -> list[str]:
    return [pod["status"].get("phase", "") for pod in pods_of(place.plane, place.namespace, job)]
