"""What the recorder saw is told to the oracle in its words, and in an order in which it can have been."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from controller.adapters import labels
from controller.core.adoption import LOOKING
from controller.core.model import Holder, OpenCreate, Status, Verdict
from tests.control_plane import runai
from tests.control_plane.history import happenings, most_at_once
from tests.control_plane.jobs import ended, jobs_path, manifest, pods_of, submit
from tests.control_plane.plane import ControlPlane
from tests.control_plane.recorder import WATCHED, Recorder, recorded
from tests.e2e.waiting import wait_for
from tests.oracle.histories import Tale, attempt
from tests.oracle.history import Deed, Document, Entry, Written
from tests.oracle.invariants import Invariant
from tests.oracle.merging import merged
from tests.oracle.oracle import Oracle
from tests.oracle.state import Facts

OURS = {labels.MANAGED_BY: labels.MANAGER, labels.JOB_ID: "a"}
LIFE = [Deed.CREATED, Deed.STARTED, Deed.ENDED]


def deeds(recorder: Recorder, name: str) -> list[Deed]:
    """What happened to the objects of that name."""
    return [event.deed for event in happenings(recorder.changes()) if event.name == name]


@pytest.fixture(autouse=True)
def _simulated(control_plane: ControlPlane) -> None:
    if not control_plane.simulated:
        pytest.skip("the pods of this cluster do not end as they are told")


def test_lives(control_plane: ControlPlane, namespace: str) -> None:
    """A Job is created, started, ended; one that never starts is only created; a tombstone is buried."""
    with recorded(control_plane.admin, namespace) as recorder:
        submit(control_plane, namespace, manifest("good", {}, OURS))
        submit(control_plane, namespace, manifest("bad", {"END": "exit-2"}))
        submit(control_plane, namespace, manifest("stuck", {"END": "stuck"}))
        tomb = manifest("tomb", {}, OURS | {labels.TOMBSTONE: "true"})
        submit(
            control_plane,
            namespace,
            {**tomb, "spec": {**tomb["spec"], "suspend": True, "ttlSecondsAfterFinished": 3600}},
        )
        for name in ("good", "bad"):
            ended(control_plane, namespace, name)
        told = happenings(recorder.changes())
    by_name = {name: [event for event in told if event.name == name] for name in ("good", "bad")}
    assert [event.deed for event in by_name["good"]] == [event.deed for event in by_name["bad"]] == LIFE
    assert [event.success for event in by_name["good"]] == [None, None, True]
    assert [event.success for event in by_name["bad"]] == [None, None, False]
    assert [event.job_id for event in by_name["good"]] == ["a"] * 3
    assert [event.ours for event in by_name["good"]] == [True, False, False]
    assert [event.job_id for event in by_name["bad"]] == [""] * 3
    assert [event.deed for event in told if event.name == "stuck"] == [Deed.CREATED]
    assert [event.deed for event in told if event.name == "tomb"] == [Deed.BURIED]


def test_deletion(control_plane: ControlPlane, namespace: str) -> None:
    """A deletion in the foreground is asked for, then the pod ends, then the Job is gone."""
    with recorded(control_plane.admin, namespace) as recorder:
        submit(control_plane, namespace, manifest("scan", {"END": "never"}, OURS))
        wait_for("it runs", lambda: Deed.STARTED in deeds(recorder, "scan"))
        control_plane.admin.delete(jobs_path(namespace, "scan"), propagationPolicy="Foreground")
        wait_for("it is gone", lambda: Deed.GONE in deeds(recorder, "scan"))
        told = happenings(recorder.changes())
        theirs = happenings(recorder.changes(), by_others=lambda change: True)
    assert [event.deed for event in told] == [
        *(Deed.CREATED, Deed.STARTED, Deed.DELETE, Deed.ENDED, Deed.GONE)
    ]
    assert [event.ours for event in told if event.deed is Deed.DELETE] == [True]
    assert [event.ours for event in theirs if event.deed is Deed.DELETE] == [False]


def test_deletion_in_the_background(control_plane: ControlPlane, namespace: str) -> None:
    """A Job that is gone while its pod runs on lingers, and its end follows."""
    with recorded(control_plane.admin, namespace) as recorder:
        env = {"END": "never", "ON_TERM": "ignore"}
        submit(control_plane, namespace, manifest("scan", env, terminationGracePeriodSeconds=1))
        wait_for("it runs", lambda: Deed.STARTED in deeds(recorder, "scan"))
        control_plane.admin.delete(jobs_path(namespace, "scan"), propagationPolicy="Background")
        wait_for("it has ended", lambda: Deed.ENDED in deeds(recorder, "scan"))
        told = happenings(recorder.changes())
    assert [event.deed for event in told][-2:] == [Deed.GONE, Deed.ENDED]
    assert [event.lingers for event in told if event.deed is Deed.GONE] == [True]


def test_expiry(control_plane: ControlPlane, namespace: str) -> None:
    """An expiry is asked for; the deletion that follows is the cluster's own doing."""
    with recorded(control_plane.admin, namespace) as recorder:
        submit(control_plane, namespace, manifest("scan", {}, OURS))
        ended(control_plane, namespace, "scan")
        patch = {"spec": {"ttlSecondsAfterFinished": 0}}
        control_plane.admin.patch(jobs_path(namespace, "scan"), patch)
        wait_for("it is gone", lambda: Deed.GONE in deeds(recorder, "scan"))
        assert deeds(recorder, "scan") == [*LIFE, Deed.EXPIRE, Deed.GONE]


def test_a_pod_that_was_torn_out_is_no_end(control_plane: ControlPlane, namespace: str) -> None:
    """The Job of a pod that was torn out goes on with another one, and ends with that."""
    with recorded(control_plane.admin, namespace) as recorder:
        submit(control_plane, namespace, manifest("scan", {"END": "never"}, OURS))
        wait_for("it runs", lambda: Deed.STARTED in deeds(recorder, "scan"))
        (pod,) = pods_of(control_plane, namespace, "scan")
        control_plane.tear_out(namespace, pod["metadata"]["name"])
        wait_for("another pod", lambda: pods_of(control_plane, namespace, "scan"))
        assert deeds(recorder, "scan") == [Deed.CREATED, Deed.STARTED]


def test_objects_of_others(control_plane: ControlPlane, namespace: str) -> None:
    """Bare pods and Run:ai's workloads are foreign objects with a beginning and an end."""
    runai.install(control_plane.admin)
    collection = runai.path_of("TrainingWorkload", "{}")
    with recorded(control_plane.admin, namespace, [*WATCHED, collection]) as recorder:
        spec = manifest("x", {"END": "exit-0"})["spec"]["template"]["spec"]
        pods = f"/api/v1/namespaces/{namespace}/pods"
        control_plane.admin.create(pods, {"metadata": {"name": "bare"}, "spec": spec})
        runai.start(control_plane.admin, "TrainingWorkload", namespace, "train")
        runai.turn(control_plane.admin, "TrainingWorkload", namespace, "train", "Completed")
        wait_for("the pod has ended", lambda: Deed.ENDED in deeds(recorder, "bare"))
        told = happenings(recorder.changes())
    assert {event.job_id for event in told} == {""}
    for name in ("bare", "train"):
        mine = [event for event in told if event.name == name]
        assert [mine[0].deed, mine[-1].deed, mine[-1].success] == [Deed.CREATED, Deed.ENDED, True]


def test_how_many_at_once(control_plane: ControlPlane, namespace: str) -> None:
    """Three that run together are three at once, though more of them come later."""
    with recorded(control_plane.admin, namespace) as recorder:
        for name in ("one", "two", "three"):
            submit(control_plane, namespace, manifest(name, {"RUN_SECONDS": "1"}))
        for name in ("one", "two", "three"):
            ended(control_plane, namespace, name)
        submit(control_plane, namespace, manifest("four"))
        ended(control_plane, namespace, "four")
        told = happenings(recorder.changes())
    assert most_at_once(told) == 3
    assert most_at_once(told, lambda event: event.name != "two") == 2


# ------------------------------------------------------------------------------- judged by the oracle


class Ledger:
    """What a daemon would record, at the real time at which it would."""

    def __init__(self) -> None:
        self.written: list[Written] = []
        tale = Tale()
        self.gate, self.job = tale.gate, attempt("a")
        self.write(tale.parent, replace(self.gate, hold=LOOKING), self.job)
        self.write(replace(tale.parent, child_jobs=("a",)), self.gate)

    def write(self, *documents: Document) -> None:
        """Record these."""
        self.written += [Written(datetime.now(UTC), document) for document in documents]

    def claim(self) -> None:
        """A place and a token."""
        self.gate = replace(self.gate, holders=(Holder("a", 0),))
        token = OpenCreate("k", datetime.now(UTC))
        self.job = replace(self.job, status=Status.CREATED, slot=0, open_creates=(token,))
        self.write(self.gate, self.job)

    def succeed(self, uid: str) -> None:
        """It is known to have run and ended well."""
        for status in (Status.QUEUED, Status.RUNNING):
            self.job = replace(self.job, status=status, scheduler_id=uid, open_creates=())
            self.write(self.job)
        good = {"verdict": Verdict.SUCCEEDED, "exit_code": 0, "finished": datetime.now(UTC)}
        self.job = replace(self.job, status=Status.COMPLETED, slot=None, **good)  # type: ignore[arg-type]
        self.write(self.job)


def broken(entries: list[Entry]) -> set[str]:
    """The invariants that the oracle finds broken."""
    oracle = Oracle(Facts())
    oracle.feed_all(entries)
    return {violation.invariant.value for violation in oracle.violations}


def test_a_lawful_run_is_found_lawful(control_plane: ControlPlane, namespace: str) -> None:
    """One attempt, claimed, created, run and recorded on a real API server breaks nothing."""
    ledger = Ledger()
    with recorded(control_plane.admin, namespace) as recorder:
        ledger.claim()
        uid = submit(control_plane, namespace, manifest("scan-a", {}, OURS))["metadata"]["uid"]
        ended(control_plane, namespace, "scan-a")
        ledger.succeed(uid)
        told = happenings(recorder.changes())
    assert [event.deed for event in told] == LIFE
    assert broken(merged(ledger.written, told)) == set()


def test_a_second_live_object_is_found(control_plane: ControlPlane, namespace: str) -> None:
    """Two Jobs of one attempt at once, and one that was created without a record, are found."""
    ledger = Ledger()
    with recorded(control_plane.admin, namespace) as recorder:
        ledger.claim()
        submit(control_plane, namespace, manifest("scan-a", {"END": "never"}, OURS))
        submit(control_plane, namespace, manifest("scan-a-again", {"END": "never"}, OURS))
        submit(control_plane, namespace, manifest("scan-b", {}, OURS | {labels.JOB_ID: "b"}))
        told = happenings(recorder.changes())
    found = broken(merged(ledger.written, told))
    lawful = broken(merged(ledger.written, [event for event in told if event.name == "scan-a"]))
    assert {Invariant.ONE_LIVE.value, Invariant.STRANGER.value} <= found
    assert not lawful
