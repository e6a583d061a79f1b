"""The works behind the cluster in memory: objects, time, history, and what tests may do to them.

Nothing happens by itself: what is due by the clock happens, in order and at its own instant, when
somebody looks. The same calls at the same instants give the same history, always.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
from collections import Counter, deque
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from functools import partial

from controller.adapters.local_history import CREATE, DELETE, END, START, TOMBSTONE, Entry
from controller.core.copying import replace
from controller.core.sight import ClusterJob, ForeignObject, Observation, Stray
from controller.ports import Clock, Created, CreateResult, NewJob
from tests.fakes.memory_objects import KIND, LOST, End, Thing, cluster_job, foreign_object


class Machine:
    """``ends`` scripts a job, ``deletion`` says how many seconds its deletion takes while it has a pod.

    ``refuse`` gives the reason why a create is refused, or nothing. ``history`` is for the oracle.
    """

    def __init__(
        self,
        clock: Clock,
        ends: Callable[[NewJob], End] = lambda job: End(),
        *,
        nodes: Sequence[str] = ("node-1", "node-2"),
        deletion: Callable[[NewJob], float] = lambda job: 0.0,
        refuse: Callable[[NewJob], str] = lambda job: "",
    ) -> None:
        self.history: list[Entry] = []
        self.ends = ends
        self.deletion = deletion
        self.refuse = refuse
        self._clock = clock
        self._nodes = nodes
        self._instant = clock.monotonic()
        self._numbers = itertools.count(1)
        self._due: list[tuple[float, int, Callable[[], None]]] = []
        self._things: dict[tuple[str, str], Thing] = {}
        self._orphans: list[Thing] = []
        """Objects that are gone while their pod still runs."""
        self._used: Counter[str] = Counter()
        """Unfinished pods by node."""
        self._listeners: list[deque[Thing]] = []
        self._news = asyncio.Event()

    # ------------------------------------------------------------------------------------ looking at it

    def snapshot(self, namespaces: Sequence[str]) -> Observation:
        """What a list shows now; it may be served later, as a stale one. Never fails."""
        self._settle()
        jobs: dict[str, ClusterJob] = {}
        foreign: list[ForeignObject] = []
        for thing in self._things.values():
            if thing.namespace not in namespaces or thing.tombstone:
                continue
            if thing.job is not None and thing.ttl is not None and not thing.active:
                continue  # its end is recorded: as on Kubernetes, no list shows it any more
            if thing.job is None:
                foreign.append(foreign_object(thing))
            elif thing.job_id not in jobs or thing.active:
                jobs[thing.job_id] = self._shown(thing)
        strays = tuple(
            Stray(thing.job_id, replace(foreign_object(thing), active=True, orphan=True))
            for thing in self._orphans
            if thing.namespace in namespaces
        )
        now, listed = self._clock.monotonic(), frozenset(namespaces)
        return Observation(now, listed, {}, jobs, tuple(foreign), strays=strays)

    def next_due(self) -> float | None:
        """The monotonic instant at which the next thing happens by itself, if any will."""
        self._settle()
        return self._due[0][0] if self._due else None

    # -------------------------------------------------------------------------- what tests may do to it

    def later(self, delay: float, deed: Callable[[], object]) -> None:
        """Let something happen so many seconds from now."""
        self._at(self._clock.monotonic() + delay, deed)

    def apply_later(self, job: NewJob, delay: float) -> None:
        """Let a create land so many seconds from now, whatever its sender was told."""
        self.later(delay, lambda: None if self.refuse(job) else self._put(job))

    def restore(self, job: NewJob) -> str:
        """Let an object with our labels be there that nobody asks for: its record was lost. Its uid."""
        self._settle()
        return self._put(job).uid

    def bury_later(self, job: NewJob, ttl: timedelta, delay: float) -> None:
        """Let a burial land later."""
        self.later(delay, lambda: self._put(job, ttl.total_seconds()))

    def delete_later(self, namespace: str, name: str, uid: str, delay: float) -> None:
        """Let a delete land later; its uid must still be the object's by then."""
        self.later(delay, lambda: self._delete(self._held(namespace, name, uid)))

    def delete_by_hand(self, namespace: str, name: str, *, pod_lingers: float = 0.0) -> None:
        """Let a third party delete an object, its pod running on for so many seconds."""
        self._settle()
        thing = self._things[namespace, name]
        if thing.pod_unfinished and pod_lingers > 0:
            self._orphans.append(thing)
            thing.life += 1
            self.later(pod_lingers, lambda: self._end(thing))
        self._gone(thing)

    def lose_node(self, node: str, after: float | None = None) -> None:
        """Lose a node: its running jobs end as lost so many seconds later, or hang for ever (None)."""
        self._settle()
        for thing in list(self._things.values()):
            if thing.node == node and thing.pod_unfinished:
                thing.life += 1
                thing.script = LOST
                if after is not None:
                    self.later(after, self._when_same(thing, self._end))

    def add_foreign(
        self, namespace: str, name: str, *, kind: str = KIND, active: bool = True, end: End | None = None
    ) -> str:
        """Let somebody else create an object; its uid. The name must be free.

        ``end``: how it goes, by itself; without one it runs until ``finish_foreign``, or has run already.
        """
        self._settle()
        assert (namespace, name) not in self._things, f"{namespace}/{name} is taken"
        uid = self._new_uid()
        thing = Thing(uid, namespace, name, self._instant, end or End(runs=None), kind=kind)
        self._things[namespace, name] = thing
        self._note(CREATE, thing)
        if not active:
            self._start(thing)
            self._end(thing)
        elif thing.script.starts is not None:
            self._at(self._instant + thing.script.starts, self._when_same(thing, self._start))
            self._settle()
        return uid

    def finish_foreign(self, namespace: str, name: str) -> None:
        """Let somebody else's object come to its end; it stays."""
        self._settle()
        self._end(self._things[namespace, name])

    def remove_foreign(self, namespace: str, name: str) -> None:
        """Let somebody else's object vanish."""
        self._settle()
        self._gone(self._things[namespace, name])

    # -------------------------------------------------------------------------------- how objects change

    def _put(self, job: NewJob, burial: float | None = None) -> Created:
        """Create a job, or with a time to live in seconds its tombstone, if the name is free."""
        holder = self._things.get((job.namespace, job.name))
        if holder:
            return Created(_holds(holder, job), holder.uid)
        thing = Thing(self._new_uid(), job.namespace, job.name, self._instant, End(), job)
        self._things[job.namespace, job.name] = thing
        if burial is not None:
            thing.tombstone, thing.ttl = True, burial
            self._note(TOMBSTONE, thing)
            self._at(self._instant + burial, lambda: self._collect(thing))
            return Created(CreateResult.CREATED, thing.uid)
        thing.script, thing.node = self.ends(job), self._node_for(job)
        self._used[thing.node] += 1
        self._note(CREATE, thing)
        if thing.script.starts is not None:
            self._at(self._instant + thing.script.starts, self._when_same(thing, self._start))
        return Created(CreateResult.CREATED, thing.uid)

    def _start(self, thing: Thing) -> None:
        thing.started = self._instant
        self._note(START, thing)
        if thing.script.runs is not None:
            over = self._instant + thing.script.runs
            if thing.script.lingers:
                self._at(over, self._when_same(thing, self._conclude))
            self._at(over + thing.script.lingers, self._when_same(thing, self._end))

    def _conclude(self, thing: Thing) -> None:
        thing.concluded = self._instant
        self._tell(thing)

    def _end(self, thing: Thing) -> None:
        if thing.ended is not None:
            return
        thing.ended = self._instant
        thing.life += 1
        self._used[thing.node] -= 1
        self._note(END, thing)
        if thing in self._orphans:
            self._orphans.remove(thing)
        if thing.script.silent:
            for after, silent in zip(thing.script.silent, (True, False), strict=True):
                self._at(self._instant + after, self._when_same(thing, partial(self._falls_silent, silent)))
        if thing.ttl is not None:
            self._set_ttl(thing, thing.ttl)

    def _falls_silent(self, silent: bool, thing: Thing) -> None:
        thing.silent = silent
        self._tell(thing)

    def _delete(self, thing: Thing | None) -> None:
        """Foreground: the object goes when its pod has gone, which never starts its work any more."""
        if thing is None or thing.deleting:
            return
        thing.deleting = True
        if thing.started is None:
            thing.life += 1
        takes = self.deletion(thing.job) if thing.job and thing.pod_unfinished else 0.0
        self._tell(thing)
        self._at(self._instant + takes, lambda: self._gone(thing))

    def _set_ttl(self, thing: Thing, ttl: float) -> None:
        thing.ttl = ttl
        if thing.ended is not None:
            self._at(max(self._instant, thing.ended + ttl), lambda: self._collect(thing))

    def _collect(self, thing: Thing) -> None:
        """Its time to live may have been set anew since."""
        born = thing.created if thing.tombstone else thing.ended
        if thing.ttl is not None and born is not None and self._instant >= born + thing.ttl:
            self._gone(thing)

    def _gone(self, thing: Thing) -> None:
        if self._things.get((thing.namespace, thing.name)) is not thing:
            return
        if thing.active and thing not in self._orphans:
            self._end(thing)
        del self._things[thing.namespace, thing.name]
        self._note(DELETE, thing)

    # -------------------------------------------------------------------------------------- time and news

    def _settle(self) -> None:
        """Let everything happen that is due by now, each at its own instant."""
        now = self._clock.monotonic()
        while self._due and self._due[0][0] <= now:
            when, _, deed = heapq.heappop(self._due)
            self._instant = max(self._instant, when)
            deed()
        self._instant = max(self._instant, now)

    def _at(self, when: float, deed: Callable[[], object]) -> None:
        number = next(self._numbers)
        heapq.heappush(self._due, (when, number, lambda: (deed(), None)[1]))
        if self._due[0][1] == number:
            self._news.set()  # whoever waits for the next thing that is due waits for this one

    def _when_same(self, thing: Thing, deed: Callable[[Thing], None]) -> Callable[[], None]:
        """The deed, if nothing else has become of the object by then."""
        life = thing.life
        return lambda: deed(thing) if thing.life == life else None

    def _note(self, kind: str, thing: Thing) -> None:
        time = self._wall(self._instant)
        place = (thing.namespace, thing.name, thing.uid, thing.job_id)
        self.history.append(Entry(len(self.history) + 1, time, kind, *place))
        self._tell(thing)

    def _tell(self, thing: Thing) -> None:
        if thing.job:
            for queue in self._listeners:
                queue.append(thing)
            self._news.set()

    # ------------------------------------------------------------------------------------------- details

    def _held(self, namespace: str, name: str, uid: str) -> Thing | None:
        thing = self._things.get((namespace, name))
        return thing if thing and thing.uid == uid else None

    def _shown(self, thing: Thing) -> ClusterJob:
        """A pod of an earlier object of the same job id keeps it unfinished, as it does on Kubernetes."""
        shown = cluster_job(thing, self._wall)
        left = any(one.job_id == thing.job_id for one in self._orphans)
        return replace(shown, pod_unfinished=True) if left and not thing.tombstone else shown

    def _wall(self, instant: float) -> datetime:
        return self._clock.now() + timedelta(seconds=instant - self._clock.monotonic())

    def _new_uid(self) -> str:
        return f"uid-{next(self._numbers)}"

    def _node_for(self, job: NewJob) -> str:
        """The least used node, those to be avoided last: a soft preference."""
        return min(self._nodes, key=lambda node: (node in job.avoid_nodes, self._used[node]))


def _holds(holder: Thing, job: NewJob) -> CreateResult:
    if holder.job_id != job.job_id:
        return CreateResult.EXISTS_FOREIGN
    return CreateResult.EXISTS_TOMBSTONE if holder.tombstone else CreateResult.EXISTS_OURS
