"""What the Kubernetes adapter is told once, out of ``config.yaml``."""

from __future__ import annotations

from dataclasses import dataclass

from controller.adapters.kube_client import Access
from controller.adapters.kube_foreign import JOB, POD, Kind
from controller.adapters.kube_render import Rendering
from controller.core.policy import Policy


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
        return self.policy.namespaces
