"""The control plane, and an adapter or a daemon on it, for every test here."""

from __future__ import annotations

from collections.abc import Iterator
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
    found = KubePlace(root, mongo_uri, f"kube_{uuid4().hex[:12]}", control_plane, namespace)
    try:
        yield found
        found.close()
    finally:
        found.tidy()
        with pymongo.MongoClient[dict[str, object]](mongo_uri) as client:
            client.drop_database(found.database)
