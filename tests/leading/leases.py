"""An API server that knows nothing but Leases, on virtual time: conflicts, delays, lost replies."""

from __future__ import annotations

import asyncio
import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from controller.adapters.kube_client import Refused
from controller.ports import Unavailable

Json = dict[str, Any]
NAME = "batchkeeper-test"
COLLECTION = "apis/coordination.k8s.io/v1/namespaces/lab/leases"
PATH = f"{COLLECTION}/{NAME}"
FOREVER = 1e9


@dataclass(frozen=True, slots=True)
class Fate:
    """What happens to one request: seconds until it is applied, seconds until its answer is there."""

    before: float = 0.001
    after: float = 0.001
    applied: bool = True
    answered: bool = True
    """False: 500 after it was (or was not) applied."""


FINE = Fate()
HANGS = Fate(before=FOREVER)
"""It never arrives."""
ANSWER_LOST = Fate(after=FOREVER)
"""Applied, and nobody hears of it."""
REFUSED_LATER = Fate(applied=False, answered=False)
"""A 500 that was not applied."""


@dataclass(slots=True)
class Leases:
    """The one Lease that there may be. ``fate`` is asked about each request: who, method."""

    fate: Callable[[str, str], Fate] = lambda who, method: FINE
    lease: Json | None = None
    revision: int = 0
    quiet: str = ""
    """Why nobody sends anything now."""
    written: list[tuple[str, Json]] = field(default_factory=list)
    """Who wrote, and what it was then."""
    asked: list[tuple[str, str, float]] = field(default_factory=list)
    """Who, method, and the instant of the request."""

    def client(self, who: str) -> Client:
        """A connection of this candidate."""
        return Client(self, who)

    @property
    def spec(self) -> Json:
        """What the Lease says."""
        assert self.lease is not None
        found: Json = self.lease["spec"]
        return found

    def edit(self, **fields: object) -> None:
        """By somebody's hand."""
        assert self.lease is not None
        self._store(self.lease | {"spec": self.spec | fields}, "hand")

    def delete(self) -> None:
        """By somebody's hand."""
        self.lease = None

    def apply(self, who: str, method: str, path: str, body: Mapping[str, Any] | None) -> Json:
        """As the API server would."""
        if method == "POST":
            assert path == COLLECTION
            assert body is not None
            if self.lease is not None:
                raise Refused(409, "AlreadyExists", "", path)
            self.revision += 1
            return self._store(dict(body) | {"metadata": {"name": NAME, "uid": f"u{self.revision}"}}, who)
        assert path == PATH
        if method == "GET":
            if self.lease is None:
                raise Refused(404, "NotFound", "", path)
            return copy.deepcopy(self.lease)
        assert method == "PUT"
        assert body is not None
        told, known = body["metadata"], (self.lease or {}).get("metadata", {})
        if (told.get("uid"), told.get("resourceVersion")) != (known.get("uid"), known.get("resourceVersion")):
            raise Refused(409, "Conflict", "", path)
        return self._store(dict(body), who)

    def _store(self, lease: Json, who: str) -> Json:
        self.revision += 1
        about = lease["metadata"] | {"namespace": "lab", "resourceVersion": str(self.revision)}
        self.lease = copy.deepcopy(lease | {"metadata": about})
        self.written.append((who, copy.deepcopy(self.lease["spec"])))
        return copy.deepcopy(self.lease)


@dataclass(slots=True)
class Client:
    """``kube_lease.Api`` over ``Leases``."""

    leases: Leases
    who: str

    @property
    def quiet(self) -> str:
        """Why nothing is sent now."""
        return self.leases.quiet

    async def request(
        self,
        method: str,
        path: str,
        body: Mapping[str, Any] | None = None,
        *,
        resource: str,
        ahead: bool = False,
    ) -> Json:
        """One request and its fate. What is on its way lands although its sender no longer waits."""
        assert resource == "leases"
        assert ahead, "an election waits for no other request"
        loop = asyncio.get_running_loop()
        self.leases.asked.append((self.who, method, loop.time()))
        fate, sent = self.leases.fate(self.who, method), copy.deepcopy(body)
        answer: asyncio.Future[Json] = loop.create_future()

        def land() -> None:
            try:
                found = self.leases.apply(self.who, method, path, sent) if fate.applied else {}
                loop.call_later(fate.after, _tell, answer, found, None)
            except Refused as error:
                loop.call_later(fate.after, _tell, answer, None, error)

        loop.call_later(fate.before, land)
        found = await answer
        if not fate.answered:
            raise Unavailable(f"{method} {path}: the API server answers 500")
        return found


def _tell(answer: asyncio.Future[Json], found: Json | None, error: Refused | None) -> None:
    if answer.done():
        return
    if error is not None:
        answer.set_exception(error)
    else:
        answer.set_result(found or {})


def fates(*wanted: tuple[str, Fate]) -> Callable[[str, str], Fate]:
    """The next request of each of these methods meets its fate, in this order; the others are fine."""
    left = list(wanted)

    def fate(who: str, method: str) -> Fate:
        for at, (which, what) in enumerate(left):
            if which == method:
                del left[at]
                return what
        return FINE

    return fate
