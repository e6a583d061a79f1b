"""Events on a real API server: written once, seen by those who look there, refused in one line."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any

import pytest

from controller.adapters.kube_access import EVENT_RULES, Right, check_events
from controller.adapters.kube_client import KubeClient
from controller.adapters.kube_events import KubeEvents
from controller.ports import ClusterEvent, Rejected, Subject, Unavailable
from tests.control_plane.plane import ControlPlane
from tests.kube.place import rules
from tests.kube.world import settings


class Said(StrEnum):
    """What the Events of this test say."""

    ENDED = "BatchEnded"


def event(namespace: str, **more: Any) -> ClusterEvent:
    """One about something that the API server has never heard of."""
    subject = Subject("batchkeeper/v1", "Batch", namespace, "gapit3", "0" * 24)
    at = datetime.now(UTC) - timedelta(seconds=90)
    return replace(ClusterEvent("gapit3.0.ended", subject, Said.ENDED, "178 of 186 completed", at), **more)


@asynccontextmanager
async def writer(
    plane: ControlPlane, namespace: str, rights: Sequence[Right] = EVENT_RULES
) -> AsyncIterator[tuple[KubeEvents, KubeClient]]:
    """A writer with these rights, and its client."""
    account = plane.service_account(namespace, "teller", rules(rights))
    client = KubeClient(settings(account.kubeconfig, namespace).access)
    await client.open()
    try:
        yield KubeEvents(client, "suite", "node-1:4711:abc"), client
    finally:
        await client.close()


def seen(plane: ControlPlane, namespace: str, selector: str = "") -> list[dict[str, Any]]:
    """The Events of a namespace as ``kubectl get events`` reads them."""
    query = f"?fieldSelector={selector}" if selector else ""
    found: list[dict[str, Any]] = plane.admin.get(f"/api/v1/namespaces/{namespace}/events{query}")["items"]
    return found


async def test_an_event_is_seen_where_people_look(control_plane: ControlPlane, namespace: str) -> None:
    """With the one right to create: found by its subject, which is no object of the API server's."""
    async with writer(control_plane, namespace) as (events, client):
        assert await check_events(client, [namespace]) == ""
        await events.write(event(namespace, warning=True, labels={"batchkeeper.io/batch": "gapit3"}))
    (one,) = seen(control_plane, namespace, "involvedObject.kind=Batch,involvedObject.name=gapit3")
    assert (one["reason"], one["message"], one["type"]) == ("BatchEnded", "178 of 186 completed", "Warning")
    assert one["reportingComponent"] == "batchkeeper.io/controller"
    assert one["metadata"]["labels"]["batchkeeper.io/instance"] == "suite"
    told = datetime.fromisoformat(one["eventTime"])
    assert datetime.now(UTC) - told > timedelta(seconds=80), "when it happened, not when it was written"


async def test_written_twice_it_is_there_once(control_plane: ControlPlane, namespace: str) -> None:
    """A repeat after a crash, or by another replica, changes nothing and is no error."""
    async with writer(control_plane, namespace) as (events, _):
        await events.write(event(namespace))
        await events.write(event(namespace, note="something else"))
    (one,) = seen(control_plane, namespace)
    assert one["message"] == "178 of 186 completed"


async def test_a_long_note_is_cut_and_its_lines_are_joined(
    control_plane: ControlPlane, namespace: str
) -> None:
    """Whatever a person wrote: the API server's limit is one of bytes."""
    async with writer(control_plane, namespace) as (events, _):
        await events.write(event(namespace, note="größer\n\t" * 500))
    (one,) = seen(control_plane, namespace)
    assert one["message"].startswith("größer größer ")
    assert one["message"].endswith("…")
    assert 980 < len(one["message"].encode()) <= 1000


async def test_without_the_right_it_is_refused(control_plane: ControlPlane, namespace: str) -> None:
    """And the question beforehand names the right, the place and both ways out in one line."""
    other = (Right("", "events", ("list",)),)
    async with writer(control_plane, namespace, other) as (events, client):
        with pytest.raises(Rejected) as refused:
            await events.write(event(namespace))
        said = await check_events(client, [namespace, "elsewhere"])
    assert refused.value.code == 403
    assert said.startswith(f"system:serviceaccount:{namespace}:teller may not create events.events.k8s.io")
    assert f"in {namespace}, elsewhere: bind the Role" in said
    assert said.endswith("or set kubernetes.events: false")


async def test_an_outage_is_no_refusal(control_plane: ControlPlane, namespace: str) -> None:
    """A client that reaches nobody says so: it may be tried again."""
    async with writer(control_plane, namespace) as (events, client):
        await client.close()
        with pytest.raises(Unavailable):
            await events.write(event(namespace))


async def test_what_can_never_be_an_event_is_refused(control_plane: ControlPlane, namespace: str) -> None:
    """A name that is none: a definite answer, so nobody tries for ever."""
    async with writer(control_plane, namespace) as (events, _):
        with pytest.raises(Rejected) as refused:
            await events.write(event(namespace, name="Not A Name"))
    assert refused.value.code == 422
