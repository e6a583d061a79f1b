"""From what the recorder saw to the oracle's entries.

What happened to an object here means what it means on one machine: created, started, ended (its pod is
terminal, or its Job is without one), gone; and what the API shows besides: a delete or an expiry that
somebody asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace

from controller.adapters import labels
from tests.control_plane.admin import Document
from tests.control_plane.recorder import DELETED, Change
from tests.oracle.history import Deed, Ending, Happened

WORKLOAD_ENDS = frozenset({"Completed", "Failed", "Stopped"})
"""Phases of Run:ai's kinds in which nothing of theirs runs."""


def happenings(
    changes: Iterable[Change], by_others: Callable[[Change], bool] = lambda change: False
) -> list[Happened]:
    """The history of root objects: Jobs, Pods that no Job owns, workloads of other kinds.

    ``by_others``: whether the deletion or expiry that this change shows was somebody else's order;
    what the TTL controller and the garbage collector delete is the cluster's own doing in any case.
    """
    teller = _Teller(by_others)
    return [told for change in changes for told in teller.tell(change)]


@dataclass
class _Root:
    """What is known of one root object."""

    job_id: str
    happened: set[Deed] = field(default_factory=set)
    pods: set[str] = field(default_factory=set)
    """Uids of pods that are not terminal."""
    well: bool = False
    """Whether a pod of it has ended well: of several, others may have been too many."""
    ends: dict[str, Ending] = field(default_factory=dict)
    """By uid of a pod that is terminal: what it shows."""
    seen: set[str] = field(default_factory=set)
    """Uids of all pods that it had: of several only one that ended well tells how the object did."""
    finished: bool = False
    expiring: bool = False

    @property
    def shown(self) -> Ending | None:
        """What tells how it ended; None: nothing does for certain."""
        well = next((end for end in self.ends.values() if end.exit_code == 0), None)
        return well or (next(iter(self.ends.values()), None) if len(self.seen) == 1 else None)


class _Teller:
    """Tells each change in the oracle's words, once."""

    def __init__(self, by_others: Callable[[Change], bool]) -> None:
        self._by_others = by_others
        self._roots: dict[str, _Root] = {}
        self._early: dict[str, list[Change]] = {}
        """By uid of a root that was not shown yet: its pods. After a gap a list shows a Job as it is last."""

    def tell(self, change: Change) -> Iterator[Happened]:
        """What this revision means."""
        owner = _owner(change.object)
        if change.kind == "Pod" and owner:
            yield from self._pod(change, owner)
        elif not owner:
            yield from self._root(change)

    def _root(self, change: Change) -> Iterator[Happened]:
        item = change.object
        root = self._roots.get(change.uid)
        if root is None:
            root = self._roots[change.uid] = _Root(_job_id(item))
            tombstone = root.job_id and labels.TOMBSTONE in item["metadata"].get("labels", {})
            yield self._event(change, change.uid, Deed.BURIED if tombstone else Deed.CREATED, item)
            for early in self._early.pop(change.uid, ()):
                yield from self.tell(replace(early, at=change.at))
        if root.job_id and _job_id(item) != root.job_id:
            yield from self._once(change, change.uid, Deed.UNLABELLED, item)
        yield from self._asked(change, root)
        success = _end_of(item, change.kind)
        if success is not None:
            root.finished = True
            if not root.pods:
                yield from self._once(change, change.uid, Deed.ENDED, item, success=success)
        if change.type == DELETED:
            yield from self._once(change, change.uid, Deed.GONE, item, lingers=bool(root.pods))

    def _asked(self, change: Change, root: _Root) -> Iterator[Happened]:
        """Deeds that somebody asked for and that have not been done yet."""
        item = change.object
        if root.job_id and item["spec"].get("ttlSecondsAfterFinished") is not None:
            root.expiring = True
            if Deed.BURIED not in root.happened:  # which is born so
                ours = not self._by_others(change)
                yield from self._once(change, change.uid, Deed.EXPIRE, item, ours=ours)
        asked = "deletionTimestamp" in item["metadata"] or change.type == DELETED
        if asked and not (root.expiring and root.finished):
            ours = bool(root.job_id) and not self._by_others(change)
            yield from self._once(change, change.uid, Deed.DELETE, item, ours=ours)

    def _pod(self, change: Change, owner: Document) -> Iterator[Happened]:
        uid, pod = owner["uid"], change.object
        root = self._roots.get(uid)
        if root is None:  # or of something that is not watched
            self._early.setdefault(uid, []).append(change)
            return
        name = {"metadata": {**pod["metadata"], "name": owner["name"]}}
        root.seen.add(change.uid)
        if _has_started(pod):
            yield from self._once(change, uid, Deed.STARTED, name)
        terminal = pod["status"].get("phase") in ("Succeeded", "Failed")
        if terminal:
            root.well |= pod["status"]["phase"] == "Succeeded"
            root.ends.setdefault(change.uid, _ending(pod))
        if change.type == DELETED or terminal:
            root.pods.discard(change.uid)
        else:
            root.pods.add(change.uid)
        # A pod that was torn out leaves a Job that makes another one: that is no end.
        lost = change.type == DELETED and (root.finished or Deed.GONE in root.happened)
        if (terminal or lost) and not root.pods:
            yield from self._once(change, uid, Deed.ENDED, name, success=root.well, end=root.shown)

    def _once(
        self,
        change: Change,
        uid: str,
        deed: Deed,
        item: Document,
        *,
        ours: bool = False,
        success: bool | None = None,
        end: Ending | None = None,
        lingers: bool = False,
    ) -> Iterator[Happened]:
        if deed not in self._roots[uid].happened:
            told = self._event(change, uid, deed, item)
            yield replace(told, ours=ours, success=success, end=end, lingers=lingers)

    def _event(self, change: Change, uid: str, deed: Deed, item: Document) -> Happened:
        root = self._roots[uid]
        root.happened.add(deed)
        about = item["metadata"]
        asked = bool(root.job_id) and deed in (Deed.CREATED, Deed.BURIED)
        return Happened(change.at, deed, uid, about["name"], about["namespace"], root.job_id, ours=asked)


def _owner(item: Document) -> Document | None:
    owners = item["metadata"].get("ownerReferences", ())
    return next((owner for owner in owners if owner.get("controller")), None)


def _job_id(item: Document) -> str:
    marks = item["metadata"].get("labels", {})
    return str(marks.get(labels.JOB_ID, "")) if marks.get(labels.MANAGED_BY) == labels.MANAGER else ""


def _end_of(item: Document, kind: str) -> bool | None:
    """Whether a root has ended well; None: it has not ended."""
    status = item.get("status", {})
    if kind == "Job":
        true = {entry["type"] for entry in status.get("conditions", ()) if entry["status"] == "True"}
        return "Complete" in true if true & {"Complete", "Failed"} else None
    phase = status.get("phase", "")
    if kind == "Pod":
        return bool(phase == "Succeeded") if phase in ("Succeeded", "Failed") else None
    return bool(phase == "Completed") if phase in WORKLOAD_ENDS else None


def _ending(pod: Document) -> Ending:
    """What a terminal pod shows; who comes late finds the Job's condition only."""
    status = pod["status"]
    conditions = {one["type"] for one in status.get("conditions", ()) if one["status"] == "True"}
    containers = status.get("containerStatuses", ())
    ended: Document = next((one["state"].get("terminated", {}) for one in containers), {})
    reasons = {status.get("reason", ""), ended.get("reason", ""), *conditions} - {""}
    return Ending(ended.get("exitCode"), frozenset(reasons), fleeting=True)


def _has_started(pod: Document) -> bool:
    for container in pod["status"].get("containerStatuses", ()):
        state = container["state"]
        if "running" in state or state.get("terminated", {}).get("startedAt", "1970") > "1971":
            return True
    return False


def most_at_once(
    happened: Iterable[Happened], counts: Callable[[Happened], bool] = lambda event: True
) -> int:
    """The greatest number of objects, of those that count, that had not ended, at any instant."""
    alive: set[str] = set()
    most = 0
    for event in happened:
        if event.deed is Deed.CREATED and counts(event):
            alive.add(event.uid)
        elif event.deed is Deed.ENDED or (event.deed is Deed.GONE and not event.lingers):
            alive.discard(event.uid)
        most = max(most, len(alive))
    return most
