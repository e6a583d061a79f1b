"""What a look leaves out is what is recorded, and nothing else: it tells the same as the whole lists do."""

from __future__ import annotations

import copy
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.adapters import kube_look, labels
from controller.adapters.kube_client import KubeClient
from controller.adapters.kube_foreign import JOB, POD, roots, runai_kinds
from controller.adapters.kube_listing import our_jobs
from controller.adapters.kube_logs import CONTROLLER_UID
from controller.adapters.kube_look import Look
from controller.core.sight import ClusterJob
from tests.kube_pure.things import INSTANCE, Read, answered, condition, job, ours, owner, pod, thing

Json = dict[str, Any]
HERE = "runai-lab"
_REQUIREMENT = re.compile(r"([^\s,()]+)(?: (in|notin) \(([^)]*)\))?")


TRAINING = runai_kinds(stopped_counts=True)[0]


@dataclass
class Selecting:
    """A client that answers as an API server does: what the selectors choose of what is there."""

    jobs: list[Json]
    pods: list[Json]
    asked: list[tuple[str, Json]] = field(default_factory=list)
    then: Callable[[int], None] = lambda number: None
    """Told the number of each request before it is answered: the cluster goes on between two of them."""

    async def request(self, method: str, path: str, *, resource: str, query: Json, read: Read) -> Json:
        """One page with everything."""
        self.then(len(self.asked))
        self.asked.append((resource, query))
        things = copy.deepcopy(self.jobs if resource == "jobs" else self.pods)
        return await answered({"metadata": {}, "items": [one for one in things if chosen(one, query)]}, read)

    async def lists(self) -> tuple[list[Json], list[Json]]:
        """Jobs and Pods as the look has them."""
        found = await Look(cast("KubeClient", self), (JOB, POD), INSTANCE).lists(HERE)
        return found[JOB] or [], found[POD] or []

    def asked_for(self, resource: str) -> list[str]:
        """The selectors of each list of the resource."""
        return [
            str(query.get("labelSelector", query.get("fieldSelector", "")))
            for what, query in self.asked
            if what == resource
        ]


def chosen(thing: Json, query: Mapping[str, str]) -> bool:
    """Whether the selectors of the query choose the object."""
    phase = thing.get("status", {}).get("phase")
    for part in filter(None, query.get("fieldSelector", "").split(",")):
        if part.startswith("metadata.name="):
            if thing["metadata"]["name"] != part.removeprefix("metadata.name="):
                return False
            continue
        assert part.startswith("status.phase!=")
        if phase == part.removeprefix("status.phase!="):
            return False
    marks = thing["metadata"]["labels"]
    for key, verb, values in _REQUIREMENT.findall(query.get("labelSelector", "")):
        there = marks.get(key) in values.split(",") if verb else key in marks
        if there is (verb == "notin"):
            return False
    return True


def mine(n: int, *conditions: Json, uid: str = "", expiring: bool = False, **more: str) -> Json:
    """Our Job of this number, or another one of the same job id (``uid``)."""
    marks = ours(0, job_id=f"{n:024x}", **more) | ({labels.EXPIRING: INSTANCE} if expiring else {})
    found = job(f"trait-{n}", *conditions, marks=marks)
    found["metadata"]["uid"] = f"u-{n}{uid}"
    if expiring:
        found["spec"]["ttlSecondsAfterFinished"] = 3600
    return found


def its_pod(n: int, phase: str, uid: str = "", name: str = "p") -> Json:
    """A pod of it, or of another Job (``uid``) of the same job id."""
    marks = ours(job_id=f"{n:024x}") | {CONTROLLER_UID: f"u-{n}{uid}"}
    return pod(f"trait-{n}-{name}", phase, marks=marks, owners=[owner("Job", f"u-{n}{uid}")])


def theirs(n: int, *conditions: Json, **spec: Any) -> Json:
    """Somebody else's Job."""
    one_run = {"backoffLimit": 0, "completions": 1, "parallelism": 1}
    return job(f"theirs-{n}", *conditions, spec=one_run | spec, marks={"app": "x"})


def their_pod(n: int, phase: str) -> Json:
    """A pod of it."""
    uid = f"u-theirs-{n}"
    return pod(f"theirs-{n}-p", phase, marks={CONTROLLER_UID: uid}, owners=[owner("Job", uid)])


PHASES = st.sampled_from(["Pending", "Running", "Unknown", "Succeeded", "Failed"])
ENDS = st.sampled_from([(), (condition("Complete"),), (condition("Failed"),), (condition("Suspended"),)])
NUMBER = st.integers(1, 4)
JOBS = st.one_of(
    st.builds(
        lambda n, ends, uid, gone: mine(n, *ends, uid=uid, expiring=gone),
        NUMBER,
        ENDS,
        st.sampled_from(["", "-x"]),
        st.booleans(),
    ),
    st.builds(lambda n, ends, limit: theirs(n, *ends, backoffLimit=limit), NUMBER, ENDS, st.integers(0, 1)),
    st.builds(lambda n: mine(n, condition("Complete"), tombstone="true"), NUMBER),
)
PODS = st.one_of(
    st.builds(its_pod, NUMBER, PHASES, st.sampled_from(["", "-x"]), st.sampled_from(["p", "q"])),
    st.builds(their_pod, NUMBER, PHASES),
    st.builds(lambda phase: pod("bare", phase), PHASES),
)


def once(things: list[Json]) -> list[Json]:
    """No two of one uid."""
    return list({one["metadata"]["uid"]: one for one in things}.values())


def runs_for(own: Json, whose: Json) -> bool:
    """Whether it is a pod of this Job, by owner and label, and has not ended."""
    owners = [one["uid"] for one in own["metadata"].get("ownerReferences", ())]
    marks = [one["metadata"]["labels"].get(labels.JOB_ID) for one in (own, whose)]
    over = own["status"]["phase"] in ("Succeeded", "Failed")
    return whose["metadata"]["uid"] in owners and marks[0] == marks[1] and not over


def unnamed(found: Mapping[str, ClusterJob]) -> dict[str, ClusterJob]:
    """Without the name of the one pod: of several, the ended ones are not known beside one that runs."""
    return {job_id: replace(one, pod="") for job_id, one in found.items()}


@given(
    jobs=st.lists(JOBS, max_size=6).map(once), pods=st.lists(PODS, max_size=8).map(once), many=st.booleans()
)
async def test_a_look_tells_what_the_whole_lists_tell(jobs: list[Json], pods: list[Json], many: bool) -> None:
    """But for our Jobs that were let expire and have ended. Also where so many are asked for that all are."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(kube_look, "MOST", 0 if many else 4)
        patch.setattr(kube_look, "TOGETHER", 2)
        listed, run = await Selecting(jobs, pods).lists()
    left_out = [
        one
        for one in jobs
        if labels.EXPIRING in one["metadata"]["labels"] and not any(runs_for(own, one) for own in pods)
    ]
    rest = [one for one in jobs if one not in left_out]
    assert unnamed(our_jobs(listed, run, INSTANCE)) == unnamed(our_jobs(rest, pods, INSTANCE))
    whole = roots({JOB: jobs, POD: pods}, INSTANCE)
    assert sorted(map(str, roots({JOB: listed, POD: run}, INSTANCE))) == sorted(map(str, whole))


async def test_what_is_recorded_is_neither_listed_nor_asked_for() -> None:
    """Two lists are all that a cluster costs in which thousands have ended and nothing else is."""
    jobs = [mine(n, condition("Complete"), expiring=True) for n in range(1000)]
    there = Selecting(jobs, [its_pod(n, "Succeeded") for n in range(1000)])
    assert await there.lists() == ([], [])
    assert there.asked_for("jobs") == [f"batchkeeper.io/expiring notin ({INSTANCE})"]
    assert there.asked_for("pods") == ["status.phase!=Succeeded,status.phase!=Failed"]


async def test_an_end_that_is_not_recorded_is_told_with_its_pod() -> None:
    """How it ended stands in its pod only, and that is asked for."""
    there = Selecting([mine(1, condition("Failed")), mine(2)], [its_pod(1, "Failed"), its_pod(2, "Running")])
    _, run = await there.lists()
    assert sorted(one["metadata"]["name"] for one in run) == ["trait-1-p", "trait-2-p"]
    assert there.asked_for("pods")[1:] == [f"batchkeeper.io/job-id in ({1:024x})"]


async def test_what_ends_between_two_lists_is_seen() -> None:
    """Its Job was listed while it ran and its pod when it had ended: it has ended, and has a pod."""
    there = Selecting([mine(1)], [])

    def goes_on(number: int) -> None:
        if number == 2:
            there.pods = [its_pod(1, "Succeeded")]

    there.then = goes_on
    (shown,) = our_jobs(*await there.lists(), INSTANCE).values()
    assert (shown.finished, shown.pod) == (True, "trait-1-p")


@pytest.mark.parametrize("many", [False, True])
async def test_a_job_that_is_made_between_two_lists_is_listed(
    monkeypatch: pytest.MonkeyPatch, many: bool
) -> None:
    """Its pod is, as if its Job were gone: that would count, beside the workload which owns it."""
    if many:
        monkeypatch.setattr(kube_look, "ONE_BY_ONE", 0)
    made = job("x", owners=[owner("TrainingWorkload", "u-w", "run.ai/v2alpha1")])
    there = Selecting([], [])

    def goes_on(number: int) -> None:
        if number == 1:
            there.jobs = [made, job("another")]
            there.pods = [pod("p", owners=[owner("Job", "u-x")]), pod("q", owners=[owner("Job", "u-gone")])]

    there.then = goes_on
    jobs, run = await there.lists()
    assert [one["metadata"]["name"] for one in jobs] == ["x"]
    listed = {JOB: jobs, POD: run, TRAINING: [thing("w", status={"phase": "Running"})]}
    assert [(one.kind, one.uid) for one in roots(listed, INSTANCE)] == [
        ("TrainingWorkload", "u-w"),
        ("Job", "u-gone"),
    ]
    assert len(there.asked) <= 4


async def test_a_copy_of_an_expiring_job_that_runs_is_seen() -> None:
    """Whoever makes an object anew from one of ours copies its label, too: it is ours, and it runs (R13)."""
    there = Selecting([mine(1, expiring=True)], [its_pod(1, "Running")])
    (shown,) = our_jobs(*await there.lists(), INSTANCE).values()
    assert shown.active


@pytest.mark.parametrize("ends", [("Complete",), ()], ids=["ended", "running"])
def test_of_two_with_one_id_the_one_that_takes_a_place_is_told(ends: tuple[str, ...]) -> None:
    """A copy that ended, and whose pod did not, was hidden by one without a pod that was listed before it."""
    jobs = [mine(1, condition("Complete")), mine(1, *map(condition, ends), uid="-x")]
    pods = [its_pod(1, "Pending", uid="-x")]
    (shown,) = our_jobs(jobs, pods, INSTANCE).values()
    assert (shown.uid, shown.active) == ("u-1-x", True)
    assert our_jobs(jobs[::-1], pods, INSTANCE) == our_jobs(jobs, pods, INSTANCE)
