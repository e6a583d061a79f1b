"""A way to a replica set on which commands fare as a test says: one relay for each member, on loopback.

A driver asks each member who the others are; the answers are changed on their way, so that the driver finds
the relays and never a member itself.
"""

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from collections.abc import Callable, Coroutine, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

from tests.failover.strikes import AFTERWARDS, REFUSALS, Fate, afterwards, refused
from tests.failover.wire import Document, Key, Message, answer, key_of, read

LATE_SECONDS = 0.7
"""How long after its caller has given up a late command reaches the server."""

Judge = Callable[[Key, Message], Fate | None]
"""What becomes of a command; None: it goes through. Called in the order in which commands come."""


@dataclass
class Way:
    """``judge`` may be changed at any time."""

    there: Sequence[str]
    """The members' addresses."""
    here: list[str] = field(default_factory=list)
    """The relays', in the same order."""
    judge: Judge = lambda key, message: None
    seen: Counter[Key] = field(default_factory=Counter)
    """Commands that came."""
    late: int = 0
    """Commands that are still to reach their server."""
    closed: set[str] = field(default_factory=set)
    """Members to which nobody gets through."""
    _loop: asyncio.AbstractEventLoop = field(default_factory=asyncio.new_event_loop)
    _connections: dict[asyncio.Task[None], str] = field(default_factory=dict)

    def uri(self, name: str) -> str:
        """How to connect by this way.

        Who is told by us that its primary leads no more asks again soon, since the primary does not say so.
        """
        return f"mongodb://{','.join(self.here)}/?replicaSet={name}&heartbeatFrequencyMS=500"

    def close(self, member: str) -> None:
        """Nobody gets through to this member from now on, and whoever is connected no more."""
        self.closed.add(member)
        self._loop.call_soon_threadsafe(self._cut, member)

    def open(self, member: str) -> None:
        """It can be reached again."""
        self.closed.discard(member)

    def _cut(self, member: str) -> None:
        for task, to in self._connections.items():
            if to == member:
                task.cancel()

    # ----------------------------------------------------------------------------- one connection

    async def serve(self, member: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection of a driver's to this member."""
        task = asyncio.current_task()
        assert task
        self._connections[task] = member
        try:
            if member not in self.closed:
                await self._relay(member, reader, writer)
        except (OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass  # one of the two has gone
        finally:
            writer.transport.abort()
            del self._connections[task]

    async def _relay(self, member: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        host, _, port = member.rpartition(":")
        back, forth = await asyncio.open_connection(host, int(port))
        one = _Connection(self, reader, writer, back, forth)
        ways = [asyncio.ensure_future(one.commands()), asyncio.ensure_future(one.answers())]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)
            forth.transport.abort()

    def seen_from_here(self, document: Document) -> Document:
        """An answer about who the members are, in the relays' names."""
        names = dict(zip(self.there, self.here, strict=True))
        found = dict(document)
        for one in ("me", "primary"):
            if one in found:
                found[one] = names[found[one]]
        if "hosts" in found:
            found["hosts"] = [names[host] for host in found["hosts"]]
        return found


class _Struck(Exception):
    """This connection is over."""


@dataclass
class _Connection:
    """Both ends, and what is to become of the answers to commands that are under way."""

    way: Way
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    back: asyncio.StreamReader
    forth: asyncio.StreamWriter
    fates: dict[int, tuple[Fate, Document]] = field(default_factory=dict)
    landed: asyncio.Event = field(default_factory=asyncio.Event)
    """A late command has reached the server, and was answered."""

    async def commands(self) -> None:
        """From the driver to the server."""
        with suppress(_Struck):
            while True:
                message = await read(self.reader)
                key = key_of(message)
                self.way.seen[key] += 1
                fate = self.way.judge(key, message)
                await (self._through(message) if fate is None else self._strike(fate, message))

    async def _through(self, message: Message) -> None:
        self.forth.write(message.raw)
        await self.forth.drain()

    async def _strike(self, fate: Fate, message: Message) -> None:
        if fate is Fate.RESET:
            raise _Struck
        if fate is Fate.SILENT:
            await self._given_up()
            raise _Struck
        if fate is Fate.LATE:
            self.way.late += 1
            try:
                await self._given_up()
                await asyncio.sleep(LATE_SECONDS)
                self.fates[message.id] = (fate, message.document)
                await self._through(message)
                await self.landed.wait()
            finally:
                self.way.late -= 1
            raise _Struck
        if fate in REFUSALS and fate not in AFTERWARDS:
            await self._answer(answer(message, refused(fate, message.document)))
            return
        self.fates[message.id] = (fate, message.document)
        await self._through(message)

    async def _given_up(self) -> None:
        """Until the caller closes its end."""
        while await self.reader.read(2**16):
            pass

    async def answers(self) -> None:
        """From the server to the driver."""
        with suppress(_Struck):
            while True:
                message = await read(self.back)
                fate, command = self.fates.pop(message.answers, (None, {}))
                if fate is Fate.LOST:
                    raise _Struck
                if fate is Fate.LATE:
                    self.landed.set()  # nobody is there to hear it
                    continue
                if fate is Fate.UNHEARD:
                    await asyncio.Event().wait()
                if fate in AFTERWARDS and fate:
                    message = message.with_document(afterwards(fate, command, message.document))
                await self._answer(message)

    async def _answer(self, message: Message) -> None:
        if b"\x04hosts\0" in message.body[:400]:
            message = message.with_document(self.way.seen_from_here(message.document))
        self.writer.write(message.raw)
        await self.writer.drain()


@contextmanager
def way_to(members: Sequence[str]) -> Iterator[Way]:
    """A way to these members, served by a thread of its own."""
    way = Way(members)
    loop = way._loop
    thread = threading.Thread(target=loop.run_forever, name="way", daemon=True)
    thread.start()

    def run(work: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(work, loop).result(30)

    servers = [run(_listening(way, member)) for member in members]
    way.here = [f"127.0.0.1:{one.sockets[0].getsockname()[1]}" for one in servers]
    try:
        yield way
    finally:
        run(_ended(way, servers))
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


async def _listening(way: Way, member: str) -> asyncio.Server:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await way.serve(member, reader, writer)

    return await asyncio.start_server(serve, "127.0.0.1", 0)


async def _ended(way: Way, servers: Sequence[asyncio.Server]) -> None:
    for server in servers:
        server.close()
    left = list(way._connections)
    for task in left:
        task.cancel()
    await asyncio.gather(*left, return_exceptions=True)
