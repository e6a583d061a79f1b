"""A bucket of an S3-compatible store as the source of specs (``ports.SpecSource``).

Polled by listing: what has a new ETag at two listings is fetched, as it was listed or not at all; what did
not change costs nothing. Names work as in a watched folder: ``*.yaml``, ``*.yml`` and ``*.json`` below the
prefix and three levels deeper, a csv relative to its spec, a status beside it (``<key>.status.yaml``).

A bucket that can't be listed is ``Unavailable``. Keys are whole addresses, ``s3://bucket/prefix/a.yaml``. No
object has an owner: what the operator's map gives to nobody belongs to ``s3:<bucket>``.

All requests run in threads. Made by ``app``; called by ``spec_pass``.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any

from controller.adapters.spec_bucket_client import Bucket
from controller.adapters.spec_directory_lane import Lane
from controller.adapters.spec_directory_names import status_path
from controller.adapters.spec_directory_status import render
from controller.adapters.spec_rounds import FAILURES, Asked, Listed, Place, Round, Rounds
from controller.core.owners import BUCKET
from controller.ports import NamedFile, Rejected, SpecFile, Unavailable
from controller.telemetry.logs import get_logger

FETCHING = 10.0
"""Seconds that one look spends on fetching: the rest has its turn in the next."""
OVERTAKEN = 3
"""Looks in a row at which an object was not as it had been listed; then that is said."""
LARGEST_STATUS = 2**20
"""Bytes that are read of what stands where a status is to be written."""

_log = get_logger(__name__)


class SpecBucket:
    """Specs put into a bucket. ``bound``: seconds that anybody waits for the store."""

    def __init__(self, bucket: Bucket, monotonic: Callable[[], float], bound: float = 30.0) -> None:
        self._bucket = bucket
        self._monotonic = monotonic
        self._bound = bound
        self.place = Place(bucket.access.start, f"{BUCKET}{bucket.access.bucket}")
        self._rounds = Rounds(self.place)
        self._asked = Asked()
        self._looking: Lane[Round] = Lane("spec-bucket-look", bound)
        self._writing: Lane[None] = Lane("spec-bucket-status", bound)
        self._one_scan = asyncio.Lock()
        self._one_tell = asyncio.Lock()
        self._untold: OrderedDict[str, Mapping[str, Any]] = OrderedDict()
        """The last is written first."""
        self._told: dict[str, tuple[str, str]] = {}
        """By path: digest and ETag of the status that we know to stand there."""
        self._overtaken: dict[str, int] = {}
        self._complained: dict[str, str] = {}

    async def scan(self) -> Sequence[SpecFile]:
        """One listing: what has settled and was not handed out as it is now, by key.

        Raises ``Unavailable`` when the bucket can't be listed, or does not answer within the bound; what
        a late look found is handed out by the scan after it came back.
        """
        async with self._one_scan:
            await self._tell_rest()  # before the look: what that hands out is lost where a pass is cut off
            try:
                found = await self._looking.run(partial(self._look, dict(self._asked.wanted)))
            except TimeoutError as error:
                raise Unavailable(
                    f"{self.place.start} has not answered for {self._bound:g} s or more"
                ) from error
            return self._asked.took(found)

    async def depends(self, key: str, paths: Iterable[str]) -> bool:
        """Watch the objects that a spec names; whether it was handed out with all of them already."""
        return self._asked.depends(key, paths)

    async def keys(self) -> frozenset[str]:
        """The keys of all specs that the last good scan saw."""
        return self._asked.keys

    async def tell(self, key: str, status: Mapping[str, Any]) -> None:
        """Put the status beside the spec, if it says something new.

        What may not be written is logged once, and never raises; while the store is away the newest
        status of each spec is kept, until a later call or a scan gets it through.
        """
        self._untold[key] = status
        await self._tell_rest()

    async def _tell_rest(self) -> None:
        if not self._untold:
            return
        async with self._one_tell:
            try:
                await self._writing.run(self._write_all)
            except TimeoutError:
                self._complain(self.place.start, f"no answer within {self._bound:g} s")

    # --------------------------------------------------------------------------------------- in threads

    def _look(self, wanted: Mapping[str, tuple[str, ...]]) -> Round:
        listing = self._bucket.list()
        end = self._monotonic() + FETCHING
        for path, (_, tag) in list(self._told.items()):
            shown = listing.get(status_path(path))
            if shown is None or shown.tag != tag:  # somebody removed or replaced it
                self._told.pop(path, None)
        return self._rounds.round(listing, wanted, self._fetch, lambda: self._monotonic() < end)

    def _fetch(self, path: str, listed: Listed, limit: int) -> NamedFile | None:
        try:
            file = self._bucket.get(path, listed, limit)
        except Unavailable as error:
            self._complain(path, str(error), "spec-not-fetched")
            return None
        if file is None:
            self._overtaken[path] = self._overtaken.get(path, 0) + 1
            if self._overtaken[path] >= OVERTAKEN:
                self._complain(path, f"{self.place.key(path)} is never as it was listed", "spec-not-fetched")
            return None
        self._overtaken.pop(path, None)
        self._complained.pop(path, None)
        return file

    def _write_all(self) -> None:
        failed: set[str] = set()
        in_a_row = 0
        while self._untold and in_a_row < FAILURES:
            key, status = self._untold.popitem()
            if key in failed:  # all others had their turn
                self._put_back(key, status)
                return
            path = self.place.path(key)
            try:
                if path is not None and self._write(path, render(status)):
                    self._complained.pop(self.place.start, None)
                self._complained.pop(key, None)
                in_a_row = 0
            except Rejected as error:
                self._complain(key, str(error))
            except Unavailable as error:
                self._complain(key, str(error))
                self._put_back(key, status)
                failed.add(key)
                in_a_row += 1

    def _put_back(self, key: str, status: Mapping[str, Any]) -> None:
        """To be written after all others; unless it was told something newer meanwhile, this."""
        self._untold.setdefault(key, status)
        self._untold.move_to_end(key, last=False)

    def _write(self, path: str, content: bytes) -> bool:
        """Whether something was written; not where it stands already, or the spec is gone."""
        digest = hashlib.sha256(content).hexdigest()
        if self._told.get(path, ("", ""))[0] == digest or not self._bucket.exists(path):
            return False
        place = status_path(path)
        there = None if path in self._told else self._bucket.read(place, LARGEST_STATUS)
        if there is not None and there[0] == content:
            self._told[path] = digest, there[1]
            return False
        self._told[path] = digest, self._bucket.put(place, content)
        return True

    def _complain(self, about: str, error: str, event: str = "spec-status-not-written") -> None:
        """Log a reason once, until it is another one or gone."""
        if self._complained.get(about) != error:
            self._complained[about] = error
            _log.warning(event, store=self.place.start, error=error)
