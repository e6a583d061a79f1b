"""Which pass runs how often, and what its failure means. The only importer of APScheduler.

`app` gives it the passes, kicks them when something happened, and waits for `fatal`. A pass never runs
twice at once: what comes while it runs is one more run after it. APScheduler's tick, a kick and the
watchdog only ask; each pass has one runner that does. So neither a lost tick nor a wall clock that
steps can lose or double a pass.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum

from apscheduler.schedulers.asyncio import AsyncIOScheduler

from controller.telemetry import get_logger

_log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Pass:
    """Something to do again and again."""

    name: str
    interval: timedelta
    run: Callable[[], Awaitable[object]]
    timeout: timedelta | None = None
    """When a run that hangs is given up; the next one starts from the records."""


class PassEnd(StrEnum):
    """How one run of a pass ended."""

    DONE = "done"
    FAILED = "failed"
    TIMED_OUT = "timed-out"


Observer = Callable[[str, PassEnd, float], None]
"""Told the pass's name, how it ended and how many seconds it took; counts, and keeps the ages."""


def _unobserved(name: str, end: PassEnd, seconds: float) -> None:
    pass


class Timetable:
    """Runs passes on their intervals until stopped. All of them run at once at the start."""

    def __init__(
        self,
        passes: Sequence[Pass],
        *,
        observer: Observer = _unobserved,
        fatal: tuple[type[BaseException], ...] = (),
        monotonic: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        """Needs a running loop. ``fatal``: errors after which going on would be wrong."""
        self.fatal: asyncio.Future[BaseException] = asyncio.get_running_loop().create_future()
        """Resolved with the first error after which this process must end; nothing runs on by itself."""
        fatal = (*fatal, SystemExit, KeyboardInterrupt, MemoryError)
        self._runners = {each.name: _Runner(each, observer, monotonic, self._fail, fatal) for each in passes}
        if len(self._runners) != len(passes):
            raise ValueError("two passes have the same name")
        self._monotonic = monotonic
        self._sleep = sleep
        self._scheduler = AsyncIOScheduler(
            timezone=UTC,
            # By default a late run is skipped in silence.
            job_defaults={"misfire_grace_time": None, "coalesce": True, "max_instances": 1},
        )
        self._tasks: list[asyncio.Task[None]] = []
        self._watchdog: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin: every pass at once, then on its interval."""
        for runner in self._runners.values():
            self._scheduler.add_job(
                runner.tick,
                "interval",
                seconds=runner.what.interval.total_seconds(),
                id=runner.what.name,
                name=runner.what.name,
            )
            runner.ask()
            self._begin(runner.serve(), f"pass {runner.what.name}")
        self._scheduler.start()
        self._watchdog = self._begin(self._watch(), "timetable watchdog")

    async def stop(self, grace: timedelta = timedelta(seconds=5)) -> None:
        """Begin no more runs, let those under way end within the grace, then cancel them."""
        if self._watchdog is None:
            return
        self._watchdog.cancel()
        self._scheduler.pause()
        for runner in self._runners.values():
            runner.close()
        _, late = await asyncio.wait(self._tasks, timeout=grace.total_seconds())
        for task in late:
            _log.warning("pass cancelled", task=task.get_name())
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        # Only now: at once it would cancel a tick that is just due, and log that as an error.
        self._scheduler.shutdown(wait=False)
        self._watchdog = None

    def kick(self, name: str) -> None:
        """Run this pass now; if it is running, once more afterwards."""
        self._runners[name].ask()

    def _begin(self, work: Coroutine[None, None, None], name: str) -> asyncio.Task[None]:
        task = asyncio.create_task(work, name=name)
        task.add_done_callback(self._ended)
        self._tasks.append(task)
        return task

    def _ended(self, task: asyncio.Task[None]) -> None:
        """A task of ours that breaks would be a pass that never runs again, unnoticed."""
        if not task.cancelled() and (error := task.exception()) is not None:
            _log.critical("timetable broke", task=task.get_name(), exc_info=error)
            self._fail(error)

    def _fail(self, error: BaseException) -> None:
        if not self.fatal.done():
            self.fatal.set_result(error)

    async def _watch(self) -> None:
        """Start passes that are two intervals late by the monotonic clock.

        APScheduler keeps to the wall clock: when that steps back an hour, nothing is due for an hour.
        """
        shortest = min(runner.what.interval.total_seconds() for runner in self._runners.values())
        while True:
            await self._sleep(min(1.0, shortest))
            for runner in self._runners.values():
                if runner.late(self._monotonic()):
                    _log.warning("pass was late", name=runner.what.name, interval=runner.what.interval)
                    runner.ask()
                    # And anchor its timetable to the clock as it is now.
                    self._scheduler.modify_job(runner.what.name, next_run_time=_next(runner.what))


def _next(what: Pass) -> datetime:
    return datetime.now(UTC) + what.interval


class _Runner:
    """The one place that runs a pass: one run at a time, however many ask."""

    def __init__(
        self,
        what: Pass,
        observer: Observer,
        monotonic: Callable[[], float],
        fail: Callable[[BaseException], None],
        fatal: tuple[type[BaseException], ...],
    ) -> None:
        self.what = what
        self._observer = observer
        self._monotonic = monotonic
        self._fail = fail
        self._fatal = fatal
        self._asked = asyncio.Event()
        self._closed = False
        self._busy = False
        self._began = monotonic()

    async def tick(self) -> None:
        """The interval has passed. While the pass runs that means nothing: it is not late, it is long."""
        if not self._busy:
            self._asked.set()

    def ask(self) -> None:
        """Run it soon, once, however often this is said."""
        self._asked.set()

    def close(self) -> None:
        """Run it no more."""
        self._closed = True
        self._asked.set()

    def late(self, now: float) -> bool:
        """Whether it should have run by now, by more than an interval."""
        return not self._busy and now - self._began >= 2 * self.what.interval.total_seconds()

    async def serve(self) -> None:
        """Run it whenever it was asked for, until closed or broken beyond repair."""
        while True:
            await self._asked.wait()
            self._asked.clear()
            if self._closed:
                return
            self._busy, self._began = True, self._monotonic()
            try:
                end = await self._run()
            except self._fatal as error:
                _log.critical("pass ended the program", name=self.what.name, exc_info=error)
                self._fail(error)
                return
            finally:
                self._busy = False
            self._observer(self.what.name, end, self._monotonic() - self._began)

    async def _run(self) -> PassEnd:
        """One run. What may be different the next time is logged and counted; the rest is raised."""
        limit = self.what.timeout.total_seconds() if self.what.timeout else None
        try:
            async with asyncio.timeout(limit) as deadline:
                await self.what.run()
        except self._fatal:
            raise
        except asyncio.CancelledError as error:
            if (task := asyncio.current_task()) is None or task.cancelling():
                raise
            _log.error("pass failed", name=self.what.name, exc_info=error)  # what it waited for was cancelled
            return PassEnd.FAILED
        except Exception as error:  # noqa: BLE001 -- the tick's guard: a sick pass costs one run
            if isinstance(error, TimeoutError) and deadline.expired():
                _log.error("pass timed out", name=self.what.name, after=self.what.timeout)
                return PassEnd.TIMED_OUT
            _log.error("pass failed", name=self.what.name, exc_info=error)
            return PassEnd.FAILED
        return PassEnd.DONE
