"""Objects that others start under a batch's prefix: which count, and until when (S2, S12).

Jobs and bare Pods always, more kinds as the operator configures; roots only, so that a workload and the
Job and the Pod that it makes take one place and not three.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from controller.adapters.kube_reading import (
    JOB_ENDS,
    dig,
    is_ours,
    items,
    may_go_on,
    meta,
    pod_ended,
    runs_one_pod,
    text,
)
from controller.core.sight import ForeignObject

Json = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind that is counted. ``ended``: values of ``status.phase`` in which an object takes no place."""

    group: str
    version: str
    resource: str
    kind: str
    ended: frozenset[str] = frozenset()
    succeeded: frozenset[str] = frozenset()

    @property
    def path(self) -> str:
        """Where the API serves it: `apis/batch/v1`, `api/v1`."""
        return f"apis/{self.group}/{self.version}" if self.group else f"api/{self.version}"

    @property
    def api(self) -> str:
        """Group and version, for people."""
        return f"{self.group}/{self.version}" if self.group else self.version


JOB = Kind("batch", "v1", "jobs", "Job")
POD = Kind("", "v1", "pods", "Pod")


def runai_kinds(*, stopped_counts: bool) -> tuple[Kind, ...]:
    """Run:ai's workloads. A stopped one may be resumed at any time, so it counts unless told otherwise."""
    done = frozenset({"Completed"})
    ended = done | {"Failed"} | (frozenset() if stopped_counts else {"Stopped"})
    return tuple(
        Kind("run.ai", version, f"{kind.lower()}s", kind, frozenset(ended), done)
        for version, kind in (
            ("v2alpha1", "TrainingWorkload"),
            ("v2alpha1", "InteractiveWorkload"),
            ("v2alpha1", "DistributedWorkload"),
            ("v1", "RunaiJob"),
        )
    )


def active(kind: Kind, thing: Json, pods: Sequence[Json] = ()) -> bool:
    """Whether the object takes a place. A phase that nobody told us of is no end. ``pods``: a Job's own."""
    if kind == POD:
        return not pod_ended(thing)
    if kind == JOB:
        ended = any(
            text(one, "type") in JOB_ENDS and one.get("status") == "True"
            for one in items(dig(thing, "status"), "conditions")
        )
        only_pods = bool(pods) and not may_go_on(thing, pods) and runs_one_pod(thing)
        return any(not pod_ended(pod) for pod in pods) or not (ended or only_pods)
    return text(dig(thing, "status"), "phase") not in kind.ended


def _runs(kind: Kind, thing: Json, pods: Sequence[Json]) -> bool:
    """Whether the object shows that it runs: a Job by its pods, anything else by its phase."""
    shown = pods if kind == JOB else (thing,)
    return any(text(dig(one, "status"), "phase") == "Running" for one in shown)


def may_have_ended(job: Json) -> bool:
    """Whether a Job of others that says nothing of its end may have ended all the same: its pod tells."""
    return active(JOB, job) and runs_one_pod(job)


def roots(
    listed: Mapping[Kind, Sequence[Json]], instance: str, *, only_active: bool = True
) -> tuple[ForeignObject, ...]:
    """The objects of others that nobody counted owns, of every kind, in the order of the listing.

    Then the Jobs that are gone, and whose pods are not.
    """
    kinds = {(kind.group, kind.kind) for kind in listed}
    theirs = [
        (kind, thing)
        for kind, things in listed.items()
        for thing in things
        if not is_ours(thing, instance) and text(meta(thing), "uid") and not _owned(meta(thing), kinds)
    ]
    # Mostly all is ours, and then nobody asks whose ten thousand pods are.
    pods_of = _pods_by_owner(listed.get(POD, ())) if theirs else {}
    found = []
    for kind, thing in theirs:
        about = meta(thing)
        uid, name = text(about, "uid"), text(about, "name")
        takes_place = active(kind, thing, pods_of.get(uid, ()))
        if takes_place or not only_active:
            runs = takes_place and _runs(kind, thing, pods_of.get(uid, ()))
            found.append(ForeignObject(name, text(about, "namespace"), uid, kind.kind, takes_place, runs))
    for uid, (owner, pods) in jobless(listed.get(JOB, ()), listed.get(POD, ()), instance).items():
        place, runs = text(meta(pods[0]), "namespace"), _runs(JOB, owner, pods)
        found.append(ForeignObject(text(owner, "name"), place, uid, JOB.kind, started=runs))
    return tuple(found)


def jobless(jobs: Iterable[Json], pods: Iterable[Json], instance: str) -> dict[str, tuple[Json, list[Json]]]:
    """Pods of others that have not ended and whose Job is none of these, by its uid: with how they name it.

    They count as that Job: so it is one object before and after it is gone, or is listed.
    """
    there = {text(meta(job), "uid") for job in jobs}
    found: dict[str, tuple[Json, list[Json]]] = {}
    for pod in pods:
        if is_ours(pod, instance) or pod_ended(pod):
            continue
        for owner in items(meta(pod), "ownerReferences"):
            uid = text(owner, "uid")
            if uid and uid not in there and _owned({"ownerReferences": [owner]}, {(JOB.group, JOB.kind)}):
                found.setdefault(uid, (owner, []))[1].append(pod)
    return found


def _pods_by_owner(pods: Iterable[Json]) -> dict[str, list[Json]]:
    found: dict[str, list[Json]] = {}
    for pod in pods:
        for owner in items(meta(pod), "ownerReferences"):
            found.setdefault(text(owner, "uid"), []).append(pod)
    return found


def _owned(about: Json, kinds: set[tuple[str, str]]) -> bool:
    """Whether a controller of a counted kind owns the object: then that one counts in its stead."""
    return any(
        owner.get("controller") is True and (_group(owner), text(owner, "kind")) in kinds
        for owner in items(about, "ownerReferences")
    )


def _group(owner: Json) -> str:
    """Of the owner's API; its version is whatever its controller uses."""
    return text(owner, "apiVersion").rpartition("/")[0]
