"""What the words of a retry stand for, and which attempts a retry of a whole batch means.

Names that are none are answered like ids that are refused: they cost themselves, not the others.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass

from controller.core.model import Status, Verdict
from controller.finding import Ambiguous, B, J, Records, find_batch, find_job
from controller.requests import Answer, NotFound, Refused
from controller.shapes import Document

FAILED = (Status.ERROR.value, Status.TERMINATED.value)
_ID = re.compile(r"[0-9a-f]{24}")


@dataclass(frozen=True, slots=True)
class Meant:
    """What the words of a command stand for: each id with its word, and answers to what is nothing."""

    ids: Mapping[str, str]
    unknown: Sequence[Answer]


async def meant_jobs(records: Records[B, J], names: Sequence[str]) -> Meant:
    """The jobs of these names and ids; a batch's name gives its id, which is refused as one.

    Raises ``Refused`` when one is named twice.
    """
    ids: dict[str, str] = {}
    unknown = []
    for name in names:
        try:
            job_id = await _job_or_parent(records, name)
        except (NotFound, Ambiguous) as error:
            unknown.append(Answer(name, error=str(error), stage="preflight"))
            continue
        if job_id in ids:
            raise Refused(f"{ids[job_id]} and {name} are one job: name each job once; nothing was done")
        ids[job_id] = name
    return Meant(ids, unknown)


async def _job_or_parent(records: Records[B, J], name: str) -> str:
    if is_id(name):
        return name
    try:
        return (await find_job(records, name)).id
    except NotFound as missing:
        try:
            return (await find_batch(records, name)).id
        except NotFound:
            raise missing from None


def is_id(text: str) -> bool:
    """Whether this is written as ids are; a retry of one that is none is answered as such."""
    return bool(_ID.fullmatch(text))


async def failed_tasks(jobs: AsyncIterator[Document], verdict: Verdict | None, now: bool) -> list[str]:
    """Of each task whose newest attempt failed so, that attempt; with ``now``, also where a retry waits.

    ``jobs``: every attempt of a batch, those of a task one after the other.
    """
    ids = []
    task: list[Document] = []
    async for job in jobs:
        if task and root_of(job) != root_of(task[0]):
            ids += _meant(task, verdict, now)
            task = []
        task.append(job)
    return ids + (_meant(task, verdict, now) if task else [])


def root_of(job: Document) -> str:
    """Attempt 0 of its task."""
    return str(job["retry_parent"] or job["id"])


def _meant(task: Sequence[Document], verdict: Verdict | None, now: bool) -> list[str]:
    newest = task[-1]
    failed = [
        job
        for job in task
        if job["status"] in FAILED and (verdict is None or job["verdict"] == verdict.value)
    ]
    if not failed:
        return []
    waits = newest["status"] == Status.WAITING.value and newest["not_before"] is not None
    return [failed[-1]["id"]] if failed[-1] is newest or (now and waits) else []
