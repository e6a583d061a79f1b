"""Finding what people mean: a batch by name, namespace/name or id; a job by its cluster name or id.

Called by the command line, on the store or on what the API lists.

A name that is not there is answered with the nearest one that is; a name that stands for two things is
never guessed.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Sequence
from difflib import get_close_matches
from typing import Protocol, TypeVar

from controller.core.naming import longest_prefix
from controller.people import NotFound
from controller.ports import BatchkeeperError, JobFilter

MOST_COMPARED = 5000
"""Job names of one batch that are compared with a misspelled one."""


class Ambiguous(BatchkeeperError):
    """The name stands for several things."""


class Named(Protocol):
    """A batch or a job, as far as its name goes."""

    @property
    def id(self) -> str:
        """Its id."""

    @property
    def name(self) -> str:
        """Its name in its namespace."""

    @property
    def namespace(self) -> str:
        """Where it is."""


B = TypeVar("B", bound=Named, covariant=True)
J = TypeVar("J", bound=Named, covariant=True)


class Records(Protocol[B, J]):
    """Where names are looked up. A ``Store`` is one; the command line has another, behind the API."""

    async def batch(self, batch_id: str) -> B | None:
        """The batch of this id."""

    async def batch_named(self, namespace: str, name: str) -> B | None:
        """The batch of this name there."""

    async def batches(self) -> Sequence[B]:
        """All of them."""

    async def job(self, job_id: str) -> J | None:
        """The job of this id."""

    async def job_named(self, namespace: str, name: str) -> J | None:
        """The job of this name there."""

    def find_jobs(self, what: JobFilter, *, limit: int = ...) -> AsyncIterator[J]:
        """The jobs of a batch."""


async def find_batch(store: Records[B, J], text: str) -> B:
    """The batch that is meant. Raises ``NotFound`` with the nearest name, or ``Ambiguous``."""
    text = _readable(text)
    found = await _batches(store, text)
    if len(found) > 1:
        raise Ambiguous(f"{text} is the name of several batches: say which, {_listed(map(full_name, found))}")
    if not found:
        raise NotFound(f"there is no batch {text}{await _nearest_batch(store, text)}")
    return found[0]


async def find_job(store: Records[B, J], text: str) -> J:
    """The job that is meant. Raises ``NotFound`` with the nearest name, or ``Ambiguous``."""
    text = _readable(text)
    found = await _jobs(store, text)
    if len(found) > 1:
        names = (f"{job.namespace}/{job.name}" for job in found)
        raise Ambiguous(f"{text} is the name of several jobs: say which, {_listed(names)}")
    if not found:
        raise NotFound(await _no_job(store, text))
    return found[0]


async def find_either(store: Records[B, J], text: str) -> B | J:
    """The batch or the job that is meant. Raises ``NotFound``, or ``Ambiguous`` when it may be both."""
    text = _readable(text)
    batches, jobs = await _batches(store, text), await _jobs(store, text)
    if len(batches) + len(jobs) > 1:
        ids = [f"batch {batch.id}" for batch in batches] + [f"job {job.id}" for job in jobs]
        raise Ambiguous(f"{text} is the name of several things: give the id of one, {_listed(ids)}")
    if not batches and not jobs:
        raise NotFound(await _no_job(store, text, what="batch or job"))
    return batches[0] if batches else jobs[0]


def full_name(batch: Named) -> str:
    """``namespace/name``: unique for ever."""
    return f"{batch.namespace}/{batch.name}"


def _readable(text: str) -> str:
    """An argument of a command may be any bytes; what is no text of theirs is part of no name."""
    return text.encode("utf-8", "replace").decode("utf-8")


async def _batches(store: Records[B, J], text: str) -> Sequence[B]:
    if by_id := await store.batch(text):
        return [by_id]
    namespace, slash, name = text.rpartition("/")
    if slash:
        batch = await store.batch_named(namespace, name)
        return [batch] if batch else []
    return [batch for batch in await store.batches() if batch.name == text]


async def _jobs(store: Records[B, J], text: str) -> Sequence[J]:
    if by_id := await store.job(text):
        return [by_id]
    namespace, slash, name = text.rpartition("/")
    namespaces = [namespace] if slash else sorted({batch.namespace for batch in await store.batches()})
    found = [await store.job_named(each, name) for each in namespaces]
    return [job for job in found if job]


async def _nearest_batch(store: Records[B, J], text: str) -> str:
    batches = await store.batches()
    names = [batch.name for batch in batches] + [full_name(batch) for batch in batches]
    if not names:
        return ": there is none at all yet; 'batchkeeper submit SPEC' makes one"
    near = get_close_matches(text, names, n=1)
    return f"; did you mean {near[0]}?" if near else ": 'batchkeeper list' shows what there is"


async def _no_job(store: Records[B, J], text: str, what: str = "job") -> str:
    """The answer to a name that is none: the nearest batch, or the nearest job of the batch it is under."""
    batches = await store.batches()
    if what == "job" and await _batches(store, text):
        return f"{text} is a batch, no job: 'batchkeeper jobs {text}' shows its jobs"
    prefix = longest_prefix(text.rpartition("/")[2], [batch.name for batch in batches])
    candidates = [batch.name for batch in batches] if what != "job" or not prefix else []
    for batch in batches:
        if prefix and batch.name == prefix:
            filter_ = JobFilter(batch_id=batch.id)
            candidates += [job.name async for job in store.find_jobs(filter_, limit=MOST_COMPARED)]
    near = get_close_matches(text, candidates, n=1)
    if near:
        return f"there is no {what} {text}; did you mean {near[0]}?"
    where = (
        f"'batchkeeper jobs {prefix}' shows its jobs" if prefix else "'batchkeeper list' shows the batches"
    )
    return f"there is no {what} {text}: {where}"


def _listed(names: Iterable[str]) -> str:
    return " or ".join(names)
