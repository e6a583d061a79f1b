"""The operator's policy out of the settings: one for the spec that is read and the Job that is rendered."""

from __future__ import annotations

from controller.config import Settings
from controller.core.policy import Policy


def policy_of(settings: Settings) -> Policy:
    """What specs may ask for. A cluster's disks are everybody's: there a host path must be allowed."""
    policy = settings.policy
    return Policy(
        namespaces=tuple(dict.fromkeys((settings.namespace, *policy.namespaces))),
        images=policy.images,
        host_path_prefixes=policy.host_path_prefixes,
        any_host_path=settings.cluster.kind == "local" and not policy.host_path_prefixes,
        service_accounts=policy.service_accounts,
        secrets=policy.secrets,
    )
