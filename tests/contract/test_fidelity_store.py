"""The store in memory answers the fidelity script as MongoDB does, operation by operation."""

from __future__ import annotations

import asyncio
import inspect
import json
from collections import Counter
from typing import Any
from uuid import uuid4

import pymongo
import pytest

from controller.adapters.mongo import open_store
from controller.ports import Store
from tests.contract.fidelity import SCRIPT, Operation, differences, read, text
from tests.contract.fidelity_scripts import drawn
from tests.contract.fidelity_store import EVERY, Player
from tests.contract.test_store_memory import HandClock
from tests.fakes.memory_store import MemoryStore

LEAST = 3
"""Every method is called at least so often; ``close`` once."""


def methods(port: type) -> set[str]:
    """A port's methods."""
    return {name for name, _ in inspect.getmembers(port, inspect.isfunction) if not name.startswith("_")}


def test_the_script_is_what_is_drawn() -> None:
    """``python -m tests.contract.fidelity_scripts`` would change nothing."""
    assert SCRIPT.read_text(encoding="utf-8") == text(drawn())


def test_every_method_is_called() -> None:
    """No method of the port is missing."""
    times = Counter(operation["do"] for operation in read("store"))
    assert set(times) == methods(Store)
    assert {name for name, n in times.items() if n < LEAST} == {"close"}


async def in_memory(operations: list[Operation]) -> list[Any]:
    """What the fake answers."""
    clock = HandClock()
    return await Player(MemoryStore(clock, seed=1), lambda: clock.sleep(0.005)).play(operations)


async def on_mongod(operations: list[Operation], uri: str) -> list[Any]:
    """What MongoDB answers."""
    name = f"fidelity_{uuid4().hex}"
    try:
        return await Player(await open_store(uri, name), lambda: asyncio.sleep(0.003)).play(operations)
    finally:
        with pymongo.MongoClient[dict[str, Any]](uri) as client:
            client.drop_database(name)


def answers_agree(operations: list[Operation], fake: list[Any], real: list[Any]) -> None:
    """Each operation is answered alike, and all that can be seen after some of them is the same."""
    told = [
        each
        for n, one in enumerate(operations, 1)
        for each in ([one, {"do": "all"}] if n % EVERY == 0 else [one])
    ]
    differing = [
        f"{json.dumps(asked)}\n  " + "\n  ".join(found)
        for asked, one, other in zip(told, fake, real, strict=True)
        if (found := differences(one, other))
    ]
    assert not differing, f"{len(differing)} replies differ (fake and real), first:\n" + "\n".join(
        differing[:40]
    )


async def test_the_same_answers(mongo_uri: str) -> None:
    """Each operation is answered alike, and everything that can be seen afterwards is the same."""
    operations = read("store")
    answers_agree(operations, await in_memory(operations), await on_mongod(operations, mongo_uri))


@pytest.mark.parametrize(
    "guarded", ["change", "claim", "set_batch", "set_gate", "take_over", "lift_cancel", "move_notice"]
)
async def test_both_ways(guarded: str) -> None:
    """The script has calls that apply and calls that are refused, of every guarded method."""
    operations = read("store")
    replies = [
        reply for reply in await in_memory(operations) if not (isinstance(reply, dict) and "all" in reply)
    ]
    answers = [reply for asked, reply in zip(operations, replies, strict=True) if asked["do"] == guarded]
    refused = [
        reply
        for reply in answers
        if reply in (None, False) or (isinstance(reply, dict) and "raises" in reply)
    ]
    assert refused
    assert len(refused) < len(answers)
