"""The control plane, and an adapter on it, for every test here."""

from __future__ import annotations

from tests.control_plane.fixtures import control_plane, namespace, private_control_plane

__all__ = ["control_plane", "namespace", "private_control_plane"]
