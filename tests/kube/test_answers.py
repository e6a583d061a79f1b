"""What the adapter makes of answers that a healthy API server seldom gives."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from controller.adapters.kube_client import Access, KubeClient
from controller.adapters.kube_cluster import KubeCluster
from controller.adapters.kube_logs import CONTROLLER_UID, MOST, PATIENCE, Logs
from controller.adapters.labels import INSTANCE, JOB_ID, MANAGED_BY, MANAGER, TOMBSTONE
from controller.adapters.system_clock import SystemClock
from controller.core.sight import ClusterJob
from controller.ports import Created, CreateResult, Rejected, Unavailable
from tests.contract.cluster_world import LONG
from tests.kube.loopback import Loopback, Reply, answer, cut, kubeconfig, loopback, raw, status
from tests.kube.world import new_job, settings

JOB = new_job("scan-1", "lab", {})
SHOWN = ClusterJob("scan-1", "lab", "u-1", JOB.job_id, "b")
Call = Callable[[KubeCluster], Awaitable[Created]]
CALLS: dict[str, Call] = {
    "create": lambda cluster: cluster.create(JOB),
    "bury": lambda cluster: cluster.bury(JOB, LONG),
}
TAKEN = status(409, "AlreadyExists", 'jobs.batch "scan-1" already exists')


@pytest.fixture
async def server() -> AsyncIterator[Loopback]:
    """A server that does what its script says."""
    async with loopback() as found:
        yield found


@pytest.fixture
async def client(server: Loopback, tmp_path: Path) -> AsyncIterator[KubeClient]:
    """A client of it."""
    found = KubeClient(Access(str(kubeconfig(tmp_path, server.url))))
    await found.open()
    yield found
    await found.close()


@pytest.fixture
def cluster(client: KubeClient) -> KubeCluster:
    """An adapter on it."""
    return KubeCluster(client, settings(Path("unused"), "lab"), SystemClock())


def held(**marks: str) -> Reply:
    """The object under the name."""
    return answer(200, {"metadata": {"name": "scan-1", "namespace": "lab", "uid": "u-9", "labels": marks}})


OURS = {MANAGED_BY: MANAGER, INSTANCE: "suite", JOB_ID: JOB.job_id}


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize(
    ("marks", "result"),
    [
        (OURS, CreateResult.EXISTS_OURS),
        (OURS | {TOMBSTONE: "true"}, CreateResult.EXISTS_TOMBSTONE),
        (OURS | {JOB_ID: "f" * 24}, CreateResult.EXISTS_FOREIGN),
        (OURS | {INSTANCE: "another"}, CreateResult.EXISTS_FOREIGN),
        ({JOB_ID: JOB.job_id}, CreateResult.EXISTS_FOREIGN),
        ({}, CreateResult.EXISTS_FOREIGN),
    ],
)
async def test_a_name_that_is_taken(
    server: Loopback, cluster: KubeCluster, call: str, marks: Mapping[str, str], result: CreateResult
) -> None:
    """By whom is read from the object itself: ours only with all our labels and this job's id."""
    server.will(TAKEN, held(**marks))
    assert await CALLS[call](cluster) == Created(result, "u-9")


QUOTA = 'jobs.batch "scan-1" is forbidden: exceeded quota: compute, requested: count/jobs.batch=1'

NO_RIGHT = (
    'jobs.batch is forbidden: User "system:serviceaccount:lab:keeper" cannot create resource "jobs" in API '
    'group "batch" in the namespace "lab"'
)
COMING_UP = 'jobs.batch "scan-1" is forbidden: not yet ready to handle request'
GOING = (
    'jobs.batch "scan-1" is forbidden: unable to create new content in namespace lab because it is being '
    "terminated"
)


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize(
    ("replies", "code", "said"),
    [
        ([status(403, "Forbidden", QUOTA)], 429, "exceeded quota: compute"),
        ([status(403, "Forbidden", NO_RIGHT)], 429, "cannot create resource"),
        ([status(403, "Forbidden", COMING_UP)], 429, "not yet ready"),
        ([status(403, "Forbidden", "denied by webhook")], 403, "denied by webhook"),
        ([status(403, "Forbidden", GOING)], 429, "is being terminated"),
        ([status(404, "NotFound", 'namespaces "lab" not found')], 429, "not found"),
        ([status(404, "NotFound", "the server could not find the requested resource")], 404, "not find"),
        ([status(422, "Invalid", "spec.template: is wrong")], 422, "is wrong"),
        ([status(409, "Conflict", "quota was modified"), status(404, "NotFound")], 429, "conflict"),
    ],
)
async def test_definite_refusals(
    server: Loopback, cluster: KubeCluster, call: str, replies: list[Reply], code: int, said: str
) -> None:
    """Nothing was made, for good; quotas, conflicts and our own rights heal, which code 429 says."""
    server.will(*replies)
    with pytest.raises(Rejected, match=said) as rejected:
        await CALLS[call](cluster)
    assert rejected.value.code == code


@pytest.mark.parametrize(("said", "what"), [(NO_RIGHT, Unavailable), ("denied by webhook", Rejected)])
async def test_deletes_and_expiries_that_are_refused(
    server: Loopback, cluster: KubeCluster, said: str, what: type[Exception]
) -> None:
    """Our rights come back, and it is done then; what a webhook denies is denied."""
    server.will(held(**OURS), status(403, "Forbidden", said), status(403, "Forbidden", said))
    with pytest.raises(what):
        await cluster.delete("lab", JOB.name, "u-9")
    with pytest.raises(what):
        await cluster.expire("lab", JOB.name, "u-9", LONG)


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize(
    "replies",
    [
        [TAKEN, status(503)],
        [TAKEN, status(403, "Forbidden")],
        [TAKEN, raw(404, b"default backend - 404")],
        [raw(404, b"default backend - 404")],
        [raw(403, b"<html><h1>403 Forbidden</h1></html>")],
        [answer(200, {"status": "up"})],
        [TAKEN, answer(200, {"status": "up"})],
        [cut],
    ],
)
async def test_unknown_outcomes(
    server: Loopback, cluster: KubeCluster, call: str, replies: list[Reply]
) -> None:
    """Who holds the name could not be read, nobody answered, or a gateway did: nothing is believed."""
    server.will(*replies)
    with pytest.raises(Unavailable):
        await CALLS[call](cluster)


READS: dict[str, Callable[[KubeCluster], Awaitable[object]]] = {
    "observe": lambda cluster: cluster.observe(["lab"]),
    "get": lambda cluster: cluster.get("lab", JOB.name, JOB.job_id),
    "get_uid": lambda cluster: cluster.get_uid("lab", JOB.name, "Job", "u-9"),
    "find": lambda cluster: cluster.find("lab", "scan"),
    "find_uid": lambda cluster: cluster.find_uid("lab", JOB.name, "Job", "u-9"),
    "delete": lambda cluster: cluster.delete("lab", JOB.name, "u-9"),
}


@pytest.mark.parametrize("read", READS)
async def test_that_a_gateway_is_well_is_no_word_about_a_job(
    server: Loopback, cluster: KubeCluster, read: str
) -> None:
    """It answers 200 in the API server's place: no job is gone for that, and no list is empty."""
    server.will(*[answer(200, {"status": "up"})] * 4)
    with pytest.raises(Unavailable, match="in its place"):
        await READS[read](cluster)


# --------------------------------------------------------------------------------------------- logs


def pods(*names: str) -> Reply:
    """A list of pods, the last one the newest."""
    stamps = [f"2026-01-0{n}T00:00:00Z" for n in range(1, 9)]
    found: list[dict[str, Any]] = [
        {"metadata": {"name": name, "creationTimestamp": stamp}}
        for name, stamp in zip(names, stamps, strict=False)
    ]
    return answer(200, {"metadata": {}, "items": found})


async def test_the_newest_pod_is_read(server: Loopback, client: KubeClient) -> None:
    """The last bytes of the newest pod's log, asked for by the object's own uid; no half character."""
    server.will(pods("old", "new"), raw(200, "first\nlästes Wort\n".encode()))
    assert await Logs(client).tail(SHOWN, 11) == "stes Wort\n"
    listed, read = (urlsplit(seen.path) for seen in server.requests)
    assert parse_qs(listed.query)["labelSelector"] == [f"{CONTROLLER_UID}=u-1"]
    assert read.path == "/api/v1/namespaces/lab/pods/new/log"
    assert parse_qs(read.query) == {"container": ["main"], "tailLines": ["100"], "limitBytes": [str(MOST)]}


async def test_a_pod_that_was_seen_is_read_at_once(server: Loopback, client: KubeClient) -> None:
    """Where the end was seen with its pod nothing is listed: that is one request per job less."""
    server.will(raw(200, b"first\nlast\n"))
    assert await Logs(client).tail(replace(SHOWN, pod="seen"), 100) == "first\nlast\n"
    (read,) = server.requests
    assert urlsplit(read.path).path == "/api/v1/namespaces/lab/pods/seen/log"


async def test_whose_log_it_is_that_does_not_come(server: Loopback, client: KubeClient) -> None:
    """The API server is asked for the pod by its name: a list of one job's pods costs it seconds."""
    logs, seen = Logs(client), replace(SHOWN, pod="seen")
    server.will(status(500, "InternalError", "dial tcp: no route to host"), answer(200, {"metadata": {}}))
    with pytest.raises(Unavailable, match="no route to host"):
        await logs.tail(seen, 100)
    assert [urlsplit(one.path).path.rsplit("/", 2)[1:] for one in server.requests] == [
        ["seen", "log"],
        ["pods", "seen"],
    ]
    server.will(status(500, "InternalError", "dial tcp: no route to host"), status(404, "NotFound"))
    assert await logs.tail(seen, 100) == ""


@pytest.mark.parametrize(
    "replies", [[pods()], [pods("a"), status(404, "NotFound")], [pods("a"), status(400, "BadRequest")]]
)
async def test_no_log_is_no_error(server: Loopback, client: KubeClient, replies: list[Reply]) -> None:
    """No pod, a pod that went in between, a container that never ran: there is nothing to read."""
    server.will(*replies)
    assert await Logs(client).tail(SHOWN, 100) == ""


async def test_of_several_containers_the_one_that_is_the_job_is_read(
    server: Loopback, client: KubeClient
) -> None:
    """A pod of others with a sidecar: that the API server asks which was taken for one that never ran."""
    theirs = ClusterJob("theirs", "lab", "u-1", "", "", pod="theirs-x")
    which = "a container name must be specified for pod theirs-x, choose one of: [istio-proxy work]"
    ended = {"name": "work", "state": {"terminated": {"exitCode": 137}}}
    spec = {"containers": [{"name": "istio-proxy"}, {"name": "work"}]}
    shown = answer(200, {"metadata": {}, "spec": spec, "status": {"containerStatuses": [ended]}})
    server.will(status(400, "BadRequest", which), shown, raw(200, b"out of memory\n"))
    assert await Logs(client).tail(theirs, 100) == "out of memory\n"
    assert [parse_qs(urlsplit(one.path).query).get("container") for one in server.requests] == [
        None,
        None,
        ["work"],
    ]
    server.will(status(400, "BadRequest", which), status(404, "NotFound"))
    assert await Logs(client).tail(theirs, 100) == ""


NO_WORD = raw(404, b"default backend - 404")


@pytest.mark.parametrize("pod", ["", "seen"])
async def test_a_gateways_404_is_no_word_about_a_log(server: Loopback, client: KubeClient, pod: str) -> None:
    """Nobody was asked who has a log or a pod: the API server is not reached, however long that takes."""
    now = 50.0
    logs = Logs(client, lambda: now)
    for _ in range(2):
        server.will(NO_WORD, NO_WORD)
        with pytest.raises(Unavailable):
            await logs.tail(replace(SHOWN, pod=pod), 100)
        server.script.clear()
        now += PATIENCE
    server.will(*([] if pod else [pods("a")]), raw(200, b"here\n"))
    assert await logs.tail(replace(SHOWN, pod=pod), 100) == "here\n"


async def test_a_lost_kubelet_is_not_waited_for_for_ever(server: Loopback, client: KubeClient) -> None:
    """A node that does not answer holds an end up for a minute; one that comes back is read."""
    now = 50.0
    logs = Logs(client, lambda: now)
    lost = [pods("a"), status(500, "InternalError", "dial tcp: no route to host")]
    server.will(*lost, *lost)
    for _ in range(2):
        with pytest.raises(Unavailable, match="no route to host"):
            await logs.tail(SHOWN, 100)
    now += PATIENCE
    server.will(*lost)
    assert await logs.tail(SHOWN, 100) == ""
    server.will(pods("a"), raw(200, b"here\n"), *lost)
    assert await logs.tail(SHOWN, 100) == "here\n"
    with pytest.raises(Unavailable):
        await logs.tail(SHOWN, 100)


async def test_a_right_that_is_missing_for_a_moment_costs_no_log(
    server: Loopback, client: KubeClient
) -> None:
    """An API server that has just come up knows no rights yet; for ever it holds no end up."""
    now = 50.0
    logs = Logs(client, lambda: now)
    server.will(status(403, "Forbidden", NO_RIGHT))
    with pytest.raises(Unavailable, match="cannot create"):
        await logs.tail(SHOWN, 100)
    server.will(pods("a"), raw(200, b"here\n"))
    assert await logs.tail(SHOWN, 100) == "here\n"
    for expected in (Unavailable, None):
        server.will(pods("a"), status(403, "Forbidden", NO_RIGHT))
        if expected:
            with pytest.raises(expected):
                await logs.tail(SHOWN, 100)
        now += PATIENCE
    assert await logs.tail(SHOWN, 100) == ""


@pytest.mark.parametrize(
    ("pod", "away", "back"),
    [("", [cut], [pods("a"), raw(200, b"here\n")]), ("a", [cut, cut], [raw(200, b"here\n")])],
    ids=["to be listed", "seen"],
)
async def test_an_outage_costs_no_log(
    server: Loopback, client: KubeClient, pod: str, away: list[Reply], back: list[Reply]
) -> None:
    """While the API server itself can't be asked nobody says that there is no log, however long it takes."""
    now = 50.0
    logs, shown = Logs(client, lambda: now), replace(SHOWN, pod=pod)
    for _ in range(3):
        server.will(*away)
        with pytest.raises(Unavailable):
            await logs.tail(shown, 100)
        now += PATIENCE
    server.will(*back)
    assert await logs.tail(shown, 100) == "here\n"
