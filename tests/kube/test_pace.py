"""The pace of requests, by a clock that the test turns."""

from __future__ import annotations

import asyncio

import pytest

from controller.adapters.kube_pace import Pace
from controller.ports import Unavailable


class Time:
    """A clock that a sleep turns forward."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        """Seconds."""
        return self.now

    async def sleep(self, seconds: float) -> None:
        """Pass at once."""
        self.now += seconds


def paced(time: Time, rate: float = 10, burst: int = 3, patience: float = 5) -> Pace:
    """A pace by that clock."""
    return Pace(rate, burst, patience, time, time.sleep)


async def test_a_burst_and_then_the_rate() -> None:
    """So many go out at once, the others evenly; after a quiet time there may be a burst again."""
    time = Time()
    pace = paced(time)
    went = []
    for _ in range(5):
        await pace.turn()
        went.append(round(time.now - 100, 3))
    assert went == [0, 0, 0, 0.1, 0.2]
    time.now += 60
    await pace.turn()
    await pace.turn()
    assert time.now == pytest.approx(160.2)


async def test_turns_are_given_in_order() -> None:
    """Whoever asked first goes first, though the sleep of one before them ends late."""
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)
        await asyncio.sleep(0.01 if len(slept) == 6 else 0)

    real = Pace(1, 1, 60, lambda: 100.0, sleep)
    went: list[int] = []

    async def one(number: int) -> None:
        await real.turn()
        went.append(number)

    await asyncio.gather(*(one(number) for number in range(20)))
    assert len(slept) == 19
    assert went == list(range(20))


async def test_nobody_stands_in_line_for_ever() -> None:
    """A turn that would come too late is refused at once, and takes no place in line."""
    time = Time()
    pace = Pace(1, 1, 2.5, time, lambda seconds: asyncio.sleep(0))
    for _ in range(3):
        await pace.turn()
    for _ in range(2):
        with pytest.raises(Unavailable, match=r"raise kubernetes\.rate"):
            await pace.turn()
    time.now += 1
    await pace.turn()


async def test_quiet_is_kept() -> None:
    """Nothing goes out before the silence is over; of two silences the longer one counts."""
    time = Time()
    pace = paced(time)
    told = [pace.quiet]
    pace.keep_quiet(3, 429)
    pace.keep_quiet(1, 429)
    told.append(pace.quiet)
    await pace.turn()
    assert time.now == 103
    assert [*told, pace.quiet] == ["", "the API server answered 429 and asked to be left alone", ""]


async def test_a_long_silence_is_told() -> None:
    """Nobody waits longer than their patience, and no answer silences the client for more than a minute."""
    time = Time()
    pace = paced(time)
    pace.keep_quiet(86_400, 503)
    with pytest.raises(Unavailable, match="answered 503 and asked to be left alone for another 60 s"):
        await pace.turn()
    time.now += 60
    await pace.turn()
    assert time.now == 160
