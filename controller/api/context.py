"""What every route starts with: the parts it works with, who asks, and what they may see and do.

``Context`` lives as long as the server, which listens before the store is there; ``open`` gives it the
rest. Routes ask for ``Here`` (the parts) and ``Who`` (the caller), and for nothing else of the process.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from controller.api.audit import entry_of
from controller.api.auth import STATIC, Chain, Identity
from controller.api.auth_session import Sessions, cookie_of, must_be_same_origin, must_be_this_machine
from controller.api.charting import Charting
from controller.api.live import Live
from controller.api.pace import Pace
from controller.api.problems import Problem, unavailable
from controller.api.turns import Turns
from controller.config import Settings
from controller.core.owners import RESERVED
from controller.engine import Engine
from controller.people import Caller, People
from controller.ports import Desk, Store, Unavailable
from controller.spec_pass import Reading
from controller.telemetry import get_logger

SpecText = Callable[[bytes, str, str], Awaitable[Reading]]
"""Reads a spec that was sent: its bytes, a name that ends as its format does, whose it would be."""


@dataclass(frozen=True, slots=True)
class World:
    """Everything that a route works with."""

    settings: Settings
    people: People
    engine: Engine
    desk: Desk
    read_spec: SpecText

    @property
    def store(self) -> Store:
        """The records."""
        return self.people.store


@dataclass(frozen=True, slots=True)
class Asker:
    """Who asks. ``operator``: may act with ``as_admin``. ``sees_all``: is shown others' batches too."""

    identity: Identity
    operator: bool
    sees_all: bool
    request_id: str

    @property
    def user(self) -> str:
        """Their name."""
        return self.identity.user

    def sees(self, owner: str) -> bool:
        """Whether what belongs to this owner is shown to them, its env and logs too."""
        return self.sees_all or owner == self.user

    def caller(self, as_admin: bool) -> Caller:
        """As whom they act (E9). Raises ``Problem`` when they ask to act as an admin and are none."""
        if as_admin and not self.operator:
            raise Problem(
                403, "no-admin", f"{self.user} is in no group of auth.admin_groups: ask without as_admin"
            )
        return Caller(self.user, admin=as_admin, blind=not self.sees_all)


LOG_RATE, LOG_BURST = 3.0, 20
"""Logs a second that one user may ask for in the long run, and at once: each is some requests to the API
server, at the pace that the jobs' own have to keep to."""
LOGS_AT_ONCE = 8
"""Logs that are read for people at one time: a kubelet that hangs holds a connection for each."""
NOT_TOLD = "whose the token is can't be told just now (the log has why)"
"""What the unknown read: hosts and files that are asked are none of their business."""
_log = get_logger(__name__)


class Context:
    """The state of the API of one process."""

    def __init__(
        self,
        settings: Settings,
        chain: Chain,
        monotonic: Callable[[], float],
        sessions: Sessions | None = None,
    ) -> None:
        self.settings = settings
        self.chain = chain
        self.sessions = sessions
        self.pace = Pace(settings.api.rate, settings.api.burst, monotonic)
        self._log_pace = Pace(LOG_RATE, LOG_BURST, monotonic)
        self.logs = asyncio.Semaphore(LOGS_AT_ONCE)
        self.world: World | None = None
        self.live: Live | None = None
        self.charting = Charting(monotonic)
        self.turns = Turns()

    async def ask(self, request: Request, token: str) -> Asker:
        """Who sends this token. Raises ``Problem``: 401, 403, 429, or 503 when that can't be told."""
        where = _where(request)
        entry_of(request).note(who=f"unknown, {where}")
        if not token:
            self.slow_down(where)
            raise _unknown("no token was sent: send one as 'Authorization: Bearer …'")
        try:
            # Before the pace of the address: behind a proxy all have one, and who guesses would lock out all.
            identity = await self.chain.identify(token)
        except Unavailable as error:
            self.slow_down(where)
            _log.warning("caller not told", error=str(error))
            raise unavailable(Unavailable(NOT_TOLD)) from error
        if identity is None:
            self.slow_down(where)
            raise _unknown("the token is not valid, or no longer: get a new one")
        if identity.how != STATIC and identity.user.startswith(RESERVED):
            self.slow_down(where)
            raise _not_a_name(identity.user)
        return self.admit(request, identity)

    def ask_with_cookie(self, request: Request, cookie: str) -> Asker:
        """Whose session this is. Raises ``Problem``: 401, 403 from another origin, 429."""
        entry_of(request).note(who=f"unknown, {_where(request)}")
        must_be_this_machine(request)
        identity = self.sessions.identify(cookie) if self.sessions else None
        if identity is None:
            self.slow_down(_where(request))
            raise _unknown("the session is over: open the URL that the log names under 'open the page'")
        must_be_same_origin(request)
        return self.admit(request, identity)

    def admit(self, request: Request, identity: Identity) -> Asker:
        """Let somebody known in, at their pace. Raises ``Problem`` 429."""
        entry_of(request).note(who=identity.user, how=identity.how)
        self.slow_down(f"user {identity.user}")
        operator = identity.local or not identity.groups.isdisjoint(self.settings.auth.admin_groups)
        sees_all = operator or self.settings.auth.read == "all"
        return Asker(identity, operator, sees_all, request.state.request_id)

    def slow_down(self, caller: str) -> None:
        """Raises ``Problem`` 429 for whoever asks too fast."""
        if wait := self.pace.take(caller):
            raise _too_fast(f"{self.settings.api.rate:g} requests", wait)

    def slow_down_logs(self, user: str) -> None:
        """Raises ``Problem`` 429 for whoever asks for logs too fast."""
        if wait := self._log_pace.take(user):
            raise _too_fast(f"{LOG_RATE:g} logs", wait)


def _too_fast(most: str, wait: float) -> Problem:
    seconds = math.ceil(wait)
    told = f"more than {most} a second: ask again in {seconds} s"
    return Problem(429, "too-fast", told, headers={"Retry-After": str(seconds)})


def _where(request: Request) -> str:
    """The address that somebody unknown is at; what a header says of it is not believed."""
    return f"from {request.client.host if request.client else 'nowhere'}"


def _unknown(detail: str) -> Problem:
    return Problem(401, "unknown-caller", detail, headers={"WWW-Authenticate": 'Bearer realm="batchkeeper"'})


def _not_a_name(user: str) -> Problem:
    """Whoever chose it could own what is nobody's, or pass for a user of this machine."""
    return Problem(
        403,
        "reserved-name",
        f"the token names {user}, and names that begin so are no user's here: have it name another one"
        " (an admin: auth.oidc.user_claim and prefix)",
    )


_bearer = HTTPBearer(auto_error=False, scheme_name="token", description="A token of this installation.")


def context_of(request: Request) -> Context:
    """The context of the application that serves this request."""
    found: Context = request.app.state.context
    return found


async def who(
    request: Request, bearer: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)]
) -> Asker:
    """Whoever sent this request; a token goes before a cookie. Raises ``Problem``."""
    context, cookie = context_of(request), request.cookies.get(cookie_of(request), "")
    if cookie and not bearer and context.sessions:
        return context.ask_with_cookie(request, cookie)
    return await context.ask(request, bearer.credentials if bearer else "")


def here(request: Request) -> World:
    """The parts, once there are any. Raises ``Problem`` 503."""
    world = context_of(request).world
    if world is None:
        raise unavailable(Unavailable("the store has not been reached since this process started"))
    return world


Who = Annotated[Asker, Depends(who)]
Here = Annotated[World, Depends(here)]
