"""Hundreds of Jobs that are asked about at once cost two lists of Events, and each hears what is newest."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Any, cast

import pytest

from controller.adapters.kube_client import KubeClient, Refused
from controller.adapters.kube_object_events import PATIENCE, TELLING, ObjectEvents
from controller.ports import Unavailable
from tests.kube_pure.things import Read, answered

Json = dict[str, Any]


def event(uid: str, message: str) -> Json:
    """An Event about this Job."""
    return {"involvedObject": {"kind": "Job", "uid": uid}, "reason": "FailedCreate", "message": message}


@dataclass
class Slow:
    """A client whose lists show what is there when they begin, and come when they are let go."""

    there: list[Json] = field(default_factory=list)
    error: Exception | None = None
    now: float = 50.0
    begun: list[Json] = field(default_factory=list)
    gates: list[asyncio.Event] = field(default_factory=list)

    async def request(self, method: str, path: str, *, resource: str, query: Json, read: Read) -> Json:
        """One page."""
        assert (method, path, resource) == ("GET", "api/v1/namespaces/lab/events", "events")
        gate, shown = asyncio.Event(), list(self.there)
        self.begun.append(query)
        self.gates.append(gate)
        await gate.wait()
        if self.error:
            raise self.error
        return await answered({"metadata": {}, "items": shown}, read)

    def events(self) -> ObjectEvents:
        """What is tested."""
        return ObjectEvents(cast("KubeClient", self), lambda: self.now)


async def turns() -> None:
    """Everybody goes as far as he can."""
    for _ in range(10):
        await asyncio.sleep(0)


async def test_all_who_ask_at_once_share_a_list() -> None:
    """Those who come while one is under way share the next: it may not have what they are asked after."""
    client = Slow([event("u-1", "old")])
    events = client.events()
    first = asyncio.create_task(events.about("Job", "lab", {"u-1"}))
    await turns()
    client.there.append(event("u-1", "new"))
    others = [asyncio.create_task(events.about("Job", "lab", {f"u-{n % 2}"})) for n in range(100)]
    await turns()
    assert len(client.begun) == 1
    client.gates[0].set()
    await turns()
    client.gates[1].set()
    told = [[one["message"] for one in found] for found in await asyncio.gather(first, *others)]
    assert told[0] == ["old"]
    assert told[1:] == [[], ["old", "new"]] * 50
    assert [query["fieldSelector"] for query in client.begun] == [TELLING["Job"]] * 2


async def test_pods_have_a_list_of_their_own() -> None:
    """Each pod that did not start cost a list of its own, of all that is in the namespace."""
    client = Slow([event("p-1", "x"), event("p-2", "y"), event("p-3", "z")])
    events = client.events()
    asked = [asyncio.create_task(events.about("Pod", "lab", {f"p-{n}", "p-3"})) for n in (1, 2)]
    asked.append(asyncio.create_task(events.about("Job", "lab", {"u-1"})))
    await turns()
    assert sorted(query["fieldSelector"] for query in client.begun) == sorted(TELLING.values())
    for gate in client.gates:
        gate.set()
    told = [[one["message"] for one in found] for found in await asyncio.gather(*asked)]
    assert told == [["x", "z"], ["y", "z"], []]
    assert await events.about("Pod", "lab", set()) == []
    assert len(client.begun) == 2


async def test_who_is_cancelled_takes_nothing_from_the_others() -> None:
    """The list was begun for several, and one pass of them is given up."""
    client = Slow([event("u-1", "x")])
    events = client.events()
    one, two = (asyncio.create_task(events.about("Job", "lab", {"u-1"})) for _ in range(2))
    await turns()
    one.cancel()
    client.gates[0].set()
    assert len(await two) == 1


@pytest.mark.parametrize("error", [Refused(403, "Forbidden", "no", "GET"), Unavailable("no answer")])
async def test_what_cannot_be_listed(error: Exception) -> None:
    """Who may not read Events goes without; an outage is told, and the next who asks asks anew."""
    client = Slow([event("u-1", "x")], error)
    events = client.events()
    asked = asyncio.create_task(events.about("Job", "lab", {"u-1"}))
    await turns()
    client.gates[0].set()
    if isinstance(error, Refused):
        assert await asked == []
    else:
        with pytest.raises(Unavailable):
            await asked
    client.error = None
    asked = asyncio.create_task(events.about("Job", "lab", {"u-1"}))
    await turns()
    client.gates[1].set()
    assert len(await asked) == 1


async def test_a_list_that_cannot_be_had_is_not_waited_for_for_ever() -> None:
    """One object that never started kept its whole namespace from being seen while no Events could be had."""
    client = Slow([event("u-1", "x")], Unavailable("no answer"))
    events = client.events()

    async def ask() -> list[Json]:
        asked = asyncio.create_task(events.about("Job", "lab", {"u-1"}))
        await turns()
        client.gates[-1].set()
        return [dict(one) for one in await asked]

    for _ in range(2):
        with pytest.raises(Unavailable):
            await ask()
        client.now += PATIENCE / 2
    assert await ask() == []
    client.error = None
    assert len(await ask()) == 1
    client.error = Unavailable("no answer")
    with pytest.raises(Unavailable):
        await ask()


async def test_no_list_outlives_the_cluster() -> None:
    """Its lists end when the connections are let go."""
    client = Slow()
    events = client.events()
    asked = asyncio.create_task(events.about("Job", "lab", {"u-1"}))
    await turns()
    asked.cancel()
    await events.close()
    assert [task for task in asyncio.all_tasks() if task.get_name() == "events"] == []
