"""Run:ai on a real control plane: Jobs for its scheduler, and its workloads count until they end (S12).

Its kinds are custom resources without a controller here, and its scheduler is a second profile of the
cluster's own. Every test is judged by the oracle at its end, through the independent watcher.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pymongo
import pytest

from controller.adapters.kube_foreign import runai_kinds
from tests.control_plane import runai
from tests.control_plane.jobs import manifest, submit
from tests.control_plane.plane import ControlPlane
from tests.e2e.waiting import wait_for
from tests.kube.place import KubePlace, spec
from tests.kube.theirs import Theirs

SHORT = {"RUN_SECONDS": "0.3"}
TAKES_A_PLACE = ("Creating", "Pending", "Initializing", "Running", "Degraded", "Deleting", "Stopped", "Odd")
"""Phases in which a workload may run; ``Odd`` is one that nobody told us of."""


class RunaiPlace(KubePlace):
    """The namespace of a project, found by the project's name alone."""

    kind = "runai"
    kinds = runai_kinds(stopped_counts=True)

    def configure(self, **sections: Any) -> None:
        """As for any control plane; what to count may be changed by ``runai``."""
        project = {"project": self.namespace.removeprefix("runai-"), **sections.pop("runai", {})}
        super().configure(runai=project, **sections)
        settings = json.loads(self.config.read_text(encoding="utf-8"))
        del settings["namespace"]
        self.config.write_text(json.dumps(settings), encoding="utf-8")


@pytest.fixture
def place(root: Path, mongo_uri: str, control_plane: ControlPlane) -> Iterator[RunaiPlace]:
    """A project of this test's own, on a cluster that serves Run:ai's kinds."""
    runai.install(control_plane.admin)
    with control_plane.namespace(f"runai-lab-{uuid4().hex[:8]}") as namespace:
        found = RunaiPlace(
            root,
            mongo_uri,
            f"kube_{uuid4().hex[:12]}",
            control_plane,
            namespace,
        )
        try:
            yield found
            found.close()
        finally:
            found.tidy()
            with pymongo.MongoClient[dict[str, object]](mongo_uri) as client:
                client.drop_database(found.database)


@pytest.fixture
def theirs(place: RunaiPlace) -> Theirs:
    """What others run in the project."""
    return Theirs(place)


def counted(place: KubePlace, name: str) -> dict[str, str]:
    """What counts as foreign now: kind by name."""
    gate = place.gate(name) if place.parent(name) else {}
    return {one["name"]: one["kind"] for one in gate.get("foreign", ())}


def test_a_task_becomes_a_job_for_its_scheduler(place: RunaiPlace) -> None:
    """In ``runai-<project>``, by runai-scheduler, with the project's label and RUNAI_JOB_NAME; it runs."""
    place.drop(spec("scan", {"a": SHORT}, 1))
    place.start()
    place.over("scan")
    assert place.statuses("scan") == {"scan-a": "completed"}
    record = place.job("scan-a")
    assert record["namespace"] == place.namespace
    (job,) = place.job_objects()
    template = job["spec"]["template"]
    project = place.namespace.removeprefix("runai-")
    assert template["spec"]["schedulerName"] == "runai-scheduler"
    for labels in (job["metadata"]["labels"], template["metadata"]["labels"]):
        assert (labels["project"], labels["app.kubernetes.io/managed-by"]) == (project, "batchkeeper")
    env = {one["name"]: one.get("value") for one in template["spec"]["containers"][0]["env"]}
    assert env["RUNAI_JOB_NAME"] == "scan-a"
    (pod,) = place.pods()
    assert pod["spec"]["nodeName"], "the profile of that name has bound it"


def test_workloads_count_until_they_end(place: RunaiPlace, theirs: Theirs) -> None:
    """Each of the four kinds takes a place in every phase in which it may run, Stopped and unknown ones too;
    Completed and Failed ones take none, and the batch starts as soon as they are all ended."""
    for n, phase in enumerate(TAKES_A_PLACE):
        theirs.workload(list(runai.KINDS)[n % len(runai.KINDS)], f"sum-w{n}", phase)
    for n, (kind, phase) in enumerate(zip(runai.KINDS, ("Completed", "Failed") * 2, strict=True)):
        theirs.workload(kind, f"sum-e{n}", phase)
    theirs.workload("TrainingWorkload", "else-w")
    place.drop(spec("sum", {"a": SHORT}, 1))
    place.start()
    active = {f"sum-w{n}": list(runai.KINDS)[n % 4] for n in range(len(TAKES_A_PLACE))}
    place.until("they are counted", lambda: counted(place, "sum") == active)
    assert place.statuses("sum") == {"sum-a": "waiting"}
    for n, (name, kind) in enumerate(active.items()):
        runai.turn(place.plane.admin, kind, place.namespace, name, ("Completed", "Failed")[n % 2])
    place.over("sum")
    assert place.statuses("sum") == {"sum-a": "completed"}
    assert counted(place, "sum") == {}
    theirs.untouched()


def test_stopped_ones_need_not_count(place: RunaiPlace, theirs: Theirs) -> None:
    """``runai.stopped_counts: false``: what its owner stopped takes no place, what runs takes one."""
    place.configure(runai={"stopped_counts": False})
    theirs.workload("TrainingWorkload", "idle-x", "Stopped")
    theirs.workload("InteractiveWorkload", "idle-y", "Running")
    place.drop(spec("idle", {"a": SHORT, "b": SHORT}, 2))
    place.start()
    place.over("idle")
    assert counted(place, "idle") == {"idle-y": "InteractiveWorkload"}
    theirs.untouched()


def test_roots_only(place: RunaiPlace, theirs: Theirs) -> None:
    """A workload, the Job that it made and that Job's Pod take one place; so one of two is left to us."""
    theirs.workload("TrainingWorkload", "tree-w")
    owner = {
        "apiVersion": "run.ai/v2alpha1",
        "kind": "TrainingWorkload",
        "name": "tree-w",
        "uid": theirs.uids["tree-w"],
        "controller": True,
    }
    job = manifest("tree-w-job", {"END": "never"})
    job["metadata"]["ownerReferences"] = [owner]
    submit(place.plane, place.namespace, job)
    wait_for("its pod is there", lambda: theirs.pods("tree-w-job"))
    place.drop(spec("tree", {"a": SHORT, "b": SHORT}, 2))
    place.start()
    place.over("tree")
    assert set(place.statuses("tree").values()) == {"completed"}
    assert counted(place, "tree") == {"tree-w": "TrainingWorkload"}
    theirs.untouched()


def test_workloads_are_taken_over(place: RunaiPlace, theirs: Theirs) -> None:
    """One is done, one failed, one runs: the records say so, the running one is followed to its end by its
    phase, and only what is missing starts."""
    theirs.workload("TrainingWorkload", "train-a", "Completed")
    theirs.workload("TrainingWorkload", "train-b", "Failed")
    theirs.workload("TrainingWorkload", "train-c", "Running")
    place.know(most_auto=0)
    place.drop(spec("train", dict.fromkeys("abcd", SHORT), 4, adopt=True, maxAutoRetries=0))
    place.start()
    place.is_("train-c", "running")
    place.is_("train-d", "completed")
    assert place.job("train-c")["kind"] == "TrainingWorkload"
    runai.turn(place.plane.admin, "TrainingWorkload", place.namespace, "train-c", "Completed")
    place.over("train")
    assert place.statuses("train") == {
        "train-a": "completed",
        "train-b": "error",
        "train-c": "completed",
        "train-d": "completed",
    }
    assert [job["metadata"]["name"] for job in place.job_objects()] == ["train-d"]
    theirs.untouched()
