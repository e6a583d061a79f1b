"""Events on the API server: ``ports.EventWriter``. Made by ``clusters``, used by whoever tells people.

``events.k8s.io/v1``, which is the same object as a core Event for those who read it, and strict for those
who write it. An Event is made under a given name and never changed: the right to create is all it takes.
"""

from __future__ import annotations

from datetime import UTC
from typing import Any

from controller.adapters.kube_client import KubeClient, Refused, rejected
from controller.adapters.labels import INSTANCE, MANAGED_BY, MANAGER
from controller.ports import ClusterEvent

GROUP = "events.k8s.io"
CONTROLLER = "batchkeeper.io/controller"
"""``reportingController``: who writes them, for ``--field-selector reportingComponent=…``."""
ACTION = "Reconcile"
"""What was done about the subject: machine-readable, and demanded by the API."""
LONGEST_NOTE = 1000
"""Bytes of a note; the API server takes 1024."""
LONGEST_REPORTER = 128
ALREADY_EXISTS = 409


class KubeEvents:
    """``ports.EventWriter`` on one API server. ``who``: this process, of several replicas."""

    def __init__(self, client: KubeClient, instance: str, who: str) -> None:
        self._client = client
        self._instance = instance
        self._who = who

    async def write(self, event: ClusterEvent) -> None:
        """See ``EventWriter.write``."""
        path = f"apis/{GROUP}/v1/namespaces/{event.subject.namespace}/events"
        body = event_object(event, self._instance, self._who)
        try:
            await self._client.request("POST", path, body, resource="events")
        except Refused as error:
            # By its reason: a namespace that is being deleted is a conflict for some versions, too.
            if error.code != ALREADY_EXISTS or error.reason != "AlreadyExists":
                raise rejected(error) from error


def event_object(event: ClusterEvent, instance: str, who: str) -> dict[str, Any]:
    """The Event as it is posted."""
    subject = event.subject
    regarding = {
        "apiVersion": subject.api_version,
        "kind": subject.kind,
        "namespace": subject.namespace,
        "name": subject.name,
        **({"uid": subject.uid} if subject.uid else {}),
    }
    return {
        "apiVersion": f"{GROUP}/v1",
        "kind": "Event",
        "metadata": {
            "name": event.name,
            "namespace": subject.namespace,
            "labels": {**event.labels, MANAGED_BY: MANAGER, INSTANCE: instance},
        },
        "eventTime": event.at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
        "reportingController": CONTROLLER,
        "reportingInstance": who[:LONGEST_REPORTER],
        "action": ACTION,
        "reason": event.reason.value,
        "regarding": regarding,
        "note": cut(" ".join(event.note.split()), LONGEST_NOTE),
        "type": "Warning" if event.warning else "Normal",
    }


def cut(text: str, most: int) -> str:
    """At most so many bytes, whole characters of them, and a sign that something is missing."""
    data = text.encode("utf-8", "replace")
    if len(data) <= most:
        return data.decode("utf-8")
    return data[: most - 3].decode("utf-8", "ignore") + "…"
