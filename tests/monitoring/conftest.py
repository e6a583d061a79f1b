"""The run that the tests of this folder ask about: made once, for it takes a while."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.e2e.conftest import folder, judged_place
from tests.monitoring.prometheus import program
from tests.monitoring.story import Told, told


@pytest.fixture(scope="session")
def run(mongo_uri: str) -> Iterator[Told]:
    """Everything has happened; the daemon and Prometheus still answer."""
    program("prometheus")
    with folder() as root, judged_place(root, mongo_uri) as place, told(place) as happened:
        yield happened
