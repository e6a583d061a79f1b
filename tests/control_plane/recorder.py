"""An independent watcher of what happens to Jobs and Pods, for the oracle and for tests that count.

It has its own client and its own threads and shares nothing with the program. Revisions are those of the
cluster's store, so that Jobs and Pods have one order; what was missed while the API server was away is
filled in from a list, as the difference to what was known, and ``gaps`` says how often.

A list tells that an object has changed, not when. What it shows of an object that was known is taken to have
happened as early as it can have, so that nobody is accused of an overlap that was none; within such a gap
the cap is judged by the gate and the records, whose log has no gaps.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from http.client import HTTPException

from tests.control_plane.admin import Api, Document, Refused
from tests.e2e.waiting import wait_for

ADDED, MODIFIED, DELETED = "ADDED", "MODIFIED", "DELETED"
JOBS = "/apis/batch/v1/namespaces/{}/jobs"
PODS = "/api/v1/namespaces/{}/pods"
WATCHED = (JOBS, PODS)
RETRY_SECONDS = 0.05


@dataclass(frozen=True)
class Change:
    """One revision of one object. ``at``: the instant by which it had taken effect at the latest."""

    at: datetime
    revision: int
    type: str
    kind: str
    object: Document

    @property
    def uid(self) -> str:
        """Of the object."""
        return str(self.object["metadata"]["uid"])


class Recorder:
    """Records a namespace from its start on; ``changes`` tells everything so far."""

    def __init__(self, api: Api, namespace: str, watched: Sequence[str] = WATCHED) -> None:
        self._api = api
        self._collections = [_Collection(api, path.format(namespace), self._note) for path in watched]
        self._changes: list[Change] = []
        self._lock = threading.Lock()
        self._threads = [
            threading.Thread(target=one.follow, name=f"recorder {one.path}", daemon=True)
            for one in self._collections
        ]

    @property
    def gaps(self) -> int:
        """How often a watch could not go on where it was, so that revisions between may be missing."""
        return sum(one.gaps for one in self._collections)

    @property
    def deaf(self) -> list[tuple[datetime, datetime]]:
        """From when to when a watch was broken: what happened then, or just before, was heard of after it."""
        return [span for one in self._collections for span in list(one.deaf)]

    def start(self) -> None:
        """Look at what is there, and follow it from there on."""
        for one in self._collections:
            one.list()
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Follow no more."""
        for one in self._collections:
            one.stopping.set()

    def changes(self) -> list[Change]:
        """Everything up to now, in the order of revisions: waits until the watches have told all there is."""
        for one in self._collections:
            wait_for(f"all changes of {one.path}", one.is_current)
        with self._lock:
            return _in_time(sorted(self._changes, key=lambda change: change.revision))

    def _note(self, change: Change) -> None:
        with self._lock:
            self._changes.append(change)


class _Collection:
    """One list and its watch."""

    def __init__(self, api: Api, path: str, note: Callable[[Change], None]) -> None:
        self.path = path
        self.gaps = 0
        self.deaf: list[tuple[datetime, datetime]] = []
        self._broke: datetime | None = None
        self.stopping = threading.Event()
        self._api = api
        self._note = note
        self._known: dict[str, tuple[str, Document]] = {}
        self._revision = ""

    def list(self) -> None:
        """Read all that is there, and note how it differs from what is known."""
        found = self._api.get(self.path)
        kind = found["kind"].removesuffix("List")
        there = {item["metadata"]["uid"]: item for item in found["items"]}
        before, self._revision = self._revision, found["metadata"]["resourceVersion"]
        for uid, item in there.items():
            if uid in self._known:
                self._take(MODIFIED, {"kind": kind, **item}, since=int(before))
            else:
                self._take(ADDED, {"kind": kind, **item})
        for uid in set(self._known) - set(there):
            _, last = self._known[uid]
            gone = {**last, "metadata": {**last["metadata"], "resourceVersion": self._revision}}
            self._take(DELETED, gone)

    def follow(self) -> None:
        """Watch until told to stop; an API server that is away is waited for."""
        while not self.stopping.is_set():
            try:
                self._watch()
            except Refused as refused:
                self._broke = self._broke or datetime.now(UTC)
                if refused.status == 410:
                    self._relist()
            except (OSError, HTTPException, ValueError):
                # It ends in the middle of a line when the API server is killed.
                self._broke = self._broke or datetime.now(UTC)
            self.stopping.wait(RETRY_SECONDS)

    def is_current(self) -> bool:
        """Whether what is known is what is there."""
        try:
            there = self._api.get(self.path)["items"]
        except (OSError, Refused):
            return False
        now = {item["metadata"]["uid"]: item["metadata"]["resourceVersion"] for item in there}
        return now == {uid: revision for uid, (revision, _) in list(self._known.items())}

    def _watch(self) -> None:
        for event in self._api.watch(self.path, self._revision):
            if self.stopping.is_set():
                return
            self._hears()
            self._revision = event["object"]["metadata"]["resourceVersion"]
            if event["type"] != "BOOKMARK":
                self._take(event["type"], event["object"])

    def _relist(self) -> None:
        self.gaps += 1
        try:
            self.list()
        except (OSError, Refused):
            return
        self._hears()

    def _hears(self) -> None:
        if self._broke is not None:
            self.deaf.append((self._broke, datetime.now(UTC)))
            self._broke = None

    def _take(self, type: str, item: Document, since: int | None = None) -> None:  # noqa: A002  as the API calls it
        """``since``: a revision after which it happened, where more is not known."""
        uid, revision = item["metadata"]["uid"], item["metadata"]["resourceVersion"]
        if type != DELETED and self._known.get(uid, ("",))[0] == revision:
            return
        at = int(revision) if since is None else since
        self._note(Change(datetime.now(UTC), at, type, item["kind"], item))
        if type == DELETED:
            self._known.pop(uid, None)
        else:
            self._known[uid] = (revision, item)


def _in_time(changes: list[Change]) -> list[Change]:
    """With what revisions tell about instants: nothing took effect after what was heard of and came later."""
    found: list[Change] = []
    for change in reversed(changes):
        found.append(replace(change, at=min(change.at, found[-1].at)) if found else change)
    return found[::-1]


@contextmanager
def recorded(api: Api, namespace: str, watched: Sequence[str] = WATCHED) -> Iterator[Recorder]:
    """A recorder of a namespace for the length of a test."""
    recorder = Recorder(api, namespace, watched)
    recorder.start()
    try:
        yield recorder
    finally:
        recorder.stop()
