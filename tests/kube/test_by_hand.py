"""What people do to our Jobs by hand: each costs that attempt at most, is told, and the rest goes on."""

from __future__ import annotations

from functools import partial

from tests.control_plane.jobs import jobs_path
from tests.kube.place import KubePlace, spec


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
