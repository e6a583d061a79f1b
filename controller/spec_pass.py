"""The spec pass: what lies in a watched store becomes batches, and each file is told what became of it.

Run by the daemon on its own interval, one for each watched store (``spec_stores``), so that none waits for
another. One bad file costs that file; what can't be taken in now, because the store is away, is kept and
tried again. Nothing here depends on who leads: the names are unique.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

from controller import intake
from controller.core.explain import explain_batch
from controller.core.model import Batch, BatchStatus, Gate, Status
from controller.core.notices import Channel, Topic, notices
from controller.core.spec import BatchSpec
from controller.core.statusfile import Progress, awaiting_status, batch_status, refused_status
from controller.core.telling import refused
from controller.core.view import View
from controller.engine import Engine
from controller.intake import Outcome, Taken
from controller.looking import line_of
from controller.ports import SpecFile, SpecSource, Unavailable

SHOWN_FAILURES = 10
AWAITED = 2
"""Scans within which a named file that has stopped changing is looked at twice: that goes without saying."""
TOLD_AGAIN = 15.0
"""Seconds after which a status is written anew although nothing of its batch changed in the store."""


@dataclass(frozen=True, slots=True)
class Reading:
    """What a spec file says: a spec, or every problem in one line each; and the files that it names."""

    spec: BatchSpec | None
    problems: Sequence[str] = ()
    warnings: Sequence[str] = ()
    names_files: Sequence[str] = ()
    """Files whose content belongs to the spec's, readable or not."""


Reader = Callable[[SpecFile], Awaitable[Reading]]
"""Reads and checks one file off the event loop: limits, schema, the operator's policy, the owner map."""


@dataclass(slots=True)
class SpecPass:
    """Takes specs in and keeps their statuses current."""

    engine: Engine
    source: SpecSource
    read: Reader
    view_of: Callable[[Batch, Gate], Awaitable[View]]
    on_batch: Callable[[str], None] = lambda batch_id: None
    """Told that a batch is new or changed, so that it gets a pass at once."""
    start: str = ""
    """What the keys of this store begin with; empty: it is the folder, whose keys are paths."""
    own_events: bool = False
    """Its store tells the cluster itself of a spec that is refused: no Event but a batch's is written."""
    peers: list[SpecPass] = field(default_factory=list)
    """The passes over the other watched stores."""
    _keys: frozenset[str] | None = None
    """The keys of the last good scan; None: there was none yet."""
    _away: set[str] = field(default_factory=set)
    """Why the store can't be read: all that was told of it in this outage."""
    _kept: dict[str, SpecFile] = field(default_factory=dict)
    _awaited: dict[str, tuple[int, Sequence[str]]] = field(default_factory=dict)
    """Specs that wait for files: for how many more scans nothing is said of it, and for which files."""
    _open: dict[str, Batch] | None = None
    """By their sources: open batches, as they were read for this scan."""
    _refused: dict[str, tuple[str, ...]] = field(default_factory=dict)
    _read_here: dict[str, tuple[str, tuple[str, ...]]] = field(default_factory=dict)
    """Specs that this process refused: the digest of what it read (empty: it could not be read), and why."""
    _recalled: int = -1
    """The epoch for which it was read what is refused."""
    _batches: dict[str, str] = field(default_factory=dict)
    _hashes: dict[str, str] = field(default_factory=dict)
    """By spec: the hash of the content that was taken in."""
    _told: set[str] = field(default_factory=set)
    """Batches whose final status was told; nothing more is read for them."""
    _last: dict[str, tuple[object, float]] = field(default_factory=dict)
    """By spec: what its batch looked like when it was told, and when it is told again all the same."""

    def __post_init__(self) -> None:
        self.engine.ending.append(self._tell_again)

    async def scan(self) -> int:
        """One look at the watched store; returns how many files were taken in or refused."""
        engine, taken, self._open = self.engine, 0, None
        if not (await self._look() and await self._recall()):
            return 0
        for key, file in list(self._kept.items()):
            if key not in (self._keys or ()):
                del self._kept[key]  # it was taken away before it could be taken in
                continue
            item = f"spec:{key}"
            if engine.sick.rests(item, engine.clock.monotonic()):
                continue
            try:
                with engine.guarded(item, spec=key):
                    await self._take_in(file)
                    self._kept.pop(key, None)
                    taken += 1
            except Unavailable as error:
                engine.journal.trouble("spec", error, spec=key)
        await self._tell_awaited()
        try:
            await self._forget_deleted()
        except Unavailable as error:
            engine.journal.trouble("spec", error)
        self._forget_over()
        refused = len(self._refused) + sum(len(peer.refused) for peer in self.peers)
        if engine.epoch:  # else it has stepped down meanwhile, and nobody here would tell of their mending
            engine.journal.gauge("quarantined_specs", refused)
        return taken

    async def _look(self) -> bool:
        """Keep what is new; whether the store could be read. Each reason why not is said once an outage."""
        journal, started = self.engine.journal, self.engine.clock.monotonic()
        try:
            for file in await self.source.scan():
                self._kept[file.key] = file
        except Unavailable as error:
            if str(error) not in self._away:
                self._away.add(str(error))
                journal.trouble("spec store", error)
            journal.passed("specs", "unavailable", self.engine.clock.monotonic() - started, 0)
            return False
        if self._away:
            self._away.clear()
            journal.said("spec-store-back", store=self.start or "folder")
        self._keys = await self.source.keys()
        return True

    async def _recall(self) -> bool:
        """What whoever led before refused is refused still, until its file is taken in, or gone."""
        engine = self.engine
        if self._recalled == engine.epoch:
            return True
        try:
            epoch, known = engine.epoch, await engine.store.quarantine()
        except Unavailable as error:
            engine.journal.trouble("spec", error)
            return False
        self._refused = {key: tuple(problems) for key, problems in known.items() if self._is_of(key)}
        self._recalled = epoch
        return True

    def _is_of(self, key: str) -> bool:
        """Whether this is a key of this store, there or not."""
        return key.startswith(self.start) if self.start else "://" not in key

    def holds(self, key: str) -> bool:
        """Whether this store holds a spec of this key; raises ``Unavailable`` where it was not read yet."""
        if self._keys is not None:
            return key in self._keys
        if self._is_of(key):
            raise Unavailable(f"{key} may still lie in a store that could not be read since the start")
        return False

    async def _forget_deleted(self) -> None:
        """A refused spec whose file is gone is refused no more."""
        if not self._refused:
            return
        there = await self.source.keys()
        for key in [key for key in self._refused if key not in there]:
            await self.engine.store.set_quarantine(key, ())
            del self._refused[key]
            self._read_here.pop(key, None)

    def _forget_over(self) -> None:
        """A batch that has ended and was told so is known no more once its spec is gone, or is another's.

        A spec that comes back is handed out anew. For weeks of specs that are dropped and taken away.
        """
        for key in self._batches.keys() - (self._keys or frozenset()):
            if self._batches[key] in self._told:
                del self._batches[key]
                self._hashes.pop(key, None)
        self._told &= set(self._batches.values())

    async def _take_in(self, file: SpecFile) -> None:
        reading = await self.read(file)
        names = reading.names_files
        # One that can't be read names nothing, and may name its old files again once it is mended.
        if (names or reading.spec is not None) and not await self.source.depends(file.key, names):
            self._awaited.setdefault(file.key, (AWAITED, names))
            return
        self._awaited.pop(file.key, None)
        if reading.spec is None:
            await self._refuse(file, tuple(reading.problems), await self._batch_of(file.key))
            return
        taken = await intake.accept(
            self.engine.store,
            reading.spec,
            source=file.key,
            other_sources=_Stores([self, *self.peers]),
            by=reading.spec.owner,
        )
        if taken.outcome is Outcome.REFUSED:
            await self._refuse(file, taken.sentences, taken.batch)
        else:
            self._hashes[file.key] = reading.spec.hash
            await self._accepted(file.key, taken)

    async def _tell_awaited(self) -> None:
        """Say of a file that is still being copied that it is waited for.

        Not at once: after each start every named file is looked at anew, and what stands beside its spec
        tells how the batch fares.
        """
        for key, (scans, names) in list(self._awaited.items()):
            if key in (self._keys or ()) and scans:
                self._awaited[key] = scans - 1, names
                continue
            del self._awaited[key]
            if key in (self._keys or ()):
                await self.source.tell(key, awaiting_status(list(names)))

    async def _batch_of(self, key: str) -> Batch | None:
        """The batch that the file defined before it became what it is; after a start, an open one."""
        store = self.engine.store
        if key in self._batches:
            return await store.batch(self._batches[key])
        if self._open is None:
            self._open = {batch.source: batch for batch in await store.batches(closed=False)}
        return self._open.get(key)

    async def _refuse(self, file: SpecFile, problems: tuple[str, ...], batch: Batch | None) -> None:
        key = file.key
        self._refused[key] = problems
        self._read_here[key] = "" if file.error else _digest(file.content), problems
        self._hashes.pop(key, None)
        await self._remember(key, problems, batch)
        self.engine.journal.passed("specs", Outcome.REFUSED.value, 0.0, 1)
        self.engine.journal.said("spec", spec=key, outcome=Outcome.REFUSED.value, problems=list(problems[:5]))
        if batch is not None and (batch.source == key or self._batches.get(key) == batch.id):
            self._batches[key] = batch.id
            self._told.discard(batch.id)
            await self._tell(key, batch.id)
        else:
            await self.source.tell(key, refused_status(problems))

    async def _remember(self, key: str, problems: tuple[str, ...], batch: Batch | None) -> None:
        """Its problems, and that they are to be told: once, however often it is read and refused for them.

        A refused change of a batch is an Event of that batch, one of the few in its life.
        """
        told, channels = [(Topic.REFUSED, refused(problems))], self.engine.settings.channels
        its_own = batch is not None and batch.source == key
        if batch is not None and its_own:
            events = tuple(notices(told, channels & {Channel.EVENT}))
            await self.engine.store.set_batch(batch.id, BatchStatus, {}, events)
        if self.own_events or its_own:
            channels -= {Channel.EVENT}
        await self.engine.store.set_quarantine(key, problems, tuple(notices(told, channels)))

    async def _accepted(self, key: str, taken: Taken) -> None:
        self._read_here.pop(key, None)
        if self._refused.pop(key, None) is not None:
            await self.engine.store.set_quarantine(key, ())
        if taken.batch is None:
            return
        self._batches[key] = taken.batch.id
        self._told.discard(taken.batch.id)
        self.engine.journal.passed("specs", taken.outcome.value, 0.0, 1)
        if taken.outcome is not Outcome.SAME:
            self.engine.journal.said(
                "spec",
                spec=key,
                batch=taken.batch.name,
                outcome=taken.outcome.value,
                what=list(taken.sentences),
            )
        self.on_batch(taken.batch.id)
        await self._tell(key, taken.batch.id)

    # ------------------------------------------------------------------------------------- statuses

    async def tell_all(self) -> None:
        """Bring the status beside every spec up to date; a batch that has ended is told once.

        Three questions for all of them find out whose records, gate or halt changed since it was told;
        the rest is told again now and then, for what only time or other batches change.
        """
        store, now = self.engine.store, self.engine.clock.monotonic()
        if not self._batches:
            return
        batches = {batch.id: batch for batch in await store.batches(closed=False)}
        self._told -= batches.keys()  # reopened by a retry
        left = {key: batch_id for key, batch_id in self._batches.items() if batch_id not in self._told}
        if not left:
            return
        gates, halts = await store.gates(set(left.values())), await store.halts()
        for key, batch_id in left.items():
            known = (batches.get(batch_id), gates.get(batch_id), halts, self.engine.blind)
            before, again = self._last.get(key, (None, 0.0))
            if known != before or now >= again or known[0] is None:
                with self.engine.guarded(f"status:{key}", spec=key):
                    await self._tell(key, batch_id)
                # Nobody asks again for one that has ended: it would stay for ever.
                if batch_id not in self._told:
                    at_rest = _at_rest(gates.get(batch_id))
                    self._last[key] = (known, now + (math.inf if at_rest else TOLD_AGAIN))

    def _tell_again(self, batch_id: str) -> None:
        """It ends: was it reopened by a retry and nobody looked since, then nobody saw that it was open."""
        self._told.discard(batch_id)

    async def _tell(self, key: str, batch_id: str) -> None:
        store = self.engine.store
        batch = await store.batch(batch_id)
        gate = (await store.gates([batch_id])).get(batch_id)
        if batch is None or gate is None:
            return
        view = await self.view_of(batch, gate)
        newer = intake.superseded_by(batch, key, self._hashes.get(key, ""))
        status = batch_status(batch, gate, await self._progress(view), self._refused.get(key, ()), newer)
        await self.source.tell(key, status)
        if batch.status.closed:
            self._told.add(batch_id)
            self._last.pop(key, None)

    async def _progress(self, view: View) -> Progress:
        store, batch = self.engine.store, view.batch
        counts = batch.counts.status
        active = len([job for job in view.holders if job.status.active])
        line = await line_of(self.engine, view)
        why = () if batch.status.closed else (explain_batch(view, line).sentence,)
        return Progress(
            active=active,
            waiting=counts.get(Status.WAITING, 0),
            terminating=len([job for job in view.holders if job.terminating]),
            why_waits=why,
            failures=await store.last_failures(batch.id, SHOWN_FAILURES),
        )

    @property
    def awaits(self) -> bool:
        """Whether specs wait for the files that they name."""
        return bool(self._awaited)

    @property
    def refused(self) -> dict[str, tuple[str, ...]]:
        """Specs that are refused, and why; of what was refused before this lead, as they were then."""
        return dict(self._refused)

    def refusal(self, key: str, content: bytes) -> tuple[str, ...]:
        """Why this very content is refused; empty: it is not, or was not read here yet.

        A file that could not be read when its turn came counts, whatever is in it.
        """
        digest, problems = self._read_here.get(key, ("", ()))
        return problems if digest in ("", _digest(content)) else ()


class _Stores:
    """All watched stores, as the places that still hold specs."""

    def __init__(self, stores: Sequence[SpecPass]) -> None:
        self._stores = stores

    def __contains__(self, key: object) -> bool:
        return any(store.holds(str(key)) for store in self._stores)


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _at_rest(gate: Gate | None) -> bool:
    """Nothing of the batch runs and nothing may start: only a change of its records makes news."""
    return gate is not None and not gate.open and not gate.holders
