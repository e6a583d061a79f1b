"""The judge of these tests is awake: what is done to a real run's records behind its back is found."""

from __future__ import annotations

from controller.adapters.local_history import CREATE, END, START
from tests.e2e.place import Place
from tests.e2e.specs import batch
from tests.oracle.history import Happened, Written
from tests.oracle.invariants import Invariant


def test_a_forged_end_is_found(place: Place) -> None:
    """A completed record that becomes an error, and a place taken for it, are violations with their names;
    and before that there was none, with every write and every event seen."""
    place.drop(batch("watched", 2))
    place.start()
    place.over("watched")
    place.start_no_more()
    assert place.recorder is not None
    entries = place.recorder.entries(place.state)
    happened = [entry for entry in entries if isinstance(entry, Happened)]
    assert len(happened) == len(place.history()) == 2 * len((CREATE, START, END))
    assert all(entry.success is True for entry in happened if entry.deed == "ended")
    assert len([entry for entry in entries if isinstance(entry, Written)]) > 10
    assert not place.judged().violations
    job = place.job("watched-1")
    place.db["jobs"].update_one({"_id": job["_id"]}, {"$set": {"status": "error", "verdict": "unknown"}})
    holder = {"job": job["_id"], "slot": 0}
    place.db["gates"].update_one({"_id": job["batch_id"]}, {"$push": {"holders": holder}})
    found = {violation.invariant for violation in place.judged().violations}
    assert {Invariant.IMMUTABLE, Invariant.UNFINISHED} <= found
    place.recorder = None  # it has spoken
