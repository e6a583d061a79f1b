"""The daemon while its control plane is killed under it: nothing doubled, nothing lost, and it goes on.

Every test is judged by the oracle at its end, through the independent watcher.
"""

from __future__ import annotations

from tests.control_plane.plane import API_SERVER, ETCD
from tests.e2e.process import Daemon
from tests.e2e.waiting import wait_for
from tests.kube.place import KubePlace, spec

MOST = 4
SHORT = {"RUN_SECONDS": "0.4"}


def begun(place: KubePlace, name: str, tasks: int = 24) -> Daemon:
    """A daemon in the middle of a batch."""
    place.drop(spec(name, {f"t{n}": SHORT for n in range(tasks)}, MOST))
    daemon = place.start()
    place.until("some have ended", lambda: len(place.jobs(name, status="completed")) >= MOST)
    return daemon


def told(daemon: Daemon, *words: str) -> None:
    """``/readyz`` says in one line that it is not ready, with these words; ``/livez`` that it lives."""

    def says() -> bool:
        status, why = daemon.get("/readyz")
        return status == 503 and all(word in why for word in words)

    wait_for(f"/readyz says {words}, not {daemon.get('/readyz')}", says)
    assert daemon.get("/readyz")[1].count("\n") == 1
    assert daemon.get("/livez")[0] == 200


def test_the_api_server_is_killed(fragile: KubePlace) -> None:
    """For longer than a term lasts without a renewal: the leader steps down and says why it does nothing;
    the process stays, is elected again and goes on."""
    daemon = begun(fragile, "killed")
    fragile.plane.kill(API_SERVER)
    with fragile.out_of_reach():
        wait_for("it steps down", lambda: daemon.said("stepped-down"))
        told(daemon, "nobody can be elected", "API server")
    fragile.plane.start(API_SERVER)
    fragile.all_well("killed", MOST)
    daemon.ready()


def test_etcd_is_killed(fragile: KubePlace) -> None:
    """The API server stays and answers what it can not do: nothing is known, and it goes on afterwards."""
    daemon = begun(fragile, "etcd")
    fragile.plane.kill(ETCD)
    with fragile.out_of_reach():
        wait_for("it steps down", lambda: daemon.said("stepped-down"))
        told(daemon, "nobody can be elected", "lease")
    fragile.plane.start(ETCD)
    fragile.all_well("etcd", MOST)
    daemon.ready()
