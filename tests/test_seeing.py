"""How long a namespace was not seen: from good looks, and from when somebody wanted to see it."""

from __future__ import annotations

from types import SimpleNamespace
from typing import cast

import pytest

from controller.app import Running, tell_gauges
from controller.core.model import Batch
from controller.core.sight import Observation
from controller.ports import Unavailable
from controller.seeing import Seeing
from controller.telemetry import Metrics


def test_an_idle_controller_is_not_blind() -> None:
    """Without open batches nothing is looked at, and nothing is too old."""
    seeing = Seeing()
    assert seeing.age({}, 1000) == 0
    seeing.want({"lab"}, 10)
    seeing.want((), 20)
    assert seeing.age({"lab": 15}, 1000) == 0


def test_a_namespace_counts_from_its_first_batch() -> None:
    """The good look of last week, before the namespace lay idle, says nothing about now."""
    seeing = Seeing()
    seeing.want({"lab"}, 1000)
    assert seeing.age({"lab": 5}, 1030) == 30
    assert seeing.age({"lab": 1025}, 1030) == 5


def test_the_one_that_was_not_seen_for_longest_decides() -> None:
    """One namespace that can't be listed is not hidden by the others that can."""
    seeing = Seeing()
    seeing.want({"lab", "blind"}, 0)
    seeing.want({"lab", "blind"}, 50)
    assert seeing.age({"lab": 99}, 100) == 100


class Away:
    """A store that is away, or whose answer comes when this process leads no more."""

    def __init__(self, engine: SimpleNamespace, error: Exception | None) -> None:
        self._engine = engine
        self._error = error

    async def batches(self, *, closed: bool) -> list[Batch]:
        """Nobody answers; or it takes so long that the lead is lost."""
        if self._error:
            raise self._error
        self._engine.epoch = 0
        return []

    async def gates(self, ids: list[str]) -> dict[str, object]:
        """None."""
        return {}


def running(error: Exception | None, seeing: Seeing) -> Running:
    """A leader since 0 that saw its namespace at 100, whose store is so; it is 160."""
    seen = Observation(100.0, frozenset({"lab"}))
    engine = SimpleNamespace(epoch=1, seen=seen, clock=SimpleNamespace(monotonic=lambda: 160.0))
    engine.store = Away(engine, error)
    seeing.want({"lab"}, 0)
    return cast(Running, SimpleNamespace(parts=SimpleNamespace(engine=engine), seeing=seeing))


def age_told(metrics: Metrics) -> bool:
    """Whether the exposition says that what is known is a minute old."""
    return 'cache_age_seconds{resource="jobs"} 60.0' in metrics.exposition()[0].decode()


async def test_the_age_is_told_while_the_store_is_away() -> None:
    """The alarm about a stale view must not stand still with the store that it waits for."""
    metrics = Metrics()
    with pytest.raises(Unavailable):
        await tell_gauges(running(Unavailable("away"), Seeing()), metrics)
    assert age_told(metrics)


async def test_who_has_lost_the_lead_meanwhile_tells_nothing() -> None:
    """What it read is the next leader's to tell; the gauges that went with the lead do not come back."""
    metrics, seeing = Metrics(), Seeing()
    await tell_gauges(running(None, seeing), metrics)
    assert seeing.age({}, 200) == 200, "it did not say what it wants to see"
