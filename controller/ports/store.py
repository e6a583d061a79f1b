"""The records as a port."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Protocol

from controller.core.change import Change
from controller.core.model import (
    Attempt,
    Batch,
    BatchStatus,
    Counts,
    Foreign,
    Gate,
    Halt,
    Halts,
    Holder,
    Setting,
    Status,
    Stop,
    Verdict,
)
from controller.core.notices import Notice
from controller.ports.errors import Conflict, Rejected


@dataclass(frozen=True, slots=True)
class Untold:
    """A notice that waits for its delivery: of a batch, or of a refused spec that is none's."""

    notice: Notice
    batch: Batch | None = None
    spec: str = ""
    """The key of the refused spec, where there is no batch."""


@dataclass(frozen=True, slots=True)
class Standing:
    """What a pass after an event begins with, in one answer: a missing or unreadable part is left out."""

    batch: Batch | None
    gate: Gate | None
    halts: Halts
    jobs: Sequence[Attempt] = ()


@dataclass(frozen=True, slots=True)
class JobFilter:
    """What ``Store.find_jobs`` shows. Empty fields are not asked."""

    batch_id: str = ""
    status: tuple[Status, ...] = ()
    verdict: tuple[Verdict, ...] = ()
    user: str = ""
    newest_only: bool = False
    """Only each task's newest attempt."""


class Store(Protocol):
    """The records. Every write is majority-acknowledged; reads that decide are majority, primary.

    A decision carries the epoch of the leader that took it and changes no record stamped by a later
    one. ``None``/``False`` from a guarded write means "zero matched": read again, then decide.
    """

    # -- identity, leadership, clock
    def new_id(self) -> str:
        """A fresh id for a record or a batch: 24 hexadecimal digits, made without asking the store."""
        ...

    def quarantined(self) -> Mapping[str, str]:
        """Records that were met but can't be read (id → why); every list leaves them out (O2).

        They keep their place and their batch stays open: nothing is judged of what can't be read.
        """
        ...

    async def now(self) -> datetime:
        """The store's own clock (R10)."""
        ...

    async def next_epoch(self, holder: str) -> int:
        """Mint the next epoch for whoever won the lock (R12)."""
        ...

    async def epoch(self) -> int:
        """The newest epoch minted."""
        ...

    async def stamp(self, epoch: int) -> None:
        """Stamp with a new leader's epoch, before it acts: all gates, then all active records, those that
        wait with a place, and all open batches.

        Raises ``StaleEpoch`` when a gate carries a later one.
        """
        ...

    async def halts(self) -> Halts:
        """The operator's kill switches."""
        ...

    async def set_halt(self, what: str, halt: Halt | None) -> None:
        """Set or lift the halt of ``submissions`` or ``retries``."""
        ...

    async def note_good_pass(self, at: datetime, longest: timedelta, namespaces: Iterable[str]) -> None:
        """Record a good pass that saw all of these; in each a silence longer than ``longest`` before it
        becomes a gap."""
        ...

    async def blind_gaps(self) -> Mapping[str, Sequence[tuple[datetime, datetime]]]:
        """By namespace: stretches without a good pass (kept 60 days); they count for no reaper (R10)."""
        ...

    async def standing(self, batch_id: str, job_ids: Iterable[str] = ()) -> Standing:
        """The batch, its gate, the halts, and these of its or others' records, in one round trip."""
        ...

    # -- batches and gates
    async def add_batch(self, batch: Batch, gate: Gate) -> Batch:
        """Insert a batch parent (expanding) and its gate; raises ``Conflict`` when the name is taken.

        Idempotent for the gate: a crash between the two is repaired by ``ensure_gate``.
        """
        ...

    async def ensure_gate(self, gate: Gate) -> None:
        """Insert the gate if there is none for its batch."""
        ...

    async def batch(self, batch_id: str) -> Batch | None:
        """One batch parent, or None."""
        ...

    async def batches_with(self, batch_ids: Iterable[str]) -> Mapping[str, Batch]:
        """The batch parents with these ids that exist, in one round trip; text that is no id is none."""
        ...

    async def recorded(self, batch_ids: Iterable[str]) -> frozenset[str]:
        """Those of these ids that a batch parent has, readable or not; its content is not read."""
        ...

    async def batch_named(self, namespace: str, name: str) -> Batch | None:
        """The batch of this name in this namespace, or None."""
        ...

    async def batches(self, *, closed: bool | None = None, limit: int = 0) -> Sequence[Batch]:
        """All batches, newest first, or those whose status is (not) closed."""
        ...

    async def batches_with_live_jobs(self) -> frozenset[str]:
        """Ids of batches that have a waiting or active record, through an index."""
        ...

    async def set_batch(
        self,
        batch_id: str,
        sources: Iterable[BatchStatus],
        fields: Mapping[str, Any],
        notices: Sequence[Notice] = (),
        epoch: int | None = None,
    ) -> bool:
        """Set fields of a batch parent if its batch status is one of ``sources``; with an ``epoch``, if no
        later one stamped it.

        ``fields`` are names of ``Batch`` (``status``, ``reason``, ``result``, ``spec``,
        ``spec_hash``, ``source``, ``superseded``, ``resumed``, ``finished``); the parent record's own
        ``status`` follows ``status`` and ``result``. ``notices`` are remembered in the same write, at the
        store's present; an Event whose topic is in ``told`` is not, and every other one's enters ``told``
        with it.
        Without ``fields`` nothing of the batch itself changes.
        """
        ...

    async def set_setting(self, batch_id: str, name: str, setting: Setting) -> bool:
        """Record a changed setting, unless the one recorded is later."""
        ...

    async def add_counts(self, batch_id: str, delta: Counts) -> None:
        """Add to the cached counts (negative numbers subtract)."""
        ...

    async def recount(self, batch_id: str, *, keep: bool = True) -> Counts:
        """Count again through an index, store and return it; with ``keep=False`` nothing is stored."""
        ...

    async def gates(self, batch_ids: Iterable[str]) -> Mapping[str, Gate]:
        """The gates of these batches, by batch id; a missing one is left out."""
        ...

    async def set_gate(self, batch_id: str, fields: Mapping[str, Any]) -> bool:
        """Set ``max``, ``paused``, ``hold`` or ``cancel`` (None unsets): one write, needs no other rule."""
        ...

    async def replace_hold(self, batch_id: str, before: str, after: str) -> bool:
        """Set the gate's hold if it still is ``before`` (empty: none); an empty ``after`` lifts it."""
        ...

    async def lift_cancel(self, batch_id: str, cancel: Stop) -> bool:
        """Unset ``cancel`` if it still is this very order: a later one stays."""
        ...

    async def claim(
        self, batch_id: str, places: Sequence[tuple[str, int]], epoch: int, leaving: Iterable[str] = ()
    ) -> Gate | None:
        """Take places for (job id, slot) pairs in one guarded update of the gate (R1); the gate after it.

        ``leaving``: records that were read terminal give theirs up in the same update. None: it is refused,
        and nobody has left.
        """
        ...

    async def take_over(
        self, batch_id: str, places: Sequence[Holder], hold: str, epoch: int, *, cancelled: bool = False
    ) -> bool:
        """Give places to attempts that are taken over, even above max, while ``hold`` is the gate's (S11).

        One guarded update: the objects of these places leave ``foreign`` with it, so that none is counted
        twice or, for an instant, not at all (R2). ``cancelled``: also in a batch that is being cancelled,
        where who is active without a place gets it back.
        """
        ...

    async def leave(self, batch_id: str, job_ids: Iterable[str]) -> Gate | None:
        """Give up places of records that were read terminal; the gate after it, None if there is none."""
        ...

    async def enter_foreign(self, batch_id: str, foreign: Iterable[Foreign]) -> None:
        """Count foreign active objects by uid, even above max (R2); one that has a place counts already."""
        ...

    async def drop_foreign(self, batch_id: str, uid: str) -> None:
        """Stop counting an object that a live GET found gone or terminal."""
        ...

    # -- attempts
    async def job(self, job_id: str) -> Attempt | None:
        """One record, or None; an id that is not one is None too."""
        ...

    async def jobs(self, job_ids: Iterable[str]) -> Sequence[Attempt]:
        """The records with these ids that exist, in any order."""
        ...

    async def job_named(self, namespace: str, name: str) -> Attempt | None:
        """The record of this cluster name, or None."""
        ...

    async def add_jobs(self, jobs: Sequence[Attempt]) -> Sequence[bool]:
        """Insert records, unordered; False for each that hit a unique key (read again, then decide)."""
        ...

    async def change(self, change: Change, epoch: int | None = None) -> Attempt | None:
        """Execute one row of the state machine; None when the record is not as the row demands.

        ``epoch`` is required for the leader's rows and refused (ValueError) for none of them; a
        record stamped later than it is not changed.
        """
        ...

    async def changes_many(
        self, changes: Sequence[Change], epoch: int | None = None
    ) -> Sequence[Attempt | Conflict | Rejected | None]:
        """Changes of different records in one go; what became of each.

        The record after it, as it was read right after, if the change was applied or the record was so
        already; None if it is otherwise; or the error that ``change`` would raise. Each is guarded for
        itself, in any order, and some may be applied when the whole is ``Unavailable``. Raises
        ``ValueError``, with nothing written, for what the table can't mean and for two of one record.
        """
        ...

    async def waiting(
        self, batch_id: str, limit: int, now: datetime, *, with_auto: bool = True
    ) -> Sequence[Attempt]:
        """The first waiting records that are due: retries by ``not_before``, then by spec index.

        ``batch-end`` children are not among them. ``with_auto=False`` leaves out automatic retries.
        """
        ...

    async def waiting_for_end(self, batch_id: str, limit: int, now: datetime) -> Sequence[Attempt]:
        """The first due ``batch-end`` children."""
        ...

    async def next_due(self, batch_id: str, after: datetime) -> datetime | None:
        """The earliest ``not_before`` later than ``after`` among waiting records."""
        ...

    async def has(self, batch_id: str, statuses: Iterable[Status], *, when: str = "") -> bool:
        """Whether the batch has a record in one of these statuses (an index probe)."""
        ...

    async def waiting_ids(self, batch_id: str, limit: int) -> Sequence[str]:
        """Ids of waiting records, for a cancel."""
        ...

    async def active(self, but: Collection[str] = ()) -> Sequence[Attempt]:
        """All active records, through an index; without those that have the ids ``but``."""
        ...

    async def roots(self, batch_id: str) -> Sequence[str]:
        """Ids of the batch's attempts 0, in spec order, as read back from the store."""
        ...

    async def chain(self, batch_id: str, task_id: str) -> Sequence[Attempt]:
        """All attempts of one task, by attempt number."""
        ...

    async def roots_of(self, job_ids: Iterable[str]) -> Mapping[str, str]:
        """The root of each of these attempts that exists, by its id; no record is read for it."""
        ...

    async def chains(self, root_ids: Iterable[str]) -> Mapping[str, Sequence[Attempt]]:
        """The same for many tasks, by root id, in one round trip."""
        ...

    def find_jobs(self, what: JobFilter, after: str = "", limit: int = 0) -> AsyncIterator[Attempt]:
        """Records in spec order then attempt, streamed; ``after`` is a record's id to go on from."""
        ...

    # -- the retry lifecycle (R9)
    async def list_children(self, batch_id: str, ids: Iterable[str]) -> None:
        """Step 2, as a set: ``child_jobs`` of the batch parent. No list, or a full one, takes none."""
        ...

    async def list_retries(self, by_root: Mapping[str, Iterable[str]]) -> None:
        """Step 3, in bulk, each as a set: ``retry_ids`` of these roots. One that is no list takes nothing."""
        ...

    async def listed(self, children: Sequence[Attempt]) -> Mapping[str, tuple[str, ...]]:
        """Those children that both their batch parent and their root are *read* to list, by id.

        Each with its root's whole list, oldest first.
        """
        ...

    async def toggle(self, ids: Iterable[str]) -> int:
        """Step 4 for children that were read in both lists."""
        ...

    async def unfinished_lifecycles(
        self, before: datetime, limit: int, after: Attempt | None = None
    ) -> Sequence[Attempt]:
        """Records with a retry parent and the toggle false, inserted before then, oldest first.

        ``after``: only those that come after this one by (inserted, id). Fewer than ``limit``: the last page.
        """
        ...

    async def last_failures(self, batch_id: str, limit: int) -> Sequence[Attempt]:
        """The attempts that ended in error or terminated last, the newest first, through an index."""
        ...

    # -- specs that are refused
    async def set_quarantine(self, key: str, problems: Sequence[str], notices: Sequence[Notice] = ()) -> None:
        """Remember why a spec is refused as it is now, for ``list --quarantined``; empty: it no longer is.

        ``notices`` replace what waits there to be told, if it was not refused for these very problems
        before; what is no longer refused is not told any more.
        """
        ...

    async def quarantine(self) -> Mapping[str, Sequence[str]]:
        """Specs that are refused as they are now, and every problem of each."""
        ...

    async def nudge(self) -> None:
        """Ask whoever leads to look at everything soon."""
        ...

    # -- what people are to be told
    async def untold(self) -> Sequence[Untold]:
        """Everything that waits to be told, through an index."""
        ...

    async def move_notice(self, one: Untold, due: datetime | None) -> bool:
        """Begin its next delivery, if nobody did since it was read: nobody else does before ``due``.

        None: it was told, or given up, whoever delivers it.
        """
        ...

    # -- hints, end
    def requests(self) -> AsyncIterator[str]:
        """Hints: ids of batches for which somebody asked something (empty string: look at all)."""
        ...

    async def close(self) -> None:
        """Let go of connections."""
        ...
