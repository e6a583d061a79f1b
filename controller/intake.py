"""Intake: from a spec that was read and checked to a batch in the store, and its later changes.

Called by the daemon for files in the watched store, and by the command line for ``submit``. Every
write is guarded by a unique name or by status alone, so it may come from anybody and be repeated after
a crash: a batch that stopped half-way through its expansion goes on when its spec is read again.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from itertools import islice
from typing import Any

from controller.core.adoption import LOOKING
from controller.core.batches import RECORDING
from controller.core.copying import replace
from controller.core.model import Attempt, Batch, BatchStatus, Gate, Origin, Setting, Status
from controller.core.naming import job_name
from controller.core.spec import BatchSpec, Task
from controller.ports import Conflict, Store, Unavailable
from controller.specfile import changed_fields, settings_of

CHUNK = 200
"""Root records written at once; between two chunks the event loop gets its turn."""
SHOWN = 5
"""Taken names that an answer lists."""
KEPT = 16
"""Contents of a batch that are remembered as superseded, the newest ones."""


class Outcome(StrEnum):
    """What became of a spec; the value is the metric label."""

    ACCEPTED = "accepted"
    SAME = "same"
    CHANGED = "changed"
    SUPERSEDED = "superseded"
    """An older content of the batch, out of another file than the one it goes by now: nothing is done."""
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class Taken:
    """The answer to a spec: what became of it, of which batch, in one sentence each."""

    outcome: Outcome
    batch: Batch | None
    sentences: tuple[str, ...]


async def accept(
    store: Store,
    spec: BatchSpec,
    *,
    source: str,
    other_sources: Container[str] = frozenset(),
    by: str = "",
    may_change: Callable[[Batch], None] = lambda batch: None,
) -> Taken:
    """Make the batch that the spec asks for, or bring the one of its name up to it (O1).

    ``source`` names where the spec came from; ``other_sources`` are the places that still hold specs:
    a second file that gives the same batch other content is refused, not taken in turns. ``by``: whose
    the file is, which changes nobody else's batch, nor takes back what came after it; empty: who asks is a
    person, who means it. ``may_change`` is asked of a batch that is there already, and raises for one that is
    not theirs.
    """
    batch = await store.batch_named(spec.namespace, spec.name)
    if batch is None:
        try:
            batch = await store.add_batch(*_new(store, spec, source, await store.now(), await store.epoch()))
        except Conflict:
            batch = await store.batch_named(spec.namespace, spec.name)
            if batch is None:  # what is in the way was not acknowledged yet, our own try before this one, say
                raise Unavailable(f"a batch {spec.name!r} is being recorded, and may yet be undone") from None
        else:
            if missing := await expand(store, batch, spec):
                return Taken(Outcome.REFUSED, batch, missing)
            count = f"{len(spec.tasks)} task{'' if len(spec.tasks) == 1 else 's'}"
            return Taken(
                Outcome.ACCEPTED, batch, (f"accepted: {count}, at most {spec.max_concurrent} active",)
            )
    may_change(batch)
    return await _known(store, batch, spec, source, other_sources, by)


def _new(store: Store, spec: BatchSpec, source: str, now: datetime, epoch: int = 0) -> tuple[Batch, Gate]:
    """``epoch``: the newest, so that no leader before it can claim in the new gate (R12)."""
    batch_id = store.new_id()
    settings = {name: Setting(value, source, now) for name, value in settings_of(spec).items()}
    batch = Batch(
        id=batch_id,
        namespace=spec.namespace,
        name=spec.name,
        user=spec.owner,
        status=BatchStatus.EXPANDING,
        spec=spec.document,
        spec_hash=spec.hash,
        source=source,
        settings=settings,
        tasks=len(spec.tasks),
        inserted=now,
        updated=now,
        reason=RECORDING,
    )
    return batch, first_gate(batch, epoch)


def first_gate(batch: Batch, epoch: int) -> Gate:
    """The gate that the batch begins with: as its settings are, which may have changed by now.

    Held, until whoever leads has seen live what others run under its names (S11).
    """
    most, paused = batch.settings["maxConcurrent"].value, batch.settings["paused"].value
    return Gate(batch.id, int(most), paused=bool(paused), hold=LOOKING, epoch=epoch)


async def expand(store: Store, batch: Batch, spec: BatchSpec, begun: int = 0) -> tuple[str, ...]:
    """Record every task once; repeatable: the unique key (batch, task, attempt) lets each in once.

    ``begun``: so many tasks, from the first, are there already, it seems; what is missing of them is recorded
    after the others. Whoever has to stop each time after a while comes to the end all the same.

    ``child_jobs`` gets the ids as read back from the store, so a repeat after a crash lists what is
    there and not what this process meant to write. Returns why it can't be completed, or nothing: a
    job's name may be taken by another batch whose name this one's continues (``a-b`` and ``a-b-r1``).
    """
    await store.ensure_gate(first_gate(batch, await store.epoch()))
    tasks, now = islice(spec.tasks, begun, None), await store.now()
    while chunk := list(islice(tasks, CHUNK)):
        if await _is_cancelled(store, batch.id):
            return (f"batch {batch.name} was cancelled while its tasks were being recorded",)
        await store.add_jobs(list(_roots(store, batch, spec, chunk, now)))
    roots = await store.roots(batch.id)
    if len(roots) < len(spec.tasks):
        return await (expand(store, batch, spec) if begun else _not_recorded(store, batch, spec))
    await store.list_children(batch.id, roots)
    await store.recount(batch.id)
    fields = {"status": BatchStatus.RUNNING, "reason": f"{len(roots)} tasks recorded"}
    await store.set_batch(batch.id, [BatchStatus.EXPANDING], fields)
    return ()


async def _is_cancelled(store: Store, batch_id: str) -> bool:
    """Whether the batch is being cancelled, or was: nothing more is recorded, what is there is withdrawn.

    With its end the cancel is lifted: what would be recorded after that would open the batch again.
    """
    now = await store.standing(batch_id)
    return bool((now.gate and now.gate.cancel) or (now.batch and now.batch.status.closed))


async def _not_recorded(store: Store, batch: Batch, spec: BatchSpec) -> tuple[str, ...]:
    """Which names are taken, and by what; the batch stays as it is until they are free or it is cancelled."""
    taken = []
    for task in spec.tasks:
        job = await store.job_named(batch.namespace, job_name(batch.name, task.id, 0))
        if job and job.batch_id != batch.id:
            taken.append(
                f"task {task.id}: the job name {job.name} is taken by attempt {job.attempt} of another batch"
            )
        if len(taken) == SHOWN:
            break
    reason = f"{taken[0] if taken else 'some tasks could not be recorded'}: cancel it and choose another name"
    await store.set_batch(batch.id, [BatchStatus.EXPANDING], {"reason": reason})
    return (*taken, "choose another batch name, and cancel this one")


def _roots(
    store: Store, batch: Batch, spec: BatchSpec, tasks: Sequence[Task], now: datetime
) -> Iterator[Attempt]:
    for task in tasks:
        yield Attempt(
            id=store.new_id(),
            batch_id=batch.id,
            namespace=batch.namespace,
            user=batch.user,
            task_id=task.id,
            index=task.index,
            attempt=0,
            name=job_name(batch.name, task.id, 0),
            status=Status.WAITING,
            job_input=replace(spec.job, env={**spec.job.env, **task.parameters}),
            origin=Origin.SPEC,
            inserted=now,
            updated=now,
        )


# ------------------------------------------------------------------------------ a name that is known


async def _known(
    store: Store,
    batch: Batch,
    spec: BatchSpec,
    source: str,
    other_sources: Container[str],
    by: str,
) -> Taken:
    if by not in ("", batch.user):  # first of all: of others' batches a file is told nothing else
        why = f"batch {batch.name} belongs to {batch.user}, and this spec to {by}: choose another name"
        return Taken(Outcome.REFUSED, batch, (why,))
    if batch.status is BatchStatus.EXPANDING and batch.spec_hash == spec.hash:
        begun = len(await store.roots(batch.id)) // CHUNK * CHUNK
        if missing := await expand(store, batch, spec, begun):
            return Taken(Outcome.REFUSED, batch, missing)
        return Taken(Outcome.ACCEPTED, batch, (f"went on recording its {batch.tasks} tasks",))
    if batch.spec_hash == spec.hash:
        return Taken(Outcome.SAME, batch, (f"the same content is batch {batch.name} already",))
    if by and (why := superseded_by(batch, source, spec.hash)):
        return Taken(Outcome.SUPERSEDED, batch, (why,))
    if problems := _why_refused(batch, spec, source, other_sources):
        return Taken(Outcome.REFUSED, batch, tuple(problems))
    changes, _ = changed_fields(batch.spec, spec.document)
    now = await store.now()  # as for a command: the later change wins, by one clock
    sentences = [
        await change_setting(store, batch, name, value, source, now) for name, value in changes.items()
    ]
    if spec.adopt and not batch.spec.get("adopt"):
        sentences.append("adopt: what others run under its names is taken over, where it is held for that")
    await store.set_batch(
        batch.id,
        [status for status in BatchStatus if not status.closed],
        {
            "spec": spec.document,
            "spec_hash": spec.hash,
            "source": source,
            "superseded": _superseded(batch, spec.hash),
        },
    )
    return Taken(Outcome.CHANGED, batch, tuple(sentences) or ("nothing that matters changed",))


def superseded_by(batch: Batch, source: str, content: str) -> str:
    """Why this content (a hash) of this source is none that changes the batch, in one line; empty: it may.

    Every start hands out each file anew, also one whose content was superseded from elsewhere long ago: by a
    spec that was sent, say. Whoever edits the file the batch goes by now may go back to what it said before.
    """
    if source == batch.source or content not in batch.superseded:
        return ""
    return f"superseded by {batch.source}: for this content to count, edit the file, or submit it again"


def _superseded(batch: Batch, content: str) -> tuple[str, ...]:
    """The contents that the batch has had once it has this one."""
    older = [each for each in batch.superseded if each not in (content, batch.spec_hash)]
    return (*older, batch.spec_hash)[-KEPT:]


def _why_refused(batch: Batch, spec: BatchSpec, source: str, other_sources: Container[str]) -> list[str]:
    if batch.status.closed:
        ended = f"batch {batch.name} has ended ({batch.status.value}); its name stays its own for ever"
        return [f"{ended}: give the changed spec another name, or use 'batchkeeper retry'"]
    if batch.status is BatchStatus.EXPANDING:
        return [
            f"batch {batch.name} is still being recorded from {batch.source}: put that content back first"
        ]
    if source != batch.source and batch.source in other_sources:
        return [f"batch {batch.name} is defined by {batch.source}: edit that file, or choose another name"]
    _, fixed = changed_fields(batch.spec, spec.document)
    return list(fixed)


async def _to_gate(store: Store, batch_id: str, name: str, key: str, value: Any) -> Any:
    """Bring what the setting says to the gate, whose last writer so has found it unchanged; what it says."""
    batch = await store.batch(batch_id)
    while batch is not None:
        value = batch.settings[name].value
        await store.set_gate(batch_id, {key: value})
        batch = await store.batch(batch_id)
        if batch is not None and batch.settings[name].value == value:
            break
    return value


async def change_setting(
    store: Store, batch: Batch, name: str, value: Any, source: str, now: datetime
) -> str:
    """Change one of the four fields that may change; the gate first, for it is the authority (R1).

    Of two who change it at once the later wins, in the setting and in the gate: whoever wrote the setting
    writes the gate by what it says now, and whoever wrote the gate reads afterwards whether it still does.
    """
    key = {"maxConcurrent": "max", "paused": "paused"}.get(name)
    if key:
        await store.set_gate(batch.id, {key: value})
    await store.set_setting(batch.id, name, Setting(value, source, now))
    in_gate = await _to_gate(store, batch.id, name, key, value) if key else value
    if in_gate != value:
        return f"{name}: stays {in_gate}, which was set later"
    shown = "the new rules judge later failures" if name == "retry" else f"now {value}"
    return f"{name}: {shown}"
