"""The way through the store of a configuration: the engine in this process, as the user of this machine."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Awaitable, Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from controller import lifecycle, requests
from controller.batch_document import listed_batch, whole_batch
from controller.cli.adopting import adoption
from controller.cli.naming_jobs import failed_tasks, meant_jobs
from controller.cli.output import note
from controller.cli.session import caller, parts_of, settings_for
from controller.cli.spec_files import read_good
from controller.cli.ways import Change, Way, Wish
from controller.core.model import Batch, Resources, Status, Verdict
from controller.explaining import explanation_of_batch, explanation_of_job, log_of
from controller.finding import Ambiguous, find_batch, find_either, find_job
from controller.ports import JobFilter
from controller.reporting import report_of
from controller.requests import Answer, Caller, NotFound
from controller.shapes import (
    Document,
    answer_document,
    explanation_document,
    job_document,
    report_document,
)
from controller.stuck import overdue_jobs, why_nothing_is_reaped
from controller.submitting import submit_spec

if TYPE_CHECKING:
    from controller.app import Parts

AT_ONCE = 10_000
"""Ids of one request."""


@contextlib.asynccontextmanager
async def open_store(config: Path | None, as_admin: bool, *, create: bool) -> AsyncIterator[Way]:
    """See ``ways.open_way``."""
    async with parts_of(settings_for(config), create=create) as parts:
        yield StoreWay(parts, caller(as_admin))


class StoreWay:
    """See ``ways.Way``."""

    def __init__(self, parts: Parts, who: Caller) -> None:
        self._parts = parts
        self._store = parts.store
        self._who = who

    # ---------------------------------------------------------------------------------------- look

    def now(self) -> datetime:
        """See ``Way``."""
        return self._parts.clock.now()

    async def batches(self, limit: int) -> list[Document]:
        """See ``Way``."""
        batches = await self._store.batches(limit=limit)
        gates = await self._store.gates([batch.id for batch in batches])
        return [listed_batch(batch, gates.get(batch.id)) for batch in batches]

    async def batch(self, name: str) -> Document:
        """See ``Way``."""
        found = await find_batch(self._store, name)
        return await whole_batch(self._parts.engine, self._parts.settings.cluster.kind, found, fresh=True)

    async def jobs(
        self, name: str, status: Sequence[Status], verdict: Sequence[Verdict], limit: int
    ) -> list[Document]:
        """See ``Way``."""
        batch = await find_batch(self._store, name)
        what = JobFilter(batch_id=batch.id, status=tuple(status), verdict=tuple(verdict))
        return [job_document(job) async for job in self._store.find_jobs(what, limit=limit)]

    async def log(self, name: str, most: int) -> Document:
        """See ``Way``."""
        job = await find_job(self._store, name)
        text, whence = await log_of(self._parts.engine, job, most)
        return {"job": job.name, "status": job.status.value, "from": whence, "text": text}

    async def explain(self, name: str) -> Document:
        """See ``Way``."""
        found = await find_either(self._store, name)
        if isinstance(found, Batch):
            why = await explanation_of_batch(self._parts.engine, found)
        else:
            why = await explanation_of_job(self._parts.engine, found)
        return explanation_document(found.name, why)

    async def report(self, name: str) -> Document:
        """See ``Way``."""
        return report_document(await report_of(self._store, await find_batch(self._store, name)))

    # ----------------------------------------------------------------------------------------- ask

    async def submit(self, path: Path, *, dry_run: bool) -> Document:
        """See ``Way``."""
        spec = await read_good(self._parts.settings, path)
        taken = await submit_spec(self._store, self._who, spec, f"{self._who.user}: {path}", dry_run=dry_run)
        return {
            "outcome": taken.outcome.value,
            "batch": f"{spec.namespace}/{spec.name}",
            "batchId": taken.batch.id if taken.batch and not dry_run else None,
            "sentences": list(taken.sentences),
        }

    async def retry_jobs(self, names: Sequence[str], wish: Wish) -> list[Document]:
        """See ``Way``."""
        meant = await meant_jobs(self._store, names)
        answers = await self._retry(list(meant.ids), wish)
        known = [replace(one, name=one.name or meant.ids[one.job_id]) for one in answers]
        return [answer_document(one) for one in (*known, *meant.unknown)]

    async def retry_batch(self, name: str, verdict: Verdict | None, wish: Wish) -> tuple[str, list[Document]]:
        """See ``Way``."""
        batch = await find_batch(self._store, name)
        found = self._store.find_jobs(JobFilter(batch_id=batch.id))
        ids = await failed_tasks((job_document(job) async for job in found), verdict, wish.now)
        return batch.name, [answer_document(one) for one in await self._retry(ids, wish)]

    async def _retry(self, ids: Sequence[str], wish: Wish) -> list[Answer]:
        retry = requests.retry_or_hurry if wish.now else requests.retry
        answers = []

        def wanted(own: Resources) -> Resources:
            return replace(
                own,
                cpu=own.cpu if wish.cpu is None else wish.cpu,
                memory=own.memory if wish.memory is None else wish.memory,
            )

        other = wish.cpu is not None or wish.memory is not None
        for start in range(0, len(ids), AT_ONCE):
            answers += await retry(
                self._parts.people,
                self._who,
                ids[start : start + AT_ONCE],
                resources=wanted if other else None,
                dry_run=wish.dry_run,
            )
        return answers

    async def cancel(self, names: Sequence[str], why: str, *, dry_run: bool) -> list[Document]:
        """See ``Way``."""
        return [answer_document(await self._cancel(name, why, dry_run)) for name in dict.fromkeys(names)]

    async def _cancel(self, name: str, why: str, dry_run: bool) -> Answer:
        people = self._parts.people
        try:
            found = await find_either(self._store, name)
        except (NotFound, Ambiguous) as error:
            return Answer(name, error=str(error), stage="preflight")
        if not isinstance(found, Batch):
            (answer,) = await requests.cancel_jobs(people, self._who, [found.id], why, dry_run=dry_run)
            return answer
        order = requests.cancel_batch(people, self._who, found, why, dry_run=dry_run)
        return await _asked(found, order)

    async def change(self, name: str, change: Change) -> Document:
        """See ``Way``."""
        people, who, dry_run = self._parts.people, self._who, change.dry_run
        batch = await find_batch(self._store, name)
        if change.what == "scale":
            order = requests.scale(people, who, batch, change.n, dry_run=dry_run)
        elif change.what == "pause":
            order = requests.pause(people, who, batch, dry_run=dry_run)
        else:
            order = requests.resume(people, who, batch, dry_run=dry_run)
        return answer_document(await _asked(batch, order))

    # ------------------------------------------------------------------------------------- operate

    async def adopt(self, name: str, *, dry_run: bool) -> Document:
        """See ``Way``."""
        return await adoption(self._parts, self._who, await find_batch(self._store, name), dry_run)

    async def repair(self, *, dry_run: bool) -> list[Document]:
        """See ``Way``."""
        children = await lifecycle.repair(self._parts.engine, dry_run=dry_run)
        after = {job.id: job for job in await self._store.jobs([child.id for child in children])}
        return [job_document(after.get(child.id, child)) for child in children]

    async def reap(self, *, dry_run: bool) -> list[Document]:
        """See ``Way``. Only who leads may reap, so this only looks; the command makes a pass."""
        engine = self._parts.engine
        found = await overdue_jobs(engine)
        if found and (why := await why_nothing_is_reaped(engine)):
            note(why)
        return found

    async def halt(self, what: str, why: str, *, dry_run: bool) -> str:
        """See ``Way``."""
        return await requests.halt(self._parts.people, self._who, what, why, dry_run=dry_run)

    async def unhalt(self, what: str, *, dry_run: bool) -> str:
        """See ``Way``."""
        return await requests.unhalt(self._parts.people, self._who, what, dry_run=dry_run)


async def _asked(batch: Batch, order: Awaitable[str]) -> Answer:
    """An order for a whole batch as an answer; what is refused is told like a refused id."""
    try:
        return Answer(batch.id, batch.name, did=await order)
    except (requests.Refused, requests.NotAllowed) as error:
        return Answer(batch.id, batch.name, error=str(error), stage="preflight")
