"""The way through the API at ``BATCHKEEPER_URL``: as whoever the token is of, on any machine."""

from __future__ import annotations

import contextlib
import os
from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path

import aiohttp

from controller.cli.api_address import address_of
from controller.cli.api_client import JSON, TIMEOUT, ApiError, Client
from controller.cli.api_orders import answer_of, asked_for, cancelled, retried
from controller.cli.api_records import BATCH_KEYS, JOB_KEYS, ApiRecords, BatchFound
from controller.cli.naming_jobs import failed_tasks, meant_jobs
from controller.cli.output import note, warn
from controller.cli.spec_files import no_file
from controller.cli.ways import BadSpec, Change, Wish
from controller.core.model import Status, Verdict
from controller.finding import Ambiguous, find_batch, find_either, find_job
from controller.intake import Outcome
from controller.reading import content_of
from controller.requests import Answer, NotFound, Refused, must_fit
from controller.shapes import Document, answer_document
from controller.telemetry import set_up_logs

MOST_LOG = 2**20
YAML = "application/yaml"
PLAN_KEYS = (
    "batch",
    "owner",
    "tasks",
    "maxConcurrent",
    "firstJobs",
    "lastJobs",
    "perJob",
    "peak",
    "warnings",
)
REPORT_KEYS = ("batch", "result", "totals", "verdicts", "skips", "tasks")


@contextlib.asynccontextmanager
async def open_api(environment: Mapping[str, str], as_admin: bool = False) -> AsyncIterator[ApiWay]:
    """See ``ways.open_way``. Raises ``BatchkeeperError`` when the environment names no good address."""
    set_up_logs("text", "error")
    address = address_of(environment)
    async with aiohttp.ClientSession(timeout=TIMEOUT, cookie_jar=aiohttp.DummyCookieJar()) as session:
        yield ApiWay(Client(address, session), as_admin)


async def plan_by_api(path: Path) -> Document:
    """What a spec would do where the API is. Raises ``BadSpec``."""
    async with open_api(os.environ) as way:
        return await way.plan(path)


class ApiWay:
    """See ``ways.Way``."""

    def __init__(self, client: Client, as_admin: bool) -> None:
        self._client = client
        self._records = ApiRecords(client)
        self._admin = {"as_admin": True} if as_admin else {}

    # ---------------------------------------------------------------------------------------- look

    def now(self) -> datetime:
        """See ``Way``."""
        return self._client.now

    async def batches(self, limit: int) -> list[Document]:
        """See ``Way``."""
        return [one async for one in self._records.pages("batches", [], BATCH_KEYS, limit)]

    async def batch(self, name: str) -> Document:
        """See ``Way``."""
        try:
            found = await find_batch(self._records, name)
        except NotFound:
            self._records.anew()  # whoever asks again waits for it
            raise
        keys = (*BATCH_KEYS, "firstAttempts", "ignoredHere")
        return await self._client.get(f"batches/{found.id}", keys=keys)

    async def jobs(
        self, name: str, status: Sequence[Status], verdict: Sequence[Verdict], limit: int
    ) -> list[Document]:
        """See ``Way``."""
        batch = await find_batch(self._records, name)
        query = [("batch", batch.id), *[("status", one.value) for one in status]]
        query += [("verdict", one.value) for one in verdict]
        return [one async for one in self._records.pages("jobs", query, JOB_KEYS, limit)]

    async def log(self, name: str, most: int) -> Document:
        """See ``Way``."""
        if most > MOST_LOG:
            note("the API gives at most the last 1Mi of a log")
        job = await find_job(self._records, name)
        query = [("bytes", str(max(1, min(most, MOST_LOG))))]
        log = await self._client.get(f"jobs/{job.id}/log", query, keys=("from", "text"))
        return {"job": job.name, "status": job.status, "from": log["from"], "text": log["text"]}

    async def explain(self, name: str) -> Document:
        """See ``Way``."""
        found = await find_either(self._records, name)
        kind = "batches" if isinstance(found, BatchFound) else "jobs"
        return await self._client.get(f"{kind}/{found.id}/explain", keys=("subject", "sentence"))

    async def report(self, name: str) -> Document:
        """See ``Way``."""
        batch = await find_batch(self._records, name)
        return await self._client.get(f"batches/{batch.id}/report", keys=REPORT_KEYS)

    # ----------------------------------------------------------------------------------------- ask

    async def plan(self, path: Path) -> Document:
        """What a spec would do there; its warnings are told. Raises ``BadSpec``."""
        content, kind = _read(path)
        try:
            plan = await self._client.send("batches", content, kind, [("plan", "true")], keys=PLAN_KEYS)
        except BadSpec as error:
            raise BadSpec([_as_named_here(one, path) for one in error.problems]) from None
        for line in plan["warnings"]:
            warn(_as_named_here(str(line), path))
        return {key: value for key, value in plan.items() if key != "warnings"}

    async def submit(self, path: Path, *, dry_run: bool) -> Document:
        """See ``Way``. The plan comes first: it names the batch of a spec that is then refused."""
        batch = (await self.plan(path))["batch"]
        content, kind = _read(path)
        query = [("as_admin", "true")] if self._admin else []
        try:
            taken = await self._client.send(
                "batches", content, kind, query, dry_run=dry_run, keys=("outcome", "batch", "batchId")
            )
        except ApiError as error:
            if error.kind != "refused":
                raise
            namespace, _, name = batch.partition("/")
            there = None if dry_run else await self._records.batch_named(namespace, name)
            return {
                "outcome": Outcome.REFUSED.value,
                "batch": batch,
                "batchId": there.id if there else None,
                "sentences": [str(error)],
            }
        return {key: taken[key] for key in ("outcome", "batch", "batchId", "sentences")}

    async def retry_jobs(self, names: Sequence[str], wish: Wish) -> list[Document]:
        """See ``Way``."""
        meant = await meant_jobs(self._records, names)
        answers = await retried(self._client, list(meant.ids), wish, self._admin)
        known = [{**one, "name": one["name"] or meant.ids.get(one["job_id"], "")} for one in answers]
        return [*known, *map(answer_document, meant.unknown)]

    async def retry_batch(self, name: str, verdict: Verdict | None, wish: Wish) -> tuple[str, list[Document]]:
        """See ``Way``."""
        batch = await find_batch(self._records, name)
        every = self._records.pages("jobs", [("batch", batch.id)], JOB_KEYS)
        ids = await failed_tasks(every, verdict, wish.now)
        return batch.name, await retried(self._client, ids, wish, self._admin)

    async def cancel(self, names: Sequence[str], why: str, *, dry_run: bool) -> list[Document]:
        """See ``Way``. Jobs go in one request, each batch in its own."""
        body: Document = {"why": why, **self._admin}
        answers: dict[str, Document] = {}
        jobs: dict[str, list[str]] = {}
        for name in dict.fromkeys(names):
            try:
                found = await find_either(self._records, name)
            except (NotFound, Ambiguous) as error:
                answers[name] = answer_document(Answer(name, error=str(error), stage="preflight"))
                continue
            if isinstance(found, BatchFound):
                answers[name] = await self._order(found, "cancel", body, dry_run)
            else:
                jobs.setdefault(found.id, []).append(name)
        for one in await cancelled(self._client, list(jobs), body, dry_run):
            answers |= dict.fromkeys(jobs[one["job_id"]], one)
        return [answers[name] for name in dict.fromkeys(names)]

    async def change(self, name: str, change: Change) -> Document:
        """See ``Way``."""
        batch = await find_batch(self._records, name)
        body: Document = {"max_concurrent": change.n} if change.what == "scale" else {}
        try:
            if body:
                must_fit(change.n)
        except Refused as error:
            return answer_document(Answer(batch.id, batch.name, error=str(error), stage="preflight"))
        return await self._order(batch, change.what, {**body, **self._admin}, change.dry_run)

    async def _order(self, batch: BatchFound, what: str, body: Document, dry_run: bool) -> Document:
        path = f"batches/{batch.id}/{what}"
        asked = self._client.post(path, body, dry_run=dry_run, keys=("did", "error"))
        return await answer_of(batch.id, batch.name, asked)

    # ------------------------------------------------------------------------------------- operate

    async def adopt(self, name: str, *, dry_run: bool) -> Document:
        """See ``Way``."""
        batch = await find_batch(self._records, name)
        path = f"batches/{batch.id}/adopt"
        told = await self._client.post(path, dict(self._admin), dry_run=dry_run, keys=("did",))
        note("what there is to take over is shown by its controller's own command line")
        return {"batch": batch.name, "did": told["did"], "tasks": [], "others": [], "totals": {}}

    async def repair(self, *, dry_run: bool) -> list[Document]:
        """See ``Way``."""
        return await asked_for(self._client, "repair", self._admin, dry_run, "repaired")

    async def reap(self, *, dry_run: bool) -> list[Document]:
        """See ``Way``."""
        return await asked_for(self._client, "reap", self._admin, dry_run, "overdue")

    async def halt(self, what: str, why: str, *, dry_run: bool) -> str:
        """See ``Way``."""
        return await self._halt("halt", {"what": what, "why": why}, dry_run)

    async def unhalt(self, what: str, *, dry_run: bool) -> str:
        """See ``Way``."""
        return await self._halt("unhalt", {"what": what}, dry_run)

    async def _halt(self, path: str, body: Document, dry_run: bool) -> str:
        told = await self._client.post(path, {**body, **self._admin}, dry_run=dry_run, keys=("did",))
        return str(told["did"])


def _as_named_here(line: str, path: Path) -> str:
    """A complaint about the spec that was sent, with the name of the file that it was here."""
    sent, colon, rest = line.partition(":")
    return f"{path}:{rest}" if colon and sent in ("spec.yaml", "spec.json") else line


def _read(path: Path) -> tuple[bytes, str]:
    """A spec file as it is, and its type; what is too long for one is not read to its end.

    Raises ``BatchkeeperError``.
    """
    try:
        return content_of(path), JSON if path.suffix.lower() == ".json" else YAML
    except OSError as error:
        raise no_file(path, error) from None
