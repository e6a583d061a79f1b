"""The composition root for EE2's own records (``store.layout: ee2``): desk, commands' parts, the daemon.

Called by the command line, as ``app`` is for Batchkeeper's records. Nothing is decided here.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from controller import arenas
from controller.adapters.cancel_command import CancelCommand
from controller.adapters.cancel_url import CancelUrl
from controller.adapters.mongo_ee2 import MongoEe2, open_ee2
from controller.adapters.mongod import database_uri
from controller.adapters.state_lock import StateLock
from controller.adapters.system_clock import SystemClock
from controller.api import rpc
from controller.clusters import LOCAL, open_ground
from controller.config import Settings
from controller.core.reaping import Reaper
from controller.ee2.desk import Ee2Desk, Figures
from controller.ee2.keeper import Keeper
from controller.ending import END, end_all, on_signals
from controller.health import Health
from controller.http import HttpServer, make_http_app
from controller.leading import LedByAnother, stand
from controller.ports import BatchkeeperError, Elector, Unavailable
from controller.ports.ee2 import Canceller
from controller.telemetry import Metrics, get_logger
from controller.telemetry.journal import TelemetryJournal
from controller.telemetry.timed import opening, timed_records
from controller.timetable import Pass, PassEnd, Timetable

NO_RPC = "store.layout is ee2: this daemon only keeps EE2's records; call EE2 itself"
"""What clients of EE2 are told that come here."""
AGAIN = 5.0
"""Seconds between two tries to reach a store that is away at the start."""
ONCE_PATIENCE = 2.0
"""Lease durations for which ``--once`` waits to be elected."""


@dataclass(frozen=True, slots=True)
class Running:
    """A daemon that is up."""

    settings: Settings
    keeper: Keeper
    elector: Elector
    health: Health
    metrics: Metrics


def figures_of(settings: Settings) -> Figures:
    """The passes' figures out of the operator's."""
    reap = settings.reap
    return Figures(
        reaper=Reaper(
            created_after=reap.created_after,
            queued_after=reap.queued_after,
            running_after=reap.running_after,
        ),
        repair_after=settings.store.ee2.repair_after,
        clock_skew=settings.lifecycle.clock_skew,
        interval=settings.reconcile.interval,
        claim_term=settings.store.ee2.cancel.timeout + timedelta(seconds=30),
        budget=settings.reconcile.pass_timeout / 2,
    )


def canceller_of(settings: Settings) -> Canceller | None:
    """The configured hook; None: there is none."""
    hook = settings.store.ee2.cancel
    if hook.command:
        return CancelCommand(hook.command, hook.timeout)
    return CancelUrl(hook.url, hook.timeout) if hook.url else None


@contextlib.asynccontextmanager
async def open_desk(
    settings: Settings, *, metrics: Metrics | None = None, writes: bool = False
) -> AsyncIterator[Ee2Desk]:
    """What the passes work with. ``writes``: our own collection is made ready, and indexes where allowed.

    Raises ``BatchkeeperError`` with one clear line when it can't be had.
    """
    async with contextlib.AsyncExitStack() as stack:
        uri = await stack.enter_async_context(_database(settings))
        store = settings.store
        with opening(metrics):
            records = await open_ee2(
                uri, store.database, store.ee2.collection, store.ee2.own_collection, store.timeout
            )
        stack.push_async_callback(records.close)
        if writes:
            await _prepare(records, settings)
        journal = TelemetryJournal(metrics or Metrics(), get_logger("ee2"))
        if metrics is not None:
            records = timed_records(records, metrics)
        yield Ee2Desk(records, canceller_of(settings), SystemClock(), journal, figures_of(settings))


def _database(settings: Settings) -> contextlib.AbstractAsyncContextManager[str]:
    store = settings.store
    say = get_logger("mongod").warning
    return database_uri(
        store.uri.get_secret_value(), settings.state_dir, store.mongod.binary, store.mongod.cache_mb, say
    )


async def _prepare(records: MongoEe2, settings: Settings) -> None:
    await records.prepare(indexes=settings.store.ee2.create_indexes)


# -------------------------------------------------------------------------------------- the daemon


async def run_controller(settings: Settings, *, once: bool = False, stop: asyncio.Event | None = None) -> int:
    """The daemon over EE2's records until ``stop`` is set (the signals of ``END`` set it); the exit code.

    ``once``: one pass of everything. Raises ``BatchkeeperError`` when it can't start.
    """
    stop = stop or asyncio.Event()
    arenas.set_up()
    on_signals(END, lambda _: stop.set())
    metrics, health, clock = Metrics(), Health(first_pass="reap"), SystemClock()
    metrics.config_read(True)
    async with contextlib.AsyncExitStack() as stack:
        if settings.cluster.kind == LOCAL:
            lock = StateLock(settings.state_dir)
            lock.acquire()
            stack.callback(lock.release)
        if settings.http.enabled and not once:
            app = make_http_app(health, metrics, clock.monotonic)
            rpc.refuse(app, NO_RPC)
            http = HttpServer(app, settings.http.host, settings.http.port)
            await http.start()
            stack.push_async_callback(http.stop)
        ground = await stack.enter_async_context(open_ground(settings, metrics))
        desk = await _patient_desk(settings, metrics, health, stop, stack)
        if desk is None:
            return 0
        running = Running(settings, Keeper(desk), ground.elector, health, metrics)
        return await (_one_of_each(running) if once else _until(stop, running))


async def _patient_desk(
    settings: Settings,
    metrics: Metrics,
    health: Health,
    stop: asyncio.Event,
    stack: contextlib.AsyncExitStack,
) -> Ee2Desk | None:
    """The desk; a database that is away is waited for, and /readyz says so (O7). None: told to stop."""
    while not stop.is_set():
        try:
            desk = await stack.enter_async_context(open_desk(settings, metrics=metrics, writes=True))
        except Unavailable as error:
            health.store_failed(str(error))
            get_logger("ee2").warning("waiting to start", error=str(error), again_in_seconds=AGAIN)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), AGAIN)
        else:
            health.store_answered()
            return desk
    return None


async def _one_of_each(running: Running) -> int:
    """``--once``: the reaper twice, for its first pass only finds out whether time can be trusted.

    Raises ``BatchkeeperError`` while another process leads, and when nothing was decided.
    """
    elector, keeper = running.elector, running.keeper
    patience = ONCE_PATIENCE * running.settings.kubernetes.lease.duration.total_seconds()
    try:
        await asyncio.wait_for(elector.acquire(), patience)
    except TimeoutError:
        raise LedByAnother("another daemon leads: leave the pass to it, or end it and ask again") from None
    try:
        await keeper.lead(elector.identity)
        await keeper.repair_pass()
        for _ in range(2):
            if not keeper.unrepaired and not keeper.trouble:  # a second one alone would trust no time
                await keeper.reap_pass()
        if why := keeper.unrepaired or keeper.trouble:
            raise BatchkeeperError(f"nothing was decided: {why}; ask again once that is mended")
        return 0
    finally:
        keeper.step_down("its one pass is over")
        await elector.release()


async def _until(stop: asyncio.Event, running: Running) -> int:
    """Passes on their intervals and the election, until told to stop or a part of it dies."""

    def observe(name: str, end: PassEnd, seconds: float) -> None:
        health.beat(name, monotonic())
        if end is not PassEnd.DONE:
            running.metrics.pass_failed()

    health, elector = running.health, running.elector
    monotonic, passes = running.keeper.clock.monotonic, _passes(running)
    health.election(lambda: elector.trouble)
    for one in passes:
        health.expect_pass(one.name, one.interval, one.timeout, monotonic())
    timetable = Timetable(passes, observer=observe)
    office = asyncio.create_task(stand(running.keeper, elector, health.leads), name="office")
    ended = asyncio.create_task(stop.wait(), name="stop")
    timetable.start()
    try:
        ends: list[asyncio.Future[Any]] = [ended, office, timetable.fatal]
        await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        if stop.is_set():
            return 0
        if office.done():
            office.result()
        raise timetable.fatal.result()
    finally:
        ended.cancel()
        await timetable.stop()
        await end_all([office])
        await asyncio.gather(ended, return_exceptions=True)


def _passes(running: Running) -> list[Pass]:
    settings, keeper, health = running.settings, running.keeper, running.health

    async def reap() -> None:
        await keeper.reap_pass()
        if keeper.trouble:
            health.store_failed(keeper.trouble)
        else:
            health.store_answered()
            health.pass_succeeded("reap", keeper.clock.monotonic())

    patience = settings.reconcile.pass_timeout
    return [
        Pass("repair", settings.repair.interval, keeper.repair_pass, patience),
        Pass("reap", settings.reconcile.interval, reap, patience + settings.store.ee2.cancel.timeout),
    ]
