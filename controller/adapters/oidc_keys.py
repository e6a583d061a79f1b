"""An issuer's keys, by its discovery document. Made by ``serving``, asked by the API's authenticator."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit

import aiohttp

from controller.ports import Unavailable

LARGEST = 2**20
"""Bytes of an answer that are read."""
THIS_MACHINE = ("127.0.0.1", "::1", "localhost")
"""Hosts to which http is as good as https."""


def safe_url(url: str) -> bool:
    """Whether what is read there is whose it seems to be: by https, or on this machine."""
    told = urlsplit(url)
    return bool(told.hostname) and (
        told.scheme == "https" or (told.scheme == "http" and told.hostname in THIS_MACHINE)
    )


class OidcKeys:
    """``ports.KeySource`` of one issuer."""

    def __init__(self, issuer: str, timeout: timedelta) -> None:
        self._issuer = issuer
        self._timeout = aiohttp.ClientTimeout(total=timeout.total_seconds())

    async def keys(self) -> Sequence[Mapping[str, Any]]:
        """Its keys as they are now. Raises ``Unavailable``."""
        try:
            # Not unpacked: a small answer may hold a large one.
            async with aiohttp.ClientSession(
                timeout=self._timeout, auto_decompress=False, headers={"Accept-Encoding": "identity"}
            ) as session:
                return await self._keys(session)
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError, RecursionError) as error:
            why = str(error) or type(error).__name__
            raise Unavailable(f"the keys of {self._issuer} can't be read ({why})") from error

    async def _keys(self, session: aiohttp.ClientSession) -> Sequence[Mapping[str, Any]]:
        found = await _read(session, self._issuer.rstrip("/") + "/.well-known/openid-configuration")
        if found.get("issuer") != self._issuer:
            raise ValueError(f"its discovery document is of {str(found.get('issuer'))[:200]}")
        where = str(found.get("jwks_uri", ""))
        if not safe_url(where):
            raise ValueError("its keys are not at an https address")
        keys = (await _read(session, where)).get("keys")
        if not isinstance(keys, list):
            raise ValueError("its keys are no list")
        return [key for key in keys if isinstance(key, dict)]


async def _read(session: aiohttp.ClientSession, url: str) -> Mapping[str, Any]:
    async with session.get(url, allow_redirects=False) as got:
        if got.status != 200:
            raise ValueError(f"{url} answered {got.status}")
        content = await got.content.read(LARGEST + 1)
        while len(content) <= LARGEST and (more := await got.content.read(LARGEST + 1)):
            content += more
    if len(content) > LARGEST:
        raise ValueError(f"{url} answered more than {LARGEST} bytes")
    found = json.loads(content)
    if not isinstance(found, dict):
        raise ValueError(f"{url} answered no object")
    return found
