"""The simulated nodes of a control plane: those that are always there, and a test's own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tests.control_plane.admin import Api, Document
from tests.control_plane.stages import SIMULATED

NODES = ("node-0", "node-1", "node-2", "node-3")
"""Those that are always there, in two zones."""
ROOM = {"cpu": "64", "memory": "256Gi", "pods": "1000", "nvidia.com/gpu": "8"}


def make_nodes(api: Api) -> None:
    """The nodes that are always there."""
    for number, name in enumerate(NODES):
        make_node(api, name, {"topology.kubernetes.io/zone": f"zone-{number % 2}"})


def make_node(
    api: Api,
    name: str,
    labels: Mapping[str, str] | None = None,
    taints: Sequence[Mapping[str, str]] = (),
    room: Mapping[str, str] | None = None,
) -> Document:
    """One more node, which will be ready soon."""
    room = {**ROOM, **(room or {})}
    spec: dict[str, Any] = {"taints": list(taints)}
    return api.create(
        "/api/v1/nodes",
        {
            "apiVersion": "v1",
            "kind": "Node",
            "metadata": {
                "name": name,
                "labels": {SIMULATED: "fake", "kubernetes.io/hostname": name, **(labels or {})},
            },
            "spec": spec,
            "status": {"allocatable": room, "capacity": room},
        },
    )


def nodes_ready(api: Api, names: Sequence[str] = NODES) -> bool:
    """Whether these nodes accept pods: the taint that new nodes come with is off."""
    for name in names:
        node = api.get(f"/api/v1/nodes/{name}")
        ready = {condition["type"]: condition["status"] for condition in node["status"].get("conditions", ())}
        taints = {taint["key"] for taint in node["spec"].get("taints", ())}
        if ready.get("Ready") != "True" or "node.kubernetes.io/not-ready" in taints:
            return False
    return True
