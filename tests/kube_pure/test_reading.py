"""From a Job, its pods and their Events to one object in the engine's words; nothing ever raises."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.adapters.kube_foreign import JOB, POD, roots
from controller.adapters.kube_listing import folded, our_jobs
from controller.adapters.kube_reading import MAX_EVENTS, event_lines, instant, is_ours, job_of
from controller.core.model import Verdict
from controller.core.verdict import judge
from tests.kube_pure.things import BATCH_ID, INSTANCE, JOB_ID, condition, job, ours, owner, pod, thing

Json = dict[str, Any]
AT = "2026-03-01T10:00:00Z"
LATER = "2026-03-01T10:05:00Z"
RUNS = {"running": {"startedAt": AT}}


def ended(code: int, reason: str = "Error", **more: Any) -> Json:
    """The state of a container that has ended."""
    return {"terminated": {"exitCode": code, "reason": reason, "startedAt": AT, "finishedAt": LATER, **more}}


def mine(name: str = "trait-2", *conditions: Json, **more: Any) -> Json:
    """A Job of ours."""
    return job(name, *conditions, marks=ours(), **more)


# --------------------------------------------------------------------------------------- what is shown


def test_identity_comes_from_labels() -> None:
    """Job, batch, task and attempt are read from the labels, name and uid from the object."""
    shown = job_of(job("trait-2-r3", marks=ours(attempt=3)))
    assert (shown.name, shown.namespace, shown.uid) == ("trait-2-r3", "runai-lab", "u-trait-2-r3")
    assert (shown.job_id, shown.batch_id, shown.task_id, shown.attempt) == (JOB_ID, BATCH_ID, "2", 3)
    assert not shown.tombstone
    assert job_of(job("t", marks=ours(tombstone="true"))).tombstone


PODS: dict[str, tuple[Json, Json]] = {
    "pending": (pod("p", "Pending"), {"active": True, "started": False, "succeeded": None}),
    "waiting": (
        pod("p", "Pending", {"waiting": {"reason": "ImagePullBackOff", "message": "no such image"}}),
        {"active": True, "container_reason": "ImagePullBackOff", "message": "no such image"},
    ),
    "running": (
        pod("p", "Running", RUNS),
        {"active": True, "started": True, "succeeded": None, "node": "node-1"},
    ),
    "succeeded": (
        pod("p", "Succeeded", ended(0, "Completed")),
        {"active": False, "finished": True, "succeeded": True, "exit_code": 0},
    ),
    "failed": (
        pod("p", "Failed", ended(2)),
        {"active": False, "finished": True, "succeeded": False, "exit_code": 2, "container_reason": "Error"},
    ),
    "out of memory": (
        pod("p", "Failed", ended(137, "OOMKilled")),
        {"exit_code": 137, "container_reason": "OOMKilled", "succeeded": False},
    ),
    "evicted": (
        pod("p", "Failed", status={"reason": "Evicted", "message": "low on memory"}),
        {"finished": True, "exit_code": None, "pod_reason": "Evicted", "message": "low on memory"},
    ),
    "disrupted": (
        pod(
            "p",
            "Failed",
            ended(143),
            status={"conditions": [condition("DisruptionTarget", message="preempted")]},
        ),
        {"conditions": ("DisruptionTarget",), "message": "preempted", "exit_code": 143},
    ),
    "not schedulable": (
        pod("p", "Pending", status={"conditions": [condition("PodScheduled", "False", message="no node")]}),
        {"active": True, "message": "no node", "scheduled_at": None},
    ),
    "scheduled": (
        pod("p", "Pending", status={"conditions": [condition("PodScheduled", lastTransitionTime=AT)]}),
        {"scheduled_at": datetime(2026, 3, 1, 10, tzinfo=UTC), "started_at": None},
    ),
    "terminating": (
        {**pod("p", "Running", RUNS), "metadata": {"name": "p", "deletionTimestamp": AT}},
        {"active": True, "pod_unfinished": True, "finished": False},
    ),
    "lost with its node": (
        pod("p", "Unknown", RUNS),
        {"active": True, "pod_unfinished": True, "finished": False, "succeeded": None},
    ),
    "of a phase that nobody knows": (pod("p", "Odd"), {"active": True, "finished": False, "succeeded": None}),
}


@pytest.mark.parametrize("state", PODS)
def test_a_pod_in_every_state(state: str) -> None:
    """Its end is the job's end, seconds before the Job tells of it; until then the place is taken."""
    of, said = PODS[state]
    shown = job_of(mine(), [of])
    assert {key: getattr(shown, key) for key in said} == said


JOBS: dict[str, tuple[list[Json], Json]] = {
    "nothing yet": ([], {"active": True, "finished": False, "succeeded": None}),
    "complete": ([condition("Complete", lastTransitionTime=LATER)], {"active": False, "succeeded": True}),
    "about to be complete": ([condition("SuccessCriteriaMet")], {"active": True, "succeeded": True}),
    "about to fail": (
        [condition("FailureTarget", reason="PodFailurePolicy", message="exit code 2")],
        {"active": True, "finished": False, "succeeded": None, "message": "exit code 2"},
    ),
    "failed by its policy": (
        [condition("Failed", reason="PodFailurePolicy", message="Container main failed with exit code 2")],
        {"finished": True, "succeeded": False, "pod_reason": "", "exit_code": None},
    ),
    "failed by its deadline": (
        [condition("Failed", reason="DeadlineExceeded", message="was active longer")],
        {"finished": True, "succeeded": False, "pod_reason": "DeadlineExceeded"},
    ),
    "not failed": ([condition("Failed", "False"), condition("Complete", "Unknown")], {"active": True}),
}


@pytest.mark.parametrize("state", JOBS)
def test_a_job_whose_pod_is_gone(state: str) -> None:
    """Its conditions keep what became of it; one that is not true says nothing."""
    conditions, said = JOBS[state]
    shown = job_of(mine("trait-2", *conditions))
    assert {key: getattr(shown, key) for key in said} == said
    assert not shown.pod_unfinished


def test_a_job_that_is_over_while_its_pod_lingers() -> None:
    """It takes its place until the pod has ended, whatever the Job's condition says."""
    shown = job_of(mine("trait-2", condition("Failed")), [pod("p", "Running", RUNS)])
    assert (shown.finished, shown.pod_unfinished, shown.active) == (True, True, True)


def test_a_pod_that_was_deleted_is_no_end_of_its_job() -> None:
    """Suspending a Job deletes its pod, and resuming it makes another: the Job's own word is waited for.

    A Job that is being deleted gets no other pod, and one whose condition tells its end has ended.
    """
    gone = pod("p", "Failed", ended(143))
    gone["metadata"]["deletionTimestamp"] = AT
    suspended = {**mine(), "spec": {"suspend": True}}
    for of, pods in ((mine(), [gone]), (suspended, [gone]), (suspended, [pod("p", "Failed", ended(143))])):
        assert (job_of(of, pods).finished, job_of(of, pods).active) == (False, True)
    going = mine()
    going["metadata"]["deletionTimestamp"] = AT
    for of in (going, mine("trait-2", condition("Failed"))):
        assert job_of(of, [gone]).finished


def test_of_several_pods_the_unfinished_one_is_shown() -> None:
    """Somebody edited the Job: nothing runs unseen behind a pod that has ended."""
    pods = [pod("a", "Failed", ended(2)), pod("b", "Running", RUNS), pod("c", "Failed", ended(1))]
    shown = job_of(mine(), pods)
    assert (shown.finished, shown.active, shown.exit_code, shown.succeeded) == (False, True, None, None)


def surplus(name: str, code: int = 143, **more: Any) -> Json:
    """A pod that the Job controller deleted, for there was another one."""
    found = pod(name, "Failed", ended(code), **more)
    found["metadata"]["deletionTimestamp"] = LATER
    return found


@pytest.mark.parametrize("name", ["a", "z"])
def test_of_several_pods_that_have_ended_the_one_that_did_the_work_is_shown(name: str) -> None:
    """The Job controller made one too many and deleted it: how that ended says nothing of the program."""
    did, of = pod("m", "Succeeded", ended(0, "Completed")), mine("trait-2", condition("Failed"))
    failed = pod("m", "Failed", ended(2))
    for kept, exit_code in ((did, 0), (failed, 2)):
        for pods in ([surplus(name), kept], [kept, surplus(name)]):
            shown = job_of(of, pods)
            assert (shown.finished, shown.succeeded, shown.exit_code, shown.pod) == (
                True,
                exit_code == 0,
                exit_code,
                "m",
            )


@pytest.mark.parametrize("name", ["a", "z"])
def test_a_surplus_pod_that_exits_with_0_when_it_is_told_to_stop_is_no_success(name: str) -> None:
    """The kept one ended with 1 and the Job has failed: the task was recorded as completed, for good."""
    extra, kept = pod(name, "Succeeded", ended(0, "Completed")), pod("m", "Failed", ended(1))
    extra["metadata"]["deletionTimestamp"] = LATER
    failed, complete = (mine("trait-2", condition(kind)) for kind in ("Failed", "Complete"))
    for pods in ([extra, kept], [kept, extra]):
        shown = job_of(failed, pods)
        assert (shown.finished, shown.succeeded, shown.exit_code, shown.pod) == (True, False, 1, "m")
        assert judge(shown, stop=None, started=True).verdict is Verdict.CONFIGURATION_ERROR
        shown = job_of(complete, pods)
        assert (shown.finished, shown.succeeded, shown.exit_code, shown.pod) == (True, True, 0, name)


def test_of_pods_that_failed_the_newest_is_shown() -> None:
    """Somebody edited the Job so that it tries again: its last word counts."""
    first, second = pod("z", "Failed", ended(1)), pod("a", "Failed", ended(2))
    first["metadata"]["creationTimestamp"], second["metadata"]["creationTimestamp"] = AT, LATER
    for pods in ([first, second], [second, first]):
        shown = job_of(mine("trait-2", condition("Failed")), pods)
        assert (shown.exit_code, shown.pod) == (2, "a")


def test_a_complete_job_whose_good_pod_is_gone() -> None:
    """Only the pod that was too many is there yet: the Job's condition proves that another one ended well."""
    shown = job_of(mine("trait-2", condition("Complete", lastTransitionTime=LATER)), [surplus("p")])
    assert (shown.finished, shown.succeeded, shown.exit_code, shown.pod) == (True, True, None, "")
    assert judge(shown, stop=None, started=True).verdict is Verdict.SUCCEEDED


def test_the_name_of_its_pod() -> None:
    """Whose log is read is the one that is shown."""
    one, two = pod("trait-2-a", marks=ours()), pod("trait-2-b", "Failed", ended(1), marks=ours())
    assert [job_of(mine(), pods).pod for pods in ([], [two], [two, one])] == ["", "trait-2-b", "trait-2-a"]


def test_the_pods_success_counts_before_the_jobs_failure() -> None:
    """A pod that has ended well has done its work, whatever became of the Job."""
    shown = job_of(mine("trait-2", condition("Failed")), [pod("p", "Succeeded", ended(0))])
    assert (shown.succeeded, shown.exit_code) == (True, 0)


def test_a_sidecar_is_not_the_job() -> None:
    """An injected container's state is left out: neither its exit code nor its start is the job's."""
    statuses = [
        {"name": "istio-proxy", "state": ended(1), "imageID": f"x@sha256:{'1' * 64}"},
        {"name": "main", "state": ended(0, "Completed"), "imageID": f"y@sha256:{'2' * 64}"},
    ]
    shown = job_of(mine(), [pod("p", "Succeeded", status={"containerStatuses": statuses})])
    assert (shown.exit_code, shown.image_digest) == (0, f"sha256:{'2' * 64}")


@pytest.mark.parametrize(
    ("image_id", "digest"),
    [
        (f"example.org/scan@sha256:{'c' * 64}", f"sha256:{'c' * 64}"),
        (f"docker-pullable://example.org/scan@sha256:{'c' * 64}", f"sha256:{'c' * 64}"),
        (f"sha256:{'c' * 64}", ""),
        ("", ""),
        (7, ""),
        ("example.org/scan@md5:1", ""),
    ],
)
def test_the_digest_of_the_image(image_id: object, digest: str) -> None:
    """What stands behind a name; a bare id names no manifest that could be pulled."""
    shown = job_of(mine(), [pod("p", "Running", RUNS, container={"imageID": image_id})])
    assert shown.image_digest == digest


# ------------------------------------------------------------------------- which Job a pod belongs to


def test_a_pod_of_an_earlier_job_is_not_its_end() -> None:
    """An ended pod of a previous uid says nothing of this Job; one that runs keeps its place."""
    before = [owner("Job", "u-before")]
    gone = pod("old", "Failed", ended(2), owners=before)
    shown = folded(mine(), [gone])
    assert (shown.finished, shown.exit_code, shown.active) == (False, None, True)
    left = pod("old", "Running", RUNS, owners=before)
    shown = folded(mine("trait-2", condition("Failed")), [left])
    assert (shown.finished, shown.active, shown.started) == (True, True, False)


def test_a_list_leaves_tombstones_out() -> None:
    """It only means buried: it is no job and no success."""
    buried = job("trait-2", condition("Complete"), marks=ours(tombstone="true"))
    assert our_jobs([buried], [], INSTANCE) == {}


@pytest.mark.parametrize("turned", [False, True])
def test_of_two_objects_of_one_job_the_unfinished_one_counts(turned: bool) -> None:
    """In whatever order the list has them."""
    things = [mine("old", condition("Failed")), mine("new")]
    found = our_jobs(reversed(things) if turned else things, [], INSTANCE)
    assert found[JOB_ID].uid == "u-new"


@pytest.mark.parametrize(
    ("marks", "found"),
    [
        (ours(), True),
        (ours(instance="another"), False),
        (ours(job_id=""), False),
        (ours() | {"app.kubernetes.io/managed-by": "helm"}, False),
        ({}, False),
        (None, False),
        ({"batchkeeper.io/job-id": JOB_ID}, False),
    ],
)
def test_what_is_ours(marks: Json | None, found: bool) -> None:
    """Managed by us, by this installation, for a job: with any of it missing it is somebody else's."""
    assert is_ours(thing("a", marks=marks), INSTANCE) is found


# ----------------------------------------------------------------------------------------- Events


def test_events_are_told_once_and_in_order() -> None:
    """By their last sighting, of either event API; the newest are kept."""
    told: list[Json] = [
        {"reason": "B", "message": "two", "lastTimestamp": "2026-03-01T10:02:00Z"},
        {"reason": "A", "message": "one", "eventTime": "2026-03-01T10:01:00.000001Z"},
        {"reason": "C", "note": "three", "series": {"lastObservedTime": "2026-03-01T10:03:00Z"}},
        {"reason": "A", "message": "one", "firstTimestamp": "2026-03-01T09:00:00Z"},
    ]
    assert event_lines(told) == ("A: one", "B: two", "C: three")
    odd: Json = {"lastTimestamp": 7}
    assert event_lines((odd, odd)) == (": ",)
    many = [{"reason": str(n), "message": "", "lastTimestamp": AT} for n in range(MAX_EVENTS + 5)]
    assert event_lines(many)[-1] == f"{MAX_EVENTS + 4}: "
    assert len(event_lines(many)) == MAX_EVENTS


@pytest.mark.parametrize(
    ("value", "read"),
    [
        (AT, datetime(2026, 3, 1, 10, tzinfo=UTC)),
        ("2026-03-01T11:00:00+01:00", datetime(2026, 3, 1, 10, tzinfo=UTC)),
        ("2026-03-01T10:00:00", datetime(2026, 3, 1, 10, tzinfo=UTC)),
        ("0001-01-01T00:00:00+23:00", None),
        ("soon", None),
        ("", None),
        (None, None),
        (7, None),
    ],
)
def test_instants(value: object, read: datetime | None) -> None:
    """UTC in any case; what is no instant is none."""
    assert instant(value) == read


# ------------------------------------------------------------------------------------ anything at all

junk = st.recursive(
    st.none() | st.booleans() | st.integers() | st.sampled_from(["", "main", "True", "Failed", AT, "9" * 40]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                "metadata spec status labels conditions containerStatuses state terminated waiting running"
                " name uid type exitCode phase reason imageID ownerReferences controller kind".split()
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)
parts = st.sampled_from(["metadata", "spec", "status", "reason", "series"])
objects = st.dictionaries(parts, junk, max_size=4)


@given(odd=objects, pods=st.lists(objects, max_size=3), events=st.lists(objects, max_size=3))
def test_nothing_raises(odd: Json, pods: list[Json], events: list[Json]) -> None:
    """Whatever stands in an object, a list of it is read to its end, and the good one in it is found."""
    job_of(odd, pods, events)
    assert our_jobs([odd, mine()], pods, INSTANCE)[JOB_ID].uid
    foreign = roots({JOB: [odd, job("good")], POD: pods}, INSTANCE, only_active=False)
    assert "good" in [one.name for one in foreign]


@given(labels=st.dictionaries(st.sampled_from(sorted(ours())), junk))
def test_labels_that_make_no_sense(labels: Json) -> None:
    """Ours with a label that is no text is not ours, or is read without it."""
    odd = job("odd", marks=ours() | labels)
    shown = job_of(odd)
    assert isinstance(shown.attempt, int)
    assert is_ours(odd, INSTANCE) is (shown.job_id != "" and _wears_ours(labels))


def _wears_ours(labels: Json) -> bool:
    """Whether what was changed left the other two marks alone."""
    right = ours()
    marks = ("app.kubernetes.io/managed-by", "batchkeeper.io/instance")
    return all(labels.get(key, right[key]) == right[key] for key in marks)


def test_attempts_are_numbers() -> None:
    """An attempt that is no number is attempt 0: identity is the job id's business."""
    for odd, number in (("3", 3), ("x", 0), ("-1", 0), ("٣", 0), ("", 0)):
        assert job_of(job("a", marks=ours() | {"batchkeeper.io/attempt": odd})).attempt == number
