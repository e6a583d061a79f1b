"""A node that never comes back: its pod stays Terminating, and its place is kept until a person decides."""

from __future__ import annotations

from tests.control_plane.jobs import pods_of
from tests.control_plane.nodes import placed
from tests.kube.place import KubePlace, spec
from tests.kube.test_by_hand import explained


def test_its_pod_keeps_the_slot_and_the_ways_out_are_named(place: KubePlace) -> None:
    """The node is lost, its pod deleted: nothing else starts in its place, ``explain`` and the file beside
    the spec say what to do, and when the pod is gone by force the batch goes on."""
    node = f"lost-{place.namespace}"
    place.configure(lifecycle={"unreachable_after": "1s"})
    with place.plane.node(node, place.namespace):
        tasks = {"a": {"END": "never,exit-0"}, "b": {}}
        place.drop(spec("stuck", tasks, 1, job=placed(place.namespace)))
        place.start()
        place.is_("stuck-a", "running")
        place.plane.lose_node(node)
        pod = pods_of(place.plane, place.namespace, "stuck-a")[0]["metadata"]["name"]
        place.strangers.add("stuck-a")
        place.plane.admin.delete(f"/api/v1/namespaces/{place.namespace}/pods/{pod}", gracePeriodSeconds=1)
        explained(place, "stuck-a", node, "slot is held", "kubectl delete node", "--force")
        explained(place, "stuck", "1 job is out of reach", "batchkeeper explain stuck-a")
        told = place.tells("stuck.json", lambda told: "out of reach" in " ".join(told.get("waits", ())))
        assert told["activeJobsInBatch"] == "1 of 1"
        assert place.statuses("stuck") == {"stuck-a": "running", "stuck-b": "waiting"}
        assert place.cli("cancel", "stuck-a").code == 0
        place.until("it is told to stop", lambda: place.job("stuck-a").get("stop"))
        assert place.job("stuck-b")["status"] == "waiting"
        place.plane.tear_out(place.namespace, pod)
        place.is_("stuck-a", "terminated")
        place.until("the next has its place", lambda: place.job("stuck-b")["status"] != "waiting")
        assert place.cli("cancel", "stuck").code == 0
        place.over("stuck")
