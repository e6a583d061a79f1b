"""What people do to spec files while the daemon lives: each answer stands beside the file."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path

from tests.e2e.history import most_at_once, starts, under
from tests.e2e.place import Document, Place
from tests.e2e.specs import batch


def until_there(path: Path) -> str:
    """A job that ends once this file is there."""
    return f"until [ -e {path} ]; do sleep 0.02; done"


def active(place: Place, name: str) -> int:
    """How many jobs hold a place in the batch."""
    return len(place.gate(name)["holders"])


def test_several_batches_at_once(shared: Place) -> None:
    """Three batches side by side, each within its own limit, none waiting for another's end."""
    go = shared.root / "go-several"
    names = ["one", "two", "three"]
    for most, name in enumerate(names, 1):
        does = {f"t{n}": until_there(go) for n in range(most)} | {"last": "true"}
        shared.drop(batch(name, does, most=most))
    for most, name in enumerate(names, 1):
        shared.until(f"{name} is full", partial(runs, shared, name, most))
    go.touch()
    shared.over(*names)
    for most, name in enumerate(names, 1):
        told = shared.tells(f"{name}.json", lambda told: told["state"] == "finished")
        assert told["tasks"] == {
            "total": most + 1,
            "completed": most + 1,
            "endedWithoutSuccess": 0,
            "active": 0,
            "waiting": 0,
        }
        assert most_at_once(shared.history(), under(f"{name}-")) == most


def runs(place: Place, name: str, n: int) -> bool:
    """Whether so many jobs of the batch run."""
    return running(place, name) == n


def running(place: Place, name: str) -> int:
    """How many jobs of the batch run, as the records say."""
    return sum(status == "running" for status in place.statuses(name).values()) if place.parent(name) else 0


def test_the_limit_is_edited_while_it_runs(shared: Place) -> None:
    """Raised, more start at once; lowered, nothing is stopped and nothing starts until the count is below."""
    gates = [shared.root / f"go-edit-{n}" for n in range(6)]
    spec = batch("edit", {f"t{n}": until_there(gate) for n, gate in enumerate(gates)}, most=1)
    shared.drop(spec)
    shared.until("one runs", lambda: running(shared, "edit") == 1)
    shared.drop({**spec, "maxConcurrent": 3})
    shared.until("three run", lambda: running(shared, "edit") == 3)
    shared.drop({**spec, "maxConcurrent": 1})
    told = shared.tells("edit.json", lambda told: told["activeJobsInBatch"] == "3 of 1")
    assert told["settings"]["maxConcurrent"]["value"] == 1
    assert told["settings"]["maxConcurrent"]["from"] == "edit.json"
    for gate in gates[:2]:
        gate.touch()
    shared.until("two have ended", lambda: list(shared.statuses("edit").values()).count("completed") == 2)
    assert shared.statuses("edit")["edit-t3"] == "waiting"
    for gate in gates[2:]:
        gate.touch()
    shared.over("edit")
    lowered = [entry for entry in shared.history() if entry.name in ("edit-t3", "edit-t4", "edit-t5")]
    assert most_at_once(lowered, lambda name: True) == 1


def test_paused_and_resumed_in_the_file(shared: Place) -> None:
    """``paused: true`` lets what runs go on and starts nothing more; the status says how to go on."""
    go = shared.root / "go-pause"
    spec = batch("pause", {"a": until_there(go), "b": "true"}, most=1)
    shared.drop(spec)
    shared.is_("pause-a", "running")
    shared.drop({**spec, "paused": True})
    told = shared.tells("pause.json", lambda told: told["state"] == "paused")
    assert "paused: false" in told["next"]
    go.touch()
    shared.is_("pause-a", "completed")
    shared.until("its place is free", lambda: active(shared, "pause") == 0)
    assert shared.statuses("pause")["pause-b"] == "waiting"
    shared.drop({**spec, "paused": False})
    shared.over("pause")
    assert set(shared.statuses("pause").values()) == {"completed"}


def test_a_broken_file_disturbs_nobody(shared: Place) -> None:
    """Every mistake is told beside the file, the batch next to it runs, and the corrected file is taken."""
    wrong = {**batch("broken", 1), "maxConcurent": 3}
    wrong["job"]["command"] = "not a list"
    shared.drop(wrong)
    (shared.specs / "torn.yaml").write_text("apiVersion: batchkeeper/v1\nkind: [\n")
    shared.drop(batch("neighbour", 2))
    shared.over("neighbour")
    told = shared.tells("broken.json", lambda told: told["state"] == "refused")
    text = " ".join(told["refused"])
    assert "maxConcurrent" in text
    assert "command" in text
    assert shared.tells("torn.yaml", lambda told: told["state"] == "refused")["refused"]
    assert set(shared.cli("list", "--quarantined", "-o", "json").out.split('"')) >= {
        "broken.json",
        "torn.yaml",
    }
    (shared.specs / "torn.yaml").unlink()
    shared.drop(batch("broken", 1))
    shared.over("broken")
    assert shared.tells("broken.json", lambda told: told["state"] == "finished")["result"] == "completed"


def test_a_half_written_file_is_not_read(shared: Place) -> None:
    """A file that is still being copied becomes no batch; once it is whole it does, and only then."""
    whole = json.dumps(batch("half", 2), indent=1)
    path = shared.specs / "half.json"
    path.write_text(whole[: len(whole) // 2])
    told = shared.tells("half.json", lambda told: told["state"] == "refused")
    assert told["refused"]
    assert not shared.parent("half")
    path.write_text(whole)
    shared.expect(batch("half", 2))
    shared.over("half")
    assert "refused" not in shared.tells("half.json", lambda told: told["state"] == "finished")


def test_dropped_twice_is_one_batch(shared: Place) -> None:
    """The same content under two names is one batch, and both files are told of it."""
    spec = batch("same", 2)
    shared.drop(spec, "first.json")
    shared.over("same")
    shared.drop(spec, "second.json")
    told = [shared.tells(file, lambda told: told.get("batchId")) for file in ("first.json", "second.json")]
    assert told[0]["batchId"] == told[1]["batchId"]
    assert shared.db["jobs"].count_documents({"batch_job": True, "name": "same"}) == 1
    assert starts(shared.history())["same-1"] == 1


def test_other_content_under_the_same_name_is_refused(shared: Place) -> None:
    """Not in a second file, and not in its own: what may not change is named, and the batch goes on."""
    go = shared.root / "go-name"
    spec = batch("name", {"a": until_there(go)})
    shared.drop(spec)
    shared.is_("name-a", "running")
    shared.drop({**spec, "maxConcurrent": 9}, "thief.json")
    assert "name.json" in " ".join(shared.tells("thief.json", is_refused)["refused"])
    shared.drop({**spec, "job": {**spec["job"], "image": "other"}})
    told = shared.tells("name.json", lambda told: told.get("refused"))
    assert told["state"] == "running"
    assert "image" in " ".join(told["refused"])
    assert shared.gate("name")["max"] == 5
    go.touch()
    shared.over("name")
    (shared.specs / "thief.json").unlink()


def is_refused(told: Document) -> bool:
    """Whether the file became no batch."""
    return bool(told["state"] == "refused")


def test_a_deleted_file_changes_nothing(shared: Place) -> None:
    """Only a cancel ends a batch."""
    go = shared.root / "go-deleted"
    path = shared.drop(batch("deleted", {"a": until_there(go), "b": "true"}, most=1))
    shared.is_("deleted-a", "running")
    path.unlink()
    shared.drop(batch("after-deleted", 1))  # dropped later, so the deletion was seen before it was taken in
    shared.over("after-deleted")
    assert shared.statuses("deleted") == {"deleted-a": "running", "deleted-b": "waiting"}
    go.touch()
    shared.over("deleted")
    assert set(shared.statuses("deleted").values()) == {"completed"}


def test_a_name_too_long(shared: Place) -> None:
    """A batch name or a task id that makes no lawful job name is refused before anything is recorded."""
    shared.drop(batch("n" * 41, 1), "long-name.json")
    shared.drop(batch("m" * 40, {"i" * 30: "true"}), "long-id.json")
    for file in ("long-name.json", "long-id.json"):
        assert shared.tells(file, is_refused)["refused"]
    assert not shared.parent("n" * 41)
    assert not shared.parent("m" * 40)
