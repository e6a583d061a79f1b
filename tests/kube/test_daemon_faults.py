"""The daemon while its control plane is killed under it: nothing doubled, nothing lost, and it goes on.

Every test is judged by the oracle at its end, through the independent watcher. ``REAL_TIMES=100`` kills so
often.
"""

from __future__ import annotations

import os
from dataclasses import replace

import pytest

from tests.control_plane.admin import Refused
from tests.control_plane.plane import API_SERVER, ETCD, ServiceAccount
from tests.e2e.process import Daemon
from tests.e2e.waiting import wait_for
from tests.kube.place import KubePlace, spec
from tests.kube.storm import sent_away

MOST = 4
SHORT = {"RUN_SECONDS": "0.4"}
TIMES = int(os.environ.get("REAL_TIMES", "1"))


def begun(place: KubePlace, name: str, tasks: int = 12) -> Daemon:
    """A daemon in the middle of a batch."""
    place.drop(spec(name, {f"t{n}": SHORT for n in range(tasks)}, MOST))
    daemon = place.start()
    place.until("some have ended", lambda: len(place.jobs(name, status="completed")) >= MOST)
    return daemon


def told(daemon: Daemon, *words: str) -> None:
    """``/readyz`` says in one line that it is not ready, with these words; ``/livez`` that it lives."""

    def why() -> str:
        status, said = daemon.get("/readyz")
        return said if status == 503 and all(word in said for word in words) else ""

    try:
        said = wait_for(f"/readyz says {words}", why)
    except AssertionError as error:
        raise AssertionError(f"{error}; it says {daemon.get('/readyz')}") from None
    assert said.count("\n") == 1
    assert daemon.get("/livez")[0] == 200


@pytest.mark.parametrize("turn", range(TIMES))
def test_the_api_server_is_killed(fragile: KubePlace, turn: int) -> None:
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


@pytest.mark.parametrize("turn", range(TIMES))
def test_etcd_is_killed(fragile: KubePlace, turn: int) -> None:
    """The API server stays and answers what it can not do: nothing is known, and it goes on afterwards.

    At the kill all places are taken by pods that run: one that the Job controller was just making would come
    only after its expectations have timed out, in five minutes.
    """
    fragile.drop(spec("etcd", {f"t{n}": {"RUN_SECONDS": "4"} for n in range(12)}, MOST))
    daemon = fragile.start()
    fragile.until("they run", lambda: len(fragile.jobs("etcd", status="running")) == MOST)
    fragile.plane.kill(ETCD)
    with fragile.out_of_reach():
        wait_for("it steps down", lambda: daemon.said("stepped-down"))
        told(daemon, "nobody can be elected", "lease")
    fragile.plane.start(ETCD)
    fragile.all_well("etcd", MOST)
    daemon.ready()


def test_every_watch_expires(fragile: KubePlace) -> None:
    """The API server forgets all revisions that anybody has seen: what happened meanwhile is listed."""
    daemon = begun(fragile, "expired")
    fragile.plane.expire_watches()
    fragile.all_well("expired", MOST)
    assert fragile.watcher.gaps
    daemon.ready()


def test_the_token_is_rotated(fragile: KubePlace) -> None:
    """The old one is refused soon after: the new one is read from its file, and nobody need care."""
    daemon = begun(fragile, "before")
    old = fragile.account.api.token
    fragile.account.rotate()
    wait_for("the old one is refused", lambda: refused(fragile.account, old))
    fragile.drop(spec("after", {f"t{n}": SHORT for n in range(6)}, MOST))
    fragile.over("before")
    fragile.all_well("after", 2 * MOST)
    daemon.ready()


def refused(account: ServiceAccount, token: str) -> bool:
    """Whether the API server takes this token no more."""
    try:
        replace(account.api, token=token).get(f"/api/v1/namespaces/{account.namespace}/pods")
    except Refused as told:
        return told.status == 401
    return False


def test_a_storm_of_429(fragile: KubePlace) -> None:
    """Everything is sent away for a while: it says so, leaves the API server alone, and goes on after it.

    In the middle of a batch or after it: somebody who leads asks in any case.
    """
    daemon = begun(fragile, "storm")
    with sent_away(fragile.plane, fragile.account):
        told(daemon, "429")
    fragile.all_well("storm", MOST)
    daemon.ready()
    with sent_away(fragile.plane, fragile.account):
        told(daemon, "nobody can be elected", "429")
    daemon.ready()
