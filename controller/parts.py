"""The parts that every command works with: store, cluster, engine, people; and views made from them.

The composition root's first half; ``app`` makes a daemon of them.
"""

from __future__ import annotations

import contextlib
import hashlib
import secrets
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace

from controller import reconcile
from controller.adapters.mongo import MongoStore, open_store
from controller.adapters.mongod import database_uri
from controller.adapters.system_clock import SystemClock
from controller.allowance import allowance_of
from controller.clusters import Ground, open_ground
from controller.config import Settings
from controller.core.decide import Lifecycle
from controller.core.model import Batch, Gate
from controller.core.plan import Block, block
from controller.core.reaping import Reaper
from controller.core.sharing import Limits
from controller.core.view import UNLIMITED, View
from controller.engine import Engine, EngineSettings
from controller.looking import look
from controller.ports import (
    BatchkeeperError,
    Clock,
    Cluster,
    Desk,
    Elector,
    EventWriter,
    Journal,
    SpecSource,
    Store,
    TokenReviewer,
)
from controller.requests import People
from controller.telemetry import Metrics, get_logger
from controller.telemetry.journal import TelemetryJournal
from controller.telemetry.timed import opening, timed_store

EE2 = "ee2"
NOT_IN_EE2 = (
    "store.layout is ee2: EE2's records know no batch specs, places or submission of ours; there are "
    "'batchkeeper controller', 'repair', 'reap' and 'list --quarantined'"
)


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
    elector: Elector
    desk: Desk | None = None
    """The store as the API sees it; None: it is not asked so."""
    reviewer: TokenReviewer | None = None
    """Who can say whose a token of the cluster is."""
    config_maps: SpecSource | None = None
    """The ConfigMaps that hold specs; None: none do."""
    events: EventWriter | None = None
    """Who can write Events into the cluster."""


def engine_settings(settings: Settings) -> EngineSettings:
    """The engine's figures out of the operator's."""
    reap, life = settings.reap, settings.lifecycle
    reaper = Reaper(
        created_after=reap.created_after,
        queued_after=reap.queued_after,
        running_after=reap.running_after,
    )
    return EngineSettings(
        life=Lifecycle(
            hold=life.open_create_hold,
            ttl=life.finished_ttl,
            no_pod_after=life.no_pod_after,
            unreachable_after=life.unreachable_after,
            reaper=reaper,
        ),
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
    settings: Settings,
    *,
    journal: Journal | None = None,
    metrics: Metrics | None = None,
    leads: bool = False,
) -> AsyncIterator[Parts]:
    """Store, cluster and engine for one command; the last user of our own mongod stops it.

    ``metrics``: what times every call at the ports; None: nobody asks. ``leads``: for a daemon.
    Raises ``BatchkeeperError`` with one clear line when a part can't be had.
    """
    if settings.store.layout == EE2:
        raise BatchkeeperError(NOT_IN_EE2)
    async with contextlib.AsyncExitStack() as stack:
        mongod = settings.store.mongod
        configured = settings.store.uri.get_secret_value()
        say = get_logger("mongod").warning
        own = database_uri(configured, settings.state_dir, mongod.binary, mongod.cache_mb, say)
        uri = await stack.enter_async_context(own)
        with opening(metrics):
            store = await open_store(uri, settings.store.database, settings.store.timeout)
        stack.push_async_callback(store.close)
        ground = await stack.enter_async_context(open_ground(settings, metrics, leads=leads))
        journal = journal or TelemetryJournal(metrics or Metrics())
        yield _parts(settings, store, journal, metrics, ground)


def _parts(
    settings: Settings,
    desk: MongoStore,
    journal: Journal,
    metrics: Metrics | None,
    ground: Ground,
) -> Parts:
    clock = SystemClock()
    store: Store = timed_store(desk, metrics) if metrics is not None else desk
    engine = Engine(
        cluster=ground.cluster,
        store=store,
        clock=clock,
        journal=journal,
        settings=engine_settings(settings),
        jitter=spread,
        new_token=lambda: secrets.token_hex(8),
    )
    people = People(store, clock, settings.max_retries, journal.moved)
    return Parts(
        settings,
        store,
        ground.cluster,
        clock,
        engine,
        journal,
        people,
        ground.elector,
        desk,
        ground.reviewer,
        config_maps=ground.config_maps,
        events=ground.events,
    )


async def cheap_view(parts: Parts, batch: Batch, gate: Gate) -> View:
    """The view as the leader's last list shows it: for the status files, without another list.

    In an outage it shows that, for the last list tells what was so before. An operator's limits are asked
    only where nothing else forbids a start, with what the other batches held at the last full pass.
    """
    engine = parts.engine
    scene = await reconcile.scene_of(engine, [batch])
    scene = replace(scene, observation=engine.seen, prefixes=engine.names)
    view = await look(engine, batch, gate, scene, UNLIMITED)
    if engine.blind:
        return replace(view, foreign=None, blind=engine.blind)
    if block(view)[0] is not Block.NONE:
        return view
    return replace(view, allowance=await allowance_of(engine, batch, gate, engine.demands))
