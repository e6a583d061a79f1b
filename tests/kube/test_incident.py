"""The incident of the script that this replaces, on a real control plane: a shared namespace, a bad node."""

from __future__ import annotations

from uuid import uuid4

from tests.control_plane.history import happenings, most_at_once
from tests.control_plane.jobs import manifest
from tests.control_plane.nodes import placed
from tests.e2e.history import starts
from tests.kube.place import QUICK, KubePlace, spec

TRAITS = range(2, 188)
MOST, OTHERS, LEFTOVERS = 50, 33, 18


def test_the_incident(place: KubePlace) -> None:
    """186 traits, 50 at a time, beside 33 Jobs of others and 18 leftovers under the prefix, on four nodes of
    which one cannot mount: never above 50 with the leftovers counted, every mount failure is retried on
    another node, all traits end, nobody else's Job is touched, and the report names node and reason."""
    pool, bad = f"pool-{uuid4().hex[:6]}", f"mounts-fail-{uuid4().hex[:6]}"
    plane = place.plane
    with (
        plane.node(f"{pool}-a", pool),
        plane.node(f"{pool}-b", pool),
        plane.node(f"{pool}-c", pool),
        plane.node(bad, pool),
    ):
        path = f"/apis/batch/v1/namespaces/{place.namespace}/jobs"
        theirs = {}
        for n in range(OTHERS):
            theirs[f"someone-{n}"] = {"END": "never"}
        for n in range(LEFTOVERS):
            theirs[f"gapit3-trait-old-{n}"] = {"RUN_SECONDS": str(5 + n)}
        uids = {
            name: plane.admin.create(path, manifest(name, env))["metadata"]["uid"]
            for name, env in theirs.items()
        }
        tasks = {str(n): {"RUN_SECONDS": "0.3"} for n in TRAITS}
        job = {"startDeadline": "2s", **placed(pool)}
        place.drop(spec("gapit3-trait", tasks, MOST, job=job, retry=QUICK))
        place.start()
        place.over("gapit3-trait")
        newest = {one["task_id"]: one["status"] for one in place.jobs("gapit3-trait")}
        assert set(newest.values()) == {"completed"}
        assert len(newest) == len(TRAITS)
        failed = place.jobs("gapit3-trait", status="error")
        assert failed, "the bad node got some"
        assert {one["verdict"] for one in failed} == {"mount-failure"}
        assert {one["node"] for one in failed} == {bad}
        assert set(starts(place.history()).values()) == {1}
        changes = place.watcher.changes()
        prefixed = most_at_once(happenings(changes), lambda one: one.name.startswith("gapit3-trait-"))
        assert prefixed <= MOST
        kept = {one["metadata"]["name"]: one["metadata"]["uid"] for one in place.job_objects()}
        assert {name: kept.get(name) for name in uids} == uids
        report = place.cli("report", "gapit3-trait").out
        assert "mount-failure" in report
