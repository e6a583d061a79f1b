"""A place of end-to-end tests whose cluster is a real control plane: daemons as processes, judged alike."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from controller.adapters.kube_foreign import Kind
from controller.adapters.local_history import Entry
from tests.chart.rights import ACCOUNT as ACCOUNT
from tests.chart.rights import Granted
from tests.chart.rights import rules as rules
from tests.control_plane.history import happenings, most_at_once
from tests.control_plane.jobs import IMAGE
from tests.control_plane.plane import ControlPlane
from tests.control_plane.recorder import WATCHED, Change, Recorder
from tests.e2e.history import starts
from tests.e2e.place import Place
from tests.oracle.history import Deed, Side, Weather
from tests.oracle.merging import merged
from tests.oracle.oracle import Oracle
from tests.oracle.state import Facts

Document = dict[str, Any]
KINDS = {Deed.CREATED: "create", Deed.STARTED: "start", Deed.ENDED: "end", Deed.GONE: "delete"}


class KubePlace(Place):
    """One namespace on a control plane, and daemons that may do there what a release of the chart may."""

    kind = "kubernetes"
    kinds: Sequence[Kind] = ()
    """What is counted and watched beside Jobs and Pods."""

    def __init__(self, root: Path, uri: str, database: str, plane: ControlPlane, namespace: str) -> None:
        self.plane = plane
        self.namespace = namespace
        self.granted = Granted(plane, namespace, self.kinds)
        self.account = self.granted.account
        self.kubeconfig = self.account.kubeconfig
        watched = [f"/{kind.path}/namespaces/{{}}/{kind.resource}" for kind in self.kinds]
        self.watcher = Recorder(plane.admin, namespace, [*WATCHED, *watched])
        self.watcher.start()
        self.elsewhere: list[Recorder] = []
        super().__init__(root, uri, database)

    def configure(self, **sections: Any) -> None:
        """As for any place, on this control plane."""
        kubernetes = {
            "kubeconfig": str(self.kubeconfig),
            "timeout": "5s",
            "rate": 500,
            "burst": 500,
            "lease": {"duration": "3s", "renew": "2s", "retry": "300ms"},
        }
        given = sections.pop("kubernetes", {})
        super().configure(
            namespace=self.namespace,
            cluster={"kind": self.kind},
            kubernetes={**kubernetes, **given},
            **{
                "lifecycle": {"finished_ttl": "1h"},
                "policy": {"host_path_prefixes": ["/hpi"]},
                **sections,
            },
        )

    def also(self, namespace: str) -> None:
        """What happens in another namespace is recorded and judged too."""
        self.elsewhere.append(Recorder(self.plane.admin, namespace))
        self.elsewhere[-1].start()

    def by(self, kubeconfig: Path) -> None:
        """The daemons that are started from now on find the API server so."""
        self.kubeconfig = kubeconfig
        self.configure()

    def history(self) -> list[Entry]:
        """What the independent watcher saw so far, in its order."""
        told = [one for one in happenings(self.watcher.changes()) if one.deed in KINDS]
        return [
            Entry(number, one.at, KINDS[one.deed], one.namespace, one.name, one.uid, one.job_id)
            for number, one in enumerate(told, start=1)
        ]

    def judged(self) -> Oracle:
        """The oracle on what the store and the API server recorded."""
        assert self.recorder is not None
        oracle = Oracle(Facts(**{"list_age": timedelta(seconds=1.5), **self._facts}))
        changes = [change for one in (self.watcher, *self.elsewhere) for change in one.changes()]
        happened = happenings(sorted(changes, key=lambda change: change.at), self.by_others)
        written = self.recorder.written()
        oracle.feed_all(merged(written, happened, self.weather, self.watcher.deaf))
        if not self.left_open:
            oracle.finish()
        return oracle

    @contextmanager
    def out_of_reach(self) -> Iterator[None]:
        """The oracle is told that nobody reaches the cluster meanwhile: make it so before, heal it after."""
        self.weather.append(Weather(datetime.now(UTC), Side.CLUSTER, out=True))
        yield
        self.weather.append(Weather(datetime.now(UTC), Side.CLUSTER, out=False))

    def all_well(self, name: str, most: int) -> None:
        """The batch comes to its end: every attempt completed, but for what the Job controller ``doubled``,
        each program was started once, and never were more objects there at once than its cap."""
        self.over(name)
        doubled = self.doubled()
        ends = {status for job, status in self.statuses(name).items() if job not in doubled}
        assert ends == {"completed"}
        assert set(starts(self.history()).values()) == {1}
        assert most_at_once(happenings(self.watcher.changes())) <= most

    def by_others(self, change: Change) -> bool:
        """Whether the test's own hand deleted it."""
        return change.object["metadata"]["name"] in self.strangers

    def doubled(self) -> set[str]:
        """Names of Jobs that were given a second pod.

        The Job controller does that where it gets no answer to a create of its own; then it deletes one of
        them, and by the failure policy the other: that attempt is over, and nobody's fault.
        """
        pods: dict[str, set[str]] = {}
        for change in self.watcher.changes():
            owners = change.object["metadata"].get("ownerReferences", ())
            for owner in owners if change.kind == "Pod" else ():
                pods.setdefault(owner["name"], set()).add(change.uid)
        return {name for name, uids in pods.items() if len(uids) > 1}

    def tidy(self) -> None:
        """Kill what is left of the daemons; the namespace goes with the test."""
        for daemon in self._daemons:
            if daemon.running:
                daemon.kill()
        for recorder in (self.watcher, *self.elsewhere):
            recorder.stop()
        self.granted.withdraw()
        if self._client is not None:
            self._client.close()
            self._client = None

    def pods(self) -> list[Document]:
        """Every pod of the namespace, as the API server shows it now."""
        found: list[Document] = self.plane.admin.get(f"/api/v1/namespaces/{self.namespace}/pods")["items"]
        return found

    def job_objects(self) -> list[Document]:
        """Every Job of the namespace."""
        path = f"/apis/batch/v1/namespaces/{self.namespace}/jobs"
        found: list[Document] = self.plane.admin.get(path)["items"]
        return found


def spec(name: str, tasks: Mapping[str, Mapping[str, str]], most: int, **more: Any) -> Document:
    """A batch whose pods end as each task's parameters ask for."""
    job = {
        "image": IMAGE,
        "command": ["/scripts/entrypoint.sh", "run-single-trait"],
        "resources": {"cpu": "10m", "memory": "16Mi"},
        **more.pop("job", {}),
    }
    return {
        "apiVersion": "batchkeeper/v1",
        "kind": "Batch",
        "name": name,
        "maxConcurrent": most,
        "tasks": {"list": [{"id": task, **parameters} for task, parameters in tasks.items()]},
        "job": job,
        **more,
    }


QUICK = [
    {
        "on": {"verdict": "mount-failure"},
        "limit": 3,
        "backoff": {"base": "200ms", "factor": 2, "max": "1s"},
    }
]
"""Mount failures are tried again at a test's pace."""
PATIENCE = float(os.environ.get("TESTS_PATIENCE", "60"))
