"""Which cluster, and who may lead on it: chosen once by ``cluster.kind``. Part of the composition root.

The Kubernetes client is imported only where it is used: it takes longer to load than a command on one
machine takes to answer.
"""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from controller.adapters.local_processes import LocalProcesses
from controller.adapters.state_lock import LockElector
from controller.adapters.system_clock import SystemClock
from controller.config import Settings
from controller.config.policy import policy_of
from controller.ports import Cluster, Elector, EventWriter, SpecSource, TokenReviewer
from controller.telemetry import Metrics, get_logger
from controller.telemetry.timed import timed_cluster

if TYPE_CHECKING:
    from controller.adapters.kube_client import KubeClient
    from controller.adapters.kube_settings import KubeSettings

LOCAL, RUNAI = "local", "runai"
PROJECT_LABEL = "project"
"""The label by which Run:ai's scheduler knows a pod's project."""


@dataclass(frozen=True, slots=True)
class Ground:
    """A cluster, and a candidate for its lead."""

    cluster: Cluster
    elector: Elector
    reviewer: TokenReviewer | None = None
    """Who can say whose a token of the cluster is; None: this machine has no such tokens."""
    events: EventWriter | None = None
    """Who can write Events; None: nobody here, or nobody is to."""
    config_maps: SpecSource | None = None
    """The ConfigMaps that hold specs; None: none do."""


def identity() -> str:
    """Who this process is among all candidates: where it runs, and something that no other has."""
    return f"{os.uname().nodename}:{os.getpid()}:{secrets.token_hex(4)}"


@contextlib.asynccontextmanager
async def open_ground(
    settings: Settings, metrics: Metrics | None, *, leads: bool = False
) -> AsyncIterator[Ground]:
    """The cluster of ``cluster.kind``. ``leads``: for a daemon, which must be allowed all that it does.

    Raises ``BatchkeeperError`` with one clear line when it can't be had.
    """
    if settings.cluster.kind == LOCAL:
        cluster: Cluster = LocalProcesses.from_settings(settings)
        ground = Ground(timed_cluster(cluster, metrics) if metrics else cluster, LockElector(identity()))
    else:
        ground = await _kubernetes(settings, metrics, leads=leads)
    try:
        yield ground
    finally:
        await ground.cluster.close()


async def _kubernetes(settings: Settings, metrics: Metrics | None, *, leads: bool) -> Ground:
    from controller.adapters.kube_access import check_access, check_events, check_reviews
    from controller.adapters.kube_client import KubeClient
    from controller.adapters.kube_cluster import KubeCluster
    from controller.adapters.kube_events import KubeEvents
    from controller.adapters.kube_tokens import KubeTokens

    told = kube_settings(settings)
    client = KubeClient(told.access, metrics.cluster_requested if metrics else None)
    try:
        await client.open()
        namespace = settings.kubernetes.lease.namespace or client.namespace or settings.namespace
        if leads:
            specs = settings.specs.configmaps.namespace
            places = (told.namespaces, (namespace, lease_name(settings)), specs)
            who = await check_access(client, told.kinds, *places, watch=told.watch)
            log = get_logger("cluster")
            log.info("connected", user=who, namespaces=list(told.namespaces))
            reviews = settings.api.enabled and settings.auth.token_review.enabled == "auto"
            if reviews and (missing := await check_reviews(client)):
                log.warning("tokens are not reviewed", why=missing)
            told_in = dict.fromkeys((*told.namespaces, *filter(None, (specs,))))
            if settings.kubernetes.events and (missing := await check_events(client, told_in)):
                log.warning("events are not written", why=missing)
    except BaseException:
        await client.close()
        raise
    restarted = metrics.watch_restarted if metrics else None
    cluster = KubeCluster(client, told, SystemClock(), restarted)
    elector = _lease(settings, client, namespace)
    events = KubeEvents(client, told.instance, elector.identity) if settings.kubernetes.events else None
    return Ground(cluster, elector, KubeTokens(client), events, _config_maps(settings, client, events))


def _config_maps(settings: Settings, client: KubeClient, events: EventWriter | None) -> SpecSource | None:
    from controller.adapters.spec_configmap import SpecConfigMaps

    told = settings.specs.configmaps
    if not told.namespace:
        return None
    return SpecConfigMaps(client, told.namespace, told.selector, SystemClock(), events)


def lease_name(settings: Settings) -> str:
    """Of the Lease that the replicas of this instance elect their leader with."""
    return f"{settings.kubernetes.lease.name}-{settings.instance}"


def _lease(settings: Settings, client: KubeClient, namespace: str) -> Elector:
    from controller.adapters.kube_lease import LeaseElector, Terms

    lease = settings.kubernetes.lease
    terms = Terms(lease.duration, lease.renew, lease.retry)
    return LeaseElector(client, namespace, lease_name(settings), identity(), terms, SystemClock())


def kube_settings(settings: Settings) -> KubeSettings:
    """As the operator says; ``cluster.kind: runai`` adds Run:ai's scheduler, label and workloads."""
    from controller.adapters.kube_client import Access
    from controller.adapters.kube_foreign import JOB, POD, Kind, runai_kinds
    from controller.adapters.kube_render import RUNAI_SCHEDULER, Rendering
    from controller.adapters.kube_settings import KubeSettings

    runai = settings.cluster.kind == RUNAI
    told = settings.kubernetes
    own = tuple(
        Kind(one.group, one.version, one.resource, one.kind, frozenset(one.ended), frozenset(one.succeeded))
        for one in told.counted
    )
    usual = runai_kinds(stopped_counts=settings.runai.stopped_counts) if runai else ()
    configured = {(kind.group, kind.resource) for kind in own}
    return KubeSettings(
        instance=settings.instance,
        access=Access(
            kubeconfig=told.kubeconfig,
            context=told.context,
            timeout=told.timeout,
            rate=told.rate,
            burst=told.burst,
        ),
        rendering=Rendering(
            instance=settings.instance,
            scheduler_name=told.scheduler_name or (RUNAI_SCHEDULER if runai else ""),
            spread=told.spread,
            runai=settings.compat.runai or runai,
            labels={PROJECT_LABEL: settings.runai.project} if runai and settings.runai.project else {},
        ),
        policy=policy_of(settings),
        kinds=(JOB, POD, *own, *(kind for kind in usual if (kind.group, kind.resource) not in configured)),
        watch=told.watch,
        scheduler_type=RUNAI if runai else "kubernetes",
    )
