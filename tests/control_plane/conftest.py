"""The fixtures of the control plane, for the tests that show that it works."""

from __future__ import annotations

from tests.control_plane.fixtures import (
    control_plane,
    namespace,
    private_control_plane,
    pytest_runtest_makereport,
)

__all__ = ["control_plane", "namespace", "private_control_plane", "pytest_runtest_makereport"]
