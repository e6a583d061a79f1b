"""What the Kubernetes adapter is told once, out of ``config.yaml``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from controller.adapters.kube_client import Access
from controller.adapters.kube_foreign import JOB, POD, Kind, runai_kinds
from controller.adapters.kube_render import RUNAI_SCHEDULER, Rendering
from controller.core.policy import Policy

if TYPE_CHECKING:
    from controller.config import Settings

RUNAI = "runai"
PROJECT_LABEL = "project"
"""The label by which Run:ai's scheduler knows a pod's project."""


@dataclass(frozen=True, slots=True)
class KubeSettings:
    """Everything that ``KubeCluster`` needs to know."""

    instance: str
    access: Access
    rendering: Rendering
    policy: Policy
    kinds: tuple[Kind, ...] = (JOB, POD)
    """What counts under a batch's prefix, Jobs and Pods first."""
    watch: bool = True
    scheduler_type: str = "kubernetes"

    @property
    def namespaces(self) -> tuple[str, ...]:
        """Where batches may be: what is watched."""
        return tuple(dict.fromkeys((self.policy.default_namespace, *self.policy.namespaces)))


def kube_settings(settings: Settings) -> KubeSettings:
    """As the operator says; ``cluster.kind: runai`` adds Run:ai's scheduler, label and workloads."""
    runai = settings.cluster.kind == RUNAI
    told, policy = settings.kubernetes, settings.policy
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
        policy=Policy(
            default_namespace=settings.namespace,
            namespaces=policy.namespaces,
            images=policy.images,
            host_path_prefixes=policy.host_path_prefixes,
            service_accounts=policy.service_accounts,
            secrets=policy.secrets,
        ),
        kinds=(JOB, POD, *own, *(kind for kind in usual if (kind.group, kind.resource) not in configured)),
        watch=told.watch,
        scheduler_type=RUNAI if runai else "kubernetes",
    )
