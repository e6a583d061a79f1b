"""Calls at the ports are timed: by name and by how they ended."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any, cast

import pytest

from controller.ports import Cluster, Rejected, Store, Unavailable
from controller.telemetry import Metrics
from controller.telemetry.timed import opening, timed_cluster, timed_records, timed_store


class Port:
    """A port with one call of each kind."""

    scheduler_type = "tested"

    async def epoch(self) -> int:
        """A call that is answered."""
        return 7

    async def observe(self, namespaces: list[str]) -> None:
        """A call that is not."""
        raise Unavailable("away")

    async def create(self, job: object) -> None:
        """A call that is refused."""
        raise Rejected("no", 403)

    async def changes(self) -> AsyncIterator[int]:
        """A stream."""
        yield 1

    def new_id(self) -> str:
        """A plain method."""
        return "id"


def exposed(metrics: Metrics) -> str:
    """All metrics as text."""
    return metrics.exposition()[0].decode()


async def test_a_store_call_is_one_observation() -> None:
    """The answer comes through, and the call is counted under its own name."""
    metrics = Metrics()
    store = timed_store(cast(Store, cast(Any, Port())), metrics)
    assert (await store.epoch(), store.new_id()) == (7, "id")
    assert 'batchkeeper_store_op_seconds_count{op="epoch"} 1.0' in exposed(metrics)
    assert 'op="new_id"' not in exposed(metrics)


async def test_a_call_that_found_no_store_is_counted_apart() -> None:
    """Whichever it was: the outage is one series, and no name's latency is that of a time limit."""
    metrics = Metrics()
    store: Any = timed_store(cast(Store, cast(Any, Port())), metrics)
    with pytest.raises(Unavailable):
        await store.observe(["a"])
    text = exposed(metrics)
    assert 'batchkeeper_store_op_seconds_count{op="unavailable"} 1.0' in text
    assert 'op="observe"' not in text


async def test_calls_to_ee2_s_records_are_timed_alike() -> None:
    """Whoever keeps EE2's records sees its database's latency and outages, too."""
    metrics = Metrics()
    records = timed_records(Port(), metrics)
    assert await records.epoch() == 7
    with pytest.raises(Unavailable):
        await records.observe(["a"])
    text = exposed(metrics)
    assert 'batchkeeper_store_op_seconds_count{op="epoch"} 1.0' in text
    assert 'batchkeeper_store_op_seconds_count{op="unavailable"} 1.0' in text


def test_a_store_that_cannot_be_opened_is_counted() -> None:
    """While it is away at the start there is no port yet that could be timed."""
    metrics = Metrics()
    with pytest.raises(Unavailable), opening(metrics):
        raise Unavailable("away")
    assert 'batchkeeper_store_op_seconds_count{op="unavailable"} 1.0' in exposed(metrics)


async def test_a_cluster_call_is_counted_by_how_it_ended() -> None:
    """Unavailable and rejected are told apart, and raised on; streams pass through."""
    metrics = Metrics()
    cluster = timed_cluster(cast(Cluster, cast(Any, Port())), metrics)
    with pytest.raises(Unavailable):
        await cluster.observe(["a"])
    with pytest.raises(Rejected):
        await cluster.create(cast(Any, None))
    assert [cast(Any, hint) async for hint in cluster.changes()] == [1]
    assert cluster.scheduler_type == "tested"
    text = exposed(metrics)
    for verb, code in (("observe", "unavailable"), ("create", "rejected")):
        assert f'_count{{code="{code}",resource="jobs",verb="{verb}"}} 1.0' in text
