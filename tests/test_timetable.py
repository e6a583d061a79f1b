"""The timetable: passes run at once, on time, one at a time; nothing that goes wrong is swallowed."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import datetime, timedelta, tzinfo

import apscheduler.schedulers.base
import apscheduler.triggers.interval
import pytest

from controller.timetable import Pass, PassEnd, Timetable

NEVER = timedelta(hours=10)
OFTEN = timedelta(seconds=0.05)

Start = Callable[..., Timetable]


class Watched:
    """A pass that notes its runs, and waits or fails as it is told."""

    def __init__(self) -> None:
        self.runs = 0
        self.at_once = 0
        self.most_at_once = 0
        self.gate = asyncio.Event()
        self.gate.set()
        self.error: BaseException | None = None
        self.ends: list[PassEnd] = []

    async def __call__(self) -> None:
        self.runs += 1
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            await self.gate.wait()
            if self.error is not None:
                raise self.error
        finally:
            self.at_once -= 1

    def ended(self, name: str, end: PassEnd, seconds: float) -> None:
        """The observer."""
        assert name == "watched"
        assert seconds >= 0
        self.ends.append(end)


async def until(true: Callable[[], bool], seconds: float = 5.0) -> None:
    """Wait until something is so."""
    async with asyncio.timeout(seconds):
        while not true():
            await asyncio.sleep(0.005)


@pytest.fixture
async def watched() -> Watched:
    """The pass under test."""
    return Watched()


@pytest.fixture
async def start(watched: Watched) -> AsyncIterator[Start]:
    """Starts a timetable of the one pass, and stops it after the test."""
    started: list[Timetable] = []

    def _start(
        interval: timedelta,
        timeout: timedelta | None = None,
        fatal: tuple[type[BaseException], ...] = (),
        monotonic: Callable[[], float] | None = None,
    ) -> Timetable:
        clock = asyncio.get_running_loop().time if monotonic is None else monotonic
        timetable = Timetable(
            [Pass("watched", interval, watched, timeout)],
            observer=watched.ended,
            fatal=fatal,
            monotonic=clock,
        )
        timetable.start()
        started.append(timetable)
        return timetable

    yield _start
    watched.gate.set()
    for timetable in started:
        await timetable.stop()


async def test_runs_at_once_and_then_on_its_interval(watched: Watched, start: Start) -> None:
    """The first run does not wait for an interval, the next ones do."""
    start(OFTEN)
    await until(lambda: watched.runs == 1, seconds=0.04)
    await until(lambda: watched.runs >= 4)
    assert set(watched.ends) == {PassEnd.DONE}


async def test_a_kick_runs_it_now(watched: Watched, start: Start) -> None:
    """What happened is not left waiting for the interval."""
    timetable = start(NEVER)
    await until(lambda: watched.runs == 1)
    timetable.kick("watched")
    await until(lambda: watched.runs == 2)
    await asyncio.sleep(0.05)
    assert watched.runs == 2


async def test_kicks_while_it_runs_are_one_more_run(watched: Watched, start: Start) -> None:
    """Never two at once; whatever comes meanwhile is seen by exactly one run afterwards."""
    watched.gate.clear()
    timetable = start(OFTEN)
    await until(lambda: watched.runs == 1)
    for _ in range(10):
        timetable.kick("watched")
        await asyncio.sleep(0.02)
    assert watched.runs == 1
    watched.gate.set()
    await until(lambda: watched.runs >= 2)
    assert watched.most_at_once == 1


async def test_a_long_run_is_not_followed_by_the_ticks_it_missed(watched: Watched, start: Start) -> None:
    """Intervals that pass during a run don't add up."""
    watched.gate.clear()
    start(timedelta(seconds=0.2))
    await until(lambda: watched.runs == 1)
    await asyncio.sleep(0.7)
    watched.gate.set()
    await until(lambda: len(watched.ends) == 1)
    await asyncio.sleep(0.02)
    assert watched.runs == 1


async def test_an_unknown_pass_cannot_be_kicked(start: Start) -> None:
    """A slip in a name is found at once."""
    timetable = start(NEVER)
    with pytest.raises(KeyError, match="wathced"):
        timetable.kick("wathced")


async def test_two_passes_of_one_name_are_refused() -> None:
    """One would hide the other."""

    async def nothing() -> None: ...

    with pytest.raises(ValueError, match="two passes have the same name"):
        Timetable([Pass("x", NEVER, nothing), Pass("x", OFTEN, nothing)])


async def test_a_pass_that_raises_is_counted_and_runs_again(watched: Watched, start: Start) -> None:
    """An unforeseen error costs one run, not the pass."""
    watched.error = RuntimeError("sick")
    timetable = start(OFTEN)
    await until(lambda: watched.ends.count(PassEnd.FAILED) >= 2)
    watched.error = None
    await until(lambda: PassEnd.DONE in watched.ends)
    assert not timetable.fatal.done()


async def test_a_pass_whose_wait_was_cancelled_runs_again(watched: Watched, start: Start) -> None:
    """Nobody cancelled the pass: what it waited for was, and the pass ran never again, unnoticed."""
    watched.error = asyncio.CancelledError()
    start(OFTEN)
    await until(lambda: watched.runs >= 2)
    watched.error = None
    await until(lambda: PassEnd.DONE in watched.ends)
    assert watched.ends[0] is PassEnd.FAILED


async def test_a_pass_that_hangs_is_given_up(watched: Watched, start: Start) -> None:
    """Past its timeout a run is cancelled and counted, and the next one comes."""
    watched.gate.clear()
    start(OFTEN, timeout=timedelta(seconds=0.05))
    await until(lambda: watched.ends.count(PassEnd.TIMED_OUT) >= 2)
    watched.gate.set()
    await until(lambda: PassEnd.DONE in watched.ends)
    assert watched.most_at_once == 1


async def test_a_timeout_inside_the_pass_is_the_passes_own(watched: Watched, start: Start) -> None:
    """Somebody's TimeoutError is a failure like any other, not ours."""
    watched.error = TimeoutError("the store's")
    start(NEVER, timeout=timedelta(seconds=60))
    await until(lambda: watched.ends == [PassEnd.FAILED])


@pytest.mark.parametrize(
    "error", [SystemExit(3), KeyboardInterrupt(), MemoryError(), LookupError("lost the lock")]
)
async def test_a_fatal_error_is_signalled(watched: Watched, start: Start, error: BaseException) -> None:
    """What must end the process reaches whoever waits for it, and the pass runs no more."""
    watched.error = error
    timetable = start(OFTEN, fatal=(LookupError,))
    async with asyncio.timeout(5):
        assert await timetable.fatal is error
    await asyncio.sleep(0.15)
    assert watched.runs == 1


async def test_an_observer_that_raises_is_fatal(watched: Watched, start: Start) -> None:
    """A pass that could not go on unnoticed must not stop unnoticed."""
    times = iter([0.0, 0.0])
    timetable = start(NEVER, monotonic=lambda: next(times))
    async with asyncio.timeout(5):
        assert isinstance(await timetable.fatal, RuntimeError)


async def test_a_clock_that_steps_back_does_not_stop_the_passes(
    watched: Watched, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    """APScheduler waits an hour when the wall clock steps back one; the watchdog does not."""
    start(OFTEN)
    await until(lambda: watched.runs >= 3)

    class AnHourAgo(datetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> "AnHourAgo":
            return super().now(tz) - timedelta(hours=1)

    for module in (apscheduler.schedulers.base, apscheduler.triggers.interval):
        monkeypatch.setattr(module, "datetime", AnHourAgo)
    monkeypatch.setattr("controller.timetable.datetime", AnHourAgo)
    before = watched.runs
    await until(lambda: watched.runs >= before + 8, seconds=3)


async def test_stop_lets_a_run_end(watched: Watched, start: Start) -> None:
    """A run under way may finish what it began; none begins after it."""
    watched.gate.clear()
    timetable = start(OFTEN)
    await until(lambda: watched.runs == 1)
    stopping = asyncio.create_task(timetable.stop())
    await asyncio.sleep(0.05)
    assert not stopping.done()
    watched.gate.set()
    await stopping
    assert watched.ends == [PassEnd.DONE]
    timetable.kick("watched")
    await asyncio.sleep(0.1)
    assert watched.runs == 1


async def test_stop_cancels_a_run_that_takes_too_long(watched: Watched, start: Start) -> None:
    """Beyond the grace a run is cancelled: the next process starts from the records."""
    watched.gate.clear()
    timetable = start(NEVER)
    await until(lambda: watched.runs == 1)
    await timetable.stop(grace=timedelta(seconds=0.05))
    assert watched.at_once == 0
    assert watched.ends == []


@pytest.mark.parametrize("turns", range(6))
async def test_stop_beside_a_tick_is_no_error(
    watched: Watched, start: Start, caplog: pytest.LogCaptureFixture, turns: int
) -> None:
    """A tick that is due at the very moment of the stop is let go by, whatever turn of the loop it is in."""
    timetable = start(OFTEN)
    await until(lambda: watched.runs >= 2)
    time.sleep(0.1)  # noqa: ASYNC251 -- the loop itself is late, so that a tick is due in its next turn
    for _ in range(turns):
        await asyncio.sleep(0)
    await timetable.stop()
    await asyncio.sleep(0.1)
    assert [record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR] == []


async def test_stop_without_a_start() -> None:
    """Stopping what never started is no error."""

    async def nothing() -> None: ...

    run: Callable[[], Awaitable[None]] = nothing
    await Timetable([Pass("x", NEVER, run)]).stop()
