"""A way to an HTTP server that fails as it is told: between the source under test and the real one."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from urllib.parse import unquote, urlsplit


@dataclass(frozen=True)
class Asked:
    """A request, as it came."""

    method: str
    path: str
    query: str
    authorization: str

    @property
    def is_list(self) -> bool:
        """Whether it lists the bucket."""
        return self.method == "GET" and "list-type=2" in self.query


Fault = tuple[int, str]
"""A status and S3's error code."""
CUT: Fault = (0, "")
"""No answer; the connection is dropped."""
HANG: Fault = (-1, "")
"""No answer for as long as the test lasts."""


@dataclass
class Way:
    """Requests go through, one on each connection, unless ``fault`` has an answer for them."""

    there: str
    url: str = ""
    fault: Callable[[Asked], Fault | None] = lambda asked: None
    before: Callable[[Asked], None] = lambda asked: None
    """Something that happens just before a request gets to the server."""
    drops: str = ""
    """A header that does not get through, as to a store that knows nothing of it; in small letters."""
    asked: list[Asked] = field(default_factory=list)
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)

    def gone(self) -> None:
        """The store is away from now on."""
        self.fault = lambda asked: CUT

    def well(self) -> None:
        """Nothing fails from now on."""
        self.fault = lambda asked: None

    def requests(self, method: str) -> list[Asked]:
        """Requests of one method, lists left out."""
        return [one for one in self.asked if one.method == method and not one.is_list]

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection, and one request on it."""
        task = asyncio.current_task()
        assert task
        self._tasks.add(task)
        try:
            await self._one(reader, writer)
        except (OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass  # the client has gone, or the way ends
        finally:
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()
            self._tasks.discard(task)

    async def _one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        if "expect" in headers:
            writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        body = await reader.readexactly(int(headers.get("content-length", 0)))
        method, target, _ = first.split(" ")
        place = urlsplit(target)
        asked = Asked(method, unquote(place.path), place.query, headers.get("authorization", ""))
        self.asked.append(asked)
        fault = self.fault(asked)
        if fault is None:
            self.before(asked)
            dropped = ("connection", "expect", self.drops)
            kept = [line for line in lines if line and line.partition(":")[0].lower() not in dropped]
            sent = "\r\n".join([first, *kept, "Connection: close", "", ""]).encode("latin-1") + body
            await self._through(sent, writer)
        elif fault == HANG:
            await asyncio.Event().wait()
        elif fault != CUT:
            await _refuse(writer, *fault)

    async def _through(self, sent: bytes, writer: asyncio.StreamWriter) -> None:
        place = urlsplit(self.there)
        back, forth = await asyncio.open_connection(place.hostname, place.port)
        try:
            forth.write(sent)
            while data := await back.read(2**16):
                writer.write(data)
                await writer.drain()
        finally:
            forth.close()
            with suppress(OSError):
                await forth.wait_closed()

    async def stop(self) -> None:
        """End all connections."""
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


async def _refuse(writer: asyncio.StreamWriter, status: int, code: str) -> None:
    text = f"<Error><Code>{code}</Code><Message>told so for a test</Message></Error>".encode()
    head = f"HTTP/1.1 {status} Told\r\nContent-Type: application/xml\r\nContent-Length: {len(text)}\r\n"
    writer.write(head.encode() + b"Connection: close\r\n\r\n" + text)
    await writer.drain()


@asynccontextmanager
async def way_to(url: str) -> AsyncIterator[Way]:
    """A way to this server."""
    way = Way(url)
    server = await asyncio.start_server(way.serve, "127.0.0.1", 0)
    way.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield way
    finally:
        server.close()
        await way.stop()
        await server.wait_closed()
