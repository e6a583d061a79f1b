"""Helm, the chart as it is rendered, and the control plane that it is installed on."""

from __future__ import annotations

import faulthandler
from pathlib import Path

import pytest

from tests.chart.binary import find
from tests.chart.helm import Helm
from tests.control_plane.building import Unavailable
from tests.control_plane.fixtures import (
    MISSING,
    control_plane,
    namespace,
    pytest_runtest_makereport,
    sayer,
    without,
)
from tests.control_plane.plane import ControlPlane

__all__ = ["control_plane", "namespace", "pytest_runtest_makereport"]


@pytest.fixture(scope="session")
def helm(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Helm:
    """The pinned Helm; without it tests skip, or fail where a control plane is required."""
    # A build takes longer than any test may hang; the limit is back with the next test.
    faulthandler.cancel_dump_traceback_later()
    try:
        return Helm(find(sayer(request)), tmp_path_factory.mktemp("helm"))
    except Unavailable as reason:
        without(f"{MISSING}{reason}")


@pytest.fixture
def there(helm: Helm, control_plane: ControlPlane, tmp_path: Path) -> Helm:
    """The same as the administrator of a control plane of our own: nobody else's could pull the image."""
    if not control_plane.simulated:
        pytest.skip("the chart's pods are ready on simulated nodes only")
    return Helm(helm.program, tmp_path, control_plane.kubeconfig())
