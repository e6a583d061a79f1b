"""The daemon on a real control plane, with exactly the rights of its Role, and an independent watcher."""

from __future__ import annotations

from collections import Counter

from tests.control_plane.history import happenings, most_at_once
from tests.kube.place import QUICK, KubePlace, spec


def test_a_batch_comes_to_its_end(place: KubePlace) -> None:
    """Some succeed, one meets a failing mount once, one is configured wrongly: each ends as it must."""
    tasks: dict[str, dict[str, str]] = {f"t{n}": {} for n in range(8)} | {
        "once": {"END": "exit-2,exit-0"},
        "wrong": {"END": "exit-1"},
    }
    place.drop(spec("scan", tasks, 4, retry=QUICK))
    place.start()
    place.over("scan")
    statuses = place.statuses("scan")
    assert Counter(statuses.values()) == {"completed": 9, "error": 2}
    assert (statuses["scan-once"], statuses["scan-once-r1"], statuses["scan-wrong"]) == (
        "error",
        "completed",
        "error",
    )
    assert place.job("scan-once")["verdict"] == "mount-failure"
    assert place.job("scan-wrong")["verdict"] == "configuration-error"
    assert most_at_once(happenings(place.watcher.changes())) <= 4
