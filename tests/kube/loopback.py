"""An API server on loopback that misbehaves as it is told: one reply of its script for each request."""

from __future__ import annotations

import asyncio
import json
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

TOKEN = "open-sesame"


@dataclass(frozen=True)
class Request:
    """As it came. ``connection``: the number of the connection that it came on."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes
    connection: int


Reply = Callable[[asyncio.StreamWriter], Awaitable[None]]


def answer(code: int, body: object = None, headers: Mapping[str, str] | None = None) -> Reply:
    """A complete answer; the connection is kept."""
    return raw(code, json.dumps({} if body is None else body).encode(), headers)


def status(code: int, reason: str = "", message: str = "", headers: Mapping[str, str] | None = None) -> Reply:
    """A Status, as the API server sends it."""
    return answer(code, {"kind": "Status", "code": code, "reason": reason, "message": message}, headers)


def raw(code: int, body: bytes, headers: Mapping[str, str] | None = None) -> Reply:
    """Any body."""
    more = {"Content-Type": "application/json", "Content-Length": str(len(body)), **(headers or {})}
    head = "".join(f"{name}: {value}\r\n" for name, value in more.items())
    return sends(f"HTTP/1.1 {code} Told\r\n{head}\r\n".encode() + body)


def sends(data: bytes, *, then_cut: bool = False) -> Reply:
    """These bytes, whatever they are."""

    async def reply(writer: asyncio.StreamWriter) -> None:
        writer.write(data)
        await writer.drain()
        if then_cut:
            writer.close()

    return reply


async def cut(writer: asyncio.StreamWriter) -> None:
    """The connection is dropped without an answer."""
    writer.transport.abort()


async def hang(writer: asyncio.StreamWriter) -> None:
    """No answer, ever."""
    await asyncio.Event().wait()


STREAM = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"


def streams(*lines: bytes | Mapping[str, Any], end: bytes = b"0\r\n\r\n", hold: bool = False) -> Reply:
    """A watch that sends these lines and ends; ``hold``: it falls silent instead."""
    parts = [line if isinstance(line, bytes) else json.dumps(line).encode() + b"\n" for line in lines]
    chunks = b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in parts)

    async def reply(writer: asyncio.StreamWriter) -> None:
        writer.write(STREAM + chunks + (b"" if hold else end))
        await writer.drain()
        if hold:
            await hang(writer)
        elif not end:
            writer.close()

    return reply


@dataclass
class Loopback:
    """``script`` is used up reply by reply; then everything is answered ``200 {}``."""

    url: str = ""
    script: deque[Reply] = field(default_factory=deque)
    requests: list[Request] = field(default_factory=list)
    connections: int = 0
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)

    def will(self, *replies: Reply) -> None:
        """The next replies."""
        self.script.extend(replies)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection."""
        task = asyncio.current_task()
        assert task
        self._tasks.add(task)
        self.connections += 1
        number = self.connections
        try:
            while not writer.is_closing():
                self.requests.append(await _request(reader, number))
                reply = self.script.popleft() if self.script else answer(200)
                await reply(writer)
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass  # the client has gone, or the server ends
        finally:
            writer.close()
            with suppress(ConnectionError):
                await writer.wait_closed()
            self._tasks.discard(task)

    async def stop(self) -> None:
        """End all connections."""
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


@asynccontextmanager
async def loopback() -> AsyncIterator[Loopback]:
    """A server that listens."""
    found = Loopback()
    server = await asyncio.start_server(found.serve, "127.0.0.1", 0)
    found.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield found
    finally:
        server.close()
        await found.stop()
        await server.wait_closed()


def kubeconfig(folder: Path, url: str, user: Mapping[str, Any] | None = None, ca: Path | None = None) -> Path:
    """A kubeconfig for it."""
    path = folder / "kubeconfig"
    cluster = {"server": url} | ({"certificate-authority": str(ca)} if ca else {})
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "c", "cluster": cluster}],
        "users": [{"name": "u", "user": dict(user or {"token": TOKEN})}],
        "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u", "namespace": "lab"}}],
        "current-context": "x",
    }
    path.write_text(json.dumps(config), encoding="utf-8")
    return path


async def _request(reader: asyncio.StreamReader, connection: int) -> Request:
    head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
    method, path, _ = head[0].split(" ")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:])}
    body = await reader.readexactly(int(headers.get("content-length", 0)))
    return Request(method, path, headers, body, connection)
