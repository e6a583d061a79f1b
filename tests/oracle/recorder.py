"""From a real run's two logs to the oracle's entries: MongoDB's log of writes, the cluster's history.

Neither is the daemon's view. The store's log is read through a change stream with the document as each
write left it; the history has one line per effect, in their order. `merging` brings both into one.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

from pymongo import MongoClient
from pymongo.errors import CollectionInvalid
from pymongo.read_concern import ReadConcern
from pymongo.write_concern import WriteConcern

from controller.adapters import local_files
from controller.adapters.local_history import CREATE, DELETE, END, START, TOMBSTONE, read_history
from controller.adapters.local_history import Entry as Line
from controller.adapters.mongo_documents import BATCH, GATE, HALT, decode_attempt
from controller.core.model import Halts
from tests.oracle.history import Deed, Document, Ending, Entry, Happened, Parent, Weather, Written
from tests.oracle.merging import merged

Raw = Mapping[str, Any]
WATCHED = ("jobs", "gates", "meta")
MARK = "recorder"
"""A collection of this recorder's own: what is written there last is where the log ends for it."""
_DEEDS = {
    CREATE: Deed.CREATED,
    TOMBSTONE: Deed.BURIED,
    START: Deed.STARTED,
    END: Deed.ENDED,
    DELETE: Deed.GONE,
}


class Recorder:
    """Made before the first daemon of a run; ``entries`` tells everything since."""

    def __init__(self, uri: str, database: str) -> None:
        self._uri = uri
        self._database = database
        with MongoClient[dict[str, Any]](uri) as client:
            db = client[database]
            for name in WATCHED:
                with contextlib.suppress(CollectionInvalid):
                    db.create_collection(name)
                db.command("collMod", name, changeStreamPreAndPostImages={"enabled": True})
            hello = client.admin.command("ping")
            self._start = hello["operationTime"]

    def entries(
        self, state: Path, strangers: Iterable[str] = (), weather: Iterable[Weather] = ()
    ) -> list[Entry]:
        """Every write and every event so far, merged.

        ``state``: the state folder. ``strangers``: names of objects that others made. ``weather``: what
        the test itself did to the store.
        """
        return merged(self.written(), happenings(state, frozenset(strangers)), weather)

    def written(self) -> list[Written]:
        """The store's log up to now, as documents."""
        found: list[Written] = []
        for raw, at in self._log():
            decoded = _document(raw)
            if decoded is not None:
                found.append(Written(at, decoded))
        return found

    def _log(self) -> Iterator[tuple[Raw, datetime]]:
        end = uuid4().hex
        with MongoClient[dict[str, Any]](self._uri, tz_aware=True) as client:
            db = client[self._database]
            mark = db.get_collection(MARK, write_concern=WriteConcern("majority"))
            mark.insert_one({"_id": end})
            there = [{"$match": {"ns.coll": {"$in": [*WATCHED, MARK]}}}]
            with db.with_options(read_concern=ReadConcern("majority")).watch(
                there,
                full_document="whenAvailable",
                start_at_operation_time=self._start,
                max_await_time_ms=50,
            ) as stream:
                for change in stream:
                    collection = change["ns"]["coll"]
                    if collection == MARK and change["documentKey"]["_id"] == end:
                        return
                    if collection in WATCHED and change["operationType"] != "delete":
                        raw = change["fullDocument"]
                        assert raw is not None, f"no image of {change['documentKey']} was kept"
                        yield {"collection": collection, **raw}, change["wallTime"]


def _document(raw: Raw) -> Document | None:
    match raw:
        case {"collection": "jobs", "batch_job": True}:
            return Parent(BATCH.decode(raw), tuple(str(child) for child in raw.get("child_jobs", ())))
        case {"collection": "jobs"}:
            return decode_attempt(raw)
        case {"collection": "gates"}:
            return GATE.decode(raw)
        case {"collection": "meta", "_id": "halts"}:
            halts = {
                what: HALT.decode(raw[what]) if raw.get(what) else None for what in ("submissions", "retries")
            }
            return Halts(**halts)
        case _:
            return None


def happenings(state: Path, strangers: frozenset[str] = frozenset()) -> Iterator[Happened]:
    """The history of the local cluster in this state folder."""
    root = state / "cluster"
    for line in read_history(str(root / "history.jsonl")):
        deed = _DEEDS[line.kind]
        ours = line.name not in strangers
        status = _status(root, line) if line.kind == END else None
        success = None if status is None else bool(status.get("succeeded"))
        end = None if status is None else _ending(status)
        asked = ours and deed in (Deed.CREATED, Deed.BURIED)
        job_id = line.job_id if ours else ""
        yield Happened(line.time, deed, line.uid, line.name, line.namespace, job_id, asked, success, end)


def _status(root: Path, line: Line) -> dict[str, Any] | None:
    """What its supervisor wrote of its end; None when the object is gone by now."""
    folder = root / line.namespace / line.name
    job = local_files.read(str(folder / "job.json")) or {}
    status: dict[str, Any] = local_files.read(str(folder / "status.json")) or {}
    return status if job.get("uid") == line.uid else None


def _ending(status: dict[str, Any]) -> Ending | None:
    """What that shows; None: it was torn, and what is made of it is nobody's word."""
    if "succeeded" not in status:
        return None
    reasons = {status.get("reason") or "", status.get("pod_reason") or "", *status.get("conditions", ())}
    return Ending(status.get("exit_code"), frozenset(reasons - {""}))
