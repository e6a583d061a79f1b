"""The HTTP port: /livez, /readyz and /metrics, served by uvicorn on the loop that everything shares.

`app` makes the application, starts the server and stops it. Loopback unless the settings say otherwise.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta

import uvicorn
from fastapi import FastAPI, Request, Response
from fastapi.responses import PlainTextResponse
from uvicorn.protocols.http.h11_impl import H11Protocol

from controller import __version__
from controller.health import Check, Health
from controller.ports import BatchkeeperError
from controller.telemetry import Metrics, get_logger

UNREAD = 60.0
"""Seconds for which a client may take no byte of what it is sent; then its connection is cut. Whoever reads
slowly goes on."""
_log = get_logger(__name__)


class CannotListen(BatchkeeperError):
    """The HTTP port can't be had: it is taken, not allowed, or not of this machine."""


def make_http_app(health: Health, metrics: Metrics, monotonic: Callable[[], float]) -> FastAPI:
    """The application, to which routes may be added."""
    # No /docs: its page would load scripts from elsewhere. A slash too many is not sent on: to http, which is
    # all that we speak, a client would take the token that came to the proxy by TLS.
    app = FastAPI(
        title="Batchkeeper", version=__version__, docs_url=None, redoc_url=None, redirect_slashes=False
    )

    @app.get("/livez", include_in_schema=False)
    async def livez() -> Response:
        """Whether this process is alive."""
        return _answer(health.livez(monotonic()))

    @app.get("/readyz", include_in_schema=False)
    async def readyz() -> Response:
        """Whether this process is ready."""
        return _answer(health.readyz(monotonic()))

    @app.get("/metrics", include_in_schema=False)
    async def exposition(request: Request) -> Response:
        """All metrics, in the format that the reader accepts."""
        content, content_type = metrics.exposition(request.headers.get("accept", ""))
        return Response(content, headers={"content-type": content_type})

    return app


def _answer(check: Check) -> Response:
    return PlainTextResponse(check.why + "\n", status_code=200 if check.good else 503)


@dataclass(frozen=True, slots=True)
class ServerLimits:
    """What one client, or all of them, may cost. TLS is not ours: whatever terminates it stands before us."""

    connections: int = 500
    """At one time; what is beyond is answered 503."""
    head: int = 32 * 1024
    """Bytes of a request's head."""
    keep_alive: timedelta = timedelta(seconds=30)
    """How long a connection is kept on which no whole head of a request comes."""
    grace: timedelta = timedelta(seconds=5)
    """How long requests under way may take once it is told to stop."""


class HttpServer:
    """Serves an application inside the running loop until it is stopped."""

    def __init__(self, app: FastAPI, host: str, port: int, limits: ServerLimits = ServerLimits()) -> None:
        self._host = host
        self._wanted = port
        self._server = _Server(
            uvicorn.Config(
                app,
                log_config=None,
                access_log=False,
                lifespan="off",
                server_header=False,
                proxy_headers=False,
                http=_Protocol,
                h11_max_incomplete_event_size=limits.head,
                limit_concurrency=limits.connections,
                timeout_keep_alive=round(limits.keep_alive.total_seconds()),
                timeout_graceful_shutdown=max(1, round(limits.grace.total_seconds())),
            )
        )
        self._serving: asyncio.Task[None] | None = None
        self.port = 0
        """The port that is listened on, once started: the settings' own, or the free one that was found."""

    @property
    def url(self) -> str:
        """Where to reach it."""
        return f"http://{f'[{self._host}]' if ':' in self._host else self._host}:{self.port}"

    async def start(self) -> None:
        """Listen, and return when requests are answered. Raises ``CannotListen`` in one clear line."""
        listening = _listen(self._host, self._wanted)
        self.port = listening.getsockname()[1]
        self._serving = asyncio.create_task(self._server.serve(sockets=[listening]), name="http")
        while not self._server.started:
            if self._serving.done():
                await self._serving
                raise CannotListen(f"HTTP server on {self.url} ended while it was starting")
            await asyncio.sleep(0.005)
        _log.info("http listens", url=self.url)

    async def stop(self) -> None:
        """Take no more requests, let those under way finish within the grace, and close."""
        if self._serving is not None:
            self._server.should_exit = True
            await self._serving
            self._serving = None


class _Protocol(H11Protocol):
    """uvicorn's, except that a connection is not kept while no whole head of a request comes on it, nor while
    its client takes nothing of an answer: all that are kept count against the number of connections, and
    beyond it nobody is answered, no probe either."""

    _late: asyncio.TimerHandle | None = None
    _unread: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """The first head is waited for from now on."""
        super().connection_made(transport)
        # Writing is paused by whatever is not sent at once, however little: a close waits for it, too.
        transport.set_write_buffer_limits(high=0)
        # asyncio does so only where a socket was made with TCP's number; create_server's was not. The body of
        # an answer, written after its head, would wait 40 ms for the client to say that it has the head.
        with contextlib.suppress(OSError):  # of a connection that is over already
            transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._watch()

    def data_received(self, data: bytes) -> None:
        """More of a head, or of a body."""
        super().data_received(data)
        self._watch()

    def on_response_complete(self) -> None:
        """The next head is waited for from now on."""
        super().on_response_complete()
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        """Nothing is waited for."""
        super().connection_lost(exc)
        self._forget()
        self._is_read()

    def pause_writing(self) -> None:
        """Something is to be sent that the client has no room for: it is waited for from now on."""
        super().pause_writing()
        self._wait_for_reader()

    def resume_writing(self) -> None:
        """All of it was sent."""
        super().resume_writing()
        self._is_read()

    def _wait_for_reader(self) -> None:
        left = self.transport.get_write_buffer_size()
        self._unread = self.loop.call_later(UNREAD, self._still_unread, left)

    def _still_unread(self, before: int) -> None:
        if self.transport.get_write_buffer_size() < before:
            self._wait_for_reader()
        else:
            # Not closed: that would wait for the client, as whatever has been closed already does.
            self.transport.abort()

    def _is_read(self) -> None:
        if self._unread is not None:
            self._unread.cancel()
            self._unread = None

    def _watch(self) -> None:
        over = getattr(self.cycle, "response_complete", True)  # there is none before the first request
        if self.transport.is_closing() or not over:
            self._forget()
        elif self._late is None:
            self._late = self.loop.call_later(self.timeout_keep_alive, self.timeout_keep_alive_handler)

    def _forget(self) -> None:
        if self._late is not None:
            self._late.cancel()
            self._late = None


class _Server(uvicorn.Server):
    """uvicorn's, except that signals stay the daemon's business."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Capture none."""
        yield


def _listen(host: str, port: int) -> socket.socket:
    """A listening socket, bound here and not by uvicorn, which would end the process on failure."""
    try:
        family, _, _, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        return socket.create_server(address[:2], family=family, backlog=128)
    except OSError as error:
        raise CannotListen(f"cannot listen on {host} port {port}: {_remedy(error)}") from error


def _remedy(error: OSError) -> str:
    """What went wrong and what to do, for the ways in which it usually does."""
    if error.errno == errno.EADDRINUSE:
        return "it is taken: set http.port to another (0: any free one), or end what listens there"
    if error.errno == errno.EACCES:
        return "not allowed: set http.port to one above 1023"
    if isinstance(error, socket.gaierror) or error.errno == errno.EADDRNOTAVAIL:
        return "not an address of this machine: set http.host to one, as 127.0.0.1 or 0.0.0.0"
    return f"{error.strerror or error}: see http.host and http.port"
