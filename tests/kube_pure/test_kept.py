"""What is held of an object is small, and reading it tells the same as reading the whole."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.adapters.kube_folded import Folded
from controller.adapters.kube_foreign import JOB, POD, roots, runai_kinds
from controller.adapters.kube_kept import LONGEST, kept
from controller.adapters.kube_listing import folded, our_jobs
from controller.adapters.kube_reading import job_of
from tests.kube.world import INSTANCE as PLACE
from tests.kube_pure.test_lists import Told
from tests.kube_pure.test_lists import page as page_of
from tests.kube_pure.test_reading import JOBS, PODS, mine, objects
from tests.kube_pure.things import INSTANCE, condition, job, ours, owner, pod

Json = dict[str, Any]
AT, LATER = "2026-03-01T10:00:00Z", "2026-03-01T10:05:00Z"
TRAINING = runai_kinds(stopped_counts=True)[0]

words = st.sampled_from(["", "main", "True", "False", "Failed", "no node", AT, LATER, "x" * (LONGEST + 1)])
ends = st.sampled_from(
    ["Complete", "Failed", "SuccessCriteriaMet", "FailureTarget", "PodScheduled", "DisruptionTarget"]
)


def some(**fields: st.SearchStrategy[Any]) -> st.SearchStrategy[Json]:
    """An object with any of these fields."""
    return st.fixed_dictionaries({}, optional=fields)


conditions = st.lists(
    some(type=ends, status=words, reason=words, message=words, lastTransitionTime=words), max_size=4
)
states = some(
    terminated=some(
        exitCode=st.integers(0, 255), reason=words, message=words, startedAt=words, finishedAt=words
    ),
    waiting=some(reason=words, message=words),
    running=some(startedAt=words),
)
containers = st.lists(
    some(name=st.sampled_from(["main", "", "sidecar"]), state=states, imageID=st.just("r@sha256:0")),
    max_size=3,
)
phases = st.sampled_from(["Pending", "Running", "Succeeded", "Failed", "Completed", "Unknown"])
statuses = some(
    phase=phases,
    reason=words,
    message=words,
    completionTime=words,
    conditions=conditions,
    containerStatuses=containers,
    startTime=words,
)
policies = some(rules=st.lists(some(action=st.sampled_from(["FailJob", "Ignore"])), max_size=2))
specs = some(
    ttlSecondsAfterFinished=st.integers(0, 99),
    suspend=st.booleans(),
    nodeName=words,
    completions=st.integers(0, 2),
    parallelism=st.integers(0, 2),
    backoffLimit=st.integers(0, 2),
    podFailurePolicy=policies,
    template=st.just({"spec": {"containers": [{"name": "main"}]}}),
)
owners = st.lists(
    st.builds(
        owner,
        st.sampled_from(["Job", "TrainingWorkload", "Other"]),
        st.sampled_from(["u-0", "u-1", "u-2"]),
        st.sampled_from(["batch/v1", "run.ai/v2alpha1"]),
        controller=st.booleans(),
    ),
    max_size=2,
)
marks: st.SearchStrategy[Json] = st.one_of(
    st.just({}),
    st.builds(ours, st.integers(0, 2)),
    st.just(ours(tombstone="true")),
    st.just(ours(expiring=INSTANCE)),
    st.just(ours(job_id="6" * 24)),
    st.just(ours(instance="another")),
)


@st.composite
def things(draw: st.DrawFn) -> Json:
    """An object as the API server sends it."""
    about: Json = {
        "name": draw(st.sampled_from(["trait-0", "trait-1", "trait-2"])),
        "namespace": "runai-lab",
        "uid": draw(st.sampled_from(["u-0", "u-1", "u-2"])),
        "labels": draw(marks),
        "ownerReferences": draw(owners),
        "managedFields": [{"manager": "kwok", "fieldsV1": {"f:status": {}}}],
        **draw(
            some(
                creationTimestamp=words,
                deletionTimestamp=words,
                finalizers=st.lists(st.sampled_from(["foregroundDeletion", "example.org/mine"]), max_size=2),
            )
        ),
    }
    return {"metadata": about, "spec": draw(specs), "status": draw(statuses)}


lists = st.lists(things() | objects, max_size=4)


@given(jobs=lists, pods=lists, workloads=lists)
def test_what_is_kept_tells_the_same(jobs: list[Json], pods: list[Json], workloads: list[Json]) -> None:
    """Our jobs, others' objects and each job with each pods: as of the whole objects, whatever they are."""
    few_jobs, few_pods, few_workloads = (list(map(kept, one)) for one in (jobs, pods, workloads))
    assert our_jobs(few_jobs, few_pods, INSTANCE) == our_jobs(jobs, pods, INSTANCE)
    for only_active in (True, False):
        assert roots(
            {JOB: few_jobs, POD: few_pods, TRAINING: few_workloads}, INSTANCE, only_active=only_active
        ) == roots({JOB: jobs, POD: pods, TRAINING: workloads}, INSTANCE, only_active=only_active)
    for whole, few in zip(jobs, few_jobs, strict=True):
        assert job_of(few, few_pods) == job_of(whole, pods)
        assert folded(few, few_pods) == folded(whole, pods)
        assert kept(few) == few


@pytest.mark.parametrize("state", PODS)
def test_a_pod_in_every_state_is_kept(state: str) -> None:
    """What is kept of it tells what the whole tells, to the last word."""
    of, _ = PODS[state]
    assert job_of(mine(), [kept(of)]) == job_of(mine(), [of])


@pytest.mark.parametrize("state", JOBS)
def test_a_job_in_every_state_is_kept(state: str) -> None:
    """The same of a Job whose pod is gone."""
    told, _ = JOBS[state]
    assert job_of(kept(mine("trait-2", *told))) == job_of(mine("trait-2", *told))


def test_little_is_kept() -> None:
    """Of a Job with a long template and managed fields, what is kept does not grow with either."""
    long = [{"name": f"V{n}", "value": "x" * 50} for n in range(200)]
    spec = {"template": {"spec": {"containers": [{"name": "main", "env": long}]}}, "backoffLimit": 0}
    big = job("a", condition("Complete", lastTransitionTime=AT), spec=spec, marks=ours())
    big["metadata"]["managedFields"] = [{"fieldsV1": {f"f:{n}": {} for n in range(200)}}]
    assert len(json.dumps(kept(big))) < 600 < 10_000 < len(json.dumps(big))


def test_equal_texts_are_held_once() -> None:
    """Node, time and reason of ten pods are the same objects in memory, as decoded JSON never has them."""
    ended = {"terminated": {"exitCode": 0, "reason": "Completed", "finishedAt": AT}}
    text = json.dumps(pod("p", "Succeeded", ended, node="node-7", marks=ours()))
    found = [kept(json.loads(text)) for _ in range(10)]
    for path in (
        ("spec", "nodeName"),
        ("metadata", "labels", "batchkeeper.io/batch-id"),
        ("status", "containerStatuses", 0, "state", "terminated", "finishedAt"),
    ):
        held = set()
        for one in found:
            value: Any = one
            for key in path:
                value = value[key]
            held.add(id(value))
        assert len(held) == 1, path


async def test_a_look_at_all_keeps_little(monkeypatch: Any) -> None:
    """The adapter's own lists are of what is kept, and tell the same."""
    seen: list[Mapping[str, Any]] = []
    marks = ours(instance=PLACE)
    whole = job("trait-2", marks=marks, spec={"template": {"spec": {}}, "backoffLimit": 0})

    all_of_them = Folded.jobs

    async def looked(folded: Folded, namespace: str, jobs: list[Json], pods: list[Json]) -> Any:
        seen.extend(jobs)
        return await all_of_them(folded, namespace, jobs, pods)

    monkeypatch.setattr(Folded, "jobs", looked)
    found = await Told({"jobs": [page_of(whole)]}).cluster().observe(["runai-lab"])
    assert found.jobs == our_jobs([whole], [], PLACE) != {}
    assert seen == [kept(whole)]
