"""The Kubernetes adapter keeps the cluster's contract, on a real control plane."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.contract.cluster_suite import ClusterSuite
from tests.contract.cluster_world import World
from tests.control_plane.plane import ControlPlane
from tests.control_plane.recorder import recorded
from tests.kube.world import KubeWorld, opened, settings


class TestKubernetes(ClusterSuite):
    """The suite."""

    @pytest.fixture
    async def world(self, control_plane: ControlPlane, namespace: str) -> AsyncIterator[World]:
        """In a namespace of its own, which goes after the test."""
        cluster = await opened(settings(control_plane.kubeconfig(), namespace))
        with recorded(control_plane.admin, namespace) as recorder:
            yield KubeWorld(control_plane, namespace, cluster, recorder)
        await cluster.close()
