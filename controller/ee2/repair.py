"""Repair of EE2's retries: children that their parents don't know are listed, and their toggle set (E4).

EE2 writes the child, then ``child_jobs`` of the batch parent, ``retry_ids`` of the root, and the toggle
on the child; a crash in between leaves the rest undone. Each step here is a set operation on facts that
stay, so two repairers at once do no harm. Nothing is launched: a child that never reached the scheduler
gets its steps like any other, and the reaper ends it.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence

from controller.core.ee2 import Child, Malformed, Record, made_at, read_child
from controller.core.ee2_decide import Step, steps_left
from controller.ee2.desk import PAGE, Ee2Desk, Finding, pages
from controller.ports import Rejected

REPAIR = "repair"
"""The name under which this pass quarantines."""
QUARANTINED = "quarantine"


async def repair(desk: Ee2Desk, *, dry_run: bool = False) -> Sequence[Finding]:
    """Finish every lifecycle that was left unfinished for longer than the grace.

    Ages are judged by the database's clock. Returns what was done, or would be, for each record met.
    """
    records = desk.records
    began = await records.now()
    before = began - desk.figures.repair_after
    findings: list[Finding] = []
    oldest = 0.0
    async for page in pages(lambda after: records.unfinished(before, after, PAGE)):
        oldest = max(oldest, began.timestamp() - min(made_at(record["_id"]) for record in page))
        findings += await _Page(desk, dry_run).repaired(page)
    if not dry_run:
        await records.release(REPAIR, began)
        desk.journal.gauge("retry_lifecycle_incomplete", len({finding.job for finding in findings}))
        desk.journal.gauge("oldest_incomplete_retry_seconds", oldest)
    return findings


class _Page:
    """The work on one page of children."""

    def __init__(self, desk: Ee2Desk, dry_run: bool) -> None:
        self._desk = desk
        self._records = desk.records
        self._dry_run = dry_run
        self._findings: list[Finding] = []

    async def repaired(self, page: Sequence[Record]) -> Sequence[Finding]:
        """Steps 2 and 3 where they are missing, then the toggle of whoever is read in both lists."""
        children = [child for record in page if (child := await self._readable(record))]
        left = await self._left(children)
        self._findings += [
            Finding(child.id, ", ".join(steps), _why(child)) for child, steps in left.items() if steps
        ]
        if self._dry_run:
            return self._findings
        await self._list(left)
        listed = [child.id for child, steps in (await self._left(left)).items() if steps == (Step.TOGGLE,)]
        if listed and (done := await self._records.toggle(listed)):
            self._desk.journal.repaired(Step.TOGGLE.value, done)
            self._desk.journal.said("ee2-repaired", retries=done, first=listed[0], last=listed[-1])
        return self._findings

    async def _left(self, children: Iterable[Child]) -> Mapping[Child, tuple[Step, ...]]:
        """What is left of each, by its parents as they are now; those that can't be helped left out."""
        asked = list(children)
        ids = {parent for child in asked for parent in child.parents}
        parents = await self._records.parents(ids, [child.id for child in asked])
        left = {}
        for child in asked:
            try:
                left[child] = steps_left(child, parents)
            except Malformed as error:
                await self._set_aside(child.id, str(error))
        return left

    async def _list(self, left: Mapping[Child, tuple[Step, ...]]) -> None:
        """Steps 2 and 3, one write for each parent. A parent that refuses costs its own children only."""
        wanted: defaultdict[tuple[Step, str], list[str]] = defaultdict(list)
        for child, steps in left.items():
            for step in steps:
                if step is not Step.TOGGLE:
                    parent = child.batch_id if step is Step.CHILD_JOBS else child.retry_parent
                    wanted[step, parent].append(child.id)
        done: Counter[Step] = Counter()
        for (step, parent), ids in wanted.items():
            try:
                if await self._records.list_in(step, parent, ids):
                    done[step] += len(ids)
            except Rejected as error:
                for job_id in ids:
                    await self._set_aside(job_id, f"{step.value} of {parent}: {error}")
        for step, count in done.items():
            self._desk.journal.repaired(step.value, count)

    async def _readable(self, record: Record) -> Child | None:
        try:
            return read_child(record)
        except Malformed as error:
            await self._set_aside(record["_id"], str(error))
            return None

    async def _set_aside(self, job_id: str, why: str) -> None:
        self._findings.append(Finding(job_id, QUARANTINED, why))
        if not self._dry_run:
            await self._records.set_aside(job_id, REPAIR, why)


def _why(child: Child) -> str:
    batch = f", batch {child.batch_id}" if child.batch_id else ""
    return f"retry of {child.retry_parent}{batch} whose lifecycle is unfinished"
