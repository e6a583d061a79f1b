"""Which attempts a retry command means, and what becomes of each: ``requests`` does the deciding.

Names that are none are answered like ids that are refused: they cost themselves, not the others.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from controller import requests
from controller.core.model import Attempt, Resources, Status, Verdict
from controller.finding import Ambiguous, find_batch, find_job
from controller.ports import JobFilter
from controller.requests import Answer, Caller, NotFound, Refused

if TYPE_CHECKING:
    from controller.app import Parts

AT_ONCE = 10_000
"""Ids of one request."""


@dataclass(frozen=True, slots=True)
class Wish:
    """How it is to be retried. ``cpu`` in millicores, ``memory`` in bytes; None: as it was."""

    now: bool = False
    cpu: int | None = None
    memory: int | None = None
    dry_run: bool = False


@dataclass(frozen=True, slots=True)
class Named:
    """What the words of a command stand for: each id with its word, and answers to what is nothing."""

    ids: Mapping[str, str]
    unknown: Sequence[Answer]


async def named_jobs(parts: Parts, names: Sequence[str]) -> Named:
    """The jobs of these names and ids; a batch's name gives its id, which is refused as one.

    Raises ``Refused`` when one is named twice.
    """
    ids: dict[str, str] = {}
    unknown = []
    for name in names:
        try:
            job_id = await _job_or_parent(parts, name)
        except (NotFound, Ambiguous) as error:
            unknown.append(Answer(name, error=str(error), stage="preflight"))
            continue
        if job_id in ids:
            raise Refused(f"{ids[job_id]} and {name} are one job: name each job once; nothing was done")
        ids[job_id] = name
    return Named(ids, unknown)


async def _job_or_parent(parts: Parts, name: str) -> str:
    try:
        return (await find_job(parts.store, name)).id
    except NotFound as missing:
        try:
            return (await find_batch(parts.store, name)).id
        except NotFound:
            raise missing from None


async def failed_jobs(parts: Parts, batch_id: str, verdict: Verdict | None, now: bool) -> Sequence[str]:
    """Of each task whose newest attempt failed so, that attempt; with ``now``, also where a retry waits."""
    what = JobFilter(
        batch_id=batch_id,
        status=(Status.ERROR, Status.TERMINATED),
        verdict=(verdict,) if verdict else (),
    )
    last = {job.root_id: job async for job in parts.store.find_jobs(what)}
    chains = await parts.store.chains(list(last)) if last else {}
    return [
        job.id
        for root, job in last.items()
        if (newest := chains[root][-1]).id == job.id or (now and _waits(newest))
    ]


def _waits(job: Attempt) -> bool:
    return job.status is Status.WAITING and job.not_before is not None


async def retry_all(parts: Parts, caller: Caller, ids: Sequence[str], wish: Wish) -> list[Answer]:
    """Retry these, or with ``wish.now`` hurry the retry that already waits; answers in the order of ids.

    Raises ``Refused`` when an id stands twice.
    """
    waiting = await _with_waiting_retry(parts, ids) if wish.now else frozenset[str]()
    rest = [job_id for job_id in ids if job_id not in waiting]
    answers: dict[str, Answer] = {}
    for resources, group in (await _by_resources(parts, rest, wish)).items():
        for start in range(0, len(group), AT_ONCE):
            portion = group[start : start + AT_ONCE]
            done = await requests.retry(
                parts.people, caller, portion, resources=resources, dry_run=wish.dry_run
            )
            answers |= {answer.job_id: answer for answer in done}
    if waiting:
        hurried = await requests.hurry(parts.people, caller, sorted(waiting), dry_run=wish.dry_run)
        answers |= {answer.job_id: answer for answer in hurried}
    return [answers[job_id] for job_id in dict.fromkeys(ids) if job_id in answers]


async def _with_waiting_retry(parts: Parts, ids: Sequence[str]) -> frozenset[str]:
    jobs = await parts.store.jobs(ids)
    chains = await parts.store.chains(sorted({job.root_id for job in jobs})) if jobs else {}
    return frozenset(job.id for job in jobs if _waits(chains[job.root_id][-1]))


async def _by_resources(parts: Parts, ids: Sequence[str], wish: Wish) -> dict[Resources | None, list[str]]:
    """The ids by what their retry shall request: what is not overridden stays each task's own."""
    if wish.cpu is None and wish.memory is None:
        return {None: list(ids)} if ids else {}
    jobs = {job.id: job for job in await parts.store.jobs(ids)}
    chains = await parts.store.chains(sorted({job.root_id for job in jobs.values()})) if jobs else {}
    groups: dict[Resources | None, list[str]] = {}
    for job_id in ids:
        job = jobs.get(job_id)
        wanted = _overridden(chains[job.root_id][-1], wish) if job else None
        groups.setdefault(wanted, []).append(job_id)
    return groups


def _overridden(newest: Attempt, wish: Wish) -> Resources:
    own = newest.job_input.resources
    return replace(
        own,
        cpu=own.cpu if wish.cpu is None else wish.cpu,
        memory=own.memory if wish.memory is None else wish.memory,
    )
