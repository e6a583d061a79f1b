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

from tests.control_plane.jobs import jobs_path, manifest
from tests.control_plane.plane import ControlPlane
from tests.e2e.waiting import wait_for
from tests.kube.place import KubePlace, spec
from tests.kube.sown import SOWN
from tests.kube.surplus import one_too_many
from tests.oracle.invariants import Invariant

SHORT: Mapping[str, str] = {"RUN_SECONDS": "0.3"}


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


def a_pod_too_many(place: KubePlace) -> None:
    """It is killed after the other one has ended well."""
    place.drop(spec("scan", {"a": {"RUN_SECONDS": "2"}}, 1, maxAutoRetries=0))
    place.start()
    with one_too_many(place, "scan-a"):
        place.over("scan")


def taken_away(place: KubePlace) -> None:
    """The kubelet evicts it."""
    place.drop(spec("scan", {"a": {"RUN_SECONDS": "0.3", "END": "evicted,exit-0"}}, 1))
    place.start()
    place.over("scan")


SITUATIONS: Mapping[str, tuple[Callable[[KubePlace], None], str]] = {
    "born to expire": (two_tasks, Invariant.UNORDERED),
    "only running foreign counts": (others_never_start, Invariant.FOREIGN_COUNTED),
    "the first pod tells": (a_pod_too_many, Invariant.TRUTH),
    "reasons are not read": (taken_away, Invariant.TRUTH),
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
