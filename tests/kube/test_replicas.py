"""Two replicas on one Lease, and two that both believe they lead: the cap holds, nothing runs twice."""

from __future__ import annotations

from collections.abc import Mapping

from controller.adapters.kube_access import lease_rules
from tests.control_plane.history import happenings, most_at_once
from tests.control_plane.plane import ControlPlane
from tests.e2e.history import starts
from tests.e2e.waiting import wait_for
from tests.kube.place import KubePlace, rules, spec

SHORT: Mapping[str, str] = {"RUN_SECONDS": "0.4"}


def lease(plane: ControlPlane, namespace: str, name: str = "batchkeeper-default") -> dict[str, object]:
    """What the Lease says."""
    path = f"/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases/{name}"
    found = plane.admin.find(path)
    return dict(found["spec"]) if found else {}


def test_a_standby_takes_over_from_a_killed_leader(place: KubePlace) -> None:
    """The leader is killed in the middle; the other one counts a transition, and goes on where it was."""
    first = place.start()
    second = place.start(wait=False)
    wait_for("the standby is ready", lambda: "standing by" in second.get("/readyz")[1])
    place.drop(spec("relay", {f"t{n}": SHORT for n in range(40)}, 4))
    place.until("some have ended", lambda: len(place.jobs("relay", status="completed")) >= 4)
    holder = lease(place.plane, place.namespace)["holderIdentity"]
    first.kill()
    place.until(
        "the standby has the Lease", lambda: lease(place.plane, place.namespace)["holderIdentity"] != holder
    )
    assert lease(place.plane, place.namespace)["leaseTransitions"] == 1
    place.over("relay")
    assert set(place.statuses("relay").values()) == {"completed"}
    assert set(starts(place.history()).values()) == {1}
    assert most_at_once(happenings(place.watcher.changes())) <= 4


def test_a_leader_that_ends_hands_over_at_once(place: KubePlace) -> None:
    """At its end it empties the Lease, so that nobody waits for it to expire."""
    first = place.start()
    assert first.stop() == 0
    assert lease(place.plane, place.namespace)["holderIdentity"] == ""
    place.start()
    assert lease(place.plane, place.namespace)["leaseTransitions"] == 1


def test_two_that_both_believe_they_lead(place: KubePlace) -> None:
    """Each holds a Lease of its own, so that both are told that they lead: the store's epoch decides."""
    place.drop(spec("split", {f"t{n}": SHORT for n in range(20)}, 3))
    place.start()
    others = rules(lease_rules("other-default"))
    place.plane.grant(place.namespace, "other-lease", others, place.account.subject)
    place.configure(
        kubernetes={"lease": {"name": "other", "duration": "3s", "renew": "2s", "retry": "300ms"}}
    )
    place.start()
    place.over("split")
    assert set(place.statuses("split").values()) == {"completed"}
    assert set(starts(place.history()).values()) == {1}
    assert most_at_once(happenings(place.watcher.changes())) <= 3
