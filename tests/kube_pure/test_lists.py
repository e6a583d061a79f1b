"""Lists: complete or an error. What could not be seen is never taken for nothing."""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import pytest

from controller.adapters.kube_adoption import Others
from controller.adapters.kube_client import KubeClient, Refused
from controller.adapters.kube_cluster import KubeCluster
from controller.adapters.kube_foreign import JOB, POD, Kind, runai_kinds
from controller.adapters.kube_listing import RESTARTS, list_all, list_if_served, list_namespace
from controller.adapters.system_clock import SystemClock
from controller.ports import Unavailable
from tests.kube.world import settings
from tests.kube_pure.things import Read, answered, job, owner, pod, thing

Json = dict[str, Any]
TRAINING = runai_kinds(stopped_counts=True)[0]


def refused(code: int) -> Refused:
    """As the client says it."""
    return Refused(code, "Because", "", "GET somewhere")


def refused_path() -> Refused:
    """Of a path that nobody serves: plain text, and no Status."""
    return Refused(404, "", "", "GET somewhere")


NOT_THERE = Refused(404, "NotFound", 'trainingworkloads.run.ai "trait-2" not found', "GET somewhere")
"""What an API server says of an object; of an API that it does not serve it says 404, and no more."""


def page(*things: Json, more: str = "", version: str = "5") -> Json:
    """A page of a list."""
    return {"metadata": {"continue": more, "resourceVersion": version}, "items": list(things)}


@dataclass
class Told:
    """A client whose answers are told: by resource, one after the other; then empty pages, and under any
    name somebody else's object."""

    answers: Mapping[str, list[Json | Exception]] = field(default_factory=dict)
    asked: list[tuple[str, Json]] = field(default_factory=list)
    _left: dict[str, deque[Json | Exception]] = field(default_factory=dict)

    async def request(
        self,
        method: str,
        path: str,
        body: object = None,
        *,
        resource: str,
        query: Json | None = None,
        read: Read | None = None,
    ) -> Json:
        """The next answer for this resource."""
        assert (method, body) == ("GET", None)
        self.asked.append((path, dict(query or {})))
        left = self._left.setdefault(resource, deque(self.answers.get(resource, ())))
        none = page() if path.endswith(resource) else thing("others")
        answer = left.popleft() if left else none
        if isinstance(answer, Exception):
            raise answer
        return await answered(answer, read)

    @property
    def client(self) -> KubeClient:
        """As the adapter takes it."""
        return cast("KubeClient", self)

    def cluster(self, *kinds: Kind) -> KubeCluster:
        """An adapter on it."""
        told = settings(Path("unused"), "runai-lab", kinds=(JOB, POD, *kinds))
        return KubeCluster(self.client, told, SystemClock())


def names(things: list[Json] | None) -> list[str]:
    """Of the objects, in their order."""
    return [one["metadata"]["name"] for one in things or ()]


# --------------------------------------------------------------------------------------------- pages


async def test_all_pages_are_one_list() -> None:
    """Every page, and the version of the last one."""
    told = Told({"jobs": [page(job("a"), more="x"), page(job("b"), more="y"), page(job("c"), version="9")]})
    things, version = await list_all(told.client, JOB, "runai-lab", "a=b")
    assert (names(things), version) == (["a", "b", "c"], "9")
    assert [query.get("continue") for _, query in told.asked] == [None, "x", "y"]
    assert {query["labelSelector"] for _, query in told.asked} == {"a=b"}
    assert {path for path, _ in told.asked} == {"apis/batch/v1/namespaces/runai-lab/jobs"}


@pytest.mark.parametrize("at", [1, 2])
async def test_an_expired_page_starts_the_list_anew(at: int) -> None:
    """From the first page on; what was read before is thrown away."""
    pages = [page(job("old"), more="x"), page(job("older"), more="y")][:at]
    told = Told({"jobs": [*pages, refused(410), page(job("new"))]})
    things, _ = await list_all(told.client, JOB, "runai-lab")
    assert names(things) == ["new"]
    assert "continue" not in told.asked[-1][1]


async def test_a_list_that_always_expires_is_no_list() -> None:
    """After some tries it is unknown, and not what was seen of it so far."""
    told = Told({"jobs": [page(job("old"), more="x"), refused(410)] * RESTARTS})
    with pytest.raises(Unavailable, match="expired"):
        await list_all(told.client, JOB, "runai-lab")
    assert len(told.asked) == 2 * RESTARTS


async def test_no_list_is_read_from_a_cache() -> None:
    """No request names a resource version: 0 would be answered by what the API server remembers."""
    told = Told({"pods": [page(pod("p"), more="x"), refused(410)]})
    cluster = told.cluster(TRAINING)
    await cluster.observe(["runai-lab"])
    await cluster.get("runai-lab", "trait-2", "5" * 24)
    await cluster.get_uid("runai-lab", "trait-2", "Job", "u")
    await cluster.find("runai-lab", "trait-")
    assert told.asked
    assert not [query for _, query in told.asked if "resourceVersion" in query]


async def test_things_that_are_none_are_left_out() -> None:
    """An entry of a list that is no object costs itself only; a list without entries is empty. What has not
    even a list's own metadata is none: somebody else answers in the API server's place."""
    told = Told({"jobs": [{"metadata": {}, "items": [job("a"), None, "x", 3, job("b")]}]})
    assert names((await list_all(told.client, JOB, "runai-lab"))[0]) == ["a", "b"]
    empty: list[Json] = [{"metadata": {}}, {"metadata": {}, "items": None}, {"metadata": {}, "items": "x"}]
    for odd in empty:
        assert await list_all(Told({"jobs": [odd]}).client, JOB, "runai-lab") == ([], "")
    others: list[Json] = [{}, {"items": []}, {"items": [], "metadata": None}]
    for none in others:
        with pytest.raises(Unavailable, match="in its place"):
            await list_all(Told({"jobs": [none]}).client, JOB, "runai-lab")


# ----------------------------------------------------------------------------------- what is not seen


async def test_a_kind_that_is_not_served_is_empty() -> None:
    """404 for a list says that nobody serves it, and only that is nothing."""
    told = Told({"trainingworkloads": [refused(404)], "jobs": [page(job("a"))]})
    lists = await list_namespace(told.client, (JOB, TRAINING), "runai-lab")
    assert lists[TRAINING] is None
    assert names(lists[JOB]) == ["a"]


UNSEEN = [refused(403), refused(400), Unavailable("no answer within 5 s")]


@pytest.mark.parametrize("error", UNSEEN, ids=["403", "400", "timeout"])
async def test_a_list_that_is_not_granted_is_an_error(error: Exception) -> None:
    """It is raised as it is: nobody has said that there is nothing."""
    with pytest.raises(type(error)):
        await list_if_served(Told({"jobs": [error]}).client, JOB, "runai-lab")


@pytest.mark.parametrize("resource", ["jobs", "pods", "trainingworkloads"])
@pytest.mark.parametrize("error", UNSEEN, ids=["403", "400", "timeout"])
async def test_a_namespace_is_blind_when_one_of_its_lists_is_missing(resource: str, error: Exception) -> None:
    """Whichever kind it is, and while other namespaces are seen."""
    told = Told({resource: [error]})
    seen = await told.cluster(TRAINING).observe(["dark", "lit"])
    assert (set(seen.blind), set(seen.namespaces)) == ({"dark"}, {"lit"})
    with pytest.raises(Unavailable):
        await Told({resource: [error]}).cluster(TRAINING).observe(["dark"])


@pytest.mark.parametrize("resource", ["jobs", "pods"])
async def test_a_server_without_jobs_or_pods_is_blind(resource: str) -> None:
    """Those are always served: a 404 for them comes from something that is no API server."""
    with pytest.raises(Unavailable, match="serves no Jobs or no Pods"):
        await Told({resource: [refused(404)]}).cluster().observe(["runai-lab"])
    with pytest.raises(Unavailable, match="serves no Jobs or no Pods"):
        await Told({resource: [refused(404)]}).cluster().find("runai-lab", "trait-")


async def test_what_is_not_served_is_told() -> None:
    """Status names the API, so that nobody believes that it is counted."""
    cluster = Told({"trainingworkloads": [refused(404)]}).cluster(TRAINING)
    seen = await cluster.observe(["runai-lab"])
    assert seen.foreign == ()
    assert seen.unserved == {"run.ai/v2alpha1"}


@pytest.mark.parametrize("error", UNSEEN, ids=["403", "400", "timeout"])
async def test_live_looks_that_are_not_granted_know_nothing(error: Exception) -> None:
    """A single object that may not be read is not gone."""
    for resource in ("jobs", "pods"):
        with pytest.raises(Unavailable):
            await Told({resource: [error]}).cluster().get("runai-lab", "trait-2", "5" * 24)
        answers: list[Json | Exception] = [error] if resource == "jobs" else [job("x")]
        cluster = Told({"jobs": answers, "pods": [error]}).cluster()
        with pytest.raises(Unavailable):
            await cluster.get_uid("runai-lab", "x", "Job", "u-x")
        with pytest.raises(Unavailable):
            await Told({resource: [error]}).cluster().find("runai-lab", "trait-")


@pytest.mark.parametrize(
    ("pods", "remains"),
    [([], False), ([pod("p", "Failed")], False), ([pod("p")], True), ([pod("p", "Unknown")], True)],
)
async def test_a_job_that_is_gone_while_its_pods_run(pods: list[Json], remains: bool) -> None:
    """Somebody deleted it in the background: its place is taken for as long as a pod of its uid runs."""
    told = Told({"jobs": [NOT_THERE], "pods": [page(*pods)]})
    assert await told.cluster().get_uid("runai-lab", "x", "Job", "u-x") is remains
    assert told.asked[-1][1]["labelSelector"].endswith("controller-uid=u-x")


NO_WORD = [refused_path(), refused(404)]
"""A 404 that is no API server's word about an object: a gateway's, or that of a path that nobody serves."""


LOOKS: dict[str, tuple[str, Callable[[KubeCluster], Awaitable[object]]]] = {
    "get": ("jobs", lambda cluster: cluster.get("runai-lab", "trait-2", "5" * 24)),
    "its pods": ("pods", lambda cluster: cluster.get("runai-lab", "trait-2", "5" * 24)),
    "get_uid": ("jobs", lambda cluster: cluster.get_uid("runai-lab", "x", "Job", "u-x")),
    "a pod": ("pods", lambda cluster: cluster.get_uid("runai-lab", "x", "Pod", "u-x")),
    "a workload": (
        "trainingworkloads",
        lambda cluster: cluster.get_uid("runai-lab", "x", TRAINING.kind, "u"),
    ),
    "find_uid": ("jobs", lambda cluster: cluster.find_uid("runai-lab", "x", "Job", "u-x")),
    "delete": ("jobs", lambda cluster: cluster.delete("runai-lab", "trait-2", "u-trait-2")),
}
"""A question about one object, and the resource that it is first asked of."""


@pytest.mark.parametrize("error", NO_WORD, ids=["plain", "another reason"])
@pytest.mark.parametrize("look", LOOKS)
async def test_a_404_that_is_no_word_about_the_object_is_no_absence(look: str, error: Refused) -> None:
    """The job was recorded as lost and run a second time, or another was started in its place."""
    resource, asked = LOOKS[look]
    with pytest.raises(Unavailable):
        await asked(Told({resource: [error]}).cluster(TRAINING))


MADE = job("trait-2-job", owners=[owner("TrainingWorkload", "u-trait-2", "run.ai/v2alpha1")])


@pytest.mark.parametrize("phase", ["", "Failed", "Running"])
@pytest.mark.parametrize("pods_run", [True, False])
async def test_a_workload_takes_its_place_until_its_pods_have_ended(phase: str, pods_run: bool) -> None:
    """It was deleted, or its phase says that it is over, while its pods were still being ended (R2)."""
    run = pod("p", "Running" if pods_run else "Failed", owners=[owner("Job", "u-trait-2-job")])
    workload = thing("trait-2", status={"phase": phase}) if phase else NOT_THERE
    told = Told({"trainingworkloads": [workload], "jobs": [page(MADE)], "pods": [page(run, pod("theirs"))]})
    taken = await told.cluster(TRAINING).get_uid("runai-lab", "trait-2", "TrainingWorkload", "u-trait-2")
    assert taken is (pods_run or phase == "Running")


# -------------------------------------------------------------------------------------- a take-over


async def test_what_is_not_served_any_more_is_not_lost() -> None:
    """A workload that was taken over is gone when the API server says so, and not when it serves its kind
    no longer: the version is another, or the API is being put in again. Its task would be run twice."""
    for answer, gone in ((NOT_THERE, True), (refused_path(), False)):
        others = Others(Told({"trainingworkloads": [answer]}).client, (JOB, POD, TRAINING), "lab")
        look = others.find_uid("runai-lab", "trait-2", "TrainingWorkload", "u-trait-2")
        if gone:
            assert await look is None
        else:
            with pytest.raises(Unavailable, match="is not served"):
                await look


async def test_only_roots_under_the_very_prefix_are_found() -> None:
    """A workload is found once and with its pods; what only begins alike, and a Job that is gone, are not."""
    workload = thing("trait-2", status={"phase": "Running"})
    made = job("trait-2-job", owners=[owner("TrainingWorkload", "u-trait-2", "run.ai/v2alpha1")])
    left = pod("trait-9-x", owners=[owner("Job", "u-gone") | {"name": "trait-9"}])
    told = Told(
        {
            "trainingworkloads": [page(workload)],
            "jobs": [page(made, job("traits-2"), job("trait"), job("trait-3"))],
            "pods": [page(pod("trait-2-job-x", owners=[owner("Job", "u-trait-2-job")], node="node-7"), left)],
        }
    )
    found = await Others(told.client, (JOB, POD, TRAINING), "lab").find("runai-lab", "trait-")
    assert sorted((one.kind, one.job.name, one.job.node) for one in found) == [
        ("Job", "trait-3", ""),
        ("TrainingWorkload", "trait-2", "node-7"),
    ]
