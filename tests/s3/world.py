"""A real bucket as the world of a spec source: for the contract suite, and for the bucket's own tests."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

from ruamel.yaml import YAML

from controller.adapters.spec_bucket import SpecBucket
from controller.adapters.spec_bucket_client import Bucket, BucketAccess
from controller.adapters.spec_rounds import SPEC_LIMIT
from controller.ports import SpecFile, SpecSource
from tests.contract.source_suite import World
from tests.s3.server import Hand
from tests.s3.way import Way

PREFIX = "specs/"


class Named:
    """A source whose keys are shown without what they all begin with, as the suite writes them."""

    def __init__(self, source: SpecSource, start: str) -> None:
        self._source = source
        self._start = start

    async def scan(self) -> Sequence[SpecFile]:
        """As the source's."""
        return [replace(file, key=self._bare(file.key)) for file in await self._source.scan()]

    async def depends(self, key: str, paths: Iterable[str]) -> bool:
        """As the source's."""
        return await self._source.depends(self._start + key, paths)

    async def keys(self) -> frozenset[str]:
        """As the source's."""
        return frozenset(map(self._bare, await self._source.keys()))

    async def tell(self, key: str, status: Mapping[str, Any]) -> None:
        """As the source's."""
        await self._source.tell(self._start + key, status)

    def _bare(self, key: str) -> str:
        assert key.startswith(self._start)
        return key.removeprefix(self._start)


class BucketWorld(World):
    """Objects below a prefix; somebody else writes them directly, the source goes by the way."""

    user = "s3:"
    fetches_large = False

    def __init__(self, hand: Hand, way: Way, bound: float = 30.0, timeout: float = 5.0) -> None:
        self.limit = SPEC_LIMIT
        self.hand = hand
        self.way = way
        self.bound = bound
        self.timeout = timedelta(seconds=timeout)
        self.time = 0.0
        self.restart()

    def restart(self) -> None:
        """A new source that remembers nothing."""
        access = BucketAccess(self.hand.bucket, PREFIX, self.way.url, path_style=True, timeout=self.timeout)
        self.bucket = SpecBucket(Bucket(access), lambda: self.time, self.bound)
        self.start = f"s3://{self.hand.bucket}/{PREFIX}"
        self.source = Named(self.bucket, self.start)

    def put(self, key: str, content: bytes) -> None:
        """Put it below the prefix."""
        self.hand.put(PREFIX + key, content)

    def remove(self, key: str) -> None:
        """Delete it."""
        self.hand.remove(PREFIX + key)

    def spoil(self, key: str) -> None:
        """An archived object: nobody reads it before it is restored."""
        self.hand.put(PREFIX + key, b"archived", StorageClass="GLACIER")

    def lose(self) -> None:
        """No answer to anything."""
        self.way.gone()

    def heal(self) -> None:
        """It answers."""
        self.way.well()

    def status(self, key: str) -> Mapping[str, Any] | None:
        """What a person would read."""
        content = self.hand.get(f"{PREFIX}{key}.status.yaml")
        return None if content is None else YAML(typ="safe").load(content)

    def pass_time(self) -> None:
        """As between two scans."""
        self.time += 10.0
