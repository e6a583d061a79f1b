"""Election by a Lease of `coordination.k8s.io/v1`: whoever renews it leads; a silent one is overtaken.

No wall clocks are compared: a Lease is expired when this process has seen it unchanged for its whole
duration, by its own monotonic clock. Every write carries the uid and the resource version that were read,
so of two candidates at one instant one is refused. A lost reply elects nobody: the next look tells.
"""

from __future__ import annotations

import asyncio
import math
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
API = "coordination.k8s.io/v1"
CONFLICT = 409
_log = get_logger(__name__)


class Api(Protocol):
    """What is needed of the API server; ``KubeClient`` has it."""

    @property
    def quiet(self) -> str:
        """Why requests wait now, as the API server asked for it; empty: they don't."""
        ...

    async def request(
        self,
        method: str,
        path: str,
        body: Mapping[str, Any] | None = None,
        *,
        resource: str,
        ahead: bool = False,
    ) -> Json:
        """One request, ahead of all others or in line. Raises ``Refused`` or ``Unavailable``."""
        ...


@dataclass(frozen=True, slots=True)
class Terms:
    """The election's figures. Raises ``ValueError`` unless ``duration`` > ``renew`` > ``retry`` > 0."""

    duration: timedelta = timedelta(seconds=15)
    """How long the others wait for a silent leader."""
    renew: timedelta = timedelta(seconds=10)
    """How long a leader goes on without a renewal."""
    retry: timedelta = timedelta(seconds=2)
    """Between two tries to take or to renew it."""

    def __post_init__(self) -> None:
        if not self.duration > self.renew > self.retry > timedelta():
            raise ValueError("a Lease needs duration > renew > retry > 0, else two lead or nobody does")

    @property
    def promised(self) -> int:
        """``leaseDurationSeconds``: a whole number, and never less than ``duration``."""
        return math.ceil(self.duration.total_seconds())


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
        """``identity``: who this candidate is, unique among all processes. ``jitter``: in [0, 1)."""
        self.identity = identity
        self.trouble = ""
        self._api = api
        self._name = name
        self._collection = f"apis/{API}/namespaces/{namespace}/leases"
        self._where = f"lease {namespace}/{name}"
        self._terms = terms
        self._clock = clock
        self._jitter = jitter
        self._lease: Json | None = None
        self._seen_at = 0.0
        self._renewed_at = 0.0
        self._told: tuple[str, str] = ("", "")

    # ---------------------------------------------------------------------------------- the port

    async def acquire(self) -> None:
        """See ``Elector.acquire``."""
        while not await self._elected():
            left = self._expires_at() - self._clock.monotonic()
            await self._clock.sleep(min(left, self._soon()) if left > 0 else self._soon())
        self._told = ("", "")

    async def lost(self) -> str:
        """See ``Elector.lost``. It returns, at the latest, before anybody may take a silent Lease."""
        while (left := self._left()) > 0:
            await self._clock.sleep(min(left, self._soon()))
            if why := await self._unseated(self._left()):
                return why
        why = f"{self._where} could not be renewed for {self._terms.renew.total_seconds():g} s"
        self.trouble = self.trouble or why
        return why

    async def release(self) -> None:
        """See ``Elector.release``. Gives up after a renewal's time: the Lease runs out by itself then."""
        try:
            lease = await self._look()
            if lease is not None and _holder(lease) == self.identity:
                await self._write(lease, {"holderIdentity": "", "renewTime": self._now()})
        except (Refused, Unavailable) as error:
            _log.info("lease-not-released", lease=self._where, error=str(error))
        self._lease = None

    # ---------------------------------------------------------------------------------- standing

    async def _elected(self) -> bool:
        """One try to be elected."""
        try:
            lease = await self._look()
            if lease is None:
                return await self._create()
            holder, ours = _holder(lease), self._terms_now()
            if holder == self.identity:  # an answer was lost, or it could not be released
                return await self._write(lease, ours)
            if holder and self._clock.monotonic() < self._expires_at():
                self._tell(_log.info, "standing-by", f"{self._where} is held by {holder}")
                self.trouble = ""
                return False
            ours |= {"acquireTime": ours["renewTime"], "leaseTransitions": _transitions(lease) + 1}
            return await self._write(lease, ours)
        except (Refused, Unavailable) as error:
            self._troubled(error)
            return False

    async def _create(self) -> bool:
        spec = self._terms_now()
        body = {
            "apiVersion": API,
            "kind": "Lease",
            "metadata": {"name": self._name},
            "spec": {**spec, "acquireTime": spec["renewTime"], "leaseTransitions": 0},
        }
        return await self._granted("POST", self._collection, body)

    def _expires_at(self) -> float:
        """The monotonic instant at which the Lease, if it stays as it was seen, may be taken."""
        promised = dig(self._lease, "spec").get("leaseDurationSeconds")
        if isinstance(promised, int) and promised > 0:
            return self._seen_at + promised
        return self._seen_at + self._terms.duration.total_seconds()

    # ---------------------------------------------------------------------------------- leading

    async def _unseated(self, left: float) -> str:
        """One try, of that many seconds at most, to renew. Returns what ended the term, if anything did."""
        try:
            async with asyncio.timeout(left):
                if self._lease is not None and await self._write(self._lease, self._terms_now()):
                    self._told = ("", "")
                    return ""
                lease = await self._look()
                if lease is None:
                    return f"{self._where} was deleted"
                if _holder(lease) != self.identity:
                    return f"{self._where} is held by {_holder(lease) or 'nobody'}"
                await self._write(lease, self._terms_now())  # an answer was lost, or a label was set
        except TimeoutError:
            pass  # the caller's clock says what that means
        except (Refused, Unavailable) as error:
            self._troubled(error)
        return ""

    def _left(self) -> float:
        """Seconds until it must have been renewed."""
        return self._renewed_at + self._terms.renew.total_seconds() - self._clock.monotonic()

    # ---------------------------------------------------------------------------------- requests

    async def _look(self) -> Json | None:
        """The Lease as it is now, None: there is none; and the instant at which it was first seen so."""
        try:
            lease = await self._bounded("GET", f"{self._collection}/{self._name}")
        except Refused as error:
            if not error.absent:
                raise
            self._lease = None
            return None
        self._note(lease)
        return lease

    async def _write(self, lease: Json, fields: Json) -> bool:
        """Change what was read, and only that: anybody's write in between is a conflict."""
        about = {key: value for key, value in meta(lease).items() if key != "managedFields"}
        body = {**lease, "metadata": about, "spec": {**dig(lease, "spec"), **fields}}
        return await self._granted("PUT", f"{self._collection}/{self._name}", body)

    async def _granted(self, method: str, path: str, body: Json) -> bool:
        asked = self._clock.monotonic()
        try:
            lease = await self._bounded(method, path, body)
        except Refused as error:
            if error.absent or error.code == CONFLICT:  # somebody was quicker, or it was deleted just now
                return False
            raise
        self._note(lease)
        self._renewed_at = asked  # the others count from later on
        self.trouble = ""
        return True

    async def _bounded(self, method: str, path: str, body: Json | None = None) -> Json:
        """One request that leaves time for another one before the Lease must have been renewed."""
        seconds = self._terms.renew.total_seconds() / 2
        quiet = self._api.quiet
        try:
            async with asyncio.timeout(seconds):
                # Behind requests that hang on silent kubelets a leader that is well would be overtaken.
                return await self._api.request(method, path, body, resource="leases", ahead=True)
        except TimeoutError:
            # It may have stood in line all the while, behind what the API server told somebody else here.
            why = quiet or self._api.quiet or f"no answer within {seconds:g} s"
            raise Unavailable(f"{self._where}: {why}") from None

    def _note(self, lease: Json) -> None:
        """Remember it. Raises ``Unavailable`` for one that could not be written back."""
        if not text(meta(lease), "uid") or not text(meta(lease), "resourceVersion"):
            raise Unavailable(f"{self._where} makes no sense: it has no uid or no resourceVersion")
        if self._lease is None or _version(lease) != _version(self._lease):
            self._seen_at = self._clock.monotonic()
        self._lease = lease

    # ------------------------------------------------------------------------------------- time

    def _soon(self) -> float:
        """Seconds until the next try; candidates don't keep step."""
        return self._terms.retry.total_seconds() * (0.8 + 0.4 * self._jitter())

    def _terms_now(self) -> Json:
        return {
            "holderIdentity": self.identity,
            "leaseDurationSeconds": self._terms.promised,
            "renewTime": self._now(),
        }

    def _now(self) -> str:
        """For people; nothing is decided by it."""
        return self._clock.now().astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")

    def _troubled(self, error: Exception) -> None:
        self.trouble = str(error)
        self._tell(_log.warning, "lease-trouble", self.trouble)

    def _tell(self, say: Callable[..., object], event: str, why: str) -> None:
        """A line when it changes, not at each try."""
        if self._told != (event, why):
            say(event, lease=self._where, why=why)
        self._told = (event, why)


def _version(lease: Json) -> tuple[str, str]:
    return text(meta(lease), "uid"), text(meta(lease), "resourceVersion")


def _holder(lease: Json) -> str:
    """Who holds it; empty: nobody. What is no text is somebody, until it has been silent for long."""
    holder = dig(lease, "spec").get("holderIdentity")
    return holder if isinstance(holder, str) else "" if holder is None else repr(holder)


def _transitions(lease: Json) -> int:
    count = dig(lease, "spec").get("leaseTransitions")
    return count if isinstance(count, int) else 0


__all__ = ["Api", "LeaseElector", "Terms"]
