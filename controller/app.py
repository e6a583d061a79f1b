"""The composition root: the one place that knows every adapter and turns settings into a program.

Called by the command line. Nothing is decided here; parts are made, wired, started and stopped.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

from controller import arenas
from controller.adapters.spec_directory_names import is_spec as is_spec
from controller.adapters.state_lock import StateLock
from controller.adapters.system_clock import SystemClock
from controller.api.application import Api
from controller.clusters import LOCAL
from controller.collector import YOUNG_EVERY, Sweeper, short_pauses
from controller.config import Settings
from controller.core.model import Batch, Gate
from controller.core.view import View
from controller.daemon import Daemon
from controller.ending import END, on_signals
from controller.health import Health
from controller.http import HttpServer, ServerLimits, make_http_app
from controller.leading import LedByAnother, retire, stand
from controller.parts import Parts as Parts
from controller.parts import cheap_view as cheap_view
from controller.parts import engine_settings as engine_settings
from controller.parts import open_parts as open_parts
from controller.ports import BatchkeeperError, Clock, Unavailable
from controller.reading import read_spec_file as read_spec_file
from controller.seeing import Seeing
from controller.serving import LaterReviewer, api_of, world_of
from controller.spec_stores import SpecStores, Watched, spec_stores
from controller.telemetry import Metrics, get_logger
from controller.telemetry.journal import TelemetryJournal
from controller.teller import Teller
from controller.tellers import tell_last, teller_of, telling_passes
from controller.timetable import Pass, PassEnd, Timetable

ONCE_PATIENCE = 2.0
"""Lease durations for which ``--once`` waits to be elected."""
LEAVE_IT = "another daemon leads: leave the pass to it, or end it and ask again"
STORE_PATIENCE = (1.0, 2.0, 5.0, 10.0, 15.0)
"""Seconds between two tries to reach a store that is away at the start; the last one repeats."""


# -------------------------------------------------------------------------------------- the daemon


@dataclass(frozen=True, slots=True)
class Running:
    """A daemon that is up: its parts, and where its HTTP port is (empty: off).

    ``page``: the URL that lets whoever started it in, once.
    """

    parts: Parts
    daemon: Daemon
    specs: SpecStores
    teller: Teller
    url: str
    page: str = ""
    seeing: Seeing = field(default_factory=Seeing)
    """How old what it knows of the cluster is."""


async def run_controller(
    settings: Settings,
    *,
    once: bool = False,
    stop: asyncio.Event | None = None,
    ready: Callable[[Running], None] | None = None,
    told: Callable[[signal.Signals], object] = lambda number: None,
) -> int:
    """The daemon until ``stop`` is set (the signals of ``END`` set it); ``once``: one pass of everything.

    Returns the exit code; ``told`` hears of each signal. Raises ``BatchkeeperError`` when it can't start, or
    when the one pass decided nothing.
    """
    stop = stop or asyncio.Event()
    arenas.set_up()

    def end(number: signal.Signals) -> None:
        told(number)
        stop.set()

    on_signals(END, end)
    metrics, health = Metrics(), Health()
    metrics.config_read(True)
    clock = SystemClock()
    async with contextlib.AsyncExitStack() as stack:
        if settings.cluster.kind == LOCAL:
            lock = StateLock(settings.state_dir)
            lock.acquire()
            stack.callback(lock.release)
        api, url, reviewer = None, "", LaterReviewer()
        if settings.http.enabled and not once:
            api, url = await _serve(settings, health, metrics, clock, reviewer, stack)
        parts = await _patient_parts(settings, metrics, health, stop, stack)
        if parts is None:
            return 0
        running = _assemble(parts, url)
        if api is not None:
            reviewer.found = parts.reviewer
            api.open(world_of(parts))
            running = replace(running, page=api.page(url))
        if once:
            return await _one_of_each(running)
        with short_pauses():
            return await _until(stop, running, health, metrics, ready)


async def _serve(
    settings: Settings,
    health: Health,
    metrics: Metrics,
    clock: Clock,
    reviewer: LaterReviewer,
    stack: contextlib.AsyncExitStack,
) -> tuple[Api, str]:
    """The port is served before the store is there: /readyz tells what is waited for."""
    app = make_http_app(health, metrics, clock.monotonic)
    api = api_of(settings, clock, reviewer)
    api.install(app)
    limits = ServerLimits(connections=settings.api.connections)
    http = HttpServer(app, settings.http.host, settings.http.port, limits=limits)
    await http.start()
    stack.push_async_callback(http.stop)
    stack.push_async_callback(api.close)
    if (page := api.page(http.url)) != http.url:
        get_logger("app").info("open the page", url=page)
    return api, http.url


async def _patient_parts(
    settings: Settings,
    metrics: Metrics,
    health: Health,
    stop: asyncio.Event,
    stack: contextlib.AsyncExitStack,
) -> Parts | None:
    """The parts; a store or a cluster that is away is waited for, as /readyz says (O7). None: told to end."""
    log = get_logger("app")
    tries = 0
    journal = TelemetryJournal(metrics)
    while not stop.is_set():
        try:
            parts = await stack.enter_async_context(
                open_parts(settings, journal=journal, metrics=metrics, leads=True)
            )
        except Unavailable as error:
            health.store_failed(str(error))
            wait = STORE_PATIENCE[min(tries, len(STORE_PATIENCE) - 1)]
            log.warning("waiting to start", error=str(error), again_in_seconds=wait)
            tries += 1
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), wait)
        else:
            health.store_answered()
            return parts
    return None


def _assemble(parts: Parts, url: str) -> Running:
    daemon = Daemon(parts.engine)

    teller = teller_of(parts)

    async def view(batch: Batch, gate: Gate) -> View:
        return await cheap_view(parts, batch, gate)

    specs = spec_stores(parts, view, on_batch=lambda batch_id: daemon.agenda.add(batch_id, None))
    return Running(parts, daemon, specs, teller, url)


async def _one_of_each(running: Running) -> int:
    """``--once``: the specs until they have settled, and twice over the batches: a first pass reaps nothing,
    it finds out for how long nobody looked.

    Raises ``BatchkeeperError`` while another process leads, and when nothing was decided.
    """
    elector = running.parts.elector
    patience = ONCE_PATIENCE * running.parts.settings.kubernetes.lease.duration.total_seconds()
    try:
        await asyncio.wait_for(elector.acquire(), patience)
    except TimeoutError:
        raise LedByAnother(LEAVE_IT) from None
    try:
        await running.daemon.lead(elector.identity)
        await _passes(running)
        return 0
    finally:
        running.daemon.step_down("its one pass is over")
        await running.daemon.engine.looks.close()
        await elector.release()


async def _passes(running: Running) -> None:
    daemon = running.daemon
    await running.specs.settle(running.parts.clock.sleep)
    for _ in range(2):
        await daemon.full_pass()
        if not daemon.engine.epoch:
            raise LedByAnother(LEAVE_IT)
    why = daemon.trouble or ("" if daemon.saw else "the cluster did not list its jobs in time")
    await daemon.repair_pass()
    await running.specs.tell_all()
    for channel in running.teller.channels:
        await running.teller.tell(channel)
    if why:
        raise BatchkeeperError(f"nothing was decided: {why}; ask again once that is mended")


async def _until(
    stop: asyncio.Event,
    running: Running,
    health: Health,
    metrics: Metrics,
    ready: Callable[[Running], None] | None,
) -> int:
    daemon = running.daemon

    def observe(name: str, end: PassEnd, seconds: float) -> None:
        health.beat(name, monotonic())
        if end is not PassEnd.DONE:
            metrics.pass_failed()

    monotonic, passes = running.parts.clock.monotonic, _timed_passes(running, health, metrics)
    timetable = Timetable(passes, observer=observe)
    for one in passes:
        health.expect_pass(one.name, one.interval, one.timeout, monotonic())
    health.election(lambda: running.parts.elector.trouble)
    events = asyncio.create_task(daemon.follow_events(), name="events")
    office = asyncio.create_task(stand(daemon, running.parts.elector, health.leads), name="office")
    timetable.start()
    if ready:
        ready(running)
    ended = asyncio.create_task(stop.wait(), name="stop")
    try:
        ends: list[asyncio.Future[Any]] = [ended, events, office, timetable.fatal]
        await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        if stop.is_set():
            await tell_last(running.teller)
            return 0
        _raise_why([events, office], timetable)
        return 1
    finally:
        ended.cancel()
        await timetable.stop()
        await retire(events, office)
        await asyncio.gather(events, office, ended, return_exceptions=True)


def _timed_passes(running: Running, health: Health, metrics: Metrics) -> list[Pass]:
    """What is done on its interval. Specs are the leader's: of several replicas one takes them in."""
    settings, daemon, clock = running.parts.settings, running.daemon, running.parts.clock

    async def full() -> None:
        await daemon.full_pass()
        if daemon.trouble:
            health.store_failed(daemon.trouble)
        else:
            health.store_answered()
            if daemon.saw:  # else it went on without the lists, which are still under way
                health.pass_succeeded("reconcile", clock.monotonic())

    async def gauges() -> None:
        with contextlib.suppress(Unavailable):  # the full pass says so
            await tell_gauges(running, metrics)

    interval, patience = settings.reconcile.interval, settings.reconcile.pass_timeout
    return [
        Pass("reconcile", interval, full, patience),
        Pass("repair", settings.repair.interval, daemon.repair_pass, patience),
        Pass("gauges", interval, gauges, patience),
        Pass("collector", YOUNG_EVERY, Sweeper().sweep),
        *telling_passes(running.teller, patience),
        *(one for store in running.specs.each for one in _store_passes(store, daemon, patience)),
    ]


def _store_passes(store: Watched, daemon: Daemon, patience: timedelta) -> list[Pass]:
    """Taking in and telling, of one watched store."""

    async def scan() -> None:
        if daemon.engine.epoch:
            await store.specs.scan()

    async def statuses() -> None:
        with contextlib.suppress(Unavailable):
            if daemon.engine.epoch:
                await store.specs.tell_all()

    end = f"-{store.name}" if store.name else ""
    return [
        Pass(f"specs{end}", store.interval, scan, patience),
        Pass(f"status{end}", store.interval, statuses, patience),
    ]


def _raise_why(parts: Sequence[asyncio.Task[None]], timetable: Timetable) -> None:
    """The process ends because a part of it died: say which, loudly."""
    for part in parts:
        if part.done() and not part.cancelled() and (error := part.exception()) is not None:
            raise error
    if timetable.fatal.done():
        raise timetable.fatal.result()


async def tell_gauges(running: Running, metrics: Metrics) -> None:
    """The leader's gauges, from the gates and the cached counts; no safety rule reads them.

    Of several replicas one tells them: those of another would stand still when it is cut off. A standby lets
    go of what it counted for batches, while it led or for somebody's request, like a leader after their end.
    """
    engine = running.parts.engine
    if not engine.epoch:
        running.seeing.want((), engine.clock.monotonic())
        metrics.unfinished_batches((), engine.clock.monotonic())
        return
    # First, for it is of most interest while the store is away.
    seen = engine.seen
    seen_at = {name: seen.asked_for(name) for name in seen.namespaces} if seen else {}
    metrics.cache_age("jobs", running.seeing.age(seen_at, engine.clock.monotonic()))
    batches = await engine.store.batches(closed=False)
    gates = await engine.store.gates([batch.id for batch in batches])
    if not engine.epoch:
        return  # it has stepped down meanwhile
    now = engine.clock.monotonic()
    running.seeing.want({batch.namespace for batch in batches}, now)
    metrics.unfinished_batches(batches, now)
    for batch in batches:
        gate = gates.get(batch.id)
        if gate is None:
            continue
        metrics.batch_gauge("active_jobs", batch.id, len(gate.holders))
        metrics.batch_gauge("max_concurrent", batch.id, gate.max)
        metrics.batch_gauge("foreign_active_jobs", batch.id, len(gate.foreign))
        waiting = sum(n for status, n in batch.counts.status.items() if status == "waiting")
        metrics.batch_gauge("waiting_jobs", batch.id, waiting)


def daemon_is_there(settings: Settings) -> bool | None:
    """Whether a daemon holds this state folder now; for commands that leave something to it.

    None: nobody here can tell, for on a cluster whoever leads may be anywhere.
    """
    if settings.cluster.kind != LOCAL:
        return None
    return StateLock(settings.state_dir).held()
