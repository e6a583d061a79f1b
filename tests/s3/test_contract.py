"""A real bucket keeps the spec source's contract."""

from __future__ import annotations

import pytest

from tests.contract.source_suite import SourceSuite, UnreadableSuite, World
from tests.s3.world import BucketWorld


class TestSpecBucket(SourceSuite, UnreadableSuite):
    @pytest.fixture
    def world(self, world: BucketWorld) -> World:
        """An empty bucket."""
        return world
