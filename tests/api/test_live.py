"""Server-sent events: who is told what, and that nothing is lost without being said."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import aiohttp
import pytest
from starlette.requests import ClientDisconnect

from controller.api import live as live_module
from controller.api import routes_events
from controller.api.live import GATHER, RESET, Listener, Live
from controller.ports import BatchkeeperError, Changed, Rejected, Unavailable
from tests.api.place import ADA, BOB, Place, place


class Stream:
    """One client's events, as they come."""

    def __init__(self, got: aiohttp.ClientResponse) -> None:
        self._got = got

    async def event(self) -> tuple[str, dict[str, Any]]:
        """The next event; comments are passed over."""
        name = ""
        while True:
            line = (await asyncio.wait_for(self._got.content.readline(), 60)).decode().rstrip("\n")
            if line.startswith("event: "):
                name = line.removeprefix("event: ")
            elif line.startswith("data: "):
                return name, json.loads(line.removeprefix("data: "))


@asynccontextmanager
async def listening(here: Place, token: str, resets: int = 2) -> AsyncIterator[Stream]:
    """Somebody who listens; the first one is told a second time, once the stream is open."""
    async with (
        aiohttp.ClientSession(headers={"Authorization": f"Bearer {token}"}) as session,
        session.get(f"{here.url}/api/v1/events") as got,
    ):
        assert got.status == 200
        stream = Stream(got)
        for _ in range(resets):
            assert (await stream.event())[0] == "reset"
        yield stream


async def test_a_retry_is_told_to_its_owner_only(here: Place) -> None:
    """The owner learns of the batch and the jobs that changed; somebody else learns of their own only."""
    batch, jobs = await here.failed()
    other, others = await here.failed("other", user="bob")
    async with listening(here, ADA) as ada, listening(here, BOB, 1) as bob:
        await here.ada.post(f"/api/v1/jobs/{jobs[0].id}/retry")
        name, told = await ada.event()
        assert (name, told["batch_id"]) == ("changed", batch.id)
        await here.bob.post(f"/api/v1/jobs/{others[0].id}/retry")
        name, told = await bob.event()
        assert (name, told["batch_id"]) == ("changed", other.id)
        assert set(told["jobs"]) <= {job.id for job in await here.jobs(other)}


async def test_one_user_does_not_take_all_streams(
    tmp_path: Path, mongo_uri: str, mongo_database: str
) -> None:
    """Each has a quarter of them: past it that one is told so, and others still listen."""
    eight = {"streams": 8}
    async with (
        place(tmp_path, mongo_uri, mongo_database, api=eight) as here,
        listening(here, ADA, 1),
        listening(here, ADA, 1),
    ):
        third = await asyncio.wait_for(here.ada.get("/api/v1/events"), 30)
        assert (third.status, third.headers["retry-after"]) == (429, "30")
        assert "ada listens 2 times already" in third.body["detail"]
        async with listening(here, BOB, 1):
            pass


async def test_a_users_share_is_as_large_for_those_who_ask_at_once(
    tmp_path: Path, mongo_uri: str, mongo_database: str
) -> None:
    """Each stream is counted before the next one is looked at: of twelve in one moment two begin."""
    async with (
        place(tmp_path, mongo_uri, mongo_database, api={"streams": 8}) as here,
        aiohttp.ClientSession(headers={"Authorization": f"Bearer {ADA}"}) as session,
    ):
        asked = [session.get(f"{here.url}/api/v1/events") for _ in range(12)]
        got = await asyncio.gather(*asked)
        found = sorted(one.status for one in got)
        for one in got:
            one.close()
        assert found == [200] * 2 + [429] * 10


async def test_a_stream_that_never_began_gives_its_place_back() -> None:
    """Its client left while the head of the answer was sent."""
    nothing: Any = None
    live = Live(nothing, nothing)
    stream = routes_events.Stream(live, Listener(lambda owner: True, user="ada"))
    assert live.of("ada") == 1

    async def nobody(*_: Any) -> Any:
        raise OSError

    with pytest.raises((OSError, ClientDisconnect)):
        await stream({"type": "http", "asgi": {"spec_version": "2.4"}}, nobody, nobody)
    assert live.listeners == 0


async def test_the_last_stream_is_the_last_one(tmp_path: Path, mongo_uri: str, mongo_database: str) -> None:
    """Where there are few, each user has one; when all are taken everybody is asked to come again."""
    few = {"streams": 1}
    async with place(tmp_path, mongo_uri, mongo_database, api=few) as here, listening(here, ADA, 1):
        assert (await here.bob.get("/api/v1/events")).status == 503


async def test_a_stop_ends_the_streams(here: Place) -> None:
    """A server that is told to stop does not wait for those who listen."""
    await here.submit()
    async with listening(here, ADA):
        assert here.api.context.live
        await asyncio.wait_for(here.api.close(), 30)


def test_a_slow_listener_starts_anew() -> None:
    """A queue is bounded: whoever is too far behind is told to read everything, and then what is new."""
    listener = Listener(lambda owner: True)
    for n in range(200):
        listener.tell(b"%d" % n)
    found = []
    while not listener.queue.empty():
        found.append(listener.queue.get_nowait())
    assert found[0] == RESET
    assert found[-1] == b"199"
    assert len(found) <= 64


class Broken:
    """A desk whose stream is lost once."""

    def __init__(self, error: BatchkeeperError) -> None:
        self.asked = 0
        self._error = error

    async def changes(self) -> AsyncIterator[Changed]:
        """Listens, is lost, and listens again."""
        self.asked += 1
        yield Changed()
        if self.asked == 1:
            raise self._error
        await asyncio.Event().wait()


LOST = [
    Unavailable("mongod restarts"),
    Rejected("mongodb: changes was refused: BSONObj size is invalid", 10334),
]


@pytest.mark.parametrize("error", LOST)
async def test_a_lost_stream_is_asked_for_again(error: BatchkeeperError) -> None:
    """After a restart of the database, or a change that is too large for its stream, everybody is told to
    read everything; a silence is a heartbeat."""
    desk: Any = Broken(error)
    live = Live(desk, desk)
    events = live.listen(Listener(lambda owner: True), heartbeat=0.05)
    found = []
    async with asyncio.timeout(60):
        async for event in events:
            found.append(event)
            if found.count(RESET) == 2 and found[-1].startswith(b":"):
                break
    await live.close()
    assert desk.asked == 2


class Sick:
    """A store that can't tell whose a batch is, and its desk, where that batch changes."""

    async def batch(self, batch_id: str) -> Any:
        """It can't be read."""
        raise Rejected("it makes no sense")

    async def changes(self) -> AsyncIterator[Changed]:
        """One change, then another when it was told of the first."""
        for _ in range(2):
            yield Changed("b", "j")
            await asyncio.sleep(2 * GATHER)
        await asyncio.Event().wait()


async def test_who_cannot_be_told_of_a_change_reads_everything() -> None:
    """Whoever gathers changes died of the first that could not be told, and nobody heard of another."""
    sick: Any = Sick()
    live, found = Live(sick, sick), list[bytes]()
    async with asyncio.timeout(60):
        async for event in live.listen(Listener(lambda owner: True)):
            found.append(event)
            if found.count(RESET) == 2:
                break
    await live.close()


class Busy:
    """A store and its desk: each of nine batches changes, then nothing does."""

    async def batch(self, batch_id: str) -> Any:
        """Everything is Ada's."""
        return SimpleNamespace(user="ada")

    async def changes(self) -> AsyncIterator[Changed]:
        """One change of each."""
        for n in range(9):
            yield Changed(f"b{n}", f"j{n}")
        await asyncio.Event().wait()


async def test_owners_are_known_of_so_many_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of every batch that changed while somebody listened it was kept for ever whose it is."""
    monkeypatch.setattr(live_module, "REMEMBERED", 3)
    busy: Any = Busy()
    live, heard = Live(busy, busy), set[str]()
    async for event in live.listen(Listener(lambda owner: owner == "ada")):
        if event.startswith(b"event: changed"):
            heard.add(json.loads(event.partition(b"data: ")[2])["batch_id"])
        if len(heard) == 9:
            break
    await live.close()
    assert list(live._owners) == ["b6", "b7", "b8"]


async def test_who_comes_while_the_last_one_leaves_hears_what_changes() -> None:
    """The stream that was being ended was taken for one that goes on: nothing was ever heard."""
    busy: Any = Busy()
    live = Live(busy, busy)
    first: Any = live.listen(Listener(lambda owner: True))
    await anext(first)
    await asyncio.sleep(0)  # its stream has begun
    await first.aclose()
    async with asyncio.timeout(60):
        async for event in live.listen(Listener(lambda owner: True)):
            if event.startswith(b"event: changed"):
                break
    await live.close()
