"""EE2 itself, as far as it writes job records: each write is the one that execution_engine2 makes.

Written from EE2's ``sdk/EE2Runjob.py`` and ``db/MongoUtil.py`` (fields that are None are not stored, lists
and flags are stored with their defaults, ``modify`` does not move ``updated``), not from our code.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import Any

from bson import ObjectId
from pymongo.database import Database

Document = dict[str, Any]
HOUR, DAY = timedelta(hours=1), timedelta(days=1)


def id_made(ago: timedelta) -> ObjectId:
    """An id as a driver would have made it so long ago."""
    made = ObjectId.from_datetime(datetime.now(UTC) - ago).binary[:4]
    return ObjectId(made + ObjectId().binary[4:])


class Ee2:
    """One EE2 server on a database. What it wrote after the start is in ``wrote``, for the oracle."""

    def __init__(self, database: Database[Document]) -> None:
        self.jobs = database["ee2_jobs"]
        self.wrote: list[tuple[str, frozenset[str]]] = []

    # ------------------------------------------------------------------------------ new records

    def run_job(self, ago: timedelta = timedelta(), **more: Any) -> str:
        """``run_job``: a record in created, so long ago."""
        return self._save({**_job("simpleapp.simple_add"), **more}, ago)

    def batch(self, ago: timedelta = timedelta()) -> str:
        """``_create_batch_job``: the parent, which stays created for ever."""
        return self._save({**_job("batch"), "batch_job": True}, ago)

    def child_of(self, batch: str, ago: timedelta = timedelta(), **more: Any) -> str:
        """One job of a batch, which the parent knows."""
        job = self.run_job(ago, batch_id=batch, **more)
        self.tell_batch(batch, job)
        return job

    def _save(self, record: Document, ago: timedelta) -> str:
        record = {"_id": id_made(ago), **record, "updated": time.time() - ago.total_seconds()}
        self.jobs.insert_one(record)
        return str(record["_id"])

    # ------------------------------------------------------------------------- a job's further life

    def queue(self, job: str, ago: timedelta = timedelta(), scheduler_id: str = "4711") -> None:
        """``update_job_to_queued``: two updates, neither of which moves ``updated``."""
        at = time.time() - ago.total_seconds()
        self._set(job, {"status": "queued", "queued": at}, status="created")
        self._set(job, {"scheduler_id": scheduler_id, "scheduler_type": "condor"})

    def start(self, job: str, ago: timedelta = timedelta()) -> None:
        """``update_job_status``: a saved record moves ``updated``."""
        at = time.time() - ago.total_seconds()
        self._set(job, {"status": "running", "running": at, "updated": at})

    def estimate(self, job: str, ago: timedelta) -> None:
        """The same, into estimating."""
        at = time.time() - ago.total_seconds()
        self._set(job, {"status": "estimating", "estimating": at, "updated": at})

    def end(self, job: str, status: str = "error", **more: Any) -> None:
        """``finish_job_with_error`` or ``_success``, or ``cancel_job``."""
        self._set(job, {"status": status, "finished": time.time(), "updated": time.time(), **more})

    # ----------------------------------------------------------------------------- the steps of a retry

    def launch(self, root: str, ago: timedelta, *, scheduled: bool = True) -> str:
        """Step 1: the child's record, and (``scheduled``) its way into the queue."""
        old = self.jobs.find_one({"_id": ObjectId(root)}) or {}
        batch = {"batch_id": old["batch_id"]} if "batch_id" in old else {}
        child = self.run_job(ago, retry_parent=root, **batch)
        if scheduled:
            self.queue(child, ago)
        return child

    def tell_batch(self, batch: str, child: str) -> None:
        """Step 2."""
        self._modify(batch, {"$addToSet": {"child_jobs": child}}, "child_jobs")

    def tell_root(self, root: str, child: str) -> None:
        """Step 3."""
        self._modify(root, {"$addToSet": {"retry_ids": child}}, "retry_ids")

    def toggle(self, child: str) -> None:
        """Step 4."""
        self._modify(child, {"$set": {"retry_saved_toggle": True}}, "retry_saved_toggle")

    # ----------------------------------------------------------------------------------------- by hand

    def spoil(self, job: str, **fields: Any) -> None:
        """What no EE2 writes: somebody's script did."""
        self._set(job, fields)

    def _set(self, job: str, fields: Document, **only: Any) -> None:
        if self.jobs.update_one({"_id": ObjectId(job), **only}, {"$set": fields}).modified_count:
            self.wrote.append((job, frozenset(fields)))

    def _modify(self, job: str, update: Document, field: str) -> None:
        if self.jobs.update_one({"_id": ObjectId(job)}, update).modified_count:
            self.wrote.append((job, frozenset({field})))

    def job(self, job: str) -> Document:
        """A record as it is."""
        return self.jobs.find_one({"_id": ObjectId(job)}) or {}


def _job(method: str) -> Document:
    return {
        "user": "wsadmin",
        "authstrat": "kbaseworkspace",
        "wsid": 1234,
        "status": "created",
        "batch_job": False,
        "job_input": {
            "wsid": 1234,
            "method": method,
            "params": [{"$odd": 1, "a.b": "c"}],
            "service_ver": "1",
            "app_id": method.replace(".", "/"),
            "source_ws_objects": [],
            "requirements": {"clientgroup": "njs", "cpu": 4, "memory": 2000, "disk": 30},
            "narrative_cell_info": {"run_id": "r", "cell_id": "c"},
        },
        "child_jobs": [],
        "retry_ids": [],
        "retry_saved_toggle": False,
    }
