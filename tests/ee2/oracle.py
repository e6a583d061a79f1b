"""The oracle for writes in place: what the change stream shows of EE2's collection, judged write by write.

It knows EE2's model and the rules of repair and reapers, and nothing of our code. It keeps every record as
it should be by replaying the changed fields, so that a write that touched anything else shows.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from bson import ObjectId
from pymongo.collection import Collection

from tests.ee2.forge import Ee2
from tests.ee2.model import refusals

Document = dict[str, Any]
END = frozenset({"status", "terminated_code", "finished", "updated"})
LIMITS = {"created": 3600.0, "queued": 14 * 86400.0}
YOUNG = 600.0
MARK = {"_id": "the end of what is judged"}


class Oracle:
    """Watches one collection from ``watching`` on; ``violations`` after it."""

    def __init__(self, ee2: Ee2, asked: list[str]) -> None:
        self._ee2 = ee2
        self._asked = asked
        """Ids for which the scheduler has said yes, in order: shared with the hook of the test."""
        self._records: dict[str, Document] = {}
        self._first: set[str] = set()
        self.violations: list[str] = []
        self.writes = 0
        """Writes that were not EE2's own."""

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Judge what happens meanwhile."""
        jobs = self._ee2.jobs
        self._records = {str(one["_id"]): one for one in jobs.find()}
        self._first = {job for job, record in self._records.items() if not refusals(record)}
        del self._ee2.wrote[:]
        with jobs.watch() as stream:
            yield
            jobs.insert_one(dict(MARK))
            for change in stream:
                if change["documentKey"] == MARK:
                    break
                self._judge(change)
            jobs.delete_one(MARK)
        self._compare(jobs)

    def _judge(self, change: Document) -> None:
        job = str(change["documentKey"]["_id"])
        if change["operationType"] != "update":
            self._wrong(job, f"{change['operationType']} of a record")
            return
        described = change["updateDescription"]
        fields: Document = described["updatedFields"]
        names = frozenset(name.split(".")[0] for name in fields)
        if (job, names) in self._ee2.wrote:
            self._ee2.wrote.remove((job, names))
        else:
            self.writes += 1
            if described["removedFields"] or described.get("truncatedArrays"):
                self._wrong(job, f"took away {described}")
            self._ours(job, names, fields)
        _apply(self._records[job], fields)

    def _ours(self, job: str, names: frozenset[str], fields: Document) -> None:
        record = self._records[job]
        if not isinstance(fields.get("updated"), float):
            self._wrong(job, f"updated did not move, as a float: {fields}")
        if names == END:
            self._ended(job, record, fields)
        elif names == {"retry_saved_toggle", "updated"}:
            self._toggled(job, record, fields)
        elif names in ({"child_jobs", "updated"}, {"retry_ids", "updated"}):
            self._listed(job, record, fields)
        else:
            self._wrong(job, f"wrote {sorted(names)}")

    def _ended(self, job: str, record: Document, fields: Document) -> None:
        status = record["status"]
        since = record.get("queued") if status == "queued" else _made(job)
        if (fields["status"], fields["terminated_code"]) != ("terminated", 2):
            self._wrong(job, f"ended as {fields}")
        if not isinstance(fields["finished"], float):
            self._wrong(job, f"finished is {fields['finished']!r}, no seconds")
            return
        if status not in LIMITS or record.get("batch_job"):
            self._wrong(job, f"ended while {status}, batch_job {record.get('batch_job')}")
        elif not isinstance(since, float) or fields["finished"] - since <= LIMITS[status]:
            self._wrong(job, f"ended {status} since {since}, too early")
        if job not in self._asked:
            self._wrong(job, "ended without a yes of its scheduler")

    def _toggled(self, job: str, record: Document, fields: Document) -> None:
        batch, root = record.get("batch_id"), record["retry_parent"]
        if fields["retry_saved_toggle"] is not True:
            self._wrong(job, f"toggled to {fields}")
        if batch and job not in self._records[batch]["child_jobs"]:
            self._wrong(job, "toggled before its batch parent listed it")
        if job not in self._records[root]["retry_ids"]:
            self._wrong(job, "toggled before its root listed it")
        self._old_enough(job)

    def _listed(self, job: str, record: Document, fields: Document) -> None:
        (field,) = {name.split(".")[0] for name in fields} - {"updated"}
        before, after = record.get(field) or [], {**record}
        _apply(after, fields)
        new = after[field][len(before) :]
        if after[field][: len(before)] != before or not new:
            self._wrong(job, f"{field} was not only added to: {before} to {after[field]}")
        whose = "batch_id" if field == "child_jobs" else "retry_parent"
        for child in new:
            if self._records.get(child, {}).get(whose) != job:
                self._wrong(job, f"lists {child}, which is not its own")
            self._old_enough(child)

    def _old_enough(self, child: str) -> None:
        if time.time() - _made(child) <= YOUNG:
            self._wrong(child, "touched while EE2 may be between its steps")

    def _compare(self, jobs: Collection[Document]) -> None:
        real = {str(one["_id"]): one for one in jobs.find()}
        for job in sorted(real.keys() | self._records.keys()):
            if str(real.get(job)) != str(self._records.get(job)):  # as text: NaN is no equal of itself
                self._wrong(job, f"is {real.get(job)}, not {self._records.get(job)}")
            elif job in self._first and (refused := refusals(real[job])):
                self._wrong(job, f"EE2 would not read it any more: {refused}")

    def _wrong(self, job: str, what: str) -> None:
        self.violations.append(f"{job}: {what}")


def _apply(record: Document, fields: Document) -> None:
    for name, value in fields.items():
        field, _, place = name.partition(".")
        if place:
            record[field] = [*(record.get(field) or [])[: int(place)], value]
        else:
            record[field] = value


def _made(job: str) -> float:
    return ObjectId(job).generation_time.timestamp()
