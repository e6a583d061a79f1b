"""Many jobs over the API: pages are followed, ids go in portions, and a watch ends with its batch."""

from __future__ import annotations

from typing import Any

import pytest

from controller.cli import api_orders, api_records
from controller.cli.api_client import Client, _Got
from controller.core.model import Status, Verdict
from tests.cli.two_ways import TwoWays


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    """Pages of two and portions of two; the requests that were made."""
    monkeypatch.setattr(api_records, "ON_A_PAGE", 2)
    monkeypatch.setattr(api_orders, "AT_ONCE", 2)
    asked: list[tuple[str, str]] = []
    once = Client._once

    async def noted(self: Client, method: str, path: str, *more: Any) -> _Got:
        asked.append((method, path))
        return await once(self, method, path, *more)

    monkeypatch.setattr(Client, "_once", noted)
    return asked


async def test_a_batch_is_retried_in_portions(ways: TwoWays, small: list[tuple[str, str]]) -> None:
    """Every failed task of every page once, those with another verdict not, answers in spec order."""
    _, jobs = await ways.here.failed()
    await ways.here.end(jobs[3:4], Status.ERROR, Verdict.OUT_OF_MEMORY)
    answers = await ways.json("retry --batch sweep --verdict mount-failure --as-admin")
    assert [one["name"] for one in answers] == ["sweep-1", "sweep-2", "sweep-3", "sweep-5"]
    assert small.count(("POST", "jobs/retry")) == 2
    assert small.count(("GET", "jobs")) == 3
    again = await ways.api("retry --batch sweep --verdict mount-failure --as-admin")
    assert (again.code, again.out) == (0, "")
    assert "no task of sweep has failed as mount-failure and waits for a retry" in again.err


async def test_what_was_answered_before_a_portion_failed_is_told(
    ways: TwoWays, small: list[tuple[str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those ids are done; whoever asks again finds them refused."""
    batch, _ = await ways.here.failed()
    once = Client._once

    async def away(self: Client, method: str, path: str, *more: Any) -> _Got:
        if small.count(("POST", "jobs/retry")) == 1 and method == "POST":
            return _Got(503, "text/html", b"", "")
        return await once(self, method, path, *more)

    monkeypatch.setattr(Client, "_once", away)
    told = await ways.api("retry --batch sweep --as-admin")
    assert told.code == 1
    assert "the first 2 of 5 ids were answered before this" in told.err
    children = [job for job in await ways.here.jobs(batch) if job.attempt]
    assert len(children) == 2


async def test_now_hurries_what_waits_out_its_back_off(ways: TwoWays) -> None:
    """Over the API too: the retry that is recorded loses its due time, and no second one is made."""
    batch, jobs = await ways.here.failed(tasks=2)
    await ways.json(f"retry {jobs[0].id} --as-admin")
    later = {"$set": {"not_before": jobs[0].inserted.replace(year=9000)}}
    await ways.here.store._jobs.update_one({"name": "sweep-1-r1"}, later)
    answers = await ways.json("retry --batch sweep --now --as-admin")
    assert [one["did"].partition(" ")[0] for one in answers] == ["sweep-1-r1", "attempt"]
    names = {job.name: job for job in await ways.here.jobs(batch)}
    assert names["sweep-1-r1"].not_before is None
    assert set(names) == {"sweep-1", "sweep-1-r1", "sweep-2", "sweep-2-r1"}


async def test_a_list_is_followed_to_its_limit(ways: TwoWays, small: list[tuple[str, str]]) -> None:
    """No page is left out, and no more is asked for than is shown."""
    for name in ("a", "b", "c", "d", "e"):
        await ways.here.submit(name)
    assert len(await ways.json("list")) == 5
    assert small.count(("GET", "batches")) == 3
    assert len(await ways.json("list --limit 3")) == 3
    assert small.count(("GET", "batches")) == 5


async def test_a_watch_ends_with_its_batch(ways: TwoWays) -> None:
    """A line says how it ended; the batch was cancelled over the API before."""
    await ways.here.failed()
    closed = {"$set": {"batch_status": "cancelled"}}
    await ways.here.store._jobs.update_one({"name": "sweep", "batch_job": True}, closed)
    told = await ways.api("status sweep --watch")
    assert (told.code, told.out.partition(":")[0]) == (0, "sweep cancelled")
