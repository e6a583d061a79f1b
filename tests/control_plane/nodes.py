"""The simulated nodes of a control plane: those that are always there, and a test's own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tests.control_plane.admin import Api
from tests.control_plane.stages import SIMULATED

NODES = ("node-0", "node-1", "node-2", "node-3")
"""Those that are always there, in two zones."""
POOL = "batchkeeper.test/pool"
"""Label and taint of a test's own nodes: nobody else's pods get there."""
ROOM = {"cpu": "64", "memory": "256Gi", "pods": "1000", "nvidia.com/gpu": "8"}


def make_nodes(api: Api) -> None:
    """The nodes that are always there."""
    for number, name in enumerate(NODES):
        make_node(api, name, {"topology.kubernetes.io/zone": f"zone-{number % 2}"})


def make_node(
    api: Api, name: str, labels: Mapping[str, str], pool: str = "", room: Mapping[str, str] | None = None
) -> None:
    """One more node, which will be ready soon. ``room``: what it has more or less of than ``ROOM``."""
    room = {**ROOM, **(room or {})}
    mine = {POOL: pool} if pool else {}
    taints = [{"key": POOL, "value": pool, "effect": "NoSchedule"}] if pool else []
    marks = {SIMULATED: "fake", "kubernetes.io/hostname": name, **labels, **mine}
    node = {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": name, "labels": marks},
        "spec": {"taints": taints},
        "status": {"allocatable": room, "capacity": room},
    }
    api.create("/api/v1/nodes", node)


def placed(pool: str) -> dict[str, Any]:
    """What a pod's spec, or a batch's, says so that it runs on the nodes of a pool and nowhere else."""
    toleration = {"key": POOL, "operator": "Equal", "value": pool, "effect": "NoSchedule"}
    return {"nodeSelector": {POOL: pool}, "tolerations": [toleration]}


def nodes_ready(api: Api, names: Sequence[str] = NODES) -> bool:
    """Whether these nodes accept pods: the taint that new nodes come with is off."""
    for name in names:
        node = api.get(f"/api/v1/nodes/{name}")
        ready = {condition["type"]: condition["status"] for condition in node["status"].get("conditions", ())}
        taints = {taint["key"] for taint in node["spec"].get("taints", ())}
        if ready.get("Ready") != "True" or "node.kubernetes.io/not-ready" in taints:
            return False
    return True
