"""ConfigMaps with a label as the source of specs (``ports.SpecSource``), in one namespace.

Polled by listing. Each key of ``data`` or ``binaryData`` that ends in ``.yaml``, ``.yml`` or ``.json`` is a
spec; a csv is another key of the same ConfigMap. What became of each stands in an annotation of the
ConfigMap, and Events say when it changed. Only content counts: our own annotation, which changes the
ConfigMap's version, is no change of a spec. An immutable ConfigMap may be annotated like any other.

A ConfigMap that lost the label counts as deleted. Keys are ``configmap://namespace/name/key``. No key has an
owner: what the operator's map gives to nobody belongs to ``configmap:<namespace>``.

Made by ``clusters``, on its client; called by ``spec_pass``.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from controller.adapters.kube_client import KubeClient, Refused
from controller.adapters.kube_foreign import Kind
from controller.adapters.kube_listing import CONFLICT, list_all
from controller.adapters.kube_reading import dig, meta, text
from controller.adapters.spec_configmap_status import (
    ANNOTATION,
    annotation_of,
    event_of,
    merged,
    statuses_of,
)
from controller.adapters.spec_rounds import FAILURES, Asked, Listed, Place, Rounds
from controller.core.owners import CONFIG_MAPS
from controller.ports import Clock, EventWriter, NamedFile, Rejected, SpecFile, Unavailable
from controller.ports.event_writer import Subject
from controller.telemetry.logs import get_logger

CONFIG_MAP = Kind("", "v1", "configmaps", "ConfigMap")
MERGE_PATCH = "application/merge-patch+json"
MAX_BYTES = 64 * 2**20
"""Of all ConfigMaps with the label together: each look reads all of them."""
PAGE = 50
"""ConfigMaps in one page of a list: each may have a megabyte."""
TRIES = 4
"""How often a status is written against somebody else's changes."""

_log = get_logger(__name__)
Json = Mapping[str, Any]


class SpecConfigMaps:
    """Specs in the ConfigMaps of ``namespace`` that ``selector`` finds. ``events``: None, to make none."""

    def __init__(
        self, client: KubeClient, namespace: str, selector: str, clock: Clock, events: EventWriter | None
    ) -> None:
        self._client = client
        self._namespace = namespace
        self._selector = selector
        self._clock = clock
        self._events = events
        self.place = Place(f"configmap://{namespace}/", f"{CONFIG_MAPS}{namespace}")
        self._rounds = Rounds(self.place)
        self._asked = Asked()
        self._one_scan = asyncio.Lock()
        self._one_tell = asyncio.Lock()
        self._untold: OrderedDict[str, Mapping[str, Any]] = OrderedDict()
        """The last is written first."""
        self._complained: dict[str, str] = {}

    async def scan(self) -> Sequence[SpecFile]:
        """One list: what has settled and was not handed out as it is now, by key.

        Raises ``Unavailable`` when the ConfigMaps can't be listed.
        """
        async with self._one_scan:
            await self._tell_rest()  # before the look: what that hands out is lost where a pass is cut off
            contents = await self._contents()
            listing = {path: Listed(tag, len(content)) for path, (tag, content) in contents.items()}

            def fetch(path: str, listed: Listed, limit: int) -> NamedFile | None:
                return NamedFile(contents[path][1])

            return self._asked.took(self._rounds.round(listing, dict(self._asked.wanted), fetch))

    async def depends(self, key: str, paths: Iterable[str]) -> bool:
        """Watch the keys that a spec names; whether it was handed out with all of them already."""
        return self._asked.depends(key, paths)

    async def keys(self) -> frozenset[str]:
        """The keys of all specs that the last good scan saw."""
        return self._asked.keys

    async def tell(self, key: str, status: Mapping[str, Any]) -> None:
        """Write the status into the ConfigMap's annotation, if it says something new.

        What may not be written is logged once, and never raises; while the API server is away the newest
        status of each spec is kept, until a later call or a scan gets it through.
        """
        self._untold[key] = status
        await self._tell_rest()

    # ------------------------------------------------------------------------------------------ reading

    async def _contents(self) -> Mapping[str, tuple[str, bytes]]:
        """Hash and content of every key, by ``name/key``."""
        try:
            things, _ = await list_all(self._client, CONFIG_MAP, self._namespace, self._selector, PAGE)
        except Refused as error:
            raise Unavailable(f"the ConfigMaps of {self.place.start} can't be listed: {error}") from None
        contents = await asyncio.to_thread(_contents, things)
        if (size := sum(len(content) for _, content in contents.values())) > MAX_BYTES:
            raise Unavailable(
                f"the ConfigMaps of {self.place.start} hold {size} bytes, {MAX_BYTES} at most: remove what "
                "is done, or use a bucket"
            )
        return contents

    # ------------------------------------------------------------------------------------------ telling

    async def _tell_rest(self) -> None:
        async with self._one_tell:
            failed: set[str] = set()
            in_a_row = 0
            while self._untold and in_a_row < FAILURES:
                key, status = next(reversed(self._untold.items()))
                if key in failed:  # all others had their turn
                    return
                try:
                    await self._write(key, status)
                except Unavailable as error:
                    self._complain(key, str(error))
                    self._untold.move_to_end(key, last=False)
                    failed.add(key)
                    in_a_row += 1
                    continue
                except Refused as error:
                    self._complain(key, str(error))
                else:
                    in_a_row = 0
                    self._complained.pop(key, None)
                if self._untold.get(key) is status:  # only now: a pass may have been cut off before
                    del self._untold[key]

    async def _write(self, key: str, status: Mapping[str, Any]) -> None:
        """Read the ConfigMap as it is now and annotate that; nothing where the spec is gone."""
        path = self.place.path(key)
        if path is None:
            return
        name, _, inner = path.partition("/")
        for _ in range(TRIES):
            thing = await self._found(name)
            there = _keys(thing) if thing else ()
            if thing is None or inner not in there:
                return
            shown = text(dig(meta(thing), "annotations"), ANNOTATION)
            before = statuses_of(shown)
            annotation = annotation_of(merged(before, inner, status, there))
            if annotation == shown or await self._annotated(thing, name, annotation):
                await self._tell_people(thing, inner, before.get(inner, {}), status)
                return
        raise Unavailable(f"{key} is being changed by others all the time: its status waits")

    async def _found(self, name: str) -> Json | None:
        """The ConfigMap now, if it has the label still: as the API server understands the selector."""
        query = {"labelSelector": self._selector, "fieldSelector": f"metadata.name={name}"}
        path = f"{CONFIG_MAP.path}/namespaces/{self._namespace}/{CONFIG_MAP.resource}"
        answer = await self._client.request("GET", path, resource=CONFIG_MAP.resource, query=query)
        found = answer.get("items")
        return found[0] if isinstance(found, list) and found else None

    async def _annotated(self, thing: Json, name: str, annotation: str) -> bool:
        """Whether it was written: to this very version, or not at all."""
        about = meta(thing)
        body = {
            "metadata": {
                "uid": text(about, "uid"),
                "resourceVersion": text(about, "resourceVersion"),
                "annotations": {ANNOTATION: annotation},
            }
        }
        path = f"{CONFIG_MAP.path}/namespaces/{self._namespace}/{CONFIG_MAP.resource}/{name}"
        try:
            await self._client.request("PATCH", path, body, resource=CONFIG_MAP.resource, content=MERGE_PATCH)
        except Refused as error:
            if error.code != CONFLICT:
                raise
            return False
        return True

    async def _tell_people(self, thing: Json, key: str, before: Json, now: Json) -> None:
        """An Event, if there is something to tell; one that can't be made costs nothing else."""
        about = meta(thing)
        subject = Subject("v1", "ConfigMap", self._namespace, text(about, "name"), text(about, "uid"))
        event = event_of(subject, key, before, now, self._clock.now())
        if event is None or self._events is None:
            return
        try:
            await self._events.write(event)
        except (Rejected, Unavailable) as error:
            self._complain(self.place.start, str(error), "spec-event-not-written")
        else:
            self._complained.pop(self.place.start, None)

    def _complain(self, about: str, error: str, event: str = "spec-status-not-written") -> None:
        """Log a reason once, until it is another one or gone."""
        if self._complained.get(about) != error:
            self._complained[about] = error
            _log.warning(event, store=self.place.start, error=error)


def _contents(things: Iterable[Json]) -> Mapping[str, tuple[str, bytes]]:
    found = {}
    for thing in things:
        name = text(meta(thing), "name")
        for key in _keys(thing):
            content = _content(thing, key)
            found[f"{name}/{key}"] = hashlib.sha256(content).hexdigest(), content
    return found


def _keys(thing: Json) -> Iterable[str]:
    return (*dig(thing, "data"), *dig(thing, "binaryData"))


def _content(thing: Json, key: str) -> bytes:
    data = dig(thing, "data")
    if key in data:
        return str(data[key]).encode("utf-8", "surrogatepass")
    return base64.b64decode(str(dig(thing, "binaryData")[key]))
