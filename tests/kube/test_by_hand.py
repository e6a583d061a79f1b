"""What people do to our Jobs by hand: each costs that attempt at most, is told, and the rest goes on."""

from __future__ import annotations

from functools import partial

import pytest

from tests.control_plane.jobs import jobs_path, pods_of
from tests.kube.place import KubePlace, spec
from tests.kube.surplus import one_too_many

FOREVER = {"END": "never"}
LOST_QUICKLY = [
    {"on": {"verdict": verdict}, "limit": 1, "backoff": {"base": "200ms", "factor": 1, "max": "1s"}}
    for verdict in ("lost", "unknown")
]


def running(place: KubePlace, *jobs: str) -> None:
    """These run, as the records have it."""
    for job in jobs:
        place.is_(job, "running")


def explained(place: KubePlace, name: str, *words: str) -> None:
    """``explain`` says these words about a batch or a job."""
    said = partial(_says, place, name, words)
    place.until(f"explain {name} says {words}, not {place.cli('explain', name).out}", said)


def _says(place: KubePlace, name: str, words: tuple[str, ...]) -> bool:
    told = " ".join(place.cli("explain", name).out.split())
    return all(word in told for word in words)


@pytest.mark.parametrize("what", ["job", "pod"])
def test_it_is_deleted(place: KubePlace, what: str) -> None:
    """A Job that is deleted is lost, a pod that is deleted was killed by somebody: both are retried."""
    tasks = {"gone": {"END": "never,exit-0"}, "other": {"RUN_SECONDS": "1"}}
    place.drop(spec("hand", tasks, 2, retry=LOST_QUICKLY))
    place.start()
    running(place, "hand-gone")
    place.strangers.add("hand-gone")
    path = jobs_path(place.namespace, "hand-gone")
    if what == "job":
        place.plane.admin.delete(path, propagationPolicy="Foreground")
    else:
        pod = pods_of(place.plane, place.namespace, "hand-gone")[0]["metadata"]["name"]
        place.plane.admin.delete(f"/api/v1/namespaces/{place.namespace}/pods/{pod}")
    place.over("hand")
    assert place.statuses("hand") == {
        "hand-gone": "error",
        "hand-gone-r1": "completed",
        "hand-other": "completed",
    }
    assert place.job("hand-gone")["verdict"] in ("lost", "unknown")
    assert place.job("hand-gone")["error"]


def test_it_is_suspended(place: KubePlace) -> None:
    """Its pod goes and its place is kept: who asks is told by which command it goes on, and it does."""
    place.drop(spec("hand", {"a": {"END": "never"}, "b": {}}, 1))
    place.start()
    running(place, "hand-a")
    path = jobs_path(place.namespace, "hand-a")
    place.plane.admin.patch(path, {"spec": {"suspend": True}})
    explained(place, "hand-a", "suspended by hand", "kubectl -n", '"suspend":false', "batchkeeper cancel")
    explained(place, "hand", "1 job is suspended by hand")
    assert place.job("hand-b")["status"] == "waiting"
    assert place.cli("cancel", "hand-a").code == 0
    place.over("hand")
    assert place.statuses("hand") == {"hand-a": "terminated", "hand-b": "completed"}


def test_its_labels_are_taken_off(place: KubePlace) -> None:
    """It is nobody's from then on and never touched; its place is kept as long as its pod runs."""
    place.know(most_auto=0)
    place.drop(spec("hand", {"a": {"RUN_SECONDS": "3"}, "b": {}}, 1, maxAutoRetries=0))
    place.start()
    running(place, "hand-a")
    place.strangers.add("hand-a")
    path = jobs_path(place.namespace, "hand-a")
    before = place.plane.admin.patch(path, {"metadata": {"labels": {"app.kubernetes.io/managed-by": None}}})
    place.over("hand")
    assert place.job("hand-b")["status"] == "completed"
    assert place.job("hand-a")["status"] == "error"
    after = place.plane.admin.get(path)
    assert after["metadata"]["uid"] == before["metadata"]["uid"]
    assert "ttlSecondsAfterFinished" not in after["spec"]


def test_a_finalizer_is_put_on_it(place: KubePlace) -> None:
    """What is to go and may not is left as it is, and named while no end was seen; a pod that was seen
    to end is the end of a Job that goes, whatever keeps its object."""
    place.drop(spec("hand", {"a": FOREVER}, 1))
    place.start()
    running(place, "hand-a")
    path = jobs_path(place.namespace, "hand-a")
    place.plane.admin.patch(path, {"metadata": {"finalizers": ["example.org/keep"]}})
    assert place.cli("cancel", "hand").code == 0
    place.until("it goes", lambda: "deletionTimestamp" in place.plane.admin.get(path)["metadata"])
    told = partial(_says, place, "hand-a", ("terminating", "example.org/keep"))
    place.until("it is told, or over", lambda: told() or place.job("hand-a")["status"] == "terminated")
    assert "example.org/keep" in place.plane.admin.get(path)["metadata"]["finalizers"]
    place.plane.admin.patch(path, {"metadata": {"finalizers": None}})
    place.over("hand")
    assert place.job("hand-a")["status"] == "terminated"


def test_a_time_to_live_is_set_on_it(place: KubePlace) -> None:
    """Collected the moment it ends: its task still comes to its end, with whatever could be seen of it."""
    place.drop(spec("hand", {"a": {"RUN_SECONDS": "1"}}, 1, retry=LOST_QUICKLY))
    place.start()
    running(place, "hand-a")
    place.strangers.add("hand-a")
    place.plane.admin.patch(jobs_path(place.namespace, "hand-a"), {"spec": {"ttlSecondsAfterFinished": 0}})
    place.over("hand")
    assert place.jobs("hand")[-1]["status"] == "completed"


def test_it_is_given_another_pod(place: KubePlace) -> None:
    """One too many is deleted by the Job controller, and how that ended is not what became of the job."""
    place.drop(spec("hand", {"a": {"RUN_SECONDS": "2"}}, 1, maxAutoRetries=0))
    place.start()
    with one_too_many(place, "hand-a"):
        place.over("hand")
    assert place.statuses("hand") == {"hand-a": "completed"}
