"""A storm of 429: the API server's own flow control sends an account away."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from tests.control_plane.plane import ControlPlane, ServiceAccount

FLOWS = "/apis/flowcontrol.apiserver.k8s.io/v1"


@contextmanager
def sent_away(plane: ControlPlane, account: ServiceAccount) -> Iterator[None]:
    """The API server's flow control takes one request of this account at a time."""
    level = {
        "metadata": {"name": "no-place"},
        "spec": {
            "type": "Limited",
            "limited": {
                "nominalConcurrencyShares": 0,
                "lendablePercent": 0,
                "borrowingLimitPercent": 0,
                "limitResponse": {"type": "Reject"},
            },
        },
    }
    who = {"kind": "ServiceAccount", "serviceAccount": {"namespace": account.namespace, "name": account.name}}
    what = {"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"], "namespaces": ["*"], "clusterScope": True}
    flow = {
        "metadata": {"name": "no-place"},
        "spec": {
            "priorityLevelConfiguration": {"name": "no-place"},
            "matchingPrecedence": 2,
            "rules": [{"subjects": [who], "resourceRules": [what]}],
        },
    }
    plane.admin.create(f"{FLOWS}/prioritylevelconfigurations", level)
    plane.admin.create(f"{FLOWS}/flowschemas", flow)
    try:
        yield
    finally:
        plane.admin.delete(f"{FLOWS}/flowschemas/no-place")
        plane.admin.delete(f"{FLOWS}/prioritylevelconfigurations/no-place")
