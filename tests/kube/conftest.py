"""The control plane, and an adapter or a daemon on it, for every test here."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

import pymongo
import pytest

from tests.control_plane.fixtures import (
    control_plane,
    namespace,
    private_control_plane,
    pytest_runtest_makereport,
)
from tests.control_plane.plane import ControlPlane
from tests.e2e.conftest import root
from tests.kube.place import KubePlace

__all__ = ["control_plane", "namespace", "private_control_plane", "pytest_runtest_makereport", "root"]


@pytest.fixture
def place(root: Path, mongo_uri: str, control_plane: ControlPlane, namespace: str) -> Iterator[KubePlace]:
    """A namespace and a database of this test's own; the oracle judges what happened there."""
    with _judged(root, mongo_uri, control_plane, namespace) as found:
        yield found


@pytest.fixture
def fragile(root: Path, mongo_uri: str, private_control_plane: ControlPlane) -> Iterator[KubePlace]:
    """The same on a control plane whose servers may be killed; they must run again when the test ends."""
    with (
        private_control_plane.namespace() as namespace,
        _judged(root, mongo_uri, private_control_plane, namespace) as found,
    ):
        yield found


@contextmanager
def _judged(root: Path, uri: str, plane: ControlPlane, namespace: str) -> Iterator[KubePlace]:
    found = KubePlace(root, uri, f"kube_{uuid4().hex[:12]}", plane, namespace)
    try:
        yield found
        found.close()
    finally:
        found.tidy()
        with pymongo.MongoClient[dict[str, object]](uri) as client:
            client.drop_database(found.database)
