"""The incident of the script that this replaces, on a real control plane: a shared namespace, a bad node."""

from __future__ import annotations

from uuid import uuid4

from tests.control_plane.history import happenings, most_at_once
from tests.control_plane.nodes import placed
from tests.e2e.history import starts
from tests.kube.place import QUICK, KubePlace, spec
from tests.kube.theirs import NEVER, Theirs

NAME = "gapit3-trait"
TRAITS = range(2, 188)
MOST, OTHERS = 50, 33
DONE, FAILED, RUNNING, NO_TASKS = range(2, 5), 5, range(6, 11), 9
"""Of the 18 leftovers: traits that are done, one that failed, those that run, and others."""


def test_the_incident(place: KubePlace) -> None:
    """186 traits, 50 at a time, beside 33 Jobs of others and 18 leftovers under the prefix, on four nodes of
    which one cannot mount: nothing starts until the leftovers are taken over, each trait among them is bound
    and the others count; never above 50, every mount failure is retried on another node, all traits end,
    nobody else's Job is touched, and the report names node and reason."""
    pool, bad = f"pool-{uuid4().hex[:6]}", f"mounts-fail-{uuid4().hex[:6]}"
    plane = place.plane
    with (
        plane.node(f"{pool}-a", pool),
        plane.node(f"{pool}-b", pool),
        plane.node(f"{pool}-c", pool),
        plane.node(bad, pool),
    ):
        theirs = Theirs(place)
        running = _leave(theirs)
        tasks = {str(n): {"RUN_SECONDS": "0.3"} for n in TRAITS}
        job = {"startDeadline": "2s", **placed(pool)}
        place.drop(spec(NAME, tasks, MOST, job=job, retry=QUICK))
        place.start()
        place.until("it is held", lambda: "adoption-needed" in (place.parent(NAME).get("batch_reason") or ""))
        assert set(place.statuses(NAME).values()) == {"waiting"}
        assert place.cli("adopt", NAME).code == 0
        place.until("it is taken over", lambda: not place.gate(NAME).get("hold"))
        bound = {one["name"]: one["scheduler_id"] for one in place.jobs(NAME, origin="adopted")}
        assert bound == {f"{NAME}-{n}": theirs.uids[f"{NAME}-{n}"] for n in (*DONE, FAILED, *RUNNING)}
        old = {f"{NAME}-old-{n}" for n in range(NO_TASKS)}
        assert {one["name"] for one in place.gate(NAME)["foreign"]} == old
        for name in running:
            theirs.end_job(name)
        place.over(NAME)
        newest = {one["task_id"]: one["status"] for one in place.jobs(NAME)}
        assert set(newest.values()) == {"completed"}
        assert len(newest) == len(TRAITS)
        failed = place.jobs(NAME, status="error", origin={"$ne": "adopted"})
        assert failed, "the bad node got some"
        assert {one["verdict"] for one in failed} == {"mount-failure"}
        assert {one["node"] for one in failed} == {bad}
        assert set(starts(place.history()).values()) == {1}
        changes = place.watcher.changes()
        prefixed = most_at_once(happenings(changes), lambda one: one.name.startswith(f"{NAME}-"))
        assert prefixed <= MOST
        kept = {one["metadata"]["name"]: one["metadata"]["uid"] for one in place.job_objects()}
        assert {name: kept.get(name) for name in theirs.uids} == theirs.uids
        theirs.untouched()
        report = place.cli("report", NAME, "-o", "json").out
        assert "mount-failure" in report
        assert bad in report


def _leave(theirs: Theirs) -> list[str]:
    """What is there when the spec is dropped; the names under the prefix that run."""
    for n in range(OTHERS):
        theirs.submit(f"someone-{n}", NEVER)
    running = [*(f"{NAME}-{n}" for n in RUNNING), *(f"{NAME}-old-{n}" for n in range(NO_TASKS))]
    for name in running:
        theirs.submit(name, NEVER)
    for n in DONE:
        theirs.done(f"{NAME}-{n}", {})
    theirs.done(f"{NAME}-{FAILED}", {"END": "exit-2"})
    for name in running:
        theirs.runs(name)
    return running
