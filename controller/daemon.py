"""The daemon: who leads, which pass runs when, and what an event sets off. Decides nothing itself.

``app`` builds it; ``batchkeeper controller`` and ``batchkeeper run`` start it; the simulator runs it
under a virtual clock. Events (the cluster's, people's, a due time) put a batch on the agenda and a
worker gives it a pass; the full pass on its interval is the truth.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import TypeVar

from controller import lifecycle, reconcile
from controller.acting import let_expire
from controller.agenda import Agenda
from controller.core.copying import replace
from controller.core.sight import Hint, on_its_way, tells
from controller.ending import end_all
from controller.engine import Engine
from controller.expiries import CALM, LINGER
from controller.places import hold_for_places
from controller.ports import BatchkeeperError, Clock, Journal, StaleEpoch, Unavailable
from controller.posts import LAST_ANSWERS

WORKERS = 4
"""Batches that get their pass side by side after events."""
_Hint = TypeVar("_Hint")

CUT_OFF = "timed-out"
"""The result of a pass that did not come to its end: its time limit cut it off."""
COMPANY = 0.25
"""Seconds for which the news that an object is there, or runs, waits for others to share a pass with."""
MOST_REST = 0.1
"""Seconds for which a batch rests after a pass, or as long as that took, while creates are under way: few
passes with much to do cost less than many."""
HINT_PAUSE = 1.0
"""Seconds before a broken stream of hints is asked for again; the full pass goes on meanwhile."""


@dataclass(slots=True)
class Daemon:
    """One controller. ``lead`` first, then its passes; ``follow_events`` until it is cancelled."""

    engine: Engine
    agenda: Agenda = field(default_factory=Agenda)
    offset: float | None = None
    """Wall minus monotonic clock, in seconds, at the last full pass."""
    after_pass: Callable[[], Awaitable[None]] | None = None
    """Called after every full pass; the status files and gauges are brought up to date there."""
    trouble: str = "no pass has gone through yet"
    """Why the last full pass decided nothing; empty: it went through."""
    cannot_lead: str = ""
    """Why it could not begin when it was elected last; empty: it could, or somebody else has led since."""
    newest_epoch: int = 0
    """The newest that it has minted, or read while it stood by."""
    stepped_down: asyncio.Event = field(default_factory=asyncio.Event)
    """Set while it does not lead after having led."""
    _rested: float = -math.inf
    """The monotonic instant at which the last pass after an event ended."""
    _one_at_a_time: asyncio.Lock = field(default_factory=asyncio.Lock)

    def __post_init__(self) -> None:
        self.engine.good_at = {}
        self.engine.looks.ended_late = self.agenda.everything
        self.engine.again = self.agenda.add
        self.engine.later = self._later
        self.engine.posts.none_left = self.agenda.wake

    # ------------------------------------------------------------------------------- leadership

    @property
    def clock(self) -> Clock:
        """The engine's."""
        return self.engine.clock

    @property
    def journal(self) -> Journal:
        """The engine's."""
        return self.engine.journal

    def look_soon(self) -> None:
        """A full pass is wanted soon: it has just begun to lead."""
        self.agenda.everything()

    async def lead(self, who: str) -> int:
        """Mint an epoch and stamp everything with it before anything is decided (R12)."""
        self.cannot_lead = ""
        try:
            return await self._lead(who)
        except BatchkeeperError as error:
            self.cannot_lead = str(error)
            raise

    async def _lead(self, who: str) -> int:
        engine = self.engine
        engine.looks.break_off()  # of an earlier lead
        await engine.posts.break_off()
        engine.counts.clear()
        engine.forget_refills()
        self.newest_epoch = epoch = await engine.store.next_epoch(who)
        await engine.store.stamp(epoch)
        await hold_for_places(engine)
        await engine.read_clock()
        for batch in await engine.store.batches(closed=False):
            await engine.store.recount(batch.id)
        engine.epoch = epoch
        self.stepped_down.clear()
        engine.journal.gauge("leader", 1)
        engine.journal.said("leading", epoch=epoch, who=who)
        return epoch

    def step_down(self, why: str) -> None:
        """Stop deciding. The process goes on; requests are still served."""
        if self.engine.epoch:
            self.engine.epoch = 0
            self.engine.looks.break_off()
            self.stepped_down.set()
            self.engine.journal.gauge("leader", 0)
            self.engine.journal.said("stepped-down", why=why)

    # ------------------------------------------------------------------------------------ passes

    async def full_pass(self) -> int:
        """Look at everything, from one list; returns the steps taken. Unavailable: nothing decided."""
        async with self._one_at_a_time:
            return await self._full_pass()

    async def _full_pass(self) -> int:
        engine, started, began = self.engine, self.engine.clock.monotonic(), self.engine.now()
        if not engine.epoch:
            engine.news.clear()  # nobody here looks at it; who begins to lead looks at everything
            await self._ask_store()
            return 0  # somebody else decides
        engine.trusted_clock = self._clock_is_steady()
        result, steps, self.trouble = CUT_OFF, 0, ""
        try:
            await self._doubt_places()
            steps = await reconcile.all_batches(engine)
            await self._note_good_pass()
            await self._set_alarms(began)
            if self.after_pass:
                await self.after_pass()
            result = "ok"
        except Unavailable as error:
            result, self.trouble = "unavailable", str(error)
            engine.journal.trouble("full pass", error)
        except StaleEpoch as error:
            result, self.trouble = "stale-epoch", str(error)
            self.step_down(str(error))
        except Exception as error:
            result, self.trouble = "failed", f"{type(error).__name__}: {error}"
            raise
        finally:
            engine.journal.passed("full", result, engine.clock.monotonic() - started, steps)
        return steps

    @property
    def saw(self) -> bool:
        """Whether the last full pass saw anything of what there is to see."""
        return bool(self.engine.listed) or not self.engine.unseen

    async def _doubt_places(self) -> None:
        """Where gates were set back under a running leader, its next claim meets a slot that is taken: what a
        new leader would do is done then, once for each time. A leader that is one no more leaves it alone."""
        engine = self.engine
        if engine.places_doubted and await engine.store.epoch() <= engine.epoch:
            await hold_for_places(engine)
            engine.places_doubted = False

    async def _ask_store(self) -> None:
        """Find out whether requests can be answered here: a standby has no pass that would tell. One that was
        elected and could not begin is none, until somebody has: a newer epoch tells."""
        self.trouble = ""
        try:
            newest = await self.engine.store.epoch()
            if newest > self.newest_epoch:
                self.newest_epoch, self.cannot_lead = newest, ""
            if self.cannot_lead:
                self.trouble = f"elected, and can't take the lead: {self.cannot_lead}"
        except Unavailable as error:
            self.trouble = str(error)
            self.engine.journal.trouble("standing by", error)

    def _clock_is_steady(self) -> bool:
        """False on the first pass and after a step of the wall clock: then nothing is reaped (E11).

        The good pass that follows records the step forward as blind time, which never counts.
        """
        clock = self.engine.clock
        offset = clock.now().timestamp() - clock.monotonic()
        skew = self.engine.settings.clock_skew.total_seconds()
        steady = self.offset is not None and abs(offset - self.offset) <= skew
        if self.offset is not None and not steady:
            self.engine.journal.said("clock-stepped", seconds=round(offset - self.offset, 1))
        self.offset = offset
        return steady

    async def _note_good_pass(self) -> None:
        """In each namespace that it saw completely: what nobody could see is not reaped for it (R10)."""
        engine, names = self.engine, self.engine.listed
        await engine.store.note_good_pass(await engine.read_clock(), reconcile.longest_silence(engine), names)
        engine.good_at = (engine.good_at or {}) | dict.fromkeys(names, engine.clock.monotonic())

    async def _set_alarms(self, began: datetime) -> None:
        for batch in await self.engine.store.batches(closed=False):
            await self._set_alarm(batch.id, began)

    async def _set_alarm(self, batch_id: str, began: datetime) -> None:
        """Put the batch on the agenda again when something of it falls due by itself.

        Or has, since the pass began: it may have looked before that.
        """
        self._set_pace(batch_id)
        seconds = await reconcile.next_wake(self.engine, batch_id, began)
        if seconds is not None:
            self._wake(batch_id, seconds)

    def _set_pace(self, batch_id: str) -> None:
        """Put the batch on the agenda again when the next submission may go out."""
        pace = self.engine.pacer.seconds_until_one(self.clock.monotonic())
        if pace > 0:
            self._wake(batch_id, pace * (1 + 0.2 * self.engine.jitter(self.engine.new_token())))

    def _wake(self, batch_id: str, seconds: float) -> None:
        if seconds < self.engine.settings.interval.total_seconds():
            self.agenda.at(batch_id, self.engine.clock.monotonic() + max(0.02, seconds))

    async def repair_pass(self) -> int:
        """Finish retry lifecycles that were left unfinished; any process may (E4)."""
        try:
            return len(await lifecycle.repair(self.engine))
        except Unavailable as error:
            self.engine.journal.trouble("repair", error)
            return 0

    async def batch_pass(self, batch_id: str, focus: frozenset[str] | None) -> int:
        """One batch, because of an event."""
        engine, started, began = self.engine, self.engine.clock.monotonic(), self.engine.now()
        if not engine.epoch:
            return 0
        result, steps = CUT_OFF, 0
        try:
            steps = await reconcile.one_batch(engine, batch_id, focus)
            if focus is None:  # a record that stands in line for a time comes with a hint of its own
                await self._set_alarm(batch_id, began)
            else:
                self._set_pace(batch_id)
            result = "ok"
        except Unavailable as error:
            result = "unavailable"
            engine.journal.trouble("batch pass", error, batch=batch_id)
        except StaleEpoch as error:
            result = "stale-epoch"
            self.step_down(str(error))
        except Exception:
            result = "failed"
            raise
        finally:
            engine.journal.passed("batch", result, engine.clock.monotonic() - started, steps)
        return steps

    # ------------------------------------------------------------------------------------ events

    async def follow_events(self) -> None:
        """Hints from the cluster and from people, due times, and the workers; until cancelled.

        A stream that breaks is asked for again, and a pass that fails costs itself. Anything else that is
        unforeseen ends the process: a daemon with a dead ear would be right, and fifteen seconds late.
        """
        parts = [
            self._listen(self.engine.cluster.changes, self._cluster_says, "cluster"),
            self._listen(self.engine.store.requests, self._people_say, "store"),
            self._keep_time(),
            self._let_go(),
            *(self._work() for _ in range(WORKERS)),
        ]
        tasks = [asyncio.create_task(part) for part in parts]
        self.engine.expiries.served = self.engine.posts.beside = True
        try:
            ended, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
            for task in ended:
                task.result()
        finally:
            self.engine.expiries.served = self.engine.posts.beside = False
            await end_all(tasks)
            await self.engine.posts.break_off(LAST_ANSWERS)
            await self.engine.looks.close()

    async def _listen(
        self, stream: Callable[[], AsyncIterator[_Hint]], heard: Callable[[_Hint], None], whose: str
    ) -> None:
        while True:
            try:
                async for hint in stream():
                    heard(hint)
            except BatchkeeperError as error:
                self.engine.journal.trouble(f"hints of the {whose}", error)
            await self.engine.clock.sleep(HINT_PAUSE)
            self.agenda.everything()

    def _cluster_says(self, hint: Hint) -> None:
        if not hint.batch_id:
            self.agenda.everything()
        elif hint.job is None or not hint.job_id:
            self._gone(hint)
        else:
            news = self.engine.news.setdefault(hint.batch_id, {})
            before, news[hint.job_id] = news.get(hint.job_id), hint.job
            if before is not None and tells(before) == tells(hint.job):
                return
            focus = frozenset({hint.job_id})
            if on_its_way(before, hint.job):
                self._later(hint.batch_id, focus)
            else:
                self.agenda.add(hint.batch_id, focus)

    def _later(self, batch_id: str, focus: frozenset[str]) -> None:
        self.agenda.later(batch_id, focus, self.clock.monotonic() + COMPANY)

    def _gone(self, hint: Hint) -> None:
        """What was shown is there no more, or only its name is occupied: a live look is to tell."""
        news, seen = self.engine.news.setdefault(hint.batch_id, {}), self.engine.seen
        last = news.get(hint.job_id) or (seen.jobs.get(hint.job_id) if seen else None)
        if last is not None:
            news[hint.job_id] = replace(last, tombstone=True)
        self.agenda.add(hint.batch_id, frozenset({hint.job_id}) if last is not None else None)

    def _people_say(self, batch_id: str) -> None:
        if batch_id:
            self.agenda.add(batch_id, None)
        else:
            self.agenda.everything()

    async def _keep_time(self) -> None:
        while True:
            wait = self.agenda.ring(self.engine.clock.monotonic())
            await self.agenda.changed_or(wait, self.engine.clock)

    async def _let_go(self) -> None:
        """Ended objects get their times to live between the passes: the next jobs go first."""
        engine = self.engine
        while True:
            await engine.expiries.noted.wait()
            for batch_id in engine.expiries.batches():
                with engine.guarded(f"expiries:{batch_id}"):
                    try:
                        await self._let_go_of(batch_id)
                    except StaleEpoch as error:
                        self.step_down(str(error))

    async def _let_go_of(self, batch_id: str) -> None:
        """A few at a time, each of them once; the oldest as soon as it has waited long enough."""
        engine, left = self.engine, self.engine.expiries.held(batch_id)
        while left > 0:
            await self._calm(batch_id)
            async with engine.locks[batch_id]:
                pass  # the pass under way gives their places to others, and is not to share the cluster
            if not engine.epoch:
                engine.expiries.forget()
                return
            left -= engine.settings.concurrency
            if error := await let_expire(engine, batch_id, engine.settings.concurrency):
                engine.journal.trouble("expiry", error, batch=batch_id)
                return

    async def _calm(self, batch_id: str) -> None:
        """Wait until nobody seems to wait for the cluster, or until one has been noted for long enough.

        In a rush what only tidies up costs those who wait for a place the cluster's and the processor's time.
        """
        while (oldest := self.engine.expiries.oldest(batch_id)) is not None:
            now = self.clock.monotonic()
            calm = CALM if self.agenda.busy or self.engine.posts else self._rested + CALM - now
            wait = min(calm, oldest + LINGER - now)
            if wait <= 0:
                return
            await self.clock.sleep(wait)

    async def _work(self) -> None:
        while True:
            batch_id, focus = await self.agenda.take()
            began = self.clock.monotonic()
            try:
                # A pass that fails costs itself: ended by it, the process would fail again at each start.
                with self.engine.guarded(f"pass:{batch_id or 'all'}"):
                    if batch_id:
                        await self.batch_pass(batch_id, focus)
                    else:
                        await self.full_pass()
            finally:
                self._rested = now = self.clock.monotonic()
                if batch_id and self.engine.posts:
                    self.agenda.rest(batch_id, now + min(MOST_REST, now - began))
                else:
                    self.agenda.done(batch_id)
