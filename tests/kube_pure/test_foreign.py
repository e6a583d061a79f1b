"""What others run under a batch's prefix: which objects count, each of them once, and until when."""

from __future__ import annotations

from typing import Any

import pytest

from controller.adapters.kube_foreign import JOB, POD, Kind, active, roots, runai_kinds
from controller.adapters.kube_listing import strays
from controller.core.naming import longest_prefix, under_prefix
from controller.core.sight import ForeignObject, Stray
from tests.kube_pure.things import INSTANCE, JOB_ID, condition, job, ours, owner, pod, thing

Json = dict[str, Any]
TRAINING, INTERACTIVE, DISTRIBUTED, RUNAI_JOB = runai_kinds(stopped_counts=True)
COMPLETE, FAILED = condition("Complete"), condition("Failed")
RETRYING = {"backoffLimit": 6, "completions": 1, "parallelism": 1}


def counted(listed: dict[Kind, list[Json]]) -> list[tuple[str, str]]:
    """Kind and name of what takes a place."""
    return [(one.kind, one.name) for one in roots(listed, INSTANCE)]


# ------------------------------------------------------------------------------------- Jobs and Pods


@pytest.mark.parametrize(
    ("thing", "pods", "takes_place"),
    [
        (job("a"), [], True),
        (job("a", condition("Failed", "False"), condition("Suspended")), [], True),
        (job("a", condition("FailureTarget"), condition("SuccessCriteriaMet")), [], True),
        (job("a", COMPLETE), [], False),
        (job("a", FAILED), [], False),
        (job("a"), [pod("p", "Pending")], True),
        (job("a"), [pod("p")], True),
        (job("a"), [pod("p", "Unknown")], True),
        (job("a"), [pod("p", "Failed")], False),
        (job("a"), [pod("p", "Succeeded")], False),
        (job("a"), [pod("p", "Failed"), pod("q")], True),
        (job("a", FAILED), [pod("p")], True),
        (job("a", COMPLETE), [pod("p", "Succeeded")], False),
    ],
)
def test_a_job_that_runs_one_pod(thing: Json, pods: list[Json], takes_place: bool) -> None:
    """Until its condition or its only pod says that it is over, and no pod of it is left."""
    assert active(JOB, thing, pods) is takes_place


@pytest.mark.parametrize(
    "spec",
    [
        RETRYING,
        {},
        {"backoffLimit": 0, "completions": 3, "parallelism": 3},
        {"backoffLimit": 0, "parallelism": 3},
        {"backoffLimit": 0, "completions": None, "parallelism": 1},
        {
            "backoffLimit": 0,
            "podFailurePolicy": {"rules": [{"action": "FailJob"}, {"action": "Ignore"}]},
        },
    ],
)
@pytest.mark.parametrize("phase", ["Failed", "Succeeded"])
def test_a_job_that_may_get_another_pod(spec: Json, phase: str) -> None:
    """That all its pods so far have ended is no end; only its condition is."""
    assert active(JOB, job("a", spec=spec), [pod("p", phase)])
    assert not active(JOB, job("a", FAILED, spec=spec), [pod("p", phase)])


@pytest.mark.parametrize(
    ("phase", "takes_place"),
    [
        ("Pending", True),
        ("Running", True),
        ("Unknown", True),
        ("", True),
        ("New", True),
        ("Succeeded", False),
        ("Failed", False),
    ],
)
def test_a_bare_pod(phase: str, takes_place: bool) -> None:
    """Everything but an end takes a place."""
    assert active(POD, pod("p", phase)) is takes_place


# ------------------------------------------------------------------------------------------- Run:ai

PHASES = {
    "Creating": True,
    "Pending": True,
    "Initializing": True,
    "Running": True,
    "Degraded": True,
    "Deleting": True,
    "Completed": False,
    "Failed": False,
    "Hibernating": True,
    "": True,
}


@pytest.mark.parametrize("kind", runai_kinds(stopped_counts=True), ids=lambda kind: kind.kind)
@pytest.mark.parametrize("phase", PHASES)
def test_every_phase_of_a_workload(kind: Kind, phase: str) -> None:
    """All but an end; a phase that a newer Run:ai has counts until we are told otherwise."""
    assert active(kind, thing("w", status={"phase": phase})) is PHASES[phase]


@pytest.mark.parametrize("kept", [True, False])
def test_a_stopped_workload_counts_as_config_says(kept: bool) -> None:
    """It may be resumed at any time; whoever knows better says so."""
    for kind in runai_kinds(stopped_counts=kept):
        assert active(kind, thing("w", status={"phase": "Stopped"})) is kept
        assert kind.succeeded == {"Completed"}


@pytest.mark.parametrize("status", [None, {}, {"phase": None}, {"phase": ["Completed"]}, "Completed"])
def test_a_workload_without_a_phase(status: object) -> None:
    """What says nothing of its end has not ended."""
    assert active(TRAINING, thing("w", status=status))


def test_the_kinds_of_run_ai() -> None:
    """Where each of them is served."""
    assert [(kind.path, kind.resource, kind.kind) for kind in runai_kinds(stopped_counts=True)] == [
        ("apis/run.ai/v2alpha1", "trainingworkloads", "TrainingWorkload"),
        ("apis/run.ai/v2alpha1", "interactiveworkloads", "InteractiveWorkload"),
        ("apis/run.ai/v2alpha1", "distributedworkloads", "DistributedWorkload"),
        ("apis/run.ai/v1", "runaijobs", "RunaiJob"),
    ]


# -------------------------------------------------------------------------------------------- roots


def test_one_place_for_a_workload_and_all_that_it_made() -> None:
    """The root counts, and neither its Job nor its pods do."""
    workload = thing("w", status={"phase": "Running"})
    made = job("w-job", owners=[owner("TrainingWorkload", "u-w", "run.ai/v2alpha1")])
    pods = [pod("w-job-0", owners=[owner("Job", "u-w-job")])]
    assert counted({TRAINING: [workload], JOB: [made], POD: pods}) == [("TrainingWorkload", "w")]


def test_what_an_uncounted_controller_made_is_a_root() -> None:
    """A Job of a CronJob and a Pod of a ReplicaSet count themselves: nobody counts in their stead."""
    made = job("nightly-1", owners=[owner("CronJob", "u-cron")])
    pods = [pod("nightly-1-x", owners=[owner("Job", "u-nightly-1")])]
    pods += [pod("web-1", owners=[owner("ReplicaSet", "u-web", "apps/v1")])]
    assert counted({JOB: [made], POD: pods}) == [("Job", "nightly-1"), ("Pod", "web-1")]


@pytest.mark.parametrize("api", ["batch.volcano.sh/v1alpha1", "v1", ""])
def test_a_kind_of_the_same_name_in_another_group(api: str) -> None:
    """A pod of Volcano's Job is a root: that kind is not the one that is counted."""
    pods = [pod("p", owners=[owner("Job", "u-volcano", api)])]
    assert counted({JOB: [], POD: pods}) == [("Pod", "p")]


def test_pods_of_others_without_their_job_count_as_that_job() -> None:
    """It was deleted before it was ever seen: they ran, and counted nowhere. Once, however many there are."""
    gone, by_name = owner("Job", "u-gone"), owner("Job", "u-named", controller=False)
    pods = [
        pod("p1", "Pending", owners=[gone]),
        pod("p2", owners=[gone]),
        pod("p3", "Failed", owners=[owner("Job", "u-over")]),
        pod("p4", owners=[owner("Job", "u-there")]),
        pod("p5", marks=ours(), owners=[owner("Job", "u-ours")]),
        pod("p6", owners=[by_name]),
    ]
    found = roots({JOB: [job("there")], POD: pods}, INSTANCE)
    assert found[2:] == (ForeignObject("x", "runai-lab", "u-gone", "Job", started=True),)
    assert [one.name for one in found[:2]] == ["there", "p6"]
    seen = roots(
        {JOB: [thing("x", status={}) | {"metadata": {"name": "x", "uid": "u-gone"}}], POD: pods[:2]}, INSTANCE
    )
    assert [one.uid for one in seen] == ["u-gone"], "the same object, once its Job is listed"


def test_another_version_of_a_counted_kind_is_the_same_kind() -> None:
    """An owner is named in the version that its controller uses."""
    made = job("w-job", owners=[owner("TrainingWorkload", "u-w", "run.ai/v3")])
    workload = thing("w", status={"phase": "Running"})
    assert counted({TRAINING: [workload], JOB: [made], POD: []}) == [("TrainingWorkload", "w")]


def test_an_owner_that_controls_nothing_is_no_root() -> None:
    """Only a controller counts for what it owns; whoever is just named does not."""
    pods = [pod("p", owners=[owner("Job", "u-a", controller=False)])]
    assert counted({JOB: [], POD: pods}) == [("Pod", "p")]


def test_ours_are_nobody_elses() -> None:
    """What has all our labels is left out, with its pods; what another installation made is foreign."""
    listed: dict[Kind, list[Json]] = {
        JOB: [
            job("a", marks=ours()),
            job("b", marks=ours(instance="another")),
            job("c", marks=ours(job_id="")),
        ],
        POD: [pod("a-0", marks=ours(), owners=[owner("Job", "u-a")]), pod("left", marks=ours())],
    }
    assert counted(listed) == [("Job", "b"), ("Job", "c")]


def test_what_has_ended_is_shown_when_it_is_asked_for() -> None:
    """A take-over wants the ends too; a count does not."""
    listed: dict[Kind, list[Json]] = {JOB: [job("a", COMPLETE), job("b")], POD: [pod("c", "Failed")]}
    assert counted(listed) == [("Job", "b")]
    found = roots(listed, INSTANCE, only_active=False)
    assert [(one.name, one.active) for one in found] == [("a", False), ("b", True), ("c", False)]


def test_whether_it_runs() -> None:
    """A Job by its pods, anything else by its phase."""
    listed: dict[Kind, list[Json]] = {
        JOB: [job("a"), job("b")],
        POD: [pod("a-0", owners=[owner("Job", "u-a")]), pod("b-0", "Pending", owners=[owner("Job", "u-b")])],
        TRAINING: [thing("w", status={"phase": "Running"}), thing("v", status={"phase": "Pending"})],
    }
    found = {one.name: one.started for one in roots(listed, INSTANCE)}
    assert found == {"a": True, "b": False, "w": True, "v": False}


MALFORMED: list[Json] = [
    {},
    {"metadata": None},
    {"metadata": {"name": "no-uid"}},
    {"metadata": {"uid": 7, "name": "a"}},
    {"metadata": []},
]
ODD: list[Json] = [
    thing("owners", owners=["x"]),  # type: ignore[list-item]
    thing("status", status="Running", spec=None),
    thing("conditions", status={"conditions": "Complete"}, spec=[]),
    thing("labels", marks={"a": 1}),
    {"metadata": {"uid": "u-nameless"}},
]


@pytest.mark.parametrize("kind", [JOB, POD, TRAINING], ids=lambda kind: kind.kind)
def test_malformed_objects_cost_themselves_only(kind: Kind) -> None:
    """Without a uid there is nothing to count; whatever else is odd counts, and the list goes on."""
    listed: dict[Kind, list[Json]] = {JOB: [], POD: []}
    listed[kind] = [*MALFORMED, *ODD, thing("good", status={"phase": "Running"})]
    names = [name for _, name in counted(listed)]
    assert names == ["owners", "status", "conditions", "labels", "", "good"]


# ------------------------------------------------------------------------------------------ prefixes


@pytest.mark.parametrize(
    ("name", "under"),
    [
        ("scan-1", True),
        ("scan-", True),
        ("scan", False),
        ("scanner-1", False),
        ("my-scan-1", False),
        ("Scan-1", False),
        ("scan_1", False),
    ],
)
def test_a_prefix_is_anchored(name: str, under: bool) -> None:
    """``<prefix>-`` at the very beginning, and nothing that only looks like it."""
    assert under_prefix(name, "scan") is under


@pytest.mark.parametrize(
    ("name", "owner"),
    [("scan-1", "scan"), ("scan-deep-1", "scan-deep"), ("scan-deeper-1", "scan"), ("other-1", "")],
)
def test_the_longest_prefix_owns_the_object(name: str, owner: str) -> None:
    """Where the names of two batches nest, one place is taken and not two."""
    assert longest_prefix(name, ["scan", "scan-deep", "scan-d"]) == owner


def test_pods_of_ours_without_their_job() -> None:
    """Each is shown as the Job that it had, or as itself where somebody took its owner away."""
    marks = ours()
    gone, there = owner("Job", "u-gone"), owner("Job", "u-there")
    left = pod("p1", marks=marks, owners=[gone])
    alone = pod("p2", "Pending", marks=marks)
    others = [
        pod("p3", marks=marks, owners=[there]),
        pod("p4", "Failed", marks=marks, owners=[gone]),
        pod("p5", owners=[gone]),
    ]
    found = strays([job("there", marks=marks)], [left, alone, *others], INSTANCE)
    assert found == (
        Stray(JOB_ID, ForeignObject("x", "runai-lab", "u-gone", "Job", started=True, orphan=True)),
        Stray(JOB_ID, ForeignObject("p2", "runai-lab", "u-p2", "Pod", orphan=True)),
    )
