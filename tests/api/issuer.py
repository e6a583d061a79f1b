"""A small OpenID Connect provider on loopback: its discovery document, its keys, and its misbehaviour."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from typing import Any

import jwt
from aiohttp import web
from cryptography.hazmat.primitives import serialization

DISCOVERY, KEYS = "/.well-known/openid-configuration", "/keys"
AUDIENCE = "batchkeeper"


class Issuer:
    """Its private keys by their id, with the algorithm of each; what it answers may be set by path."""

    def __init__(self, keys: Mapping[str, tuple[Any, str]]) -> None:
        self.keys = dict(keys)
        self.url = ""
        self.instead: dict[str, web.StreamResponse | None] = {}
        """By path: another answer; None: none while it listens."""
        self.asked: Counter[str] = Counter()
        self._runner: web.AppRunner | None = None
        self._port = 0
        self._leaving = asyncio.Event()

    async def start(self) -> None:
        """Listen, on the port that it had before if there was one."""
        self._leaving.clear()
        app = web.Application()
        app.router.add_get("/{path:.*}", self._answer)
        self._runner = web.AppRunner(app, shutdown_timeout=0)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", self._port, reuse_address=True)
        await site.start()
        self._port = self._runner.addresses[0][1]
        self.url = f"http://127.0.0.1:{self._port}"

    async def stop(self) -> None:
        """Be away."""
        if self._runner is not None:
            self._leaving.set()
            await self._runner.cleanup()
            self._runner = None

    def token(self, kid: str, **claims: Any) -> str:
        """A token signed with that key; a good one unless claims say otherwise, and None leaves one out."""
        key, algorithm = self.keys[kid]
        return signed(key, algorithm, kid, {**self.claims(), **claims})

    def claims(self) -> dict[str, Any]:
        """What a good token says."""
        now = int(time.time())
        said = {"iss": self.url, "aud": AUDIENCE, "sub": "ada", "groups": ["users"]}
        return {**said, "exp": now + 600, "iat": now, "nbf": now}

    def pem(self, kid: str) -> bytes:
        """A public key as everybody can have it."""
        public = self.keys[kid][0].public_key()
        made: bytes = public.public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        return made

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        self.asked[request.path] += 1
        if request.path in self.instead:
            if (other := self.instead[request.path]) is not None:
                return other
            await self._leaving.wait()
        if request.path == DISCOVERY:
            return web.json_response({"issuer": self.url, "jwks_uri": self.url + KEYS})
        return web.json_response({"keys": [jwk(kid, *key) for kid, key in self.keys.items()]})


def signed(key: Any, algorithm: str, kid: str, claims: Mapping[str, Any]) -> str:
    """A token of these claims."""
    kept = {name: value for name, value in claims.items() if value is not None}
    return jwt.encode(kept, key, algorithm=algorithm, headers={"kid": kid})


def jwk(kid: str, key: Any, algorithm: str) -> dict[str, Any]:
    """The public half of a key, as a provider tells it."""
    made: Any = jwt.algorithms.get_default_algorithms()[algorithm].to_jwk(key.public_key())
    return {**json.loads(made), "kid": kid, "use": "sig", "alg": algorithm}


@contextlib.asynccontextmanager
async def issuing(keys: Mapping[str, tuple[Any, str]]) -> AsyncIterator[Issuer]:
    """An issuer that listens."""
    issuer = Issuer(keys)
    await issuer.start()
    try:
        yield issuer
    finally:
        await issuer.stop()
