"""The cluster in memory answers the fidelity script as Kubernetes does, on a real control plane."""

from __future__ import annotations

from tests.contract.fidelity import read
from tests.contract.fidelity_cluster import Player
from tests.contract.test_fidelity_cluster import agree, in_memory
from tests.control_plane.plane import ControlPlane
from tests.control_plane.recorder import recorded
from tests.kube.world import KubeWorld, opened, settings


async def test_kubernetes_answers_alike(control_plane: ControlPlane, namespace: str) -> None:
    """Operation by operation."""
    cluster = await opened(settings(control_plane.kubeconfig(), namespace))
    with recorded(control_plane.admin, namespace) as recorder:
        world = KubeWorld(control_plane, namespace, cluster, recorder)
        agree(await in_memory(), await Player(world).play(read("cluster")))
