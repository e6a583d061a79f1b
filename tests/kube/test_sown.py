"""A daemon with a bug sown, on a real control plane: the oracle shows it.

Each situation is the same with the bug and without, and asserts nothing: the oracle judges what the store and
the API server recorded.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from uuid import uuid4

import pymongo
import pytest

from tests.control_plane.jobs import jobs_path, manifest, pods_of
from tests.control_plane.plane import ControlPlane
from tests.e2e.waiting import wait_for
from tests.kube.place import KubePlace, spec
from tests.kube.sown import SOWN
from tests.oracle.invariants import Invariant

SHORT: Mapping[str, str] = {"RUN_SECONDS": "0.3"}
LOOKS = 10
"""Passes after which whoever is wrong about an object has shown it."""


def others(place: KubePlace, **ends: str) -> None:
    """Jobs of others, by name with dashes for underscores."""
    for name, end in ends.items():
        job = manifest(name.replace("_", "-"), {"END": end})
        place.plane.admin.create(jobs_path(place.namespace), job)


def two_tasks(place: KubePlace) -> None:
    """They run, and end well."""
    place.drop(spec("scan", {"a": SHORT, "b": SHORT}, 2))
    place.start()
    place.over("scan")


def others_never_start(place: KubePlace) -> None:
    """Two Jobs of others under the prefix never start, and leave one place of three.

    They are there before the daemon is, so that no look of it can be too old to know them.
    """
    place.know(list_age=timedelta(), patience=timedelta())
    others(place, scan_x="mount-failure", scan_y="mount-failure")
    wait_for("their pods", lambda: len(place.pods()) == 2)
    place.drop(spec("scan", {f"t{n}": SHORT for n in range(3)}, 3))
    place.start()
    place.over("scan")


def passes(place: KubePlace) -> float:
    """Full passes of the last daemon so far, by its own count."""
    _, text = place._daemons[-1].get("/metrics")
    counted = [line for line in text.splitlines() if line.startswith("batchkeeper_reconcile_total{")]
    return sum(float(line.rpartition(" ")[2]) for line in counted)


def deleted_in_the_background(place: KubePlace) -> None:
    """Somebody deletes our Job, and its pod does not go; the daemon has time to look at it more than once."""
    place.know(most_auto=0)
    place.drop(spec("scan", {"a": {"END": "never", "ON_TERM": "hang"}}, 1, maxAutoRetries=0))
    place.start()
    place.is_("scan-a", "running")
    place.strangers.add("scan-a")
    place.plane.admin.delete(jobs_path(place.namespace, "scan-a"), propagationPolicy="Background")
    before = passes(place)
    for name in ("next", "last"):
        place.drop(spec(name, {"a": SHORT}, 1))
        place.over(name)
    place.until("it has looked again", lambda: passes(place) >= before + LOOKS)
    for pod in pods_of(place.plane, place.namespace, "scan-a"):
        place.plane.tear_out(place.namespace, pod["metadata"]["name"])
    place.over("scan")


SITUATIONS: Mapping[str, tuple[Callable[[KubePlace], None], str]] = {
    "born to expire": (two_tasks, Invariant.UNORDERED),
    "only running foreign counts": (others_never_start, Invariant.FOREIGN_COUNTED),
    "pods that outlive their Job": (deleted_in_the_background, Invariant.SLOT_FREED),
}
"""By bug: where it shows, and what it breaks."""


@contextmanager
def a_place(folder: Path, uri: str, plane: ControlPlane) -> Iterator[KubePlace]:
    """A namespace, a database and a folder of its own."""
    with plane.namespace() as namespace:
        place = KubePlace(folder, uri, f"sown_{uuid4().hex[:12]}", plane, namespace)
        try:
            yield place
        finally:
            place.tidy()
            with pymongo.MongoClient[dict[str, object]](uri) as client:
                client.drop_database(place.database)


@pytest.mark.parametrize("bug", SOWN)
def test_a_sown_bug_is_found(bug: str, root: Path, mongo_uri: str, control_plane: ControlPlane) -> None:
    """What it breaks is broken with it, and nothing is in the very same situation without it."""
    situation, breaks = SITUATIONS[bug]
    with a_place(root / "sown", mongo_uri, control_plane) as place:
        place.program = ("tests.kube.sown", bug)
        situation(place)
        place.start_no_more()
        found = place.judged().violations
        assert breaks in {one.invariant for one in found}, "\n".join(map(str, found))
    with a_place(root / "without", mongo_uri, control_plane) as place:
        situation(place)
        place.close()
