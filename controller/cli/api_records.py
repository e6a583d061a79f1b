"""Names of batches and jobs looked up over the API: ``finding.Records`` for ``way_api``."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass

from controller.cli.api_client import ApiError, Client, Nonsense, Query
from controller.cli.naming_jobs import is_id
from controller.ports import JobFilter
from controller.shapes import Document

ON_A_PAGE = 1000
_NAME = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
BATCH_KEYS = frozenset({"batch", "batchId", "state", "tasks", "activeJobsInBatch", "accepted"})
JOB_KEYS = frozenset(
    {"id", "name", "namespace", "status", "retry_parent", "verdict", "not_before", "stop", "running"}
)


@dataclass(frozen=True, slots=True)
class BatchFound:
    """A batch of the API."""

    id: str
    name: str
    namespace: str


@dataclass(frozen=True, slots=True)
class JobFound:
    """A job of the API."""

    id: str
    name: str
    namespace: str
    status: str


class ApiRecords:
    """What may be seen with this token; the list of batches is asked for once, and again by ``anew``."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._batches: list[BatchFound] | None = None

    def anew(self) -> None:
        """What comes is asked for again: a batch may have come since."""
        self._batches = None

    async def batch(self, batch_id: str) -> BatchFound | None:
        """See ``Records``."""
        if not is_id(batch_id):
            return None
        found = await self._or_none(f"batches/{batch_id}", BATCH_KEYS)
        return _batch(found) if found else None

    async def batch_named(self, namespace: str, name: str) -> BatchFound | None:
        """See ``Records``."""
        if not (_NAME.fullmatch(namespace) and _NAME.fullmatch(name)):
            return None
        query = [("namespace", namespace), ("name", name)]
        return next(iter([_batch(one) async for one in self.pages("batches", query, BATCH_KEYS, 1)]), None)

    async def batches(self) -> Sequence[BatchFound]:
        """See ``Records``."""
        if self._batches is None:
            self._batches = [_batch(one) async for one in self.pages("batches", [], BATCH_KEYS)]
        return self._batches

    async def job(self, job_id: str) -> JobFound | None:
        """See ``Records``."""
        if not is_id(job_id):
            return None
        found = await self._or_none(f"jobs/{job_id}", JOB_KEYS)
        return _job(found) if found else None

    async def job_named(self, namespace: str, name: str) -> JobFound | None:
        """See ``Records``."""
        if not (_NAME.fullmatch(namespace) and _NAME.fullmatch(name)):
            return None
        query = [("namespace", namespace), ("name", name)]
        return next(iter([_job(one) async for one in self.pages("jobs", query, JOB_KEYS, 1)]), None)

    async def find_jobs(self, what: JobFilter, *, limit: int = 0) -> AsyncIterator[JobFound]:
        """See ``Records``."""
        async for one in self.pages("jobs", [("batch", what.batch_id)], JOB_KEYS, limit):
            yield _job(one)

    async def pages(
        self, path: str, query: Query, keys: frozenset[str], limit: int = 0
    ) -> AsyncIterator[Document]:
        """The items of a list, page by page; ``limit`` 0: all. Raises ``BatchkeeperError``."""
        cursor, left = "", limit
        while True:
            size = min(left, ON_A_PAGE) if limit else ON_A_PAGE
            more = [("limit", str(size)), *([("cursor", cursor)] if cursor else [])]
            page = await self._client.get(path, [*query, *more], keys=("items", "next"))
            items, after = page["items"], page["next"]
            if not isinstance(items, list) or not all(_has(one, keys) for one in items):
                raise Nonsense(f"the list of {path} is not one that this version knows: use its own version")
            for one in items:
                yield one
            left -= len(items)
            if not after or not items or after == cursor or (limit and left <= 0):
                return
            cursor = str(after)

    async def _or_none(self, path: str, keys: frozenset[str]) -> Document | None:
        try:
            return await self._client.get(path, keys=sorted(keys))
        except ApiError as error:
            if error.status == 404 and error.kind == "not-found":
                return None
            raise


def _has(one: object, keys: frozenset[str]) -> bool:
    return isinstance(one, dict) and keys <= set(one)


def _batch(document: Document) -> BatchFound:
    namespace, _, name = str(document["batch"]).partition("/")
    return BatchFound(str(document["batchId"]), name, namespace)


def _job(document: Document) -> JobFound:
    return JobFound(
        str(document["id"]), str(document["name"]), str(document["namespace"]), str(document["status"])
    )
