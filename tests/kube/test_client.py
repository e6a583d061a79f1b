"""Every outcome of a request is definite or unknown, whatever the server does, and no request is repeated."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from datetime import timedelta
from pathlib import Path

import pytest

from controller.adapters import kube_logs
from controller.adapters.kube_client import Access, KubeClient, Observer, Refused
from controller.core.sight import ClusterJob
from controller.ports import Unavailable
from tests.kube.loopback import (
    TOKEN,
    Loopback,
    Reply,
    answer,
    cut,
    hang,
    kubeconfig,
    loopback,
    raw,
    sends,
    status,
)

JOBS = "apis/batch/v1/namespaces/lab/jobs"
JOB = f"{JOBS}/scan-1"
SECRET = "do-not-tell"
BODY: Mapping[str, object] = {"kind": "Job", "metadata": {"name": "scan-1", "annotations": {"x": SECRET}}}


@pytest.fixture
async def server() -> AsyncIterator[Loopback]:
    """A server that does what its script says."""
    async with loopback() as found:
        yield found


@pytest.fixture
async def client(server: Loopback, tmp_path: Path) -> AsyncIterator[KubeClient]:
    """A client of it."""
    found = await opened(server, tmp_path)
    yield found
    await found.close()


async def opened(
    server: Loopback,
    folder: Path,
    seconds: float = 0.5,
    connections: int = 64,
    observer: Observer | None = None,
) -> KubeClient:
    """A client that waits that long for an answer."""
    path = str(kubeconfig(folder, server.url))
    access = Access(path, timeout=timedelta(seconds=seconds), connections=connections)
    client = KubeClient(access, observer)
    await client.open()
    return client


async def create(client: KubeClient) -> dict[str, object]:
    """A write."""
    return await client.request("POST", JOBS, BODY, resource="jobs")


async def test_a_request_and_its_answer(server: Loopback, client: KubeClient) -> None:
    """JSON goes out with the token and comes back as data; the namespace is the context's."""
    server.will(answer(201, {"metadata": {"uid": "u-1"}}))
    assert await create(client) == {"metadata": {"uid": "u-1"}}
    (seen,) = server.requests
    assert (seen.method, seen.path, json.loads(seen.body)) == ("POST", f"/{JOBS}", BODY)
    assert seen.headers["authorization"] == f"Bearer {TOKEN}"
    assert seen.headers["content-type"] == seen.headers["accept"] == "application/json"
    assert seen.headers["user-agent"].startswith("batchkeeper/")
    assert client.namespace == "lab"


@pytest.mark.parametrize("code", [400, 403, 404, 405, 409, 410, 413, 422])
async def test_definite_refusals(server: Loopback, client: KubeClient, code: int) -> None:
    """A 4xx about the request itself changed nothing, and says why in the Status's words."""
    server.will(status(code, "Because", "it is\nso"))
    with pytest.raises(Refused, match=rf"^POST {JOBS}: it is so \({code}\)$") as refused:
        await create(client)
    assert (refused.value.code, refused.value.reason) == (code, "Because")


async def test_a_refusal_that_is_no_status(server: Loopback, client: KubeClient) -> None:
    """A path that nobody serves is answered in plain text: for a read that is definite all the same."""
    server.will(raw(404, b"404 page not found"))
    with pytest.raises(Refused) as refused:
        await client.request("GET", "apis/run.ai/v1/runaijobs", resource="runaijobs")
    assert refused.value.code == 404


TRUNCATED = b"HTTP/1.1 201 Created\r\nContent-Length: 100\r\n\r\n{"
CHUNKED = b"HTTP/1.1 201 Created\r\nTransfer-Encoding: chunked\r\n\r\nff\r\n{"
UNKNOWN: dict[str, Reply] = {
    **{str(code): status(code, "Because", "it is so") for code in (302, 401, 408, 429, 500, 502, 503, 504)},
    "gateway-404": raw(404, b"default backend - 404"),
    "gateway-403": raw(403, b"<html><h1>403 Forbidden</h1></html>", {"Content-Type": "text/html"}),
    "gateway-400": answer(400, {"message": "no Route matched", "reason": "Because"}),
    "reset": cut,
    "hang": hang,
    "garbage": sends(b"\x16\x03\x01 this is not HTTP\r\n\r\n", then_cut=True),
    "no-json": raw(201, b"<html>proxy</html>"),
    "no-object": answer(201, [1, 2]),
    "no-text": raw(201, b"\xff\xfe\x00"),
    "truncated": sends(TRUNCATED, then_cut=True),
    "truncated-chunk": sends(CHUNKED, then_cut=True),
}


@pytest.mark.parametrize("fault", UNKNOWN)
async def test_unknown_outcomes(server: Loopback, client: KubeClient, fault: str) -> None:
    """What may have been applied is unknown, in one line without token and body; it is asked once."""
    server.will(UNKNOWN[fault])
    with pytest.raises(Unavailable) as unknown:
        await create(client)
    said = str(unknown.value)
    assert said.startswith(f"POST {JOBS}: ")
    assert "\n" not in said
    assert TOKEN not in said
    assert SECRET not in said
    assert len(server.requests) == 1


async def test_nobody_listens(tmp_path: Path) -> None:
    """A server that is down is unknown, and the line says what to look at."""
    async with loopback() as server:
        client = await opened(server, tmp_path)
    with pytest.raises(Unavailable, match="is the API server up"):
        await create(client)
    await client.close()


async def test_a_closed_client(server: Loopback, client: KubeClient) -> None:
    """After its end it asks nobody."""
    await client.close()
    with pytest.raises(Unavailable, match="closed"):
        await create(client)
    assert server.requests == []


@pytest.mark.parametrize("method", ["GET", "DELETE", "PUT"])
@pytest.mark.parametrize("library", [False, True])
async def test_no_request_is_replayed(
    server: Loopback, client: KubeClient, method: str, library: bool
) -> None:
    """A keep-alive connection that is dropped under a request: it is unknown, not sent again.

    With the library's own habit, which the client turns off, the server would see it twice.
    """
    assert client._session
    client._session._retry_connection |= library
    await client.request("GET", JOBS, resource="jobs")
    server.will(cut)
    if library:
        await client.request(method, JOB, resource="jobs")
    else:
        with pytest.raises(Unavailable):
            await client.request(method, JOB, resource="jobs")
    assert [seen.method for seen in server.requests] == ["GET", method, *[method] * library]
    assert server.requests[1].connection == server.requests[0].connection


async def test_a_server_that_wants_quiet(server: Loopback, client: KubeClient) -> None:
    """After a 429 nothing is sent until its Retry-After is over; who would wait too long is told so."""
    server.will(status(429, "TooManyRequests", "", {"Retry-After": "30"}))
    with pytest.raises(Unavailable, match="429"):
        await create(client)
    with pytest.raises(Unavailable, match=r"asked to be left alone for another \d+ s"):
        await create(client)
    assert len(server.requests) == 1


async def test_a_server_that_is_overloaded(server: Loopback, client: KubeClient) -> None:
    """A Retry-After is honoured on a 503, too; a 5xx without one keeps nobody quiet."""
    server.will(status(500), status(503, headers={"Retry-After": "30"}))
    for _ in range(2):
        with pytest.raises(Unavailable, match="the API server answers 50"):
            await create(client)
    with pytest.raises(Unavailable, match="left alone"):
        await create(client)
    assert len(server.requests) == 2


async def test_requests_under_way_are_bounded(server: Loopback, tmp_path: Path) -> None:
    """No more requests than allowed are under way at one time; a watch takes no place of theirs."""
    client = await opened(server, tmp_path, seconds=30, connections=2)
    go, most = asyncio.Event(), []

    async def held(writer: asyncio.StreamWriter) -> None:
        most.append(len(server.requests))
        if len(most) == 2:
            go.set()
        await go.wait()
        await answer(200)(writer)

    server.will(*[held] * 6)
    await asyncio.gather(*(client.request("GET", JOB, resource="jobs") for _ in range(6)))
    assert server.connections == 2
    assert most[:2] == [1, 2]
    await client.close()


async def test_the_election_waits_for_no_other_request(server: Loopback, tmp_path: Path) -> None:
    """Silent kubelets held every connection, and the Lease of a leader that was well ran out meanwhile."""
    path, patience = str(kubeconfig(tmp_path, server.url)), timedelta(seconds=5)
    client = KubeClient(Access(path, timeout=patience, connections=1, rate=0.1, burst=1))
    await client.open()
    server.will(hang, answer(200, {"held": True}))
    log = asyncio.create_task(client.read_end(f"{JOB}/log", 10, resource="pods/log"))
    while not server.requests:
        await asyncio.sleep(0.01)
    assert await client.request("GET", "lease", resource="leases", ahead=True) == {"held": True}
    assert not log.done()
    log.cancel()
    await asyncio.gather(log, return_exceptions=True)
    await client.close()


async def test_silent_kubelets_leave_connections_to_others(
    server: Loopback, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Their logs held every connection, and lists and creates were given up in line: nothing was seen."""
    monkeypatch.setattr(kube_logs, "AT_ONCE", 2)
    client = await opened(server, tmp_path, seconds=5, connections=4)
    logs, job = kube_logs.Logs(client), ClusterJob("scan-1", "lab", "u-1", "1", "b", pod="scan-1-x")
    server.will(hang, hang, answer(200, {"listed": True}))
    reads = [asyncio.create_task(logs.tail(job, 10)) for _ in range(6)]
    while len(server.requests) < 2:
        await asyncio.sleep(0.01)
    assert await client.request("GET", JOBS, resource="jobs") == {"listed": True}
    assert not any(read.done() for read in reads)
    for read in reads:
        read.cancel()
    await asyncio.gather(*reads, return_exceptions=True)
    await client.close()


async def test_the_observer_is_told(server: Loopback, tmp_path: Path) -> None:
    """Each request is told once, as Kubernetes calls it, with its code, or none when there was no answer."""
    told: list[tuple[str, str, str]] = []

    def observer(verb: str, resource: str, code: str, seconds: float) -> None:
        assert seconds >= 0
        told.append((verb, resource, code))

    client = await opened(server, tmp_path, observer=observer)
    server.will(answer(200), answer(200), status(409), answer(200), cut)
    await client.request("GET", JOBS, resource="jobs")
    await client.request("GET", JOB, resource="jobs")
    with pytest.raises(Refused):
        await create(client)
    await client.read_end("api/v1/namespaces/lab/pods/p/log", 10, resource="pods/log")
    with pytest.raises(Unavailable):
        await client.request("DELETE", JOB, resource="jobs")
    await client.close()
    assert told == [
        ("list", "jobs", "200"),
        ("get", "jobs", "200"),
        ("create", "jobs", "409"),
        ("get", "pods/log", "200"),
        ("delete", "jobs", "none"),
    ]


async def test_the_end_of_a_long_answer(server: Loopback, client: KubeClient) -> None:
    """Of a log that is longer than anybody wants, its last bytes are kept."""
    server.will(raw(200, b"x" * 3_000_000 + b"the end"))
    assert await client.read_end("api/v1/namespaces/lab/pods/p/log", 9, resource="pods/log") == b"xxthe end"


async def test_a_netrc_is_nobodys_business(
    server: Loopback, client: KubeClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A password for this host in somebody's .netrc neither replaces the token nor clashes with it."""
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login somebody password else\n", encoding="utf-8")
    monkeypatch.setenv("NETRC", str(netrc))
    await create(client)
    assert server.requests[0].headers["authorization"] == f"Bearer {TOKEN}"


# ------------------------------------------------------------------------------------ long answers


async def test_a_long_answer_is_read_in_its_own_way(server: Loopback, client: KubeClient) -> None:
    """What is no such object is no answer, as with any other."""
    server.will(raw(200, b"what it says"), raw(200, b"odd"))

    async def read(data: bytes) -> dict[str, object]:
        if data == b"odd":
            raise ValueError("odd")
        return {"said": data}

    assert await client.request("GET", JOBS, resource="jobs", read=read) == {"said": b"what it says"}
    with pytest.raises(Unavailable, match=f"^GET {JOBS}: the API server's answer is no JSON: odd$"):
        await client.request("GET", JOBS, resource="jobs", read=read)
