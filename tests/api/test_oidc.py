"""OpenID Connect over real HTTP, on loopback: discovery, keys, tokens good and bad, a bad issuer."""

from __future__ import annotations

import asyncio
import gzip
import hmac
import json
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import jwt
import pytest
from aiohttp import web
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from controller.adapters.oidc_keys import LARGEST, OidcKeys, safe_url
from controller.api.auth import Identity
from controller.api.auth_oidc import DUE, FRESH, NOT_AGAIN, Expected, OidcTokens
from controller.config.api import Oidc
from controller.ports import Unavailable
from tests.api.issuer import AUDIENCE, DISCOVERY, KEYS, Issuer, issuing, jwk, signed
from tests.api.place import place

RSA = rsa.generate_private_key(65537, 2048)
EC = ec.generate_private_key(ec.SECP256R1())
OTHER = rsa.generate_private_key(65537, 2048)
ADA = Identity("ada", frozenset({"users"}), "oidc")


@pytest.fixture
async def issuer() -> AsyncIterator[Issuer]:
    """An issuer with a key of each kind."""
    async with issuing({"r1": (RSA, "RS256"), "e1": (EC, "ES256")}) as made:
        yield made


class Clock:
    """Turned by hand."""

    now = 0.0

    def __call__(self) -> float:
        """Seconds."""
        return self.now


def known(issuer: Issuer, clock: Clock | None = None, seconds: float = 30.0) -> OidcTokens:
    """Tokens of that issuer, its keys asked for over HTTP."""
    keys = OidcKeys(issuer.url, timedelta(seconds=seconds))
    return OidcTokens(Expected(issuer.url, AUDIENCE), keys, clock or Clock())


async def test_good_tokens(issuer: Issuer) -> None:
    """Both algorithms are believed; discovery and keys are asked for once for all of them."""
    tokens = known(issuer)
    for kid in ("r1", "e1", "r1"):
        assert await tokens.identify(issuer.token(kid)) == ADA
    assert issuer.asked == {DISCOVERY: 1, KEYS: 1}


def _unsigned(issuer: Issuer) -> str:
    return jwt.encode(issuer.claims(), "", algorithm="none", headers={"kid": "r1"})


def _by_public_key(issuer: Issuer) -> str:
    """HS256 whose secret is the issuer's public key, as PEM; the library itself would refuse to make it."""
    parts = [{"alg": "HS256", "typ": "JWT", "kid": "r1"}, issuer.claims()]
    told = b".".join(jwt.utils.base64url_encode(json.dumps(part).encode()) for part in parts)
    seal = hmac.digest(issuer.pem("r1"), told, "sha256")
    return b".".join((told, jwt.utils.base64url_encode(seal))).decode()


def _keyed_by_itself(issuer: Issuer) -> str:
    """Brings its own key along in the header."""
    header = {"kid": "r1", "jwk": jwk("r1", OTHER, "RS256"), "jku": issuer.url + KEYS}
    return jwt.encode(issuer.claims(), OTHER, algorithm="RS256", headers=header)


BAD: dict[str, Callable[[Issuer], str]] = {
    "unsigned": _unsigned,
    "the public key as a secret": _by_public_key,
    "with its own key": _keyed_by_itself,
    "another issuer": lambda one: one.token("r1", iss="http://127.0.0.1:1"),
    "another audience": lambda one: one.token("r1", aud="somebody-else"),
    "over": lambda one: one.token("r1", exp=int(time.time()) - 3600),
    "not yet": lambda one: one.token("r1", nbf=int(time.time()) + 3600),
    "by another key": lambda one: signed(OTHER, "RS256", "r1", one.claims()),
    "an unknown key": lambda one: signed(OTHER, "RS256", "r9", one.claims()),
    "a key of another kind": lambda one: signed(EC, "ES256", "r1", one.claims()),
}


@pytest.mark.parametrize("bad", BAD.values(), ids=BAD.keys())
async def test_bad_tokens(issuer: Issuer, bad: Callable[[Issuer], str]) -> None:
    """Each is nobody's, also once the keys are known; good ones go on being believed."""
    tokens = known(issuer)
    for _ in range(2):
        assert await tokens.identify(bad(issuer)) is None
    assert await tokens.identify(issuer.token("r1")) == ADA


async def test_rotated_keys(issuer: Issuer) -> None:
    """A new key is found with its first token; the one that is gone is worth nothing from then on."""
    clock = Clock()
    tokens = known(issuer, clock)
    old = issuer.token("r1")
    assert await tokens.identify(old) == ADA
    issuer.keys = {"r2": (OTHER, "RS256")}
    for n in range(20):
        assert await tokens.identify(signed(RSA, "RS256", f"made-up-{n}", issuer.claims())) is None
    assert issuer.asked[KEYS] == 1
    clock.now = NOT_AGAIN
    assert await tokens.identify(issuer.token("r2")) == ADA
    assert await tokens.identify(old) is None
    assert issuer.asked[KEYS] == 2


async def test_a_key_that_was_taken_out_ends_with_the_hour(issuer: Issuer) -> None:
    """Keys are asked for again after a while, so one that leaked does not open anything for ever."""
    clock = Clock()
    tokens = known(issuer, clock)
    assert await tokens.identify(issuer.token("r1")) == ADA
    old = issuer.token("r1")
    del issuer.keys["r1"]
    clock.now = FRESH + 1
    assert await tokens.identify(old) is None


async def test_the_issuer_is_away(tmp_path: Path, mongo_uri: str, mongo_database: str) -> None:
    """Before its keys were read: 503 and nothing is written; known keys go on without it."""
    async with issuing({"r1": (RSA, "RS256")}) as issuer:
        clock = Clock()
        tokens = known(issuer, clock)
        await issuer.stop()
        async with place(tmp_path, mongo_uri, mongo_database, authenticators=[tokens]) as here:
            batch = await here.submit()
            ada = here.as_(issuer.token("r1"))
            got = await ada.post(f"/api/v1/batches/{batch.id}/pause")
            assert (got.status, got.headers["retry-after"]) == (503, "5")
            assert not (await here.store.gates([batch.id]))[batch.id].paused
            await issuer.start()
            clock.now = NOT_AGAIN
            assert (await ada.get("/api/v1/jobs")).status == 200
            await issuer.stop()
            clock.now += 2 * FRESH
            assert (await ada.post(f"/api/v1/batches/{batch.id}/pause")).status == 200
            assert (await here.store.gates([batch.id]))[batch.id].paused


class Hanging:
    """Keys of an issuer that answers nobody while ``free`` is not set, and nothing good while broken."""

    def __init__(self) -> None:
        self.free, self.broken, self.asked = asyncio.Event(), False, 0

    async def keys(self) -> Sequence[Mapping[str, Any]]:
        """As it is now; the answer is of the time at which it comes."""
        self.asked += 1
        await self.free.wait()
        if self.broken:
            raise Unavailable("the keys can't be read")
        return [jwk("r1", RSA, "RS256")]


ISSUER = Issuer({"r1": (RSA, "RS256"), "r9": (OTHER, "RS256")})
"""Listens nowhere."""
PATIENCE = 30
"""Seconds after which one who waits for an issuer that hangs is said to wait for ever."""


async def _turns() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


async def test_an_issuer_that_hangs_keeps_nobody_waiting_whose_key_is_known() -> None:
    """Known keys are renewed beside requests, one question at a time, and asked for again after a while."""
    source, clock = Hanging(), Clock()
    tokens = OidcTokens(Expected(ISSUER.url, AUDIENCE), source, clock)
    source.free.set()
    assert await tokens.identify(ISSUER.token("r1")) == ADA
    source.free.clear()
    for clock.now in (DUE + 1, FRESH / 2 + NOT_AGAIN + 2):
        for _ in range(20):
            assert await asyncio.wait_for(tokens.identify(ISSUER.token("r1")), PATIENCE) == ADA
        await _turns()
    assert source.asked == 2  # the second hangs all the while
    source.broken = True
    source.free.set()
    await _turns()
    source.free.clear()
    for clock.now in (FRESH + 1, FRESH + 2):  # too old by now; but they were asked for, and can't be had
        assert await asyncio.wait_for(tokens.identify(ISSUER.token("r1")), PATIENCE) == ADA
        await _turns()
    assert source.asked == 3
    source.free.set()
    await _turns()


async def test_keys_that_nobody_asked_for_in_an_hour_are_asked_for_first() -> None:
    """All who come meanwhile wait for one answer; it failing, the old keys hold on and nobody waits again."""
    source, clock = Hanging(), Clock()
    tokens = OidcTokens(Expected(ISSUER.url, AUDIENCE), source, clock)
    source.free.set()
    await tokens.identify(ISSUER.token("r1"))
    source.free.clear()
    source.broken = True
    clock.now = FRESH + 1
    asking = [asyncio.ensure_future(tokens.identify(ISSUER.token("r1"))) for _ in range(20)]
    await _turns()
    assert not any(one.done() for one in asking)
    source.free.set()
    assert await asyncio.gather(*asking) == [ADA] * 20
    source.free.clear()
    clock.now += NOT_AGAIN
    assert await asyncio.wait_for(tokens.identify(ISSUER.token("r1")), PATIENCE) == ADA
    await _turns()
    assert source.asked == 3
    source.free.set()
    await _turns()


async def test_an_issuer_that_hangs_costs_only_those_whose_key_is_unknown() -> None:
    """They wait for one answer together; one who goes away does not end it, and nobody is let in for it."""
    source, clock = Hanging(), Clock()
    tokens = OidcTokens(Expected(ISSUER.url, AUDIENCE), source, clock)
    first, *others = [asyncio.ensure_future(tokens.identify(ISSUER.token("r1"))) for _ in range(20)]
    await _turns()
    assert await tokens.identify(ISSUER.token("r1", iss="http://127.0.0.1:1")) is None
    first.cancel()
    await _turns()
    assert not any(one.done() for one in others)
    source.free.set()
    assert await asyncio.gather(*others) == [ADA] * 19
    assert source.asked == 1
    source.free.clear()
    clock.now = NOT_AGAIN
    stranger = asyncio.ensure_future(tokens.identify(ISSUER.token("r9")))
    await _turns()
    assert await asyncio.wait_for(tokens.identify(ISSUER.token("r1")), PATIENCE) == ADA
    assert not stranger.done()
    source.free.set()
    assert await stranger is None
    assert source.asked == 2


async def test_an_issuer_whose_keys_could_not_be_had_is_left_in_peace() -> None:
    """For a while nobody of it can be told, at once and with the reason; then it is asked again."""
    source, clock = Hanging(), Clock()
    tokens = OidcTokens(Expected(ISSUER.url, AUDIENCE), source, clock)
    source.broken = True
    source.free.set()
    for _ in range(20):
        with pytest.raises(Unavailable, match="the keys can't be read"):
            await tokens.identify(ISSUER.token("r1"))
    assert source.asked == 1
    source.broken, clock.now = False, NOT_AGAIN
    assert await tokens.identify(ISSUER.token("r1")) == ADA


def _large() -> web.Response:
    return web.Response(body=b"[" + b" " * LARGEST + b"]", content_type="application/json")


def _small_but_large() -> web.Response:
    packed = gzip.compress(b'{"keys": [' + b" " * 64 * LARGEST + b"]}")
    return web.Response(body=packed, headers={"Content-Encoding": "gzip"}, content_type="application/json")


MISBEHAVIOUR: dict[str, Callable[[Issuer], Any]] = {
    "too large": lambda one: _large(),
    "packed": lambda one: _small_but_large(),
    "elsewhere": lambda one: web.Response(status=302, headers={"Location": f"{one.url}/other"}),
    "an error": lambda one: web.Response(status=500),
    "no JSON": lambda one: web.Response(text="<html>"),
    "a list": lambda one: web.json_response([]),
    "too deep": lambda one: web.Response(text="[" * 100_000),
    "keys that are none": lambda one: web.json_response({"issuer": one.url, "jwks_uri": 7, "keys": 7}),
    "slow": lambda one: None,
}


@pytest.mark.parametrize("path", [DISCOVERY, KEYS])
@pytest.mark.parametrize("what", MISBEHAVIOUR.values(), ids=MISBEHAVIOUR.keys())
async def test_answers_that_are_none(issuer: Issuer, path: str, what: Callable[[Issuer], Any]) -> None:
    """Whatever the issuer answers, the keys are away, in bounded time and memory; no redirect is followed."""
    issuer.instead[path] = what(issuer)
    seconds = 0.5 if issuer.instead[path] is None else 30
    with pytest.raises(Unavailable, match="the keys of http"):
        await known(issuer, seconds=seconds).identify(issuer.token("r1"))
    assert issuer.asked["/other"] == 0


@pytest.mark.parametrize(
    "told",
    [
        {"issuer": "http://127.0.0.1:1"},
        {"jwks_uri": "http://198.51.100.7/keys"},
        {"jwks_uri": "file:///etc/passwd"},
        {"jwks_uri": "/keys"},
    ],
    ids=str,
)
async def test_a_discovery_that_leads_astray(issuer: Issuer, told: dict[str, str]) -> None:
    """It must be the issuer's own, and its keys at an https address or on this machine."""
    right = {"issuer": issuer.url, "jwks_uri": issuer.url + KEYS}
    issuer.instead[DISCOVERY] = web.json_response({**right, **told})
    with pytest.raises(Unavailable):
        await known(issuer).identify(issuer.token("r1"))
    assert issuer.asked[KEYS] == 0


@pytest.mark.parametrize(
    ("url", "safe"),
    [
        ("https://id.example/realm", True),
        ("http://127.0.0.1:8080", True),
        ("http://localhost/realm", True),
        ("http://[::1]:8080", True),
        ("http://id.example", False),
        ("http://127.0.0.1.evil.example", False),
        ("http://localhost@evil.example", False),
        ("ftp://127.0.0.1", False),
    ],
)
def test_plain_http_is_for_this_machine(url: str, safe: bool) -> None:
    """Whoever is between us and an http issuer could give us their own keys: the settings refuse it."""
    assert safe_url(url) is safe
    if safe:
        assert Oidc(issuer=url, audience="x").issuer == url
    else:
        with pytest.raises(ValueError, match="issuer"):
            Oidc(issuer=url, audience="x")
