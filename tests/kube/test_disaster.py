"""The database is lost beside a real control plane: its Jobs go on, and are taken over by the next life."""

from __future__ import annotations

from tests.e2e.disasters import assert_never_too_many, lose_database
from tests.e2e.history import starts
from tests.kube.place import KubePlace, spec
from tests.kube.theirs import Theirs


def test_the_database_is_lost(place: KubePlace) -> None:
    """Jobs with our labels and no record count; the batch of their name is held, takes them over when asked,
    and starts nothing of theirs again."""
    place.recorder = None  # the oracle knows of one life only
    short, long = {"RUN_SECONDS": "0.3"}, {"RUN_SECONDS": "900"}
    place.drop(spec("lost", {"a": short, "b": long, "c": long, "d": short, "e": short}, 2))
    daemon = place.start()
    for name in ("lost-b", "lost-c"):
        place.is_(name, "running")
    uids = {name: place.job(name)["scheduler_id"] for name in ("lost-a", "lost-b", "lost-c")}
    daemon.kill()
    lose_database(place)
    place.start()
    told = place.tells("lost.json", lambda told: told["state"] == "held")
    assert "adoption-needed: 3 jobs under its names" in told["reason"]
    place.until("what runs is counted", lambda: len(place.gate("lost")["foreign"]) == 2)
    assert {thing["cause"] for thing in place.gate("lost")["foreign"]} == {"orphan"}
    assert set(place.statuses("lost").values()) == {"waiting"}
    assert place.cli("adopt", "lost").code == 0
    for name in ("lost-b", "lost-c"):
        place.is_(name, "running")
        Theirs(place).end_job(name)
    place.over("lost")
    assert set(place.statuses("lost").values()) == {"completed"}
    assert {name: place.job(name)["scheduler_id"] for name in uids} == uids
    assert set(starts(place.history()).values()) == {1}
    assert_never_too_many(place, 2)
