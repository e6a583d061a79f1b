"""Stands outside the engine and tells the oracle everything, in the order in which it took effect."""

from __future__ import annotations

from typing import Any

from controller.core.copying import replace
from tests.fakes.memory_cluster import MemoryCluster
from tests.fakes.memory_objects import Thing
from tests.fakes.memory_store import MemoryStore
from tests.oracle import story
from tests.oracle.from_memory import Logs
from tests.oracle.history import Deed, Ending, Entry, Happened, Side, Weather
from tests.oracle.oracle import Oracle
from tests.simulation.process import TrueClock

BY_UID = frozenset({"delete", "expire"})


class Recorder:
    """Feeds the oracle before and after each port call. ``trace``: every entry as one line."""

    def __init__(self, clock: TrueClock, store: MemoryStore, cluster: MemoryCluster, oracle: Oracle) -> None:
        self.trace: list[str] = []
        self.tracing = False
        self.orphans: set[str] = set()
        """Job ids of objects whose records are lost."""
        self._clock = clock
        self._cluster = cluster
        self._oracle = oracle
        self._things: dict[str, Thing] = {}
        self._logs = Logs(store, cluster, self._end)

    def catch_up(self, writer: int | None = None, *, ours: bool = False) -> None:
        """Read on in both logs."""
        if not self._logs.behind:
            return
        for entry in self._logs.drain(writer, ours):
            if isinstance(entry, Happened) and entry.deed in (Deed.CREATED, Deed.BURIED):
                self._remember(entry)
                entry = replace(entry, orphan=entry.job_id in self.orphans)
            self._feed(entry)

    def asked(self, name: str, args: tuple[Any, ...]) -> None:
        """A delete or an expiry, by name ``BY_UID``, is about to reach the object under a name."""
        namespace, object_name, uid = args[:3]
        held = self.held(namespace, object_name)
        if held is not None and held.uid == uid:
            self._note(Deed.DELETE if name == "delete" else Deed.EXPIRE, held, ours=True)

    def reached(self, held: Thing, uid: str) -> None:
        """A delete that reached another object than the one that it was for."""
        if held.uid != uid and held.deleting:
            self._note(Deed.DELETE, held, ours=True)

    def delete_asked(self, namespace: str, name: str, uid: str, delay: float) -> None:
        """A delete will reach the cluster later; judged as asked for now."""
        held = self.held(namespace, name)
        if held is not None and held.uid == uid:
            self._note(Deed.DELETE, held, ours=True)

    def deleted_by_hand(self, namespace: str, name: str) -> None:
        """A third party is about to delete an object."""
        self.catch_up()
        held = self.held(namespace, name)
        if held is not None:
            self._note(Deed.DELETE, held, ours=False)

    def weather(self, side: Side, *, out: bool, namespace: str = "") -> None:
        """A side, or only a namespace of it, becomes unreachable, or reachable again."""
        self.catch_up()
        self._feed(Weather(self._clock.now(), side, out, namespace))

    def held(self, namespace: str, name: str) -> Thing | None:
        """The object under a name now."""
        return self._cluster._things.get((namespace, name))

    def _note(self, deed: Deed, thing: Thing, *, ours: bool) -> None:
        self._feed(
            Happened(self._clock.now(), deed, thing.uid, thing.name, thing.namespace, thing.job_id, ours)
        )

    def _remember(self, entry: Happened) -> None:
        held = self.held(entry.namespace, entry.name)
        if held is not None and held.uid == entry.uid:
            self._things[entry.uid] = held

    def _end(self, uid: str) -> Ending | None:
        thing = self._things.get(uid)
        if thing is None:
            return None
        script = thing.script
        reasons = {script.container_reason, script.pod_reason, *script.conditions} - {""}
        return Ending(script.exit_code, frozenset(reasons))

    def _feed(self, entry: Entry) -> None:
        if self.tracing:
            self.trace.append(story.line(entry))
        self._oracle.feed(entry)
