"""Stories: the last entries of a task or a batch, one readable line each."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from controller.core.model import Attempt, Gate
from tests.oracle.history import Entry, Happened, Parent, Weather, Written
from tests.oracle.state import State

_SHOWN = (
    "status slot stop verdict exit_code not_before no_retry retry_toggle tombstone scheduler_id epoch origin"
).split()


def key_of(state: State, entry: Entry) -> str:
    """Whose story an entry belongs to: its task's, else its batch's, else everybody's."""
    match entry:
        case Written(_, Attempt() as job):
            return f"{job.batch_id}/{job.task_id}"
        case Written(_, Gate() as gate):
            return gate.batch_id
        case Written(_, Parent() as parent):
            return parent.batch.id
        case Happened():
            thing = state.things.get(entry.uid)
            found = state.jobs.get(entry.job_id or (thing.job_id if thing else ""))
            return f"{found.batch_id}/{found.task_id}" if found else ""
        case _:
            return ""


def told(state: State, key: str, what: str) -> tuple[str, ...]:
    """The story behind a violation. At the end of a run there is no key: the name in ``what`` finds it."""
    if not key:
        named = [job for job in state.jobs.values() if job.name in what.replace("'", " ").split()]
        key = f"{named[0].batch_id}/{named[0].task_id}" if named else ""
    keys = [key, key.partition("/")[0], ""] if "/" in key else [key, ""] if key else []
    entries = sorted((entry for one in keys for entry in state.stories[one]), key=lambda entry: entry.at)
    names = {job.id: job.name for job in state.jobs.values()}
    return tuple(line(entry, names) for entry in entries)


def line(entry: Entry, names: Mapping[str, str] = MappingProxyType({})) -> str:
    """One entry in one line; ``names``: of attempts by id, where the reader wants no ids."""
    clock = entry.at.strftime("%H:%M:%S.%f")[:-3]
    match entry:
        case Written(_, after, writer):
            return f"{clock} store   {_document(after, names)}" + (f" (by epoch {writer})" if writer else "")
        case Happened():
            by = " by us" if entry.ours else ""
            what = f" success={entry.success}" if entry.success is not None else ""
            return f"{clock} cluster {entry.name} {entry.uid} {entry.deed}{by}{what}"
        case Weather():
            what = f"{entry.side} {entry.namespace}".rstrip()
            return f"{clock} weather the {what} is {'out of reach' if entry.out else 'back'}"


def _document(after: object, names: Mapping[str, str]) -> str:
    match after:
        case Attempt() as job:
            facts = {name: getattr(job, name) for name in _SHOWN}
            text = " ".join(
                f"{name}={value}" for name, value in facts.items() if value not in (None, "", False)
            )
            return f"{job.name} {text} tokens={[create.token for create in job.open_creates]} ({job.reason})"
        case Gate() as gate:
            held = {names.get(holder.job, holder.job): holder.slot for holder in gate.holders}
            shut = f"paused={gate.paused} hold={gate.hold!r} cancel={bool(gate.cancel)} epoch={gate.epoch}"
            return f"gate max={gate.max} {shut} holders={held} foreign={[f.name for f in gate.foreign]}"
        case Parent(batch):
            return f"batch {batch.name} {batch.status} {batch.result or ''} {batch.reason}"
        case _:
            return str(after)
