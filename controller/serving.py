"""The API out of the settings and the parts: who can tell whose a token is, and what routes work with.

A part of the composition root, called by ``app``.
"""

from __future__ import annotations

from controller.api.application import Api, is_loopback
from controller.api.auth import Authenticator, Chain
from controller.api.auth_session import Sessions
from controller.api.auth_static import StaticTokens
from controller.api.context import World
from controller.config import Settings
from controller.parts import Parts
from controller.ports import Clock
from controller.reading import read_spec_text
from controller.spec_pass import Reading
from controller.this_machine import local_user


def api_of(settings: Settings, clock: Clock) -> Api:
    """The API, with every authenticator that is configured."""
    known: list[Authenticator] = []
    if settings.auth.static.file is not None:
        known.append(StaticTokens(settings.auth.static.file))
    local = settings.auth.local and is_loopback(settings.http.host)
    sessions = Sessions(local_user(), clock.monotonic) if local else None
    return Api(settings, Chain(known), clock.monotonic, sessions)


def world_of(parts: Parts) -> World:
    """What routes work with, once the store is there."""
    assert parts.desk is not None, "a daemon's parts have a desk"

    async def read_spec(content: bytes, name: str, user: str) -> Reading:
        return await read_spec_text(parts.settings, content, name=name, user=user)

    return World(parts.settings, parts.people, parts.engine, parts.desk, read_spec)
