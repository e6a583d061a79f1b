"""The daemon on a way to its API server that loses answers, refuses and hangs: nothing is done twice.

Every test is judged by the oracle at its end, through the independent watcher.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

import pytest

from tests.control_plane.history import happenings
from tests.e2e.process import Daemon
from tests.e2e.waiting import wait_for
from tests.kube.place import KubePlace, spec
from tests.kube.test_daemon_faults import told
from tests.kube.way import Fate, Way, way_of
from tests.oracle.history import Deed

MOST = 3
SHORT = {"RUN_SECONDS": "0.4"}
JOB = r"/jobs/[^/?]+(\?|$)"
LONG_TERM = {"duration": "120s", "renew": "100s", "retry": "1s"}
"""A term that outlasts an outage: the leader goes on looking, and must decide nothing."""


@pytest.fixture
def way(place: KubePlace) -> Iterator[Way]:
    """The way that the daemons of this test's place go."""
    with way_of(place.account) as found:
        place.by(found.kubeconfig)
        yield found


def deeds(place: KubePlace, name: str) -> list[Deed]:
    """What happened to the objects of that name, in its order."""
    return [one.deed for one in happenings(place.watcher.changes()) if one.name == name]


# ------------------------------------------------------------------------------------------ lost replies


def test_the_replies_to_creates_are_lost(place: KubePlace, way: Way) -> None:
    """The first three creates are made and nobody hears of it: each is found again, and ran once."""
    lost = way.plan(Fate.LOST, "POST", r"/jobs(\?|$)", times=3)
    place.drop(spec("unheard", {f"t{n}": SHORT for n in range(8)}, MOST))
    place.start()
    place.all_well("unheard", MOST)
    assert lost.met == 3
    for name in place.statuses("unheard"):
        assert deeds(place, name).count(Deed.CREATED) == 1


def test_the_reply_to_a_delete_is_lost(place: KubePlace, way: Way) -> None:
    """A cancelled job's deletion is done and not answered: it is gone once, and its end is the cancel's."""
    place.drop(spec("stopped", {"a": {"END": "never"}, "b": SHORT}, MOST))
    place.start()
    place.is_("stopped-a", "running")
    lost = way.plan(Fate.LOST, "DELETE", JOB, times=1)
    assert place.cli("cancel", "stopped-a").code == 0
    ended = place.is_("stopped-a", "terminated")
    assert (lost.met, ended["verdict"]) == (1, "cancelled")
    place.over("stopped")
    assert deeds(place, "stopped-a") == [Deed.CREATED, Deed.STARTED, Deed.DELETE, Deed.ENDED, Deed.GONE]


def test_the_replies_to_expiries_are_lost(place: KubePlace, way: Way) -> None:
    """The time to live of what has ended is set and not answered: the results stand as they are."""
    lost = way.plan(Fate.LOST, "PATCH", JOB, times=3)
    place.drop(spec("expired", {f"t{n}": SHORT for n in range(6)}, MOST))
    place.start()
    place.all_well("expired", MOST)
    place.until("all may expire", lambda: all(map(expires, place.job_objects())))
    assert lost.met == 3


def expires(job: dict[str, dict[str, object]]) -> bool:
    """Whether a Job will be collected."""
    return job["spec"].get("ttlSecondsAfterFinished") is not None


# ------------------------------------------------------------------------------------------------ outages


@pytest.mark.parametrize("fate", [Fate.DENIED, Fate.HELD])
def test_nothing_is_decided_in_an_outage(place: KubePlace, way: Way, fate: Fate) -> None:
    """Every request is refused with a 503, or hangs, while jobs end unseen: the leader says so, also beside
    the spec, and creates, deletes and judges nothing until it sees again."""
    place.configure(kubernetes={"timeout": "2s", "lease": LONG_TERM})
    place.know(patience=timedelta(seconds=5))
    place.drop(spec("dark", {f"t{n}": {"RUN_SECONDS": "2"} for n in range(8)}, MOST))
    daemon = place.start()
    place.until("some run", lambda: len(place.jobs("dark", status="running")) == MOST)
    with way.out(fate), place.out_of_reach():
        told(daemon, "namespace")
        dark_pass(daemon)
        records, created = place.statuses("dark"), names(place)
        wait_for("they have ended", lambda: ended(place) >= MOST)
        dark_pass(daemon)
        assert (place.statuses("dark"), names(place)) == (records, created)
        place.tells("dark.json", lambda told: "can't be listed" in " ".join(told.get("waits", ())))
        told(daemon, "namespace")
    place.all_well("dark", MOST)
    daemon.ready()
    assert not daemon.said("stepped-down")


def dark_pass(daemon: Daemon) -> None:
    """A full pass of its begins and finds nothing out."""

    def passes() -> int:
        return len([line for line in daemon.said("unavailable") if line["where"] == "full pass"])

    before = passes()
    wait_for("a pass in the dark", lambda: passes() > before + 1)


def names(place: KubePlace) -> set[str]:
    """The Jobs that are there."""
    return {job["metadata"]["name"] for job in place.job_objects()}


def ended(place: KubePlace) -> int:
    """How many objects have ended."""
    return sum(one.deed is Deed.ENDED for one in happenings(place.watcher.changes()))


# ---------------------------------------------------------------------------------------------- zombies


def test_a_leader_that_slept_through_its_term(place: KubePlace, way: Way) -> None:
    """It is stopped with creates on their way, another one leads and goes on, the creates land, and then it
    wakes up: what it had decided changes nothing, and nothing runs twice."""
    place.drop(spec("zombie", {f"t{n}": SHORT for n in range(16)}, MOST))
    zombie = place.start()
    place.until("some have ended", lambda: len(place.jobs("zombie", status="completed")) >= MOST)
    held = way.plan(Fate.HELD, "POST", r"/jobs(\?|$)", times=2)
    place.until("its creates are on their way", lambda: held.met == 2)
    with zombie.frozen():
        place.by(place.account.kubeconfig)
        heir = place.start()
        before = len(place.jobs("zombie", status="completed"))
        place.until("the heir goes on", lambda: len(place.jobs("zombie", status="completed")) > before)
        way.clear()
        place.until("the creates landed", lambda: way.idle)
    wait_for("it steps down", lambda: zombie.said("stepped-down"))
    place.all_well("zombie", MOST)
    assert not heir.said("stepped-down")
    assert zombie.running
