"""Records that were built from their documents once, and are not built again while those stay the same.

Used by ``mongo_attempts`` for what every pass reads: ten thousand active records of which none has changed.
The document itself is compared, byte by byte, with the one that the record was built from; so there is no
stamp that two writes of one millisecond could share, and a record that anybody touched is built anew.
"""

from __future__ import annotations

from collections.abc import Callable

from bson import ObjectId
from bson.raw_bson import RawBSONDocument

from controller.core.model import Attempt

MOST = 20_000
"""Records that are kept; the one that was built first goes first."""
ID = slice(9, 21)
"""Where a document has its id."""
_ID_FIRST = b"\x07_id\x00"
"""How a document begins, after its length: with an ObjectId, which the server always puts first."""


class Built:
    """Active records by id, each with the very bytes that it was built from."""

    def __init__(self, build: Callable[[RawBSONDocument], Attempt | None]) -> None:
        """``build``: from a document to a record; None for one that can't be read."""
        self._build = build
        self._kept: dict[bytes, tuple[bytes, Attempt]] = {}

    def __len__(self) -> int:
        return len(self._kept)

    def forget(self, job_id: object) -> None:
        """This record is active no more, as whoever read or wrote it last saw: no pass reads it again."""
        if isinstance(job_id, ObjectId):
            self._kept.pop(job_id.binary, None)

    def attempt(self, document: RawBSONDocument) -> tuple[Attempt | None, bool]:
        """The record of a document as it was just read, and whether it had to be built."""
        raw = bytes(document.raw)
        key = raw[ID]
        kept = self._kept.get(key)
        if kept is not None and kept[0] == raw:
            return kept[1], False
        self._kept.pop(key, None)
        job = self._build(document)
        if job is not None and job.status.active and raw[4:9] == _ID_FIRST:
            self._kept[key] = raw, job
            if len(self._kept) > MOST:
                del self._kept[next(iter(self._kept))]
        return job, True
