"""Clients that are slow to take their answers, or take none: who goes on, and whose connection is cut."""

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from typing import Any, cast
from unittest.mock import Mock

import pytest
import uvicorn
from fastapi import Depends, FastAPI
from fastapi.responses import PlainTextResponse, StreamingResponse
from uvicorn.server import ServerState

from controller import http
from controller.http import HttpServer

MUCH = 2**24
"""Bytes: more than the buffers of a connection hold on any machine."""


def application(asked: asyncio.Event) -> FastAPI:
    """Answers that are too much to be sent at once: whole, without an end, and with a bug in the middle."""

    async def note() -> None:
        asked.set()

    app = FastAPI(dependencies=[Depends(note)])

    @app.get("/much")
    async def much() -> PlainTextResponse:
        return PlainTextResponse("x" * MUCH)

    async def parts(end: bool) -> AsyncIterator[bytes]:
        yield b"x" * MUCH
        while not end:
            yield b"x" * 2**16
            await asyncio.sleep(0)
        raise ZeroDivisionError

    @app.get("/endless")
    async def endless() -> StreamingResponse:
        return StreamingResponse(parts(end=False))

    @app.get("/burst")
    async def burst() -> StreamingResponse:
        return StreamingResponse(parts(end=True))

    return app


@pytest.mark.parametrize("path", ["/much", "/endless", "/burst"])
@pytest.mark.parametrize("last", [False, True])
async def test_who_takes_no_answer_is_not_kept(
    monkeypatch: pytest.MonkeyPatch, path: str, last: bool
) -> None:
    """Nine such connections of ten were kept for ever: probes were answered 503 from then on. A close did not
    end them either, for it waits until everything was sent."""
    monkeypatch.setattr(http, "UNREAD", 0.1)
    asked = asyncio.Event()
    server = HttpServer(application(asked), "127.0.0.1", 0)
    await server.start()
    with socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
        client.setblocking(False)
        await asyncio.get_running_loop().sock_connect(client, ("127.0.0.1", server.port))
        head = f"GET {path} HTTP/1.1\r\nHost: x\r\n" + ("Connection: close\r\n" if last else "")
        client.send(f"{head}\r\n".encode())
        state = server._server.server_state
        async with asyncio.timeout(60):
            await asked.wait()
            while state.connections or state.tasks:
                await asyncio.sleep(0.01)
    await server.stop()


class Line:
    """A transport whose client takes what the test says."""

    def __init__(self) -> None:
        self.left = 0
        self.aborted = False

    def get_write_buffer_size(self) -> int:
        """Bytes that are not sent."""
        return self.left

    def abort(self) -> None:
        """Cut it."""
        self.aborted = True

    def is_closing(self) -> bool:
        """It is not."""
        return False

    def get_extra_info(self, name: str) -> Any:
        """No addresses, and a socket that takes every option."""
        return Mock() if name == "socket" else None

    def set_write_buffer_limits(self, high: int) -> None:
        """The test says when writing pauses."""


class Timers:
    """A loop whose time passes when the test says so."""

    def __init__(self) -> None:
        self.set = list[tuple[float, Callable[..., None], tuple[Any, ...]]]()
        self.cancelled = 0

    def call_later(self, delay: float, call: Callable[..., None], *args: Any) -> Any:
        """Remember it."""
        self.set.append((delay, call, args))
        return self

    def cancel(self) -> None:
        """As a handle."""
        self.cancelled += 1

    def passes(self) -> None:
        """The last timer goes off."""
        _, call, args = self.set[-1]
        call(*args)


def test_who_reads_slowly_goes_on() -> None:
    """However long an answer takes: only a wait in which nothing at all was taken cuts it, and after all was
    taken it begins anew."""
    line, timers = Line(), Timers()
    protocol = http._Protocol(
        uvicorn.Config(FastAPI(), log_config=None),
        ServerState(),
        {},
        cast("asyncio.AbstractEventLoop", timers),
    )
    protocol.connection_made(cast("asyncio.Transport", line))
    line.left = 1000
    protocol.pause_writing()
    assert timers.set[-1][0] == http.UNREAD
    for left in (999, 500, 1):
        line.left = left
        timers.passes()
    before = timers.cancelled
    protocol.resume_writing()
    assert timers.cancelled > before
    line.left = 700
    protocol.pause_writing()
    assert not line.aborted
    timers.passes()
    assert line.aborted
