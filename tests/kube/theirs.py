"""What somebody else runs in a place's namespace: Jobs, Pods and workloads by the admin's hand.

Called by tests of foreign objects and of taking over. ``Theirs.untouched`` judges by the API server's audit
log that the daemon wrote to none of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from tests.control_plane import runai
from tests.control_plane.admin import Refused
from tests.control_plane.jobs import ended, jobs_path, manifest, pods_of, submit
from tests.e2e.waiting import wait_for
from tests.kube.place import ACCOUNT, KubePlace

READS = frozenset({"get", "list", "watch"})
NEVER = {"END": "never"}


@dataclass
class Theirs:
    """Objects of others in a place; the names are remembered."""

    place: KubePlace
    uids: dict[str, str] = field(default_factory=dict)
    """By name."""

    def submit(self, name: str, env: Mapping[str, str], **pod: Any) -> None:
        """A Job whose pod ends as its environment says."""
        made = submit(self.place.plane, self.place.namespace, manifest(name, env, **pod))
        self.uids[name] = made["metadata"]["uid"]

    def done(self, name: str, env: Mapping[str, str]) -> None:
        """A Job that has ended."""
        self.submit(name, env)
        ended(self.place.plane, self.place.namespace, name)

    def running(self, name: str) -> None:
        """A Job whose pod runs until somebody ends it."""
        self.submit(name, NEVER)
        self.runs(name)

    def runs(self, name: str) -> None:
        """Wait until the pod of a Job of theirs runs."""
        wait_for(f"{name} runs", lambda: any(map(_runs, self.pods(name))))

    def bare_pod(self, name: str) -> None:
        """A Pod without an owner, which runs until somebody ends it."""
        spec = manifest(name, NEVER)["spec"]["template"]["spec"]
        made = self.place.plane.admin.create(self._pods, {"metadata": {"name": name}, "spec": spec})
        self.uids[name] = made["metadata"]["uid"]
        wait_for(f"{name} runs", lambda: _runs(self.place.plane.admin.get(f"{self._pods}/{name}")))

    def workload(self, kind: str, name: str, phase: str = "Running") -> None:
        """One of Run:ai's kinds in that phase."""
        self.uids[name] = runai.start(self.place.plane.admin, kind, self.place.namespace, name, phase)

    def pods(self, name: str) -> list[dict[str, Any]]:
        """The pods of a Job of theirs."""
        return pods_of(self.place.plane, self.place.namespace, name)

    def end(self, pod: str) -> None:
        """That pod's program comes to a good end."""
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        over = {"terminated": {"exitCode": 0, "reason": "Completed", "startedAt": now, "finishedAt": now}}
        seen = self.place.plane.admin.get(f"{self._pods}/{pod}")["status"]["containerStatuses"]
        status = {
            "phase": "Succeeded",
            "containerStatuses": [{**one, "state": over, "ready": False} for one in seen],
        }
        self.place.plane.admin.patch(f"{self._pods}/{pod}/status", {"status": status})

    def end_job(self, name: str) -> None:
        """The program of a Job of theirs comes to a good end."""
        for pod in self.pods(name):
            self.end(pod["metadata"]["name"])

    def remove(self, name: str) -> None:
        """They delete a Job of theirs, with its pods."""
        self.place.plane.admin.delete(
            jobs_path(self.place.namespace, name), propagationPolicy="Background", gracePeriodSeconds=0
        )
        self.remove_pods(name)

    def remove_pods(self, name: str) -> None:
        """The pods of a Job go; the Job stays as it is."""
        for pod in self.pods(name):
            with suppress(Refused):  # it went by itself
                self.place.plane.tear_out(self.place.namespace, pod["metadata"]["name"])
        wait_for(f"the pods of {name} are gone", lambda: not self.pods(name))

    def untouched(self) -> None:
        """The daemon never asked for a write to any of them, nor to their pods."""
        daemon = f"system:serviceaccount:{self.place.namespace}:{ACCOUNT}"
        pods = {pod["metadata"]["name"] for name in self.uids for pod in self.pods(name)}
        asked = [one for one in self.place.plane.audit(self.place.namespace) if one.user == daemon]
        assert any(one.verb == "list" for one in asked), "the audit log tells of the daemon"
        writes = [one for one in asked if one.verb not in READS and one.name in {*self.uids, *pods}]
        assert not writes, writes

    @property
    def _pods(self) -> str:
        return f"/api/v1/namespaces/{self.place.namespace}/pods"


def _runs(pod: dict[str, Any]) -> bool:
    return bool(pod["status"].get("phase") == "Running")
