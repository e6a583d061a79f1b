"""The ends of logs that no kubelet tells: each job is held up for a minute, however many they are."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import pytest

from controller.adapters import kube_logs
from controller.adapters.kube_client import KubeClient
from controller.adapters.kube_logs import PATIENCE, Logs
from controller.core.sight import ClusterJob
from controller.ports import Unavailable

JOBS = [ClusterJob(f"scan-{n}", "lab", f"u-{n}", f"job-{n}", "b", pod=f"p-{n}") for n in range(10_000)]


class Cut:
    """An API server that lists pods, and reaches no kubelet."""

    async def request(self, *_: object, **__: object) -> dict[str, Any]:
        """No pods, for all that matters."""
        return {"items": []}

    async def read_end(self, path: str, *_: object, **__: object) -> bytes:
        """Nobody tells."""
        raise Unavailable(f"GET {path}: dial tcp: no route to host")


async def test_many_are_not_waited_for_for_ever_either() -> None:
    """More than were remembered asked in turn, and each was forgotten before its minute was over."""
    now = 50.0
    logs = Logs(cast("KubeClient", Cut()), lambda: now)
    for job in JOBS:
        with pytest.raises(Unavailable):
            await logs.tail(job, 100)
    now += PATIENCE
    assert [await logs.tail(job, 100) for job in JOBS] == [""] * len(JOBS)
    assert not logs._since


async def test_whose_turn_does_not_come_is_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    """A whole batch stood in the line behind kubelets that say nothing; its own has not been asked yet."""
    go_on = asyncio.Event()

    class Silent(Cut):
        async def read_end(self, path: str, *_: object, **__: object) -> bytes:
            await go_on.wait()
            return b"here"

    monkeypatch.setattr(kube_logs, "LINE", 0.05)
    logs = Logs(cast("KubeClient", Silent()))
    asked = [asyncio.create_task(logs.tail(job, 100)) for job in JOBS[: kube_logs.AT_ONCE + 1]]
    with pytest.raises(Unavailable, match="32 other logs"):
        await asked[-1]
    assert not logs._since
    go_on.set()
    assert await asyncio.gather(*asked[:-1]) == ["here"] * kube_logs.AT_ONCE
    assert await logs.tail(JOBS[0], 100) == "here"
