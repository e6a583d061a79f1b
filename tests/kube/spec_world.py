"""ConfigMaps of a real API server as the world of a spec source: one for the contract suite, many by hand."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

from controller.adapters.kube_access import EVENT_RULES, SPEC_RULES, Right
from controller.adapters.kube_client import KubeClient
from controller.adapters.kube_events import KubeEvents
from controller.adapters.spec_configmap import SpecConfigMaps
from controller.adapters.spec_configmap_status import ANNOTATION
from controller.adapters.spec_rounds import SPEC_LIMIT
from controller.adapters.system_clock import SystemClock
from controller.ports import Unavailable
from tests.contract.source_suite import World
from tests.control_plane.admin import Refused
from tests.control_plane.plane import ControlPlane
from tests.kube.lossy import Lossy, lossy
from tests.kube.place import rules
from tests.kube.world import settings
from tests.s3.world import Named

LABELS = {"batchkeeper.io/specs": "true"}
SELECTOR = "batchkeeper.io/specs=true"
NAME = "sweep"


class ConfigMapWorld(World):
    """Files are keys of one ConfigMap, ``sweep``; the source has the rights of its Role and no others."""

    user = "configmap:"
    fetches_large = False

    def __init__(self, plane: ControlPlane, namespace: str, client: KubeClient, way: Lossy) -> None:
        self.limit = SPEC_LIMIT
        self.plane = plane
        self.namespace = namespace
        self.client = client
        self.way = way
        self.maps = f"/api/v1/namespaces/{namespace}/configmaps"
        self.start = f"configmap://{namespace}/"
        self.restart()

    def restart(self) -> None:
        """A new source that remembers nothing."""
        events = KubeEvents(self.client, "suite", "node-1:4711:abc")
        self.config_maps = SpecConfigMaps(self.client, self.namespace, SELECTOR, SystemClock(), events)
        self.source = Named(self.config_maps, f"{self.start}{NAME}/")

    # -- what the suite does

    def put(self, key: str, content: bytes) -> None:
        """Set a key; names that no ConfigMap can have can't be dropped."""
        try:
            self.change(binary={key: base64.b64encode(content).decode()})
        except Refused as refused:
            assert refused.status == 422
            assert "a valid config key" in str(refused)

    def remove(self, key: str) -> None:
        """Take a key away."""
        self.change(data={key: None}, binary={key: None})

    def spoil(self, key: str) -> None:
        """There is no key that can't be read."""
        raise NotImplementedError

    def lose(self) -> None:
        """Nobody reaches the API server."""
        self.way.cut()

    def heal(self) -> None:
        """It answers."""
        self.way.gone = False

    def status(self, key: str) -> Mapping[str, Any] | None:
        """What a person would read."""
        return self.statuses().get(key)

    def pass_time(self) -> None:
        """Time is no matter here."""

    # -- and by hand

    def make(
        self, name: str, data: Mapping[str, str], labels: Mapping[str, str] = LABELS, **more: Any
    ) -> None:
        """A ConfigMap."""
        self.plane.admin.create(
            self.maps, {"metadata": {"name": name, "labels": dict(labels)}, "data": dict(data), **more}
        )

    def change(
        self,
        name: str = NAME,
        *,
        data: Mapping[str, str | None] | None = None,
        binary: Mapping[str, str | None] | None = None,
        **metadata: Any,
    ) -> None:
        """Patch one, which is made where there is none."""
        if self.plane.admin.find(f"{self.maps}/{name}") is None:
            self.make(name, {})
        body = {"data": dict(data or {}), "binaryData": dict(binary or {}), "metadata": metadata}
        self.plane.admin.patch(f"{self.maps}/{name}", body)

    def keys(self, name: str = NAME) -> set[str]:
        """What it holds."""
        found = self.plane.admin.find(f"{self.maps}/{name}") or {}
        return {*found.get("data", {}), *found.get("binaryData", {})}

    def annotation(self, name: str = NAME) -> str:
        """As it stands there."""
        found = self.plane.admin.find(f"{self.maps}/{name}") or {}
        return str(found.get("metadata", {}).get("annotations", {}).get(ANNOTATION, ""))

    def statuses(self, name: str = NAME) -> dict[str, Any]:
        """By key."""
        found: dict[str, Any] = json.loads(self.annotation(name) or "{}")
        return found

    def events(self) -> list[dict[str, Any]]:
        """The Events of the namespace about ConfigMaps, as ``kubectl get events`` reads them."""
        path = f"/api/v1/namespaces/{self.namespace}/events"
        found = self.plane.admin.get(path, fieldSelector="involvedObject.kind=ConfigMap")["items"]
        return sorted(found, key=lambda one: one["eventTime"])

    def told(self) -> list[tuple[str, str]]:
        """Type and reason of each, in their order."""
        return [(one["type"], one["reason"]) for one in self.events()]


async def _granted(world: ConfigMapWorld) -> None:
    """A Role takes a moment until it is known to the API server."""
    while True:
        try:
            await world.source.scan()
        except Unavailable:
            await asyncio.sleep(0.05)
        else:
            return


@asynccontextmanager
async def config_map_world(
    plane: ControlPlane, namespace: str, rights: Sequence[Right] = (*SPEC_RULES, *EVENT_RULES)
) -> AsyncIterator[ConfigMapWorld]:
    """A namespace without ConfigMaps of ours, and a source that watches it with these rights."""
    account = plane.service_account(namespace, "watcher", rules(rights))
    async with lossy(account.kubeconfig) as (way, kubeconfig):
        client = KubeClient(settings(kubeconfig, namespace).access)
        await client.open()
        try:
            world = ConfigMapWorld(plane, namespace, client, way)
            if rights:
                await _granted(world)
            yield world
        finally:
            await client.close()
