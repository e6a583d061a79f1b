"""From the in-memory store's oplog and the in-memory cluster's history to the oracle's entries.

Call ``drain`` before and after each port call: both logs are then read in the order of their effects.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from controller.adapters.local_history import CREATE, DELETE, END, START, TOMBSTONE
from controller.adapters.local_history import Entry as Line
from controller.core.model import Batch, Halts
from tests.fakes.memory_batches import Write
from tests.fakes.memory_cluster import MemoryCluster
from tests.fakes.memory_store import MemoryStore
from tests.oracle.history import Deed, Document, Ending, Entry, Happened, Parent, Written

_DEEDS = {
    CREATE: Deed.CREATED,
    TOMBSTONE: Deed.BURIED,
    START: Deed.STARTED,
    END: Deed.ENDED,
    DELETE: Deed.GONE,
}


class Logs:
    """Reads on where it stopped. ``ends`` tells by uid how an object's script ends, where that is known."""

    def __init__(
        self, store: MemoryStore, cluster: MemoryCluster, ends: Callable[[str], Ending | None]
    ) -> None:
        self._ends = ends
        self._cluster = cluster
        self._history, self._oplog = cluster.history, store.oplog
        self._written = 0
        self._happened = 0
        self._ended: set[str] = set()
        """Uids without a pod that may still run."""
        self._gone: set[str] = set()
        """Uids whose objects are gone."""
        self._parents: dict[str, Parent] = {}

    @property
    def behind(self) -> bool:
        """Whether there is more to read, once everything has happened that is due by now."""
        self._cluster._settle()
        return len(self._history) + len(self._oplog) > self._happened + self._written

    def drain(self, writer: int | None = None, ours: bool = False) -> Iterator[Entry]:
        """What happened and was written since the last time; ``ours``: the program asked for it just now."""
        self._cluster.next_due()  # lets everything happen that is due by now
        while self._happened < len(self._history):
            line = self._history[self._happened]
            self._happened += 1
            yield self._event(line, ours)
        while self._written < len(self._oplog):
            write = self._oplog[self._written]
            self._written += 1
            document = self._document(write)
            if document is not None:
                yield Written(write.at, document, writer)

    def _event(self, line: Line, ours: bool) -> Happened:
        deed = _DEEDS[line.kind]
        end = self._ends(line.uid) if deed is Deed.ENDED else None
        cut = self._cut(line)
        success = end is not None and end.exit_code == 0 and not cut if deed is Deed.ENDED else None
        if end is not None and (cut or line.uid in self._gone):
            end = Ending(hidden=True)
        asked = ours and deed in (Deed.CREATED, Deed.BURIED)
        lingers = deed is Deed.GONE and line.uid not in self._ended
        if deed in (Deed.ENDED, Deed.BURIED):
            self._ended.add(line.uid)
        if deed is Deed.GONE:
            self._gone.add(line.uid)
        place = (line.uid, line.name, line.namespace, line.job_id)
        return Happened(line.time, deed, *place, asked, success, end, lingers)

    def _cut(self, line: Line) -> bool:
        """Whether the program did not come to its own end: a deletion cut it short."""
        return any(
            later.kind == DELETE and later.uid == line.uid and later.time == line.time
            for later in self._history[line.revision : line.revision + 1]
        )

    def _document(self, write: Write) -> Document | None:
        match write.collection, write.after:
            case "batches", Batch() as batch:
                known = self._parents.get(batch.id)
                return self._parent(Parent(batch, known.child_jobs if known else ()))
            case "child_jobs", tuple() as new:
                known = self._parents[write.id]
                return self._parent(Parent(known.batch, (*known.child_jobs, *new)))
            case "meta", Halts() as halts:
                return halts
            case "jobs" | "gates", after:
                document: Document = after
                return document
            case _:
                return None

    def _parent(self, parent: Parent) -> Parent:
        self._parents[parent.batch.id] = parent
        return parent
