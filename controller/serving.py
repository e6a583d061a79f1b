"""The API out of the settings and the parts: who can tell whose a token is, and what routes work with.

A part of the composition root, called by ``app``.
"""

from __future__ import annotations

from collections.abc import Sequence

from controller.adapters.oidc_keys import OidcKeys
from controller.api.application import Api
from controller.api.auth import Authenticator, Chain
from controller.api.auth_oidc import Expected, OidcTokens
from controller.api.auth_review import ReviewedTokens
from controller.api.auth_session import Sessions, is_loopback
from controller.api.auth_static import StaticTokens
from controller.api.context import World
from controller.clusters import LOCAL
from controller.config import Settings
from controller.parts import Parts
from controller.ports import Clock, Reviewed, TokenReviewer, Unavailable
from controller.reading import read_spec_text
from controller.spec_pass import Reading
from controller.this_machine import local_user


class LaterReviewer:
    """The cluster's reviewer, which is there only once the cluster was reached."""

    def __init__(self) -> None:
        self.found: TokenReviewer | None = None

    async def review(self, token: str, audiences: Sequence[str]) -> Reviewed | None:
        """As the reviewer says. Raises ``Unavailable`` while there is none."""
        if self.found is None:
            raise Unavailable("the cluster has not been reached since this process started")
        return await self.found.review(token, audiences)


def api_of(settings: Settings, clock: Clock, reviewer: LaterReviewer) -> Api:
    """The API, with every authenticator that is configured; the cheapest is asked first."""
    known: list[Authenticator] = []
    if settings.auth.static.file is not None:
        known.append(StaticTokens(settings.auth.static.file))
    if (oidc := settings.auth.oidc).issuer:
        expected = Expected(oidc.issuer, oidc.audience, oidc.user_claim, oidc.groups_claim, oidc.prefix)
        known.append(OidcTokens(expected, OidcKeys(oidc.issuer, oidc.timeout), clock.monotonic))
    review = settings.auth.token_review
    if settings.cluster.kind != LOCAL and review.enabled == "auto":
        known.append(ReviewedTokens(reviewer, review.audiences, review.cache, clock.monotonic))
    local = settings.auth.local and is_loopback(settings.http.host)
    sessions = Sessions(local_user(), clock.monotonic) if local else None
    return Api(settings, Chain(known), clock.monotonic, sessions)


def world_of(parts: Parts) -> World:
    """What routes work with, once the store is there."""
    assert parts.desk is not None, "a daemon's parts have a desk"

    async def read_spec(content: bytes, name: str, user: str) -> Reading:
        return await read_spec_text(parts.settings, content, name=name, user=user)

    return World(parts.settings, parts.people, parts.engine, parts.desk, read_spec)
