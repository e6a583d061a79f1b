"""Batches, gates and the installation's own facts, in memory. ``memory_store`` extends this."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from controller.core.copying import replace
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
)
from controller.ports import Clock, Conflict, StaleEpoch, Unavailable
from tests.fakes.memory_changes import kept
from tests.fakes.memory_gaps import MemoryGaps
from tests.fakes.memory_table import Attempts

_BATCH_DEFAULTS: Mapping[str, Any] = {"reason": "", "result": None, "resumed": None, "finished": None}
_BATCH_FIELDS = {*_BATCH_DEFAULTS, "status", "spec", "spec_hash", "source", "superseded"}
_SETTINGS = frozenset({"maxConcurrent", "paused", "priority", "retry"})
_GATE_DEFAULTS: Mapping[str, Any] = {"max": 0, "paused": False, "hold": "", "cancel": None}


class Write(NamedTuple):
    """One entry of the oplog. ``before`` is None for an insert; all values are frozen.

    ``collection`` is jobs, batches, gates, meta, or child_jobs (``after``: the ids that are new).
    """

    at: datetime
    collection: str
    id: str
    before: Any
    after: Any


class MemoryBatches(MemoryGaps):
    """Everything of ``ports.Store`` that is not about attempts."""

    def __init__(self, clock: Clock, seed: int = 0) -> None:
        """``clock`` is the store's own; ``seed`` begins the ids, so that two stores' never meet."""
        super().__init__()
        self.oplog: list[Write] = []
        self.clock = clock
        self._seed = seed
        self._ids = 0
        self._attempts = Attempts()
        self._batches: dict[str, Batch] = {}
        self._batch_names: dict[tuple[str, str], str] = {}
        self._children: dict[str, dict[str, None]] = {}
        self._gates: dict[str, Gate] = {}
        self._quarantine: dict[str, Sequence[str]] = {}
        self._epoch = 0
        self._batch_epochs: dict[str, int] = {}
        self._halts = Halts()
        self._listeners: list[asyncio.Queue[str | None]] = []

    def _now(self) -> datetime:
        now: datetime = kept(self.clock.now())
        return now

    def _log(self, collection: str, item: str, before: Any, after: Any) -> None:
        self.oplog.append(Write(self._now(), collection, item, before, after))

    def _hint(self, batch_id: str) -> None:
        for listener in self._listeners:
            listener.put_nowait(batch_id)

    def _touched(self, job: Attempt, **values: Any) -> Attempt:
        return replace(job, updated=self._now(), **values)

    def child_jobs(self, batch_id: str) -> tuple[str, ...]:
        """What the batch parent lists, for tests and oracles."""
        return tuple(self._children[batch_id])

    # ------------------------------------------------------------------------ identity, leadership

    def new_id(self) -> str:
        """The next id."""
        self._ids += 1
        return f"{self._seed:08x}{self._ids:016x}"

    def quarantined(self) -> Mapping[str, str]:
        """Nothing in memory is unreadable."""
        return {}

    async def now(self) -> datetime:
        """The store's own clock."""
        return self._now()

    async def next_epoch(self, holder: str) -> int:
        """Mint the next epoch."""
        self._epoch += 1
        self._log("meta", "epoch", self._epoch - 1, self._epoch)
        return self._epoch

    async def epoch(self) -> int:
        """The newest epoch minted."""
        return self._epoch

    async def stamp(self, epoch: int) -> None:
        """Stamp all gates, then those that wait with a place, all active records and open batches."""
        for gate in list(self._gates.values()):
            if gate.epoch < epoch:
                self._put_gate(replace(gate, epoch=epoch))
        if any(gate.epoch > epoch for gate in self._gates.values()):
            raise StaleEpoch(f"epoch {epoch} is over")
        held = [holder.job for gate in self._gates.values() for holder in gate.holders]
        there = [self._attempts.by_id[job] for job in held if job in self._attempts.by_id]
        waiting = [job for job in there if job.status is Status.WAITING]
        for job in [*waiting, *(self._attempts.by_id[job] for job in self._attempts.active)]:
            if job.epoch < epoch:
                stamped = self._touched(job, epoch=epoch)
                self._attempts.put(stamped)
                self._log("jobs", job.id, job, stamped)
        for batch in self._batches.values():
            if not batch.status.closed:
                self._batch_epochs[batch.id] = max(epoch, self._batch_epochs.get(batch.id, 0))

    async def halts(self) -> Halts:
        """The operator's kill switches."""
        return self._halts

    async def set_halt(self, what: str, halt: Halt | None) -> None:
        """Set or lift a halt."""
        if what not in ("submissions", "retries"):
            raise ValueError(f"there is no halt of {what!r}")
        before, at = self._halts, halt and replace(halt, at=kept(halt.at))
        self._halts = replace(before, **{what: at})
        self._log("meta", "halts", before, self._halts)
        self._hint("")

    async def nudge(self) -> None:
        """Ask whoever leads to look at everything soon."""
        self._hint("")

    async def set_quarantine(self, key: str, problems: Sequence[str]) -> None:
        """Remember why a spec is refused as it is now; no problems: it no longer is."""
        self._quarantine.pop(key, None)
        if problems:
            self._quarantine[key] = tuple(problems)

    async def quarantine(self) -> Mapping[str, Sequence[str]]:
        """Specs that are refused as they are now."""
        return dict(sorted(self._quarantine.items()))

    # --------------------------------------------------------------------------------------- batches

    def _put_batch(self, batch: Batch) -> None:
        before = self._batches.get(batch.id)
        self._batches[batch.id] = batch
        self._log("batches", batch.id, before, batch)

    async def add_batch(self, batch: Batch, gate: Gate) -> Batch:
        """Insert a batch parent, then its gate."""
        name = (batch.namespace, batch.name)
        if name in self._batch_names or batch.id in self._batches:
            raise Conflict(f"there is a batch {batch.name} in {batch.namespace} already")
        settings = {key: replace(s, at=kept(s.at)) for key, s in batch.settings.items()}
        times = {key: kept(getattr(batch, key)) for key in ("inserted", "updated", "resumed", "finished")}
        self._batch_names[name] = batch.id
        self._children[batch.id] = {}
        self._put_batch(replace(batch, settings=settings, **times))
        self._hint(batch.id)
        await self.ensure_gate(gate)
        return batch

    async def batch(self, batch_id: str) -> Batch | None:
        """One batch parent, or None."""
        return self._batches.get(batch_id)

    async def batches_with(self, batch_ids: Iterable[str]) -> Mapping[str, Batch]:
        """The batch parents with these ids that exist."""
        return {each: self._batches[each] for each in batch_ids if each in self._batches}

    async def recorded(self, batch_ids: Iterable[str]) -> frozenset[str]:
        """Those of these ids that a batch has."""
        return frozenset(each for each in batch_ids if each in self._batches)

    async def batch_named(self, namespace: str, name: str) -> Batch | None:
        """The batch of this name, or None."""
        return self._batches.get(self._batch_names.get((namespace, name), ""))

    async def batches(self, *, closed: bool | None = None, limit: int = 0) -> Sequence[Batch]:
        """Batches, newest first."""
        wanted = [b for b in self._batches.values() if closed is None or b.status.closed is closed]
        return sorted(wanted, key=lambda b: (b.inserted, b.id), reverse=True)[: limit or None]

    async def batches_with_live_jobs(self) -> frozenset[str]:
        """Ids of batches that have a waiting or active record."""
        return frozenset(batch_id for batch_id, n in self._attempts.live_of.items() if n)

    async def set_batch(
        self,
        batch_id: str,
        sources: Iterable[BatchStatus],
        fields: Mapping[str, Any],
        *,
        epoch: int | None = None,
    ) -> bool:
        """Set fields of a batch parent if its batch status is one of ``sources``, by no stale leader."""
        status = fields.get("status")
        if not set(fields) <= _BATCH_FIELDS:
            raise ValueError(f"not to be set: {sorted(set(fields) - _BATCH_FIELDS)}")
        if status is BatchStatus.FINISHED and fields.get("result") is None:
            raise ValueError("a batch finishes with a result")
        batch = self._batches.get(batch_id)
        if batch is None or batch.status not in set(sources):
            return False
        if epoch is not None and self._batch_epochs.get(batch_id, 0) > epoch:
            return False
        values: dict[str, Any] = {"updated": self._now()}
        if status is not None:
            values |= {"finished": self._now()} if status.closed else {"finished": None, "result": None}
        values |= {key: kept(v) if v is not None else _BATCH_DEFAULTS[key] for key, v in fields.items()}
        self._put_batch(replace(batch, **values))
        if status is BatchStatus.RUNNING is not batch.status:
            self._hint(batch_id)
        return True

    async def set_setting(self, batch_id: str, name: str, setting: Setting) -> bool:
        """Record a changed setting, unless the one recorded is later."""
        if name not in _SETTINGS:
            raise ValueError(f"{name!r} is no setting that may change")
        batch = self._batches.get(batch_id)
        setting = replace(setting, at=kept(setting.at))
        if batch is None or (name in batch.settings and batch.settings[name].at > setting.at):
            return False
        settings = {**batch.settings, name: setting}
        self._put_batch(replace(batch, settings=settings, updated=self._now()))
        return True

    async def add_counts(self, batch_id: str, delta: Counts) -> None:
        """Add to the cached counts."""
        if batch := self._batches.get(batch_id):
            counts = Counts(_sum(batch.counts.status, delta.status), _sum(batch.counts.first, delta.first))
            self._batches[batch_id] = replace(batch, counts=counts)

    async def recount(self, batch_id: str, *, keep: bool = True) -> Counts:
        """Count again, store and return it; or store nothing."""
        batch = self._batches.get(batch_id)
        if batch is None:
            return Counts()
        status = {s: n for s in Status if (n := len(self._attempts.with_status(batch_id, s)))}
        first = Counter(
            job.verdict
            for job in self._attempts.of_batch(batch_id)
            if job.attempt == 0
            and job.verdict
            and job.finished
            and (batch.resumed is None or job.finished >= batch.resumed)
        )
        counts = Counts(status, dict(first))
        self._batches[batch_id] = replace(batch, counts=counts if keep else batch.counts)
        return counts

    # ----------------------------------------------------------------------------------------- gates

    def _put_gate(self, gate: Gate) -> None:
        before = self._gates.get(gate.batch_id)
        self._gates[gate.batch_id] = gate
        self._log("gates", gate.batch_id, before, gate)

    async def ensure_gate(self, gate: Gate) -> None:
        """Insert the gate if there is none."""
        if gate.batch_id not in self._gates:
            self._put_gate(replace(gate, cancel=kept(gate.cancel)))

    async def gates(self, batch_ids: Iterable[str]) -> Mapping[str, Gate]:
        """The gates of these batches."""
        return {batch: self._gates[batch] for batch in batch_ids if batch in self._gates}

    async def set_gate(self, batch_id: str, fields: Mapping[str, Any]) -> bool:
        """Set ``max``, ``paused``, ``hold`` or ``cancel``."""
        if not set(fields) <= set(_GATE_DEFAULTS):
            raise ValueError(f"not to be set: {sorted(set(fields) - set(_GATE_DEFAULTS))}")
        if any(fields.get(name, 0) is None for name in ("max", "paused")):
            raise ValueError("a gate always has max and paused")
        gate = self._gates.get(batch_id)
        if gate is None:
            return False
        values = {key: _GATE_DEFAULTS[key] if value is None else kept(value) for key, value in fields.items()}
        after = replace(gate, **values)
        self._put_gate(after)
        if after != gate:
            self._hint(batch_id)
        return True

    async def replace_hold(self, batch_id: str, before: str, after: str) -> bool:
        """Set the gate's hold if it still is ``before``."""
        gate = self._gates.get(batch_id)
        return gate is not None and gate.hold == before and await self.set_gate(batch_id, {"hold": after})

    async def lift_cancel(self, batch_id: str, cancel: Stop) -> bool:
        """Unset ``cancel`` if it still is this very order."""
        gate = self._gates.get(batch_id)
        if gate is None or gate.cancel is None:
            return False
        if (gate.cancel.at, gate.cancel.by) != (kept(cancel).at, cancel.by):
            return False
        return await self.set_gate(batch_id, {"cancel": None})

    async def claim(
        self, batch_id: str, places: Sequence[tuple[str, int]], epoch: int, leaving: Iterable[str] = ()
    ) -> Gate | None:
        """Take places in one guarded update of the gate, and give others up."""
        jobs, slots = {job for job, _ in places}, {slot for _, slot in places}
        if not places or len(jobs) < len(places) or len(slots) < len(places):
            raise ValueError("a claim is for at least one place, and for each job and slot once")
        gate = self._gates.get(batch_id)
        if gate is None or gate.epoch > epoch or not gate.open:
            return None
        gone = set(leaving)
        stay = tuple(holder for holder in gate.holders if holder.job not in gone)
        if replace(gate, holders=stay).free < len(places):
            return None
        if any(holder.job in jobs or holder.slot in slots for holder in stay):
            return None
        holders = (*stay, *(Holder(job, slot) for job, slot in places))
        self._put_gate(replace(gate, holders=holders, epoch=epoch))
        return self._gates[batch_id]

    async def take_over(
        self, batch_id: str, places: Sequence[Holder], hold: str, epoch: int, *, cancelled: bool = False
    ) -> bool:
        """Give places to attempts that are taken over, while that hold is on."""
        jobs, slots = {place.job for place in places}, {place.slot for place in places}
        if not places or not hold or len(jobs) < len(places) or len(slots) < len(places):
            raise ValueError("places are taken over while a hold is on, for each job and slot once")
        gate = self._gates.get(batch_id)
        if gate is None or gate.epoch > epoch or gate.hold != hold or (gate.cancel and not cancelled):
            return False
        if any(holder.job in jobs or holder.slot in slots for holder in gate.holders):
            return False
        uids = {place.uid for place in places}
        foreign = tuple(item for item in gate.foreign if item.uid not in uids)
        holders = (*gate.holders, *places)
        self._put_gate(replace(gate, holders=holders, foreign=foreign, epoch=epoch))
        return True

    async def leave(self, batch_id: str, job_ids: Iterable[str]) -> Gate | None:
        """Give up places."""
        gate, gone = self._gates.get(batch_id), set(job_ids)
        if gate and any(holder.job in gone for holder in gate.holders):
            holders = tuple(holder for holder in gate.holders if holder.job not in gone)
            self._put_gate(replace(gate, holders=holders))
        return self._gates.get(batch_id)

    async def enter_foreign(self, batch_id: str, foreign: Iterable[Foreign]) -> None:
        """Count foreign active objects by uid."""
        gate = self._gates.get(batch_id)
        if gate is None:
            return
        new = {item.uid: item for item in foreign if item.uid not in gate.counted}
        if new:
            self._put_gate(replace(gate, foreign=(*gate.foreign, *new.values())))

    async def drop_foreign(self, batch_id: str, uid: str) -> None:
        """Stop counting an object."""
        gate = self._gates.get(batch_id)
        if gate and any(item.uid == uid for item in gate.foreign):
            foreign = tuple(item for item in gate.foreign if item.uid != uid)
            self._put_gate(replace(gate, foreign=foreign))

    # ----------------------------------------------------------------------------------- hints, end

    async def requests(self) -> AsyncIterator[str]:
        """Ids of batches for which somebody asked something; first an empty one."""
        listener: asyncio.Queue[str | None] = asyncio.Queue()
        self._listeners.append(listener)
        try:
            yield ""
            while (batch_id := await listener.get()) is not None:
                yield batch_id
        finally:
            self._listeners.remove(listener)
        raise Unavailable("the store was closed")

    async def close(self) -> None:
        """End every stream of hints."""
        for listener in self._listeners:
            listener.put_nowait(None)


def _sum(one: Mapping[Any, int], other: Mapping[Any, int]) -> Mapping[Any, int]:
    sums = {key: one.get(key, 0) + other.get(key, 0) for key in (*one, *other)}
    return {key: n for key, n in sums.items() if n}
