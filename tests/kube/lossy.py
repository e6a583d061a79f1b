"""A way to the API server that loses replies: bytes go through, until an answer is to be lost."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from urllib.parse import urlsplit

CHUNK = 2**16


class Lossy:
    """Both directions as they are (TLS and all); ``lose`` drops the next answers with their connections."""

    def __init__(self, host: str, port: int) -> None:
        self._there = (host, port)
        self._tasks: set[asyncio.Task[None]] = set()
        self._losing = 0
        self.lost = 0
        """Answers that were dropped."""
        self.gone = False
        """Nobody gets through."""

    def lose(self, answers: int = 1) -> None:
        """The request goes through, the server answers, and nobody hears it."""
        self._losing = answers

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection."""
        task = asyncio.current_task()
        assert task
        self._tasks.add(task)
        if self.gone:
            writer.close()
            self._tasks.discard(task)
            return
        back, forth = await asyncio.open_connection(*self._there)
        ways = [asyncio.ensure_future(self._there_way(reader, forth))]
        ways += [asyncio.ensure_future(self._back_way(back, writer))]
        with suppress(asyncio.CancelledError):
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        for way in ways:
            way.cancel()
        await asyncio.gather(*ways, return_exceptions=True)
        for end in (forth, writer):
            end.close()
            with suppress(ConnectionError):
                await end.wait_closed()
        self._tasks.discard(task)

    async def _there_way(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(CHUNK):
            writer.write(data)
            await writer.drain()

    async def _back_way(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(CHUNK):
            if self._losing:
                self._losing -= 1
                self.lost += 1
                return
            writer.write(data)
            await writer.drain()

    def cut(self) -> None:
        """Nobody gets through from now on, and whoever is connected no more."""
        self.gone = True
        for task in self._tasks:
            task.cancel()

    async def stop(self) -> None:
        """End all connections."""
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


@asynccontextmanager
async def lossy(kubeconfig: Path) -> AsyncIterator[tuple[Lossy, Path]]:
    """A lossy way to the API server of this kubeconfig, and a kubeconfig that goes by it."""
    config = json.loads(await asyncio.to_thread(kubeconfig.read_text))
    place = urlsplit(config["clusters"][0]["cluster"]["server"])
    assert place.hostname
    assert place.port
    found = Lossy(place.hostname, place.port)
    server = await asyncio.start_server(found.serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    config["clusters"][0]["cluster"]["server"] = f"https://127.0.0.1:{port}"
    path = kubeconfig.with_suffix(".lossy")
    await asyncio.to_thread(path.write_text, json.dumps(config))
    try:
        yield found, path
    finally:
        server.close()
        await found.stop()
        await server.wait_closed()
