"""The machine's clocks, as the engine wants them."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta

import pytest

from controller.adapters.system_clock import SystemClock
from controller.ports import Clock


async def test_it_is_a_clock() -> None:
    """Aware UTC, now; a monotonic clock that a sleep moves on by at least its length."""
    clock: Clock = SystemClock()
    assert clock.now().tzinfo is UTC
    assert abs(clock.now() - datetime.now(UTC)) < timedelta(minutes=1)
    before = clock.monotonic()
    await clock.sleep(0.02)
    assert clock.monotonic() - before >= 0.02


@pytest.mark.parametrize("seconds", [0.0, -5.0])
async def test_no_time_is_no_wait(seconds: float) -> None:
    """A moment that has passed already is not waited for."""
    clock = SystemClock()
    before = clock.monotonic()
    await clock.sleep(seconds)
    assert clock.monotonic() - before < 5


def test_it_goes_on_while_the_machine_is_suspended(monkeypatch: pytest.MonkeyPatch) -> None:
    """A list from before a suspension would look fresh after it, and a lease held."""
    seconds = {time.CLOCK_MONOTONIC: 5.0, time.CLOCK_BOOTTIME: 3605.0}
    monkeypatch.setattr(time, "clock_gettime", seconds.__getitem__)
    monkeypatch.setattr(time, "monotonic", lambda: seconds[time.CLOCK_MONOTONIC])
    assert SystemClock().monotonic() == 3605.0
