"""Specs that are sent: none holds up those of a watched store, and nobody sends others out of their turn."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from controller.api.problems import Problem
from controller.api.turns import MOST, Turns
from controller.ports import SpecFile
from controller.reading import read_spec_text, reader_of
from controller.specfile import Lane, worker
from tests.api.place import SPEC, Answer, Client, Place

YAML = {"Content-Type": "application/yaml"}


def sent(name: str) -> str:
    """A spec that may be sent."""
    return SPEC.format(name=name, tasks=2).replace("never-shown-to-others", "hello")


async def ask(who: Client, name: str) -> Answer:
    """What a spec would do."""
    return await who.ask("POST", "/api/v1/batches?plan=true", data=sent(name), headers=YAML)


@asynccontextmanager
async def busy(here: Place) -> AsyncIterator[None]:
    """Somebody's spec takes as long as this lasts."""
    await read_spec_text(here.settings, sent("warm").encode(), name="spec.yaml", user="eve")
    async with worker._warm[asyncio.get_running_loop(), Lane.SENT][0]._lock:
        yield


async def turns_taken(here: Place, n: int) -> None:
    """Wait until so many have one."""
    async with asyncio.timeout(30):
        while len(here.api.context.turns._users) < n:
            await asyncio.sleep(0.01)


async def test_the_daemon_reads_what_lies_in_a_store_while_others_send(here: Place) -> None:
    """Its specs have a process of their own: what is sent, however long it takes, keeps none of them."""
    read = reader_of(here.settings)
    async with busy(here):
        file = SpecFile(key="bobs.yaml", content=sent("bobs").encode(), folder="", user="local:bob")
        reading = await asyncio.wait_for(read(file), 30)
    assert reading.spec, reading.problems


async def test_one_spec_of_each_caller_is_read_at_a_time(here: Place) -> None:
    """Whoever sends another meanwhile is told so; somebody else's is read next, and then theirs."""
    async with busy(here):
        first = asyncio.create_task(ask(here.ada, "first"))
        await turns_taken(here, 1)
        second = await ask(here.ada, "second")
        other = asyncio.create_task(ask(here.bob, "other"))
        await turns_taken(here, 2)
    assert (second.status, second.headers["retry-after"]) == (429, "2")
    assert "still being read" in second.body["detail"]
    assert ((await first).status, (await other).status) == (200, 200)
    assert (await ask(here.ada, "second")).status == 200


def test_few_stand_in_line() -> None:
    """Past so many of all callers the next is asked to come again; a turn that is over is free."""
    turns = Turns()
    held = [turns.of(f"user-{n}") for n in range(MOST)]
    for one in held:
        one.__enter__()
    with pytest.raises(Problem, match="send yours again") as refused, turns.of("ada"):
        pass
    assert refused.value.status == 503
    held[0].__exit__(None, None, None)
    with turns.of("ada"):
        pass
