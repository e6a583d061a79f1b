"""What a real Prometheus sees of two replicas on Kubernetes: one leads, one stands by, the lead is lost."""

from __future__ import annotations

from tests.e2e.process import Daemon
from tests.e2e.waiting import wait_for
from tests.kube.place import KubePlace, spec
from tests.monitoring.prometheus import Prometheus, prometheus

OF_A_LEADER = ("active_jobs", "max_concurrent", "waiting_jobs", "foreign_active_jobs", "cache_age_seconds")


def leaders(server: Prometheus) -> dict[str, float]:
    """What each replica that is scraped says of itself."""
    return {one.labels["instance"]: one.value for one in server.ask("batchkeeper_leader")}


def tellers(server: Prometheus) -> set[str]:
    """Who tells of the batches."""
    return {one.labels["instance"] for name in OF_A_LEADER for one in server.ask(f"batchkeeper_{name}")}


def steal(place: KubePlace) -> None:
    """Somebody else has the Lease from now on, for as long as it holds without a renewal."""
    path = f"/apis/coordination.k8s.io/v1/namespaces/{place.namespace}/leases/batchkeeper-default"
    place.plane.admin.patch(path, {"spec": {"holderIdentity": "somebody else"}})


def settled(server: Prometheus, daemons: dict[str, Daemon]) -> str:
    """Who leads, once exactly one does and the gauges are told by it alone."""

    def look() -> str:
        said = leaders(server)
        first = [name for name, value in said.items() if value == 1]
        done = set(said) == set(daemons) and len(first) == 1 and tellers(server) == set(first)
        return first[0] if done else ""

    return wait_for("one leader, who tells of the batches", look)


def test_one_leads_and_one_stands_by(place: KubePlace) -> None:
    """The sum of `leader` is 1 for as long as one leads; who lost the Lease tells nothing of the batches any
    more, and what ended is counted once over both."""
    with prometheus(place.root / "prometheus") as server:
        daemons = {"a": place.start(), "b": place.start(wait=False)}
        wait_for("the standby is ready", lambda: "standing by" in daemons["b"].get("/readyz")[1])
        server.scrape(**{name: daemon.url for name, daemon in daemons.items()})
        tasks = {f"t{n}": {"RUN_SECONDS": "0.3"} for n in range(12)}
        place.drop(spec("seen", tasks, 3))
        first = settled(server, daemons)
        place.until("some have ended", lambda: len(place.jobs("seen", status="completed")) >= 3)
        steal(place)
        changes = "batchkeeper_leader_transitions_total"
        wait_for("its stepping down", lambda: server.by(changes, "instance")[first,] >= 2)
        settled(server, daemons)
        place.over("seen")
        ended = "sum(batchkeeper_jobs_finished_total)"
        wait_for("every end, once", lambda: [one.value for one in server.ask(ended)] == [12.0])
        codes = {one.labels["code"] for one in server.ask("batchkeeper_cluster_request_seconds_count")}
        assert {"200", "201"} <= codes
