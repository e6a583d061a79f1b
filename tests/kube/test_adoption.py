"""A batch that scripts run already is taken over on a real control plane: nothing starts twice, nothing of
theirs is written to (S11). Every test is judged by the oracle at its end, through the independent watcher.
"""

from __future__ import annotations

from typing import Any

import pytest

from controller.adapters import labels
from tests.control_plane.history import happenings
from tests.e2e.history import starts
from tests.kube.place import QUICK, KubePlace, spec
from tests.kube.theirs import Theirs
from tests.oracle.history import Deed

SHORT = {"RUN_SECONDS": "0.3"}
LOST = {"on": {"verdict": "lost"}, "limit": 1, "backoff": {"base": "200ms", "factor": 2, "max": "1s"}}


@pytest.fixture
def theirs(place: KubePlace) -> Theirs:
    """What others run in the place's namespace."""
    return Theirs(place)


def held(place: KubePlace, name: str) -> str:
    """The batch waits for the order to take over; the sentence of its hold."""
    place.until(
        f"{name} is held", lambda: "adoption-needed" in (place.parent(name).get("batch_reason") or "")
    )
    return str(place.gate(name)["hold"])


def ours(place: KubePlace) -> set[str]:
    """The names of Jobs that the daemon ever made here."""
    return {one.name for one in happenings(place.watcher.changes()) if one.job_id}


def test_what_the_scripts_ran(place: KubePlace, theirs: Theirs) -> None:
    """Two tasks are done (of one only the Job is left), two failed, two run (one is a bare Pod), three were
    never started, and a leftover is no task's: the dry run shows what then happens, to the letter."""
    theirs.done("gapit-t0", {})
    theirs.done("gapit-t1", {})
    theirs.remove_pods("gapit-t1")
    theirs.done("gapit-t2", {"END": "exit-2"})
    theirs.done("gapit-t3", {"END": "exit-1"})
    theirs.running("gapit-t4")
    theirs.bare_pod("gapit-t5")
    theirs.running("gapit-old")
    place.drop(spec("gapit", {f"t{n}": SHORT for n in range(9)}, 2, retry=QUICK))
    place.start()
    assert "6 jobs under its names are not ours (2 active, 4 ended)" in held(place, "gapit")
    before = place.jobs("gapit"), place.gate("gapit")
    shown = place.cli("adopt", "gapit", "--dry-run", "-o", "json").json
    assert (place.jobs("gapit"), place.gate("gapit")) == before
    assert (ours(place), set(place.statuses("gapit").values())) == (set(), {"waiting"})
    ordered = place.cli("adopt", "gapit", "-o", "json").json
    assert {**ordered, "did": ""} == {**shown, "did": ""}
    place.until("it is taken over", lambda: not place.gate("gapit").get("hold"))
    bound = {job["name"]: job for job in place.jobs("gapit", origin="adopted")}
    assert _as_shown(bound) == {one["name"]: _promised(one) for one in shown["tasks"]}
    assert {one["name"]: one["becomes"] for one in shown["tasks"]} == {
        "gapit-t0": "completed",
        "gapit-t1": "completed",
        "gapit-t2": "error",
        "gapit-t3": "error",
        "gapit-t4": "running",
        "gapit-t5": "running",
    }
    assert ("gapit-t2", "mount-failure") in {(one["name"], one["verdict"]) for one in shown["tasks"]}
    assert [one["name"] for one in shown["others"]] == ["gapit-old"]
    assert ours(place) == set(), "three of theirs are active, and two are allowed"
    theirs.end_job("gapit-t4")
    theirs.end("gapit-t5")
    theirs.end_job("gapit-old")
    place.over("gapit")
    assert ours(place) == {"gapit-t2-r1", "gapit-t6", "gapit-t7", "gapit-t8"}
    assert shown["totals"]["submitted"] == 3
    assert set(starts(place.history()).values()) == {1}
    wrong = {name: status for name, status in place.statuses("gapit").items() if status != "completed"}
    assert wrong == {"gapit-t2": "error", "gapit-t3": "error"}
    theirs.untouched()


def _as_shown(bound: dict[str, dict[str, Any]]) -> dict[str, tuple[Any, ...]]:
    """What became of the records: object, status, verdict."""
    return {
        name: (job["kind"], job["scheduler_id"], job["status"], job.get("verdict"))
        for name, job in bound.items()
    }


def _promised(shown: dict[str, Any]) -> tuple[Any, ...]:
    return shown["kind"], shown["uid"], shown["becomes"], shown["verdict"]


def test_the_spec_says_adopt(place: KubePlace, theirs: Theirs) -> None:
    """With ``adopt: true`` nobody is asked: what runs is followed to its end, the rest starts beside it."""
    theirs.running("said-t0")
    theirs.done("said-t1", {})
    place.drop(spec("said", {f"t{n}": SHORT for n in range(4)}, 2, adopt=True))
    place.start()
    for name in ("said-t1", "said-t2", "said-t3"):
        place.is_(name, "completed")
    assert place.job("said-t0")["status"] == "running"
    assert place.job("said-t0")["scheduler_id"] == theirs.uids["said-t0"]
    theirs.end_job("said-t0")
    place.over("said")
    assert set(place.statuses("said").values()) == {"completed"}
    assert ours(place) == {"said-t2", "said-t3"}
    theirs.untouched()


def test_they_delete_what_was_taken_over(place: KubePlace, theirs: Theirs) -> None:
    """Nobody saw how it ended: it is lost, and its retry is a Job of ours, made as the spec says."""
    theirs.running("gone-a")
    place.drop(spec("gone", {"a": SHORT}, 1, adopt=True, retry=[LOST]))
    place.start()
    place.is_("gone-a", "running")
    refused = place.cli("cancel", "gone-a")
    said = " ".join((refused.out + refused.err).split())
    assert (refused.code, "not ours to delete" in said) == (3, True)
    theirs.remove("gone-a")
    place.over("gone")
    first, second = place.jobs("gone")
    assert (first["status"], first["verdict"], first["origin"]) == ("error", "lost", "adopted")
    assert (second["name"], second["status"], second["origin"]) == ("gone-a-r1", "completed", "auto")
    assert second["job_input"] == first["job_input"]
    made = next(job for job in place.job_objects() if job["metadata"]["name"] == "gone-a-r1")
    assert made["metadata"]["labels"][labels.ATTEMPT] == "1"
    theirs.untouched()


def test_the_leader_dies_at_the_order(place: KubePlace, theirs: Theirs) -> None:
    """``kill -9`` as soon as places were taken over: the standby goes on where it stopped, and no task has
    two objects."""
    for n in range(12):
        theirs.done(f"heir-t{n}", {} if n % 2 else {"END": "exit-1"})
    theirs.running("heir-t12")
    place.drop(spec("heir", {f"t{n}": SHORT for n in range(16)}, 3))
    leader = place.start()
    place.start(wait=False)
    held(place, "heir")
    assert place.cli("adopt", "heir").code == 0
    place.until("it has begun", lambda: place.gate("heir").get("holders"))
    leader.kill()
    place.until("it is taken over", lambda: not place.gate("heir").get("hold"))
    assert place.is_("heir-t12", "running")["scheduler_id"] == theirs.uids["heir-t12"]
    theirs.end_job("heir-t12")
    place.over("heir")
    assert ours(place) == {"heir-t13", "heir-t14", "heir-t15"}
    assert {job["origin"] for job in place.jobs("heir", index={"$lt": 13})} == {"adopted"}
    theirs.untouched()


def test_cancelled_while_it_is_held(place: KubePlace, theirs: Theirs) -> None:
    """Nothing of ours was there, and what is theirs goes on: the batch ends, and binds nothing."""
    theirs.running("dropped-a")
    place.drop(spec("dropped", {"a": SHORT, "b": SHORT}, 2))
    place.start()
    held(place, "dropped")
    assert place.cli("resume", "dropped").code == 1
    assert place.cli("cancel", "dropped").code == 0
    place.over("dropped")
    assert set(place.statuses("dropped").values()) == {"terminated"}
    assert ours(place) == set()
    assert Deed.ENDED not in {one.deed for one in happenings(place.watcher.changes())}
    theirs.untouched()
