"""The composition root: the one place that knows every adapter and turns settings into a program.

Called by the command line. Nothing is decided here; parts are made, wired, started and stopped.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import secrets
import signal
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, replace
from typing import Any

from controller import reconcile
from controller.adapters.local_processes import LocalProcesses
from controller.adapters.mongo import open_store
from controller.adapters.mongod import database_uri
from controller.adapters.spec_directory import SpecDirectory
from controller.adapters.state_lock import StateLock
from controller.adapters.system_clock import SystemClock
from controller.allowance import allowance_of
from controller.config import Settings
from controller.core.decide import Lifecycle
from controller.core.model import Batch, Gate
from controller.core.reaping import Reaper
from controller.core.sharing import Limits
from controller.core.view import UNLIMITED, View
from controller.daemon import Daemon
from controller.engine import Engine, EngineSettings
from controller.health import Health
from controller.http import HttpServer, make_http_app
from controller.looking import look
from controller.ports import Clock, Cluster, Journal, Store, Unavailable
from controller.reading import read_spec_file as read_spec_file
from controller.reading import reader_of
from controller.requests import People
from controller.spec_pass import SpecPass
from controller.telemetry import Metrics, get_logger
from controller.telemetry.journal import TelemetryJournal
from controller.telemetry.timed import timed_cluster, timed_store
from controller.timetable import Pass, PassEnd, Timetable

STORE_PATIENCE = (1.0, 2.0, 5.0, 10.0, 15.0)
"""Seconds between two tries to reach a store that is away at the start; the last one repeats."""


@dataclass(frozen=True, slots=True)
class Parts:
    """Everything that a command works with."""

    settings: Settings
    store: Store
    cluster: Cluster
    clock: Clock
    engine: Engine
    journal: Journal
    people: People


# --------------------------------------------------------------------------------------- the parts


def engine_settings(settings: Settings) -> EngineSettings:
    """The engine's figures out of the operator's."""
    reap, life = settings.reap, settings.lifecycle
    reaper = Reaper(
        created_after=reap.created_after,
        queued_after=reap.queued_after,
        running_after=reap.running_after,
    )
    return EngineSettings(
        life=Lifecycle(hold=life.open_create_hold, ttl=life.finished_ttl, reaper=reaper),
        interval=settings.reconcile.interval,
        repair_after=settings.repair.after,
        clock_skew=life.clock_skew,
        limits=Limits(
            total=settings.limits.total,
            per_namespace=settings.limits.per_namespace,
            per_user=settings.limits.per_user,
        ),
        rate=settings.submission.rate,
        burst=settings.submission.burst,
        concurrency=settings.submission.concurrency,
    )


def spread(job_id: str) -> float:
    """A number in [0, 1) for an attempt's id, the same each time: retries are spread, yet repeatable."""
    return int.from_bytes(hashlib.sha256(job_id.encode()).digest()[:4], "big") / 2**32


@contextlib.asynccontextmanager
async def open_parts(
    settings: Settings, *, journal: Journal | None = None, metrics: Metrics | None = None
) -> AsyncIterator[Parts]:
    """Store, cluster and engine for one command; the last user of our own mongod stops it.

    ``metrics``: what times every call at the ports; None: nobody asks.
    Raises ``BatchkeeperError`` with one clear line when a part can't be had.
    """
    async with contextlib.AsyncExitStack() as stack:
        mongod = settings.store.mongod
        configured = settings.store.uri.get_secret_value()
        say = get_logger("mongod").warning
        own = database_uri(configured, settings.state_dir, mongod.binary, mongod.cache_mb, say)
        uri = await stack.enter_async_context(own)
        store = await open_store(uri, settings.store.database, settings.store.timeout)
        stack.push_async_callback(store.close)
        journal = journal or TelemetryJournal(metrics or Metrics())
        yield _parts(settings, store, journal, metrics, stack)


def _parts(
    settings: Settings,
    store: Store,
    journal: Journal,
    metrics: Metrics | None,
    stack: contextlib.AsyncExitStack,
) -> Parts:
    clock = SystemClock()
    cluster: Cluster = LocalProcesses.from_settings(settings)
    stack.push_async_callback(cluster.close)
    if metrics is not None:
        store, cluster = timed_store(store, metrics), timed_cluster(cluster, metrics)
    engine = Engine(
        cluster=cluster,
        store=store,
        clock=clock,
        journal=journal,
        settings=engine_settings(settings),
        jitter=spread,
        new_token=lambda: secrets.token_hex(8),
    )
    people = People(store, clock, settings.max_retries)
    return Parts(settings, store, cluster, clock, engine, journal, people)


async def view_of(parts: Parts, batch: Batch, gate: Gate | None = None) -> View:
    """A fresh view of one batch for ``explain`` and dry runs; reads only.

    The records are read before the list is asked for, as in a pass (R11). Raises ``Unavailable``.
    """
    engine = parts.engine
    gate = gate or (await engine.store.gates([batch.id])).get(batch.id) or Gate(batch.id, 0)
    read_at = engine.clock.monotonic()
    records = (read_at, await engine.store.jobs([holder.job for holder in gate.holders]))
    observation = await engine.cluster.observe([batch.namespace])
    engine.seen = engine.seen if engine.epoch else observation
    scene = await reconcile.scene_of(engine, await reconcile.open_batches(engine))
    allowance = await allowance_of(engine, batch, gate)
    return await look(engine, batch, gate, replace(scene, observation=observation), allowance, records)


async def cheap_view(parts: Parts, batch: Batch, gate: Gate) -> View:
    """The view as the leader's last list shows it: for the status files, without another list."""
    engine = parts.engine
    scene = await reconcile.scene_of(engine, [batch])
    scene = replace(scene, observation=engine.seen)
    return await look(engine, batch, gate, scene, UNLIMITED)


# -------------------------------------------------------------------------------------- the daemon


@dataclass(frozen=True, slots=True)
class Running:
    """A daemon that is up: its parts, and where its HTTP port is (empty: off)."""

    parts: Parts
    daemon: Daemon
    specs: SpecPass
    url: str


async def run_controller(
    settings: Settings,
    *,
    once: bool = False,
    stop: asyncio.Event | None = None,
    ready: Callable[[Running], None] | None = None,
) -> int:
    """The daemon until ``stop`` is set (SIGTERM and SIGINT set it); ``once``: one pass of everything.

    Returns the exit code. Raises ``BatchkeeperError`` when it can't start.
    """
    stop = stop or asyncio.Event()
    _end_on_signals(stop)
    metrics, health = Metrics(), Health()
    metrics.config_read(True)
    clock = SystemClock()
    lock = StateLock(settings.state_dir)
    lock.acquire()
    async with contextlib.AsyncExitStack() as stack:
        stack.callback(lock.release)
        url = "" if once else await _serve(settings, health, metrics, clock, stack)
        parts = await _patient_parts(settings, metrics, health, stop, stack)
        if parts is None:
            return 0
        running = _assemble(parts, url)
        await running.daemon.lead(f"{os.uname().nodename}:{os.getpid()}")
        health.leads(True)
        if once:
            return await _one_of_each(running)
        return await _until(stop, running, health, metrics, ready)


def _end_on_signals(stop: asyncio.Event) -> None:
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        with contextlib.suppress(NotImplementedError, RuntimeError):
            loop.add_signal_handler(number, stop.set)


async def _serve(
    settings: Settings,
    health: Health,
    metrics: Metrics,
    clock: Clock,
    stack: contextlib.AsyncExitStack,
) -> str:
    if not settings.http.enabled:
        return ""
    http = HttpServer(make_http_app(health, metrics, clock.monotonic), settings.http.host, settings.http.port)
    await http.start()
    stack.push_async_callback(http.stop)
    return http.url


async def _patient_parts(
    settings: Settings,
    metrics: Metrics,
    health: Health,
    stop: asyncio.Event,
    stack: contextlib.AsyncExitStack,
) -> Parts | None:
    """The parts; a store that is away is waited for, and /readyz says so (O7). None: told to stop."""
    log = get_logger("app")
    tries = 0
    journal = TelemetryJournal(metrics)
    while not stop.is_set():
        try:
            parts = await stack.enter_async_context(open_parts(settings, journal=journal, metrics=metrics))
        except Unavailable as error:
            health.store_failed(str(error))
            wait = STORE_PATIENCE[min(tries, len(STORE_PATIENCE) - 1)]
            log.warning("store unavailable", error=str(error), again_in_seconds=wait)
            tries += 1
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), wait)
        else:
            health.store_answered()
            return parts
    return None


def _assemble(parts: Parts, url: str) -> Running:
    settings, daemon = parts.settings, Daemon(parts.engine)
    source = SpecDirectory(settings.specs.folder, parts.clock.monotonic)
    settings.specs.folder.mkdir(parents=True, exist_ok=True)

    async def view(batch: Batch, gate: Gate) -> View:
        return await cheap_view(parts, batch, gate)

    specs = SpecPass(
        parts.engine,
        source,
        reader_of(settings),
        view,
        on_batch=lambda batch_id: daemon.agenda.add(batch_id, None),
    )
    return Running(parts, daemon, specs, url)


async def _one_of_each(running: Running) -> int:
    """``--once``: twice over the specs, since a file counts only when two looks found it the same.

    And twice over the batches: a first pass reaps nothing, it finds out for how long nobody looked.
    """
    for _ in range(2):
        await running.specs.scan()
    for _ in range(2):
        await running.daemon.full_pass()
    await running.daemon.repair_pass()
    await running.specs.tell_all()
    return 0


async def _until(
    stop: asyncio.Event,
    running: Running,
    health: Health,
    metrics: Metrics,
    ready: Callable[[Running], None] | None,
) -> int:
    settings, daemon, clock = running.parts.settings, running.daemon, running.parts.clock

    def observe(name: str, end: PassEnd, seconds: float) -> None:
        if end is not PassEnd.DONE:
            metrics.pass_failed()

    async def full() -> None:
        await daemon.full_pass()
        if daemon.trouble:
            health.store_failed(daemon.trouble)
        else:
            health.store_answered()
            health.pass_succeeded("reconcile", clock.monotonic())

    async def gauges() -> None:
        with contextlib.suppress(Unavailable):  # the full pass says so
            await tell_gauges(running, metrics)

    async def statuses() -> None:
        with contextlib.suppress(Unavailable):
            await running.specs.tell_all()

    interval, patience = settings.reconcile.interval, settings.reconcile.pass_timeout
    timetable = Timetable(
        [
            Pass("reconcile", interval, full, patience),
            Pass("repair", settings.repair.interval, daemon.repair_pass, patience),
            Pass("specs", settings.specs.interval, running.specs.scan, patience),
            Pass("status", settings.specs.interval, statuses, patience),
            Pass("gauges", interval, gauges, patience),
        ],
        observer=observe,
    )
    events = asyncio.create_task(daemon.follow_events(), name="events")
    timetable.start()
    if ready:
        ready(running)
    ended = asyncio.create_task(stop.wait(), name="stop")
    try:
        ends: list[asyncio.Future[Any]] = [ended, events, timetable.fatal]
        await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        if stop.is_set():
            return 0
        _raise_why(events, timetable)
        return 1
    finally:
        ended.cancel()
        await timetable.stop()
        events.cancel()
        await asyncio.gather(events, ended, return_exceptions=True)
        daemon.step_down("this process ends")


def _raise_why(events: asyncio.Task[None], timetable: Timetable) -> None:
    """The process ends because a part of it died: say which, loudly."""
    if events.done() and not events.cancelled() and (error := events.exception()) is not None:
        raise error
    if timetable.fatal.done():
        raise timetable.fatal.result()


async def tell_gauges(running: Running, metrics: Metrics) -> None:
    """The contract's gauges, from the gates and the cached counts; no safety rule reads them."""
    engine = running.parts.engine
    batches = await engine.store.batches(closed=False)
    gates = await engine.store.gates([batch.id for batch in batches])
    now = engine.clock.monotonic()
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
    if engine.seen:
        metrics.cache_age("jobs", now - engine.seen.asked)


def daemon_is_there(settings: Settings) -> bool:
    """Whether a daemon holds this state folder now; for commands that leave something to it."""
    return StateLock(settings.state_dir).held()
