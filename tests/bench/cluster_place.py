"""Where the rows on a real control plane are measured: a namespace, a daemon as a process, the audit log.

The API server's own audit log is the clock: it tells when it acknowledged a create, and when it took the
status that ended a pod, for the daemon's jobs and for the raw loops' alike.
"""

from __future__ import annotations

import sys
import tempfile
import threading
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from datetime import datetime
from http.client import HTTPException
from pathlib import Path
from typing import Any
from uuid import uuid4

from controller.adapters import labels
from tests.bench.place import Place
from tests.control_plane.admin import Document, Refused
from tests.control_plane.binaries import find
from tests.control_plane.building import Unavailable
from tests.control_plane.commands import ITSELF
from tests.control_plane.elsewhere import asked_for
from tests.control_plane.fixtures import ours
from tests.control_plane.jobs import jobs_path
from tests.control_plane.plane import Asked, ControlPlane, ServiceAccount
from tests.control_plane.sharing import Failed, acquire
from tests.kube.place import ACCOUNT, KubePlace, spec

LIMITLESS = {"rate": 100_000, "burst": 100_000}
LEASE = {"duration": "15s", "renew": "10s", "retry": "2s"}
DEFAULTS: Mapping[str, Any] = {
    "submission": LIMITLESS,
    "kubernetes": {**LIMITLESS, "timeout": "10s", "lease": LEASE},
    "specs": {"folder": "specs", "interval": "2s"},
    "reconcile": {"interval": "15s"},
    "repair": {"interval": "30s", "after": "30s"},
}
"""Tests go at a pace of their own; what is measured goes at everybody's, with no limit on submissions."""
ADDED_LABELS = frozenset(
    {
        "batch.kubernetes.io/controller-uid",
        "batch.kubernetes.io/job-name",
        "controller-uid",
        "job-name",
        labels.EXPIRING,
    }
)
"""Labels that a Job, or its pod template, has not when it is asked for."""
TOKEN_EVERY, AGAIN = 600.0, 10.0
"""Seconds between two tokens of the daemon's, each of which is good for an hour; and until the next try
where there was none."""


def _say(line: str) -> None:
    sys.stderr.write(f"{line}\n")


@contextmanager
def control_plane() -> Iterator[ControlPlane | str]:
    """A control plane for all rows of a run, or in one line why there is none."""
    if asked_for():
        yield "they need simulated nodes and the audit log, which a cluster that is there already has not"
        return
    with tempfile.TemporaryDirectory(prefix="batchkeeper-bench-plane-") as folder:
        try:
            hold = acquire(uuid4().hex, find(_say))
        except (Unavailable, Failed) as reason:
            yield str(reason)
            return
        try:
            yield ours(hold, Path(folder))
        finally:
            hold.release()


@contextmanager
def kube_place(place: Place, **sections: Any) -> Iterator[KubePlace]:
    """A namespace and a database of this row's own, at the defaults but for the limits on submissions."""
    plane = place.plane
    assert plane is not None
    number = uuid4().hex[:8]
    with plane.namespace() as namespace:
        found = KubePlace(place.folder / number, place.uri, f"bench_{number}", plane, namespace)
        found.watcher.stop()  # the audit log is enough, and a watcher takes time from what is measured
        found.configure(**{**DEFAULTS, **sections})
        try:
            with _renewed(found.account):
                yield found
        finally:
            found.tidy()


@contextmanager
def _renewed(account: ServiceAccount) -> Iterator[None]:
    """Its file always has a token that is good for long."""
    over = threading.Event()

    def renew() -> None:
        wait = TOKEN_EVERY
        while not over.wait(wait):
            try:
                account.renew()
                wait = TOKEN_EVERY
            except (OSError, HTTPException, Refused) as error:
                _say(f"no new token for the daemon, the next try in {AGAIN:g} s: {error}")
                wait = AGAIN

    thread = threading.Thread(target=renew, name="token", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def equal_jobs(name: str, n: int, at_once: int, env: Mapping[str, str]) -> dict[str, Any]:
    """A batch of n tasks that differ in a number only: a list of many would be too long for a spec."""
    wanted = spec(name, {}, at_once, job={"env": dict(env)})
    wanted["tasks"] = {"range": {"name": "NUMBER", "from": 0, "to": n - 1}}
    return wanted


@asynccontextmanager
async def empty_namespace(place: Place) -> AsyncIterator[str]:
    """A namespace for a raw loop."""
    assert place.plane is not None
    with place.plane.namespace() as name:
        yield name


@dataclass(frozen=True)
class Story:
    """What the API server answered about one namespace."""

    asked: Sequence[Asked]

    @property
    def creates(self) -> list[datetime]:
        """When each Job was acknowledged, in order."""
        made = [(one.verb, one.resource, one.code) == ("create", "jobs", 201) for one in self.asked]
        return sorted(one.at for one, yes in zip(self.asked, made, strict=True) if yes)

    @property
    def ends(self) -> list[datetime]:
        """When each pod's last status was taken, in order: all of them must have ended."""
        last: dict[str, datetime] = {}
        for one in self.asked:
            if (one.user, one.resource, one.code) == (ITSELF, "pods/status", 200):
                last[one.name] = max(one.at, last.get(one.name, one.at))
        return sorted(last.values())

    def refills(self, at_once: int) -> list[float]:
        """Seconds from each end to the create that took the place: the n-th end frees for create max + n."""
        pairs = zip(self.ends, self.creates[at_once:], strict=False)
        return [(created - ended).total_seconds() for ended, created in pairs]

    @property
    def span(self) -> float:
        """Seconds from the first create to the last end."""
        return (self.ends[-1] - self.creates[0]).total_seconds()

    def by(self, account: str) -> dict[tuple[str, str], int]:
        """How often this user asked for each (verb, resource)."""
        counts: dict[tuple[str, str], int] = {}
        for one in self.asked:
            if one.user == account:
                counts[one.verb, one.resource] = counts.get((one.verb, one.resource), 0) + 1
        return counts


def the_same(there: KubePlace) -> list[Document]:
    """The Jobs that the daemon created there, as it asked for them, for a raw loop elsewhere.

    What the API server fills in stays, which it would fill in again; what was added later is left out.
    """
    return [_as_asked(job) for job in there.job_objects()]


def alike(there: KubePlace, n: int) -> list[Document]:
    """So many Jobs as the daemon asked for one of those that are there: of large batches some have gone."""
    path = f"{jobs_path(there.namespace)}?limit=1"
    one = _as_asked(there.plane.admin.get(path)["items"][0])
    return [{**one, "metadata": {**one["metadata"], "name": f"raw-{number}"}} for number in range(n)]


def _as_asked(job: Document) -> Document:
    about, wanted = job["metadata"], {**job["spec"]}
    wanted.pop("selector", None)
    wanted.pop("ttlSecondsAfterFinished", None)  # which ours gets when it has ended
    template = {**wanted["template"]}
    template["metadata"] = {
        **template["metadata"],
        "labels": {
            key: value for key, value in template["metadata"]["labels"].items() if key not in ADDED_LABELS
        },
    }
    marks = {key: value for key, value in about.get("labels", {}).items() if key not in ADDED_LABELS}
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {
            "name": about["name"],
            "labels": marks,
            "annotations": about.get("annotations", {}),
        },
        "spec": {**wanted, "template": template},
    }


def story(plane: ControlPlane, namespace: str) -> Story:
    """Everything so far."""
    return Story(plane.audit(namespace))


def account_of(namespace: str) -> str:
    """The daemon's user there."""
    return f"system:serviceaccount:{namespace}:{ACCOUNT}"


def per_job(before: Mapping[tuple[str, str], int], after: Mapping[tuple[str, str], int], n: int) -> float:
    """Requests per job between two counts, the Lease's left out: it is renewed whatever happens."""
    asked = sum(count for (_, resource), count in after.items() if resource != "leases")
    return (asked - sum(count for (_, resource), count in before.items() if resource != "leases")) / n
