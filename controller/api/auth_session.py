"""Whoever started this process on this machine: a one-time token in the printed URL becomes a cookie.

For loopback addresses only. The cookie is out of scripts' reach and is sent from our own pages only; a
write with it must also come from our own origin, since other ports of this machine count as the same site,
and under a name of this machine. What else listens on this machine and is opened in the same browser is sent
the cookie all the same, as browsers have it: where others have accounts, use tokens (``auth.local: false``).
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Callable
from ipaddress import ip_address
from urllib.parse import urlsplit

from fastapi import APIRouter, Query, Request
from fastapi.responses import RedirectResponse, Response

from controller.api.auth import Identity
from controller.api.problems import Problem
from controller.telemetry import get_logger

COOKIE = "batchkeeper"
SECONDS = 12 * 60 * 60.0
"""How long a session lasts; after that, the URL that was printed last lets in again."""
MOST = 100
SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
_log = get_logger(__name__)


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


class Sessions:
    """The one-time token, and the cookies that were given for it. Only hashes of cookies are kept."""

    def __init__(self, user: str, monotonic: Callable[[], float]) -> None:
        self._identity = Identity(user, how="session", local=True)
        self._monotonic = monotonic
        self._until: dict[str, float] = {}
        self.token = secrets.token_urlsafe(24)
        """What lets in once; another one takes its place when it was used."""

    def page(self, url: str) -> str:
        """The URL that lets in whoever reads it first."""
        return f"{url}/enter?token={self.token}"

    def enter(self, token: str) -> str | None:
        """A cookie for the one-time token, which is used up by it; None: it is not that."""
        if not hmac.compare_digest(token.encode(), self.token.encode()):
            return None
        self.token = secrets.token_urlsafe(24)
        now = self._monotonic()
        self._until = {key: until for key, until in self._until.items() if until > now}
        while len(self._until) >= MOST:
            self._until.pop(next(iter(self._until)))
        cookie = secrets.token_urlsafe(32)
        self._until[_hash(cookie)] = now + SECONDS
        return cookie

    def identify(self, cookie: str) -> Identity | None:
        """Whose session this is; None: none, or it is over."""
        return self._identity if self._until.get(_hash(cookie), 0.0) > self._monotonic() else None


def must_be_same_origin(request: Request) -> None:
    """Raises ``Problem`` 403 for a write with a cookie that another page may have made."""
    if request.method in SAFE:
        return
    origin = request.headers.get("origin")
    if origin is not None:
        good = origin == f"{request.url.scheme}://{request.headers.get('host', '')}"
    else:
        good = request.headers.get("sec-fetch-site", "") == "same-origin"
    if not good:
        raise Problem(403, "other-origin", "a session writes from its own page only: send a token instead")


def is_loopback(host: str) -> bool:
    """Whether an address to listen on, or a name in a URL, is of this machine only."""
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def _told_host(request: Request) -> tuple[str, int]:
    """Name and port in the URL, as the browser has it; empty: no such can be read."""
    try:
        told = urlsplit(f"//{request.headers.get('host', '')}")
        return told.hostname or "", told.port or 80
    except ValueError:
        return "", 0


def cookie_of(request: Request) -> str:
    """The name of the cookie of a session: browsers tell no ports apart, and two daemons would share one."""
    return f"{COOKIE}-{_told_host(request)[1]}"


def must_be_this_machine(request: Request) -> None:
    """Raises ``Problem`` 403 unless the URL names this machine: others may give our address a name."""
    if not is_loopback(_told_host(request)[0]):
        raise Problem(
            403, "other-host", "a session is for localhost and 127.0.0.1 only: send a token instead"
        )


def router_of(sessions: Sessions) -> APIRouter:
    """``/enter``: from the printed URL to the page."""
    router = APIRouter(include_in_schema=False)

    @router.get("/enter")
    async def enter(request: Request, token: str = Query(max_length=100)) -> Response:
        """Give a cookie, once."""
        must_be_this_machine(request)
        cookie = sessions.enter(token)
        if cookie is None:
            raise Problem(
                401, "used", "this URL has been used already: the log has the next one, under 'open the page'"
            )
        _log.info("open the page", url=sessions.page(str(request.base_url).rstrip("/")))
        response = RedirectResponse("/", 303)
        response.set_cookie(
            cookie_of(request),
            cookie,
            max_age=round(SECONDS),
            httponly=True,
            samesite="strict",
            path="/",
        )
        return response

    return router
