"""Logs that people ask for: each is some requests to the API server, of which the jobs' own need most."""

from __future__ import annotations

import asyncio
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from controller.api.context import LOG_BURST, LOGS_AT_ONCE
from tests.api.place import Place, place


class Slow:
    """A cluster whose logs take as long as ``answers`` is not set; and how many were asked for."""

    def __init__(self) -> None:
        self.asked = self.at_once = self.most = 0
        self.answers = asyncio.Event()

    async def get(self, *args: Any) -> Any:
        """The Job is there."""
        self.asked += 1
        return SimpleNamespace(job=SimpleNamespace())

    async def log_tail(self, *args: Any) -> str:
        """As its kubelet likes."""
        self.at_once += 1
        self.most = max(self.most, self.at_once)
        await self.answers.wait()
        self.at_once -= 1
        return "a line\n"


async def asked(here: Place, cluster: Slow, n: int) -> list[int]:
    """The statuses of so many requests of ada at the same moment, of which some have to wait."""
    _, (job, *_) = await here.failed()
    path = f"/api/v1/jobs/{job.id}/log"
    answers = [asyncio.create_task(here.ada.get(path)) for _ in range(n)]
    async with asyncio.timeout(30):
        while cluster.at_once < LOGS_AT_ONCE:
            await asyncio.sleep(0.01)
    cluster.answers.set()
    return [answer.status for answer in await asyncio.gather(*answers)]


async def test_a_few_are_read_at_a_time(tmp_path: Path, mongo_uri: str, mongo_database: str) -> None:
    """A kubelet that hangs holds no more of the client than a few logs; whoever waits gets theirs."""
    cluster: Any = Slow()
    async with place(tmp_path, mongo_uri, mongo_database, cluster=cluster) as here:
        assert set(await asked(here, cluster, LOG_BURST)) == {200}
        assert cluster.most == LOGS_AT_ONCE


async def test_one_user_does_not_take_the_api_server_from_the_jobs(
    tmp_path: Path, mongo_uri: str, mongo_database: str
) -> None:
    """Past a burst and a pace of their own they are told to wait; others still read theirs."""
    cluster: Any = Slow()
    async with place(tmp_path, mongo_uri, mongo_database, cluster=cluster) as here:
        statuses = await asked(here, cluster, 5 * LOG_BURST)
        assert set(statuses) == {200, 429}
        assert cluster.asked == statuses.count(200) < 2 * LOG_BURST
        _, (job, *_) = await here.failed("other", user="bob")
        assert (await here.bob.get(f"/api/v1/jobs/{job.id}/log")).status == 200
        told = await here.ada.get(f"/api/v1/jobs/{job.id}/log")
        assert told.status == 404, "who may not see it learns nothing by being told to wait"
