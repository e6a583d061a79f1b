"""Election by a Lease of `coordination.k8s.io/v1`: whoever renews it leads; a silent one is overtaken.

No wall clocks are compared: a Lease is expired when this process has seen it unchanged for its whole
duration, by its own monotonic clock. Every write carries the resource version that was read, so of two
candidates at one instant one is refused. A reply that was lost is no election: the next look tells.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, timedelta
from typing import Any, Protocol

from controller.adapters.kube_client import Refused
from controller.adapters.kube_reading import dig, meta, text
from controller.ports import Clock, Unavailable
from controller.telemetry import get_logger

Json = dict[str, Any]
NOT_FOUND, CONFLICT = 404, 409
_log = get_logger(__name__)


class Api(Protocol):
    """What is needed of the API server; ``KubeClient`` has it."""

    async def request(
        self, method: str, path: str, body: Mapping[str, Any] | None = None, *, resource: str
    ) -> Json:
        """One request. Raises ``Refused`` or ``Unavailable``."""
        ...


@dataclass(frozen=True, slots=True)
class Terms:
    """The election's figures; ``duration`` > ``renew`` > ``retry``."""

    duration: timedelta = timedelta(seconds=15)
    renew: timedelta = timedelta(seconds=10)
    retry: timedelta = timedelta(seconds=2)


class LeaseElector:
    """One candidate for one Lease."""

    def __init__(
        self,
        api: Api,
        namespace: str,
        name: str,
        identity: str,
        terms: Terms,
        clock: Clock,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self.identity = identity
        self._api = api
        self._name = name
        self._collection = f"apis/coordination.k8s.io/v1/namespaces/{namespace}/leases"
        self._where = f"lease {namespace}/{name}"
        self._terms = terms
        self._clock = clock
        self._jitter = jitter
        self._seen: tuple[object, ...] | None = None
        self._seen_at = 0.0
        self._renewed_at = 0.0
        self._told = ""

    async def acquire(self) -> None:
        """See ``Elector.acquire``."""
        while not await self._elected():
            await self._pause()

    async def lost(self) -> str:
        """See ``Elector.lost``. Returns a renewal's time-out before anybody else may take the Lease."""
        renew = self._terms.renew.total_seconds()
        while True:
            await self._pause(until=self._renewed_at + renew)
            if self._clock.monotonic() - self._renewed_at >= renew:
                return f"{self._where} could not be renewed for {renew:g} s"
            if not await self._elected() and self._held_by_another():
                return f"{self._where} is held by {self._seen[0] if self._seen else 'nobody'}"

    async def release(self) -> None:
        """See ``Elector.release``."""
        try:
            lease = await self._bounded("GET", f"{self._collection}/{self._name}")
            if text(dig(lease, "spec"), "holderIdentity") == self.identity:
                spec = {**dig(lease, "spec"), "holderIdentity": "", "renewTime": _now(self._clock)}
                await self._write(lease, spec)
        except (Refused, Unavailable) as error:
            _log.info("lease-not-released", error=str(error))
        self._seen = None

    def _held_by_another(self) -> bool:
        return self._seen is not None and self._seen[0] != self.identity

    async def _pause(self, until: float | None = None) -> None:
        """Until the next try; candidates don't come in step."""
        seconds = self._terms.retry.total_seconds() * (0.8 + 0.4 * self._jitter())
        if until is not None:
            seconds = min(seconds, max(0.0, until - self._clock.monotonic()))
        await self._clock.sleep(seconds)

    async def _elected(self) -> bool:
        """One try to take or to renew the Lease. True: it was granted, counted from before the request."""
        asked = self._clock.monotonic()
        try:
            granted = await self._try()
        except (Refused, Unavailable) as error:
            if str(error) != self._told:
                _log.warning("lease-trouble", lease=self._where, error=str(error))
            self._told = str(error)
            return False
        self._told = ""
        if granted:
            self._renewed_at = asked
        return granted

    async def _try(self) -> bool:
        try:
            lease = await self._bounded("GET", f"{self._collection}/{self._name}")
        except Refused as error:
            if error.code != NOT_FOUND:
                raise
            return await self._create()
        self._observe(lease)
        spec = dig(lease, "spec")
        holder = text(spec, "holderIdentity")
        if holder == self.identity:
            return await self._write(lease, {**spec, **self._terms_now()})
        if holder and not self._expired(spec):
            return False
        transitions = spec.get("leaseTransitions")
        count = transitions if isinstance(transitions, int) else 0
        taken = {"acquireTime": _now(self._clock), "leaseTransitions": count + 1}
        return await self._write(lease, {**spec, **self._terms_now(), **taken})

    async def _create(self) -> bool:
        now = _now(self._clock)
        body = {
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": {"name": self._name},
            "spec": {**self._terms_now(), "acquireTime": now, "leaseTransitions": 0},
        }
        return await self._granted("POST", self._collection, body)

    async def _write(self, lease: Json, spec: Json) -> bool:
        """Replace what was read, and only that: anybody else's write in between is a conflict."""
        about = {key: meta(lease)[key] for key in ("name", "namespace", "uid", "resourceVersion")}
        body = {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": about, "spec": spec}
        return await self._granted("PUT", f"{self._collection}/{self._name}", body)

    async def _granted(self, method: str, path: str, body: Json) -> bool:
        try:
            lease = await self._bounded(method, path, body)
        except Refused as error:
            if error.code in (CONFLICT, NOT_FOUND):  # somebody was quicker, or it was deleted just now
                return False
            raise
        self._observe(lease)
        return True

    async def _bounded(self, method: str, path: str, body: Json | None = None) -> Json:
        """One request that can't outlast the time in which the Lease must be renewed."""
        seconds = self._terms.renew.total_seconds() / 2
        try:
            async with asyncio.timeout(seconds):
                return await self._api.request(method, path, body, resource="leases")
        except TimeoutError:
            raise Unavailable(f"{self._where}: no answer within {seconds:g} s") from None

    def _terms_now(self) -> Json:
        seconds = max(1, round(self._terms.duration.total_seconds()))
        return {
            "holderIdentity": self.identity,
            "leaseDurationSeconds": seconds,
            "renewTime": _now(self._clock),
        }

    def _observe(self, lease: Json) -> None:
        """Note the instant at which the Lease was first seen as it is."""
        spec = dig(lease, "spec")
        state = (text(spec, "holderIdentity"), spec.get("renewTime"), text(meta(lease), "resourceVersion"))
        if state != self._seen:
            self._seen, self._seen_at = state, self._clock.monotonic()

    def _expired(self, spec: Mapping[str, Any]) -> bool:
        """Whether the holder was silent for the duration that it promised; ours where it names none."""
        promised = spec.get("leaseDurationSeconds")
        seconds = promised if isinstance(promised, int) else self._terms.duration.total_seconds()
        return self._clock.monotonic() - self._seen_at >= seconds


def _now(clock: Clock) -> str:
    """For people; nothing is decided by it."""
    return clock.now().astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


__all__ = ["Api", "LeaseElector", "Terms"]
