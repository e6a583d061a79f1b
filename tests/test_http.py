"""The HTTP port, over real sockets: what it answers, how it stops, and what it says when it can't start."""

import asyncio
import signal
import socket
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import timedelta

import pytest
from fastapi import FastAPI

from controller.health import Health
from controller.http import CannotListen, HttpServer, ServerLimits, make_http_app
from controller.telemetry import Metrics


@dataclass(frozen=True)
class Answer:
    """What came back."""

    status: int
    headers: dict[str, str]
    body: str


async def get(port: int, path: str, accept: str = "*/*", host: str = "127.0.0.1") -> Answer:
    """One GET over a connection of its own."""
    reader, writer = await asyncio.open_connection(host, port)
    writer.write(f"GET {path} HTTP/1.1\r\nHost: x\r\nAccept: {accept}\r\nConnection: close\r\n\r\n".encode())
    text = (await reader.read()).decode()
    writer.close()
    await writer.wait_closed()
    head, _, body = text.partition("\r\n\r\n")
    first, *lines = head.splitlines()
    headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
    return Answer(int(first.split()[1]), headers, body)


@pytest.fixture
def health() -> Health:
    """What is told of health in a test."""
    return Health()


@pytest.fixture
async def port(health: Health) -> AsyncIterator[int]:
    """The port of a running server."""
    server = HttpServer(make_http_app(health, Metrics(), lambda: 100.0), "127.0.0.1", 0)
    await server.start()
    yield server.port
    await server.stop()


async def test_livez(health: Health, port: int) -> None:
    """200 while everything beats, 503 with the reason when something does not."""
    assert (await get(port, "/livez")).status == 200
    health.expect("loop", timedelta(seconds=5), now=0)
    answer = await get(port, "/livez")
    assert (answer.status, answer.body) == (503, "loop silent for 1m40s, at most 5s allowed\n")


async def test_readyz(health: Health, port: int) -> None:
    """503 with the reason until the process is ready, then 200."""
    answer = await get(port, "/readyz")
    assert (answer.status, answer.body) == (503, "not connected to the store yet\n")
    health.store_answered()
    health.leads(False)
    assert (await get(port, "/readyz")).status == 200


async def test_metrics(port: int) -> None:
    """The metrics come as Prometheus asks for them."""
    plain = await get(port, "/metrics")
    assert plain.headers["content-type"].startswith("text/plain; version=")
    assert "\nbatchkeeper_leader 0.0\n" in plain.body
    modern = await get(port, "/metrics", accept="application/openmetrics-text")
    assert modern.headers["content-type"].startswith("application/openmetrics-text")


async def test_unknown_paths_and_documents(port: int) -> None:
    """The schema is there for programs; pages that would load scripts from elsewhere are not."""
    assert (await get(port, "/nothing")).status == 404
    assert (await get(port, "/docs")).status == 404
    assert '"title":"Batchkeeper"' in (await get(port, "/openapi.json")).body


async def test_a_taken_port_is_one_clear_line() -> None:
    """Somebody else's port is not fought for: the error says what to set."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(CannotListen) as refused:
            await HttpServer(FastAPI(), "127.0.0.1", port).start()
    assert str(refused.value) == (
        f"cannot listen on 127.0.0.1 port {port}: it is taken: set http.port to another (0: any free one), "
        "or end what listens there"
    )


@pytest.mark.parametrize("host", ["192.0.2.1", "no such host"])
async def test_a_foreign_address_is_one_clear_line(host: str) -> None:
    """An address that is not this machine's is told as such."""
    with pytest.raises(CannotListen, match=r"port 0: not an address of this machine: set http\.host"):
        await HttpServer(FastAPI(), host, 0).start()


async def test_the_port_is_free_after_the_stop() -> None:
    """A stopped server lets the port go, so that the next daemon can have it at once."""
    for _ in range(2):
        server = HttpServer(FastAPI(), "127.0.0.1", 0)
        await server.start()
        assert server.url == f"http://127.0.0.1:{server.port}"
        await server.stop()
        await server.stop()
        with pytest.raises(ConnectionError):
            await get(server.port, "/")
        with socket.create_server(("127.0.0.1", server.port)):
            pass


async def test_requests_under_way_are_answered_before_the_stop() -> None:
    """Stopping waits for the answer of a request that came before."""
    app = FastAPI()
    came = asyncio.Event()

    @app.get("/slow")
    async def slow() -> str:
        came.set()
        await asyncio.sleep(0.2)
        return "done"

    server = HttpServer(app, "127.0.0.1", 0)
    await server.start()
    asked = asyncio.create_task(get(server.port, "/slow"))
    await came.wait()
    await server.stop()
    assert (await asked).body == '"done"'


@pytest.mark.parametrize("sent", [b"", b"GET /livez HT", b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\nGET"])
async def test_who_sends_no_whole_request_is_not_kept(sent: bytes) -> None:
    """Such connections were kept for ever; once there were so many, probes were answered 503, too."""
    limits = ServerLimits(keep_alive=timedelta(seconds=1))
    app = make_http_app(Health(), Metrics(), lambda: 100.0)
    server = HttpServer(app, "127.0.0.1", 0, limits=limits)
    await server.start()
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(sent)
    async with asyncio.timeout(60):
        told = await reader.read()
    assert told.startswith(b"HTTP/1.1 200") if b"\r\n\r\n" in sent else told == b""
    writer.close()
    await server.stop()


async def test_an_answer_waits_for_no_acknowledgement() -> None:
    """Head and body are written apart: on a connection that is kept each answer came 40 ms late."""
    server = HttpServer(make_http_app(Health(), Metrics(), lambda: 100.0), "127.0.0.1", 0)
    await server.start()
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n")
    assert await reader.readline() == b"HTTP/1.1 200 OK\r\n"
    (kept,) = server._server.server_state.connections
    accepted = kept.transport.get_extra_info("socket")
    assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
    writer.close()
    await server.stop()


async def test_signals_stay_the_daemons_business() -> None:
    """The server installs no signal handlers of its own."""
    before = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)
    server = HttpServer(FastAPI(), "127.0.0.1", 0)
    await server.start()
    assert (signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)) == before
    await server.stop()


async def test_ipv6() -> None:
    """It listens on an IPv6 address where the machine has one."""
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        pytest.skip("no IPv6 on this machine")
    server = HttpServer(make_http_app(Health(), Metrics(), lambda: 0.0), "::1", 0)
    await server.start()
    assert server.url == f"http://[::1]:{server.port}"
    assert (await get(server.port, "/livez", host="::1")).status == 200
    await server.stop()
