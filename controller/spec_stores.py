"""The watched stores that the settings name, each with a spec pass of its own. Part of the composition root.

A folder, a bucket and ConfigMaps may be watched at once: each on its own interval, so that one that hangs
keeps no other one back. The rule for a name that is taken holds among all of them.
"""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from controller.adapters.spec_directory import SpecDirectory
from controller.config.specs import S3
from controller.core.model import Batch, Gate
from controller.core.view import View
from controller.parts import Parts
from controller.ports import SpecSource
from controller.reading import reader_of
from controller.spec_pass import SpecPass

LONGEST_PAUSE = 2.0
"""Seconds between two looks of who looks once only: a Lease is not renewed meanwhile."""


@dataclass(frozen=True, slots=True)
class Watched:
    """One watched store. ``name`` tells it from the others in the timetable; empty: the folder."""

    name: str
    interval: timedelta
    specs: SpecPass


@dataclass(frozen=True, slots=True)
class SpecStores:
    """All of them."""

    each: tuple[Watched, ...]

    async def scan(self) -> None:
        """Look once at every store."""
        for one in self.each:
            await one.specs.scan()

    async def settle(self, sleep: Callable[[float], Awaitable[None]]) -> None:
        """Look at every store until what lies there was taken in, with time between two looks.

        Twice, since a file counts only when two looks found it the same; and twice more where specs name
        files, which are looked at from then on.
        """
        pause = min(LONGEST_PAUSE, *(one.interval.total_seconds() for one in self.each)) if self.each else 0.0
        for look in range(4):
            if look:
                await sleep(pause)
            await self.scan()
            if look and not any(one.specs.awaits for one in self.each):
                return

    async def tell_all(self) -> None:
        """Bring the statuses in every store up to date."""
        for one in self.each:
            await one.specs.tell_all()

    def refusal(self, key: str, content: bytes) -> tuple[str, ...]:
        """Why this very content of a spec is refused; empty: it is not, or was not read here yet."""
        return next(filter(None, (one.specs.refusal(key, content) for one in self.each)), ())


def spec_stores(
    parts: Parts, view: Callable[[Batch, Gate], Awaitable[View]], on_batch: Callable[[str], None]
) -> SpecStores:
    """The stores of ``specs`` in the settings; the folder is made where there is none."""
    read, maps = reader_of(parts.settings), parts.config_maps
    each = tuple(
        Watched(name, interval, SpecPass(parts.engine, source, read, view, on_batch, start, source is maps))
        for name, interval, source, start in _sources(parts)
    )
    for one in each:
        one.specs.peers += [other.specs for other in each if other is not one]
    return SpecStores(each)


def _sources(parts: Parts) -> Iterator[tuple[str, timedelta, SpecSource, str]]:
    specs = parts.settings.specs
    if specs.folder is not None:
        yield "", specs.interval, _folder(specs.folder, parts), ""
    if specs.s3.bucket:
        yield "s3", specs.s3.interval, *_bucket(specs.s3, parts)
    if parts.config_maps is not None:
        start = f"configmap://{specs.configmaps.namespace}/"
        yield "configmaps", specs.configmaps.interval, parts.config_maps, start


def _folder(folder: Path, parts: Parts) -> SpecSource:
    with contextlib.suppress(OSError):  # its looks tell why, and it pauses nothing else
        folder.mkdir(parents=True, exist_ok=True)
    return SpecDirectory(folder, parts.clock.monotonic)


def _bucket(s3: S3, parts: Parts) -> tuple[SpecSource, str]:
    from controller.adapters.spec_bucket import SpecBucket
    from controller.adapters.spec_bucket_client import Bucket, BucketAccess

    access = BucketAccess(
        bucket=s3.bucket,
        prefix=f"{s3.prefix.rstrip('/')}/" if s3.prefix else "",
        endpoint_url=s3.endpoint_url,
        region=s3.region,
        path_style=s3.path_style,
        profile=s3.profile,
        timeout=s3.timeout,
    )
    return SpecBucket(Bucket(access), parts.clock.monotonic), access.start
