"""Looks at the cluster that people cause where nobody leads: each is a list of everything in a namespace."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Any

from controller.core.sight import Observation
from controller.explaining import explanation_of_batch
from controller.ports import Unavailable
from tests.api.place import place


class Lists:
    """A cluster with nothing in it, whose lists take as long as ``answers`` is not set."""

    def __init__(self) -> None:
        self.asked = list[str]()
        self.answers = asyncio.Event()
        self.trouble = ""

    async def observe(self, namespaces: list[str]) -> Observation:
        """One list."""
        self.asked += namespaces
        at = asyncio.get_running_loop().time()
        await self.answers.wait()
        if self.trouble:
            raise Unavailable(self.trouble)
        return Observation(at, frozenset(namespaces))


async def test_who_asks_while_a_list_is_read_waits_for_that_one(
    tmp_path: Path, mongo_uri: str, mongo_database: str
) -> None:
    """Twenty explanations at once are one list, also one that fails; each had its own, all in memory."""
    cluster: Any = Lists()
    async with place(tmp_path, mongo_uri, mongo_database, cluster=cluster) as here:
        batch = await here.submit()
        for trouble in ("the API server is away", ""):
            cluster.trouble = trouble
            path = f"/api/v1/batches/{batch.id}/explain"
            answers = [asyncio.create_task(here.ada.get(path)) for _ in range(20)]
            await asyncio.sleep(0.5)
            cluster.answers.set()
            found = {answer.body["cause"] == "blind" for answer in await asyncio.gather(*answers)}
            cluster.answers.clear()
            assert found == {bool(trouble)}
        assert cluster.asked == ["default", "default"]


async def test_a_look_at_one_namespace_forgets_no_other(
    tmp_path: Path, mongo_uri: str, mongo_database: str
) -> None:
    """Whoever looked at two in turns had all of each read anew every time."""
    cluster: Any = Lists()
    cluster.answers.set()
    async with place(tmp_path, mongo_uri, mongo_database, cluster=cluster) as here:
        batch = await here.submit()
        assert here.api.context.world
        for namespace in ("default", "lab", "default", "lab"):
            there = replace(batch, namespace=namespace)
            await explanation_of_batch(here.api.context.world.engine, there, fresh=False)
        assert cluster.asked == ["default", "lab"]
