"""Database set back or lost, cluster lost, or both: what follows is what the operator guide says."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from controller.adapters.local_history import CREATE
from tests.e2e.disasters import assert_never_too_many, backup, collect, lose_cluster, lose_database, restore
from tests.e2e.history import starts
from tests.e2e.place import Place
from tests.e2e.specs import QUICK, batch


@pytest.fixture
def place(place: Place) -> Place:
    """A place whose judge is the cluster's history: the oracle knows of no second life."""
    place.recorder = None
    return place


def until_there(path: Path) -> str:
    """A job that ends once this file is there."""
    return f"until [ -e {path} ]; do sleep 0.02; done"


def fails_first(path: Path, again: Path) -> str:
    """A job that fails with exit code 2 once a file is there; its retry ends once another one is."""
    return f'[ "$BATCHKEEPER_ATTEMPT" = 0 ] && {{ {until_there(path)}; exit 2; }}; {until_there(again)}'


def gates_are_older(place: Place, does: dict[str, str], first: Path) -> None:
    """Of ``a`` and ``b`` one makes room for ``c``, and the daemon dies; then the gates are as before that."""
    place.drop(batch("torn", does, most=2))
    daemon = place.start()
    for name in ("torn-a", "torn-b"):
        place.is_(name, "running")
    gates = backup(place)["gates"]
    first.touch()
    place.is_("torn-c", "running")
    daemon.kill()
    restore(place, {**backup(place), "gates": gates})


def test_an_older_backup_is_restored(place: Place) -> None:
    """Jobs that were started since the backup count and are found again: nothing of them runs twice, and
    nothing is above the maximum. A retry that only the lost records knew ends as a name collision; what has
    ended since and was collected runs again."""
    go = {name: place.root / f"go-{name}" for name in "bcer"}
    does = {
        "a": "true",
        "b": until_there(go["b"]),
        "c": fails_first(go["c"], go["r"]),
        "d": "true",
        "e": until_there(go["e"]),
        "f": "true",
    }
    place.drop(batch("back", does, most=2))
    daemon = place.start()
    for name in ("back-b", "back-c"):
        place.is_(name, "running")
    saved = backup(place)
    for name in "bc":
        go[name].touch()
    for name in ("back-c-r1", "back-e"):
        place.is_(name, "running")
    daemon.kill()
    collect(place, "back-d")
    restore(place, saved)
    place.start()
    place.is_("back-b", "completed")
    place.is_("back-c", "error")
    place.until("both are counted", lambda: len(place.gate("back")["foreign"]) == 2)
    assert [place.statuses("back")[f"back-{name}"] for name in "def"] == ["waiting"] * 3
    assert "no record follows it" in place.cli("explain", "back-e").out
    go["e"].touch()
    place.is_("back-f", "completed")
    assert place.is_("back-c-r1", "waiting")
    go["r"].touch()
    place.over("back")
    ended = {job["name"]: (job["status"], job["verdict"]) for job in place.jobs("back")}
    assert ended.pop("back-c") == ("error", "mount-failure")
    assert ended.pop("back-c-r1") == ("error", "name-collision")
    assert set(ended.values()) == {("completed", "succeeded")}
    assert place.cli("retry", "--batch", "back", "--verdict", "name-collision").code == 0
    place.is_("back-c-r2", "completed")
    place.over("back")
    ran = starts(place.history())
    assert ran.pop("back-d") == 2
    assert set(ran.values()) == {1}
    assert_never_too_many(place, 2)


def test_a_backup_of_no_one_instant_is_restored(place: Place) -> None:
    """Its gates are older than its records: a job that runs has no place in them. It gets one before anything
    else starts, its end is followed up, and never are there more than the maximum."""
    go = {name: place.root / f"go-{name}" for name in "abc"}
    does = {name: until_there(path) for name, path in go.items()}
    gates_are_older(place, {**does, "c": fails_first(go["c"], go["b"]), "d": "true"}, go["a"])
    daemon = place.start()
    assert daemon.says("places-missing")["jobs"] == ["torn-c"]
    place.until(
        "it has its place",
        lambda: place.id("torn-c") in held(place, "torn") and len(held(place, "torn")) == 2,
    )
    for name in "cb":
        go[name].touch()
    place.over("torn")
    ended = {job["name"]: job["status"] for job in place.jobs("torn")}
    assert ended.pop("torn-c") == "error"
    assert set(ended) == {"torn-a", "torn-b", "torn-c-r1", "torn-d"}
    assert set(ended.values()) == {"completed"}
    assert set(starts(place.history()).values()) == {1}
    assert_never_too_many(place, 2)


def test_a_backup_whose_records_are_older_than_its_gates(place: Place) -> None:
    """The place of a job that ran is that of one which is still waiting there: whose record holds the slot
    gets it back, its end is followed up, and the other one has its turn then, and does not run again."""
    go = {name: place.root / f"go-{name}" for name in "ab"}
    place.drop(batch("torn", {name: until_there(path) for name, path in go.items()}, most=1))
    daemon = place.start()
    place.is_("torn-a", "running")
    jobs = backup(place)["jobs"]
    go["a"].touch()
    place.is_("torn-b", "running")
    daemon.kill()
    restore(place, {**backup(place), "jobs": jobs})
    daemon = place.start()
    assert daemon.says("places-missing")["jobs"] == ["torn-a"]
    place.is_("torn-a", "completed")
    go["b"].touch()
    place.over("torn")
    assert set(place.statuses("torn").values()) == {"completed"}
    assert set(starts(place.history()).values()) == {1}
    assert_never_too_many(place, 1)


def test_a_cancel_reaches_a_job_without_a_place(place: Place) -> None:
    """Gates older than records, and the batch is cancelled before the next daemon has given places back: the
    job that runs without one is stopped like the others, and the batch ends."""
    go = {name: place.root / f"go-{name}" for name in "abc"}
    gates_are_older(place, {name: until_there(path) for name, path in go.items()}, go["a"])
    assert place.cli("cancel", "torn", "--why", "not wanted").code == 0
    daemon = place.start()
    assert daemon.says("places-missing")["jobs"] == ["torn-c"]
    place.over("torn")
    assert place.statuses("torn") == {"torn-a": "completed", "torn-b": "terminated", "torn-c": "terminated"}
    assert place.tells("torn.json", lambda told: told["state"] == "cancelled")
    assert set(starts(place.history()).values()) == {1}
    assert_never_too_many(place, 2)


def test_gates_are_set_back_under_a_running_leader(place: Place) -> None:
    """Its next claim meets the slot of a job that has no place: that job gets its place back without an
    election, its end is followed up, and the other one has its turn then. The alarm is told."""
    go = {name: place.root / f"go-{name}" for name in "abcd"}
    place.forgiven = ("'invariant': 'slot'", "index: slot dup key")
    place.drop(batch("under", {name: until_there(path) for name, path in go.items()}, most=2))
    daemon = place.start()
    for name in ("under-a", "under-b"):
        place.is_(name, "running")
    gates = backup(place)["gates"]
    go["a"].touch()
    place.is_("under-c", "running")
    for gate in gates:
        place.db["gates"].replace_one({"_id": gate["_id"]}, gate)
    assert daemon.says("places-missing")["jobs"] == ["under-c"]
    place.until("it has its place", lambda: place.id("under-c") in held(place, "under"))
    for path in go.values():
        path.touch()
    place.over("under")
    assert daemon.running, "it is the same one"
    assert {line["job"] for line in daemon.said("invariant-violated")} == {"under-d"}, "the alarm is told"
    assert set(place.statuses("under").values()) == {"completed"}
    assert set(starts(place.history()).values()) == {1}
    assert_never_too_many(place, 2)


def held(place: Place, name: str) -> list[str]:
    """The jobs that hold a place in the batch's gate."""
    return [str(holder["job"]) for holder in place.gate(name)["holders"]]


def test_the_database_of_our_own_is_copied_back(root: Path) -> None:
    """On one machine the folder of the mongod is the backup, copied while nothing runs: what it knows is
    known again, and a batch that came later is held, taken over, and not run again."""
    place = Place(root, "", "batchkeeper")
    files, kept = place.state / "mongo", root / "kept"
    try:
        place.start()
        place.drop(batch("known", 1))
        place.tells("known.json", lambda told: told["state"] == "finished")
        place.start_no_more()
        shutil.copytree(files, kept)
        place.start()
        place.drop(batch("later", 1))
        place.tells("later.json", lambda told: told["state"] == "finished")
        place.start_no_more()
        shutil.rmtree(files)
        shutil.copytree(kept, files)
        place.start()
        place.tells("later.json", lambda told: "adoption-needed" in told["reason"])
        assert place.told("known.json")["state"] == "finished"
        assert place.cli("adopt", "later").code == 0
        told = place.tells("later.json", lambda told: told["state"] == "finished")
        assert told["result"] == "completed"
        assert starts(place.history()) == {"known-1": 1, "later-1": 1}
        place.close()
    finally:
        place.tidy()


def test_the_database_is_lost(place: Place) -> None:
    """The specs make the batches anew; what the old life left is not ours any more: it counts, the batch is
    held until somebody takes it over, and then nothing that ran or runs is started again. What had ended and
    was collected is remembered by nobody, and runs again."""
    go = place.root / "go"
    does = {"a": "true", "gone": "true", "b": until_there(go), "c": until_there(go), "d": "true", "e": "true"}
    place.drop(batch("lost", does, most=2))
    daemon = place.start()
    for name in ("lost-b", "lost-c"):
        place.is_(name, "running")
    daemon.kill()
    collect(place, "lost-gone")
    lose_database(place)
    place.start()
    told = place.tells("lost.json", lambda told: told["state"] == "held")
    assert "adoption-needed: 3 jobs under its names" in told["reason"]
    assert set(place.statuses("lost").values()) == {"waiting"}
    assert place.cli("adopt", "lost").code == 0
    place.is_("lost-b", "running")
    go.touch()
    place.over("lost")
    assert set(place.statuses("lost").values()) == {"completed"}
    origins = {job["task_id"]: job["origin"] for job in place.jobs("lost")}
    assert {task for task, origin in origins.items() if origin == "adopted"} == set("abc")
    ran = starts(place.history())
    assert ran.pop("lost-gone") == 2
    assert set(ran.values()) == {1}
    assert_never_too_many(place, 2)


def test_the_cluster_is_lost(place: Place) -> None:
    """What was active is lost, and retried by its rule; what had ended stays; what waited goes on."""
    go = place.root / "go"
    does = {"a": "true", "b": until_there(go), "c": until_there(go), "d": "true"}
    lost = {"on": {"verdict": "lost"}, "limit": 2, "backoff": {"base": "100ms", "factor": 2, "max": "1s"}}
    place.drop(batch("away", does, most=2, retry=[*QUICK, lost]))
    daemon = place.start()
    for name in ("away-b", "away-c"):
        place.is_(name, "running")
    daemon.kill()
    lose_cluster(place)
    gone_at = len(place.history())
    place.start()
    for name in ("away-b-r1", "away-c-r1"):
        place.is_(name, "running")
    go.touch()
    place.over("away")
    ended = {job["name"]: (job["status"], job["verdict"]) for job in place.jobs("away")}
    assert ended.pop("away-b") == ended.pop("away-c") == ("error", "lost")
    assert set(ended) == {"away-a", "away-b-r1", "away-c-r1", "away-d"}
    assert set(ended.values()) == {("completed", "succeeded")}
    assert_never_too_many(place, 2, gone_at)


def test_both_are_lost(place: Place) -> None:
    """With neither records nor objects every spec in the folder is a new batch, and all of it runs again."""
    go = place.root / "go"
    place.drop(batch("both", {"a": "true", "b": until_there(go)}, most=1))
    daemon = place.start()
    place.is_("both-b", "running")
    daemon.kill()
    lose_cluster(place)
    lose_database(place)
    gone_at = len(place.history())
    go.touch()
    place.start()
    place.until("it is there", lambda: place.parent("both"))
    place.over("both")
    assert set(place.statuses("both").values()) == {"completed"}
    created = [entry.name for entry in place.history()[gone_at:] if entry.kind == CREATE]
    assert created == ["both-a", "both-b"]
