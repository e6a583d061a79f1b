"""Live change: one stream of the store's changes per process, handed to everybody who listens.

Changes are gathered for a moment and say what changed, never how: a listener reads again. One that reads
too slowly loses events and is told to read everything again; so is everybody when the stream was lost.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field

from controller.ending import end_all
from controller.ports import BatchkeeperError, Changed, Desk, Store
from controller.telemetry import get_logger

GATHER = 0.25
"""Seconds for which changes are gathered."""
HEARTBEAT = 15.0
"""Seconds of silence after which a listener is told that it is still heard."""
LONGEST = 900.0
"""Seconds after which a listener must come again, and prove anew who it is."""
WAITING = 64
"""Events that one listener may be behind."""
SHOWN = 100
"""Jobs named in one event."""
REMEMBERED = 1000
"""Batches whose owners are known without asking."""
AGAIN = (0.5, 1.0, 2.0, 5.0)
"""Seconds before a lost stream is asked for again; the last one repeats."""
RESET = b"event: reset\ndata: {}\n\n"
_log = get_logger(__name__)


@dataclass(eq=False, slots=True)
class Listener:
    """One client. ``sees``: whether what belongs to this owner may be told to it; ``user``: whose it is."""

    sees: Callable[[str], bool]
    batch_id: str = ""
    user: str = ""
    queue: asyncio.Queue[bytes | None] = field(default_factory=lambda: asyncio.Queue(WAITING))

    def tell(self, event: bytes | None) -> None:
        """Queue an event; a listener that is too far behind starts anew. None: it is over."""
        if self.queue.full():
            while not self.queue.empty():
                self.queue.get_nowait()
            self.queue.put_nowait(RESET)
        self.queue.put_nowait(event)


class Live:
    """The stream and its listeners. It runs while somebody listens."""

    def __init__(self, store: Store, desk: Desk) -> None:
        self._store = store
        self._desk = desk
        self._owners: dict[str, str] = {}
        self._listeners: set[Listener] = set()
        self._task: asyncio.Task[None] | None = None
        self._ending: set[asyncio.Task[None]] = set()
        """The ends of streams that nobody listens to any more."""
        self._closed = False

    @property
    def listeners(self) -> int:
        """How many there are."""
        return len(self._listeners)

    def of(self, user: str) -> int:
        """How many of them are this user's."""
        return sum(one.user == user for one in self._listeners)

    def take(self, listener: Listener) -> None:
        """Count it from now on, until it leaves: those who ask at the same moment are each counted."""
        self._listeners.add(listener)

    def leave(self, listener: Listener) -> None:
        """It listens no more, or never began to."""
        self._listeners.discard(listener)
        if not self._listeners:
            self._end()

    async def listen(self, listener: Listener, heartbeat: float = HEARTBEAT) -> AsyncIterator[bytes]:
        """What one client is sent, first that it should read everything."""
        self.take(listener)
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._follow(), name="live")
        loop = asyncio.get_running_loop()
        end = loop.time() + LONGEST
        try:
            yield b"retry: 2000\n" + RESET
            while not self._closed and (left := end - loop.time()) > 0:
                try:
                    event = await asyncio.wait_for(listener.queue.get(), min(heartbeat, left))
                except TimeoutError:
                    yield b": still here\n\n"
                    continue
                if event is None:
                    return
                yield event
        finally:
            self.leave(listener)

    def _end(self) -> None:
        """End the stream of changes. Whoever comes while it ends has another one."""
        task, self._task = self._task, None
        if task is not None and not task.done():
            ending = asyncio.create_task(end_all([task]), name="live-ending")
            self._ending.add(ending)
            ending.add_done_callback(self._ending.discard)

    async def close(self) -> None:
        """End every stream, so that the server can stop."""
        self._closed = True
        for listener in self._listeners:
            listener.tell(None)
        await end_all(filter(None, [self._task]))
        await asyncio.gather(*self._ending)

    async def _follow(self) -> None:
        lost = 0
        while True:
            gathered: dict[str, set[str]] = {}
            flushing = asyncio.create_task(self._flush(gathered), name="live-flush")
            try:
                async for changed in self._desk.changes():
                    lost = 0 if changed.batch_id else lost
                    self._gather(gathered, changed)
            except BatchkeeperError as error:  # also a change that is too large to be told
                _log.warning("live changes lost", error=str(error))
            finally:
                await end_all([flushing])
            await asyncio.sleep(AGAIN[min(lost, len(AGAIN) - 1)])
            lost += 1

    def _gather(self, gathered: dict[str, set[str]], changed: Changed) -> None:
        if not changed.batch_id:
            self._broadcast()
            return
        jobs = gathered.setdefault(changed.batch_id, set())
        if changed.job and len(jobs) <= SHOWN:
            jobs.add(changed.job)

    async def _flush(self, gathered: dict[str, set[str]]) -> None:
        while True:
            await asyncio.sleep(GATHER)
            if not gathered:
                continue
            now, told = dict(gathered), False
            gathered.clear()
            with contextlib.suppress(BatchkeeperError):
                await self._tell(now)
                told = True
            if not told:
                self._broadcast()

    async def _tell(self, changes: Mapping[str, set[str]]) -> None:
        for batch_id, jobs in changes.items():
            owner = await self._owner(batch_id)
            event = _event(batch_id, jobs)
            for listener in list(self._listeners):
                if listener.batch_id in ("", batch_id) and listener.sees(owner):
                    listener.tell(event)

    async def _owner(self, batch_id: str) -> str:
        if batch_id not in self._owners:
            batch = await self._store.batch(batch_id)
            if batch is None:
                return ""
            self._owners[batch_id] = batch.user
            if len(self._owners) > REMEMBERED:
                del self._owners[next(iter(self._owners))]
            return batch.user
        return self._owners[batch_id]

    def _broadcast(self) -> None:
        for listener in list(self._listeners):
            listener.tell(RESET)


def _event(batch_id: str, jobs: set[str]) -> bytes:
    shown = sorted(jobs)[:SHOWN]
    data = {"batch_id": batch_id, "jobs": shown, "more": len(jobs) > len(shown)}
    return b"event: changed\ndata: " + json.dumps(data, separators=(",", ":")).encode() + b"\n\n"
