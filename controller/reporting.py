"""The report of a batch, from its records: for the commands ``report`` and ``run``, and for the API."""

from __future__ import annotations

from controller.core.model import Batch
from controller.core.report import Report, Reporter
from controller.ports import JobFilter, Store
from controller.specfile import rules_of


async def report_of(store: Store, batch: Batch) -> Report:
    """The report of a batch as it stands; reads every record of it, one task at a time."""
    rules = rules_of(batch.settings["retry"].value)
    gate = (await store.gates([batch.id])).get(batch.id)
    places = frozenset(holder.job for holder in gate.holders) if gate else None
    reporter = Reporter(batch.name, rules, int(batch.spec.get("maxAutoRetries", 6)), places)
    async for attempt in store.find_jobs(JobFilter(batch_id=batch.id)):
        reporter.add(attempt)
    return reporter.report()
