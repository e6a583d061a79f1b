"""Objects of a former life: ours by their labels, of a batch that the store does not know.

A database that was lost, or set back to an older copy, leaves jobs without a record. A batch's record is
written before any object of it and is never removed, so a batch that is not found after its object was seen
is not there. Its objects are no attempts: they count under the prefix that they are under, may be taken over
like anybody's, and are never written to or deleted. Called by ``surroundings`` and ``explaining`` for
lists, and by ``adopting`` for its look.

So does a pod whose Job was deleted by hand: it runs on for a while, and where no record knows of it, it is
nobody's.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

from controller.core.copying import replace
from controller.core.model import Status
from controller.core.sight import Adoptable, ClusterJob, ForeignObject, Observation, Stray
from controller.engine import Engine

KIND = "Job"


async def sorted_out(
    engine: Engine, seen: Observation, recorded: Iterable[str] = (), attempts: Collection[str] = ()
) -> Observation:
    """The list with what is left of a former life among the foreign objects.

    ``recorded``: batches that are known to have a record; ``attempts``: ids of those that are known to have
    been asked for.
    """
    unknown = await _unknown(engine, {job.batch_id for job in seen.jobs.values()} - set(recorded))
    nobodys_pods = await _without_record(engine, seen.strays, attempts)
    if not unknown and not nobodys_pods:
        return seen
    left = [job for job in seen.jobs.values() if job.batch_id in unknown]
    jobs = {job_id: job for job_id, job in seen.jobs.items() if job.batch_id not in unknown}
    return replace(seen, jobs=jobs, foreign=(*seen.foreign, *map(_orphan, left), *nobodys_pods))


async def nobodys(engine: Engine, found: Sequence[Adoptable]) -> list[Adoptable]:
    """Of what a look found: what others made, and what is left of a former life, as if others had made it."""
    unknown = await _unknown(engine, {one.job.batch_id for one in found if one.job.job_id})
    return [_unlabelled(one) for one in found if not one.job.job_id or one.job.batch_id in unknown]


async def _unknown(engine: Engine, batch_ids: set[str]) -> set[str]:
    return batch_ids - await engine.store.recorded(batch_ids) if batch_ids else set()


async def _without_record(
    engine: Engine, strays: Sequence[Stray], attempts: Collection[str]
) -> list[ForeignObject]:
    """What no record knows of, or only one that says that it was never asked for: read after it was seen."""
    if not (ids := {stray.job_id for stray in strays}.difference(attempts)):
        return []
    read = await engine.store.jobs(ids)
    ids -= {job.id for job in read if job.status is not Status.WAITING}
    return [stray.left for stray in strays if stray.job_id in ids]


def _orphan(job: ClusterJob) -> ForeignObject:
    return ForeignObject(job.name, job.namespace, job.uid, KIND, job.active, job.started, orphan=True)


def _unlabelled(one: Adoptable) -> Adoptable:
    return replace(one, job=replace(one.job, job_id="", batch_id="", task_id="", attempt=0))
