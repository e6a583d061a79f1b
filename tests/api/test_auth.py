"""Who is believed to be whom, by each way of telling, and every way in which it fails."""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from controller.api.auth import Chain, Identity
from controller.api.auth_oidc import Expected, OidcTokens
from controller.api.auth_review import ReviewedTokens
from controller.api.auth_static import BadTokenFile, StaticTokens
from controller.ports import Reviewed, Unavailable

# ---------------------------------------------------------------------------------------------- static


def tokens(folder: Path, text: str, mode: int = 0o600) -> StaticTokens:
    """A file of tokens with this content and mode."""
    path = folder / "tokens"
    path.write_text(text)
    path.chmod(mode)
    return StaticTokens(path)


async def test_static_tokens(tmp_path: Path) -> None:
    """A line names a user and groups; the token may stand there as its hash; comments are passed over."""
    hashed = hashlib.sha256(b"second-token-0123456789").hexdigest()
    known = tokens(tmp_path, f"# people\n\nfirst-token-0123456789 ada users,admins\nsha256:{hashed} bob\n")
    assert await known.identify("first-token-0123456789") == Identity(
        "ada", frozenset({"users", "admins"}), "static"
    )
    assert await known.identify("second-token-0123456789") == Identity("bob", frozenset(), "static")
    for wrong in ("", "first", "first-token-0123456789 ", hashed, f"sha256:{hashed}"):
        assert await known.identify(wrong) is None


@pytest.mark.parametrize(
    ("text", "mode", "why"),
    [
        ("token-0123456789abc ada\n", 0o640, "others may read it"),
        ("token-0123456789abc ada\n", 0o604, "others may read it"),
        ("short ada\n", 0o600, "line 1: a token has at least 16 characters"),
        ("token-0123456789abc\n", 0o600, "line 1: write token user group,group"),
        ("token-0123456789abc a b c\n", 0o600, "line 1: write token user group,group"),
        ("token-0123456789abc a\ntoken-0123456789abc b\n", 0o600, "line 2: this token stands there twice"),
        ("sha256:0123 ada\n", 0o600, "line 1: a token has at least 16 characters"),
    ],
)
async def test_a_bad_file_lets_nobody_in(tmp_path: Path, text: str, mode: int, why: str) -> None:
    """Its trouble is told with the line, and no token is in what is told."""
    with pytest.raises(BadTokenFile) as refused:
        await tokens(tmp_path, text, mode).identify("token-0123456789abc")
    assert why in str(refused.value)
    assert "token-0123456789abc" not in str(refused.value)


async def test_a_changed_file_is_read_again(tmp_path: Path) -> None:
    """A token that is taken out is worth nothing from the next request on; one that is put in is known."""
    known = tokens(tmp_path, "first-token-0123456789 ada\n")
    assert await known.identify("first-token-0123456789")
    other = tmp_path / "new"
    other.write_text("other-token-0123456789 bob\n")
    other.chmod(0o600)
    os.replace(other, tmp_path / "tokens")
    assert await known.identify("first-token-0123456789") is None
    assert await known.identify("other-token-0123456789")
    (tmp_path / "tokens").unlink()
    with pytest.raises(BadTokenFile, match="No such file"):
        await known.identify("other-token-0123456789")


# -------------------------------------------------------------------------------------------- the chain


class Says:
    """An authenticator that says one thing."""

    name = "says"

    def __init__(self, what: Identity | Exception | None) -> None:
        self._what = what

    async def identify(self, token: str) -> Identity | None:
        """Say it."""
        if isinstance(self._what, Exception):
            raise self._what
        return self._what


ADA = Identity("ada")


@pytest.mark.parametrize(
    ("said", "outcome"),
    [
        ([], None),
        ([None], None),
        ([None, ADA], ADA),
        ([Unavailable("away"), ADA], ADA),
        ([Unavailable("away"), None], Unavailable),
        ([None, Unavailable("away")], Unavailable),
    ],
)
async def test_the_chain(said: list[Any], outcome: Any) -> None:
    """One that knows the token is enough; if none does and one was away, that can't be told now."""
    chain = Chain([Says(one) for one in said])
    if outcome is Unavailable:
        with pytest.raises(Unavailable):
            await chain.identify("token")
    else:
        assert await chain.identify("token") == outcome


# ----------------------------------------------------------------------------------------- TokenReview


class ApiServer:
    """A reviewer that may be away; counts what it was asked."""

    def __init__(self) -> None:
        self.away = False
        self.asked = 0
        self.user = "ada"

    async def review(self, token: str, audiences: Sequence[str]) -> Reviewed | None:
        """Whose it is."""
        self.asked += 1
        if self.away:
            raise Unavailable("the API server is away")
        return Reviewed(self.user, ("users",)) if token == "good" else None


async def test_a_review_holds_for_five_minutes() -> None:
    """Within them the API server is not asked and may be away; after them it must be there."""
    server, now = ApiServer(), 0.0
    known = ReviewedTokens(server, (), timedelta(minutes=5), lambda: now)
    assert await known.identify("good") == Identity("ada", frozenset({"users"}), "token-review")
    server.away = True
    now = 299.0
    assert await known.identify("good")
    assert server.asked == 1
    with pytest.raises(Unavailable):
        await known.identify("another")
    now = 300.0
    with pytest.raises(Unavailable):
        await known.identify("good")
    assert await known.identify("x" * 20_000) is None


@pytest.mark.parametrize("name", ["ada\norder who=root", "ada\u2028", "a" * 257])
async def test_the_cluster_names_nobody_so(name: str) -> None:
    """Of its users, too, none has a name that could pass for several lines of a log, or has no end."""
    server = ApiServer()
    server.user = name
    assert await ReviewedTokens(server, (), timedelta(minutes=5), lambda: 0.0).identify("good") is None


async def test_nobodys_token_is_not_asked_about_at_once_again() -> None:
    """A flood of one wrong token reaches the API server once in ten seconds."""
    server, now = ApiServer(), 0.0
    known = ReviewedTokens(server, (), timedelta(minutes=5), lambda: now)
    for _ in range(5):
        assert await known.identify("wrong") is None
    assert server.asked == 1
    now = 11.0
    assert await known.identify("wrong") is None
    assert server.asked == 2


# ------------------------------------------------------------------------------------------------ OIDC

ISSUER, AUDIENCE = "https://id.example", "batchkeeper"
A_DAY = 86_400
"""Seconds: tokens are made when the tests are collected, and are not to run out before their test."""
RSA = rsa.generate_private_key(65537, 2048)
EC = ec.generate_private_key(ec.SECP256R1())
OTHER = rsa.generate_private_key(65537, 2048)


def jwk(key: Any, algorithm: str, kid: str) -> dict[str, Any]:
    """The public half of a key, as a provider tells it."""
    made: Any = jwt.algorithms.get_default_algorithms()[algorithm].to_jwk(key.public_key())
    return {**json.loads(made), "kid": kid, "use": "sig"}


class Provider:
    """A key source that may be away; counts what it was asked."""

    def __init__(self) -> None:
        self.published = [jwk(RSA, "RS256", "r1"), jwk(EC, "ES256", "e1")]
        self.away = False
        self.asked = 0

    async def keys(self) -> Sequence[Mapping[str, Any]]:
        """Its keys."""
        self.asked += 1
        if self.away:
            raise Unavailable("the provider is away")
        return self.published


def token(key: Any = RSA, algorithm: str = "RS256", kid: str = "r1", **claims: Any) -> str:
    """A token; by default a good one. A claim that is None is left out."""
    now = int(time.time())
    said = {"iss": ISSUER, "aud": AUDIENCE, "sub": "ada", "groups": ["users"], "exp": now + A_DAY, **claims}
    kept = {name: value for name, value in said.items() if value is not None}
    return jwt.encode(kept, key, algorithm=algorithm, headers={"kid": kid})


def oidc(provider: Provider, now: Any = lambda: 0.0, **expected: str) -> OidcTokens:
    """Tokens of the test's issuer."""
    return OidcTokens(Expected(ISSUER, AUDIENCE, **expected), provider, now)


@pytest.mark.parametrize(
    "good",
    [token(), token(EC, "ES256", "e1"), token(aud=["x", AUDIENCE]), token(groups="users")],
    ids=["RS256", "ES256", "several audiences", "one group as a text"],
)
async def test_a_good_token(good: str) -> None:
    """Signed by a key of the issuer, for us, and not over."""
    assert await oidc(Provider()).identify(good) == Identity("ada", frozenset({"users"}), "oidc")


def _forged_hs() -> str:
    """Signed with the provider's public key as if it were a shared secret."""
    head = jwt.utils.base64url_encode(b'{"alg":"HS256","kid":"r1"}')
    claims = {"iss": ISSUER, "aud": AUDIENCE, "sub": "ada", "exp": int(time.time()) + A_DAY}
    body = jwt.utils.base64url_encode(json.dumps(claims).encode())
    import hmac

    secret = json.dumps(jwk(RSA, "RS256", "r1")).encode()
    signed = jwt.utils.base64url_encode(hmac.digest(secret, head + b"." + body, "sha256"))
    return b".".join((head, body, signed)).decode()


def _with_header(header: str) -> str:
    """A good token's claims and signature under another header."""
    _, rest = token().split(".", 1)
    return jwt.utils.base64url_encode(header.encode()).decode() + "." + rest


PAST = int(time.time()) - 3600
BAD = {
    "another issuer": token(iss="https://other.example"),
    "another audience": token(aud="somebody-else"),
    "no audience": token(aud=None),
    "over": token(exp=PAST),
    "for ever": token(exp=None),
    "not yet": token(nbf=PAST + 9000),
    "no user": token(sub=None),
    "an empty user": token(sub=""),
    "another key under a known name": token(OTHER),
    "an unknown key": token(OTHER, kid="r9"),
    "a key of another kind": token(EC, "ES256", "r1"),
    "unsigned": jwt.encode({"iss": ISSUER, "aud": AUDIENCE, "sub": "ada"}, "", algorithm="none"),
    "a shared secret": _forged_hs(),
    "another algorithm": token(RSA, "PS256"),
    "an algorithm that is no text": _with_header('{"alg":["RS256"],"kid":"r1"}'),
    "a number for a key": _with_header('{"alg":"RS256","kid":1}'),
    "a user of two lines": token(sub="ada\nroot"),
    "a user of a terminal's words": token(sub="\x1b[2Jada"),
    "a very long user": token(sub="a" * 300),
    "a list for a user": token(sub=None, name=["ada"]),
    "cut short": token()[:-4],
    "no token": "not.a.token",
    "empty": "",
    "too long": "a" * 20_000 + ".b.c",
}


@pytest.mark.parametrize("bad", BAD.values(), ids=BAD.keys())
async def test_a_bad_token(bad: str) -> None:
    """Each way in which a token is not to be believed."""
    assert await oidc(Provider()).identify(bad) is None


async def test_claims_are_configurable() -> None:
    """User and groups are where the operator says, under a prefix; an unverified address is no name."""
    told = oidc(Provider(), user_claim="email", groups_claim="roles", prefix="oidc:")
    found = await told.identify(token(email="ada@example.org", roles=["a", 3, "b"]))
    assert found == Identity("oidc:ada@example.org", frozenset({"oidc:a", "oidc:b"}), "oidc")
    for said, believed in ((False, False), ("false", False), (0, False), (True, True), ("true", True)):
        known = await told.identify(token(email="ada@example.org", email_verified=said))
        assert (known is not None) is believed, said


async def test_a_new_key_is_found_and_a_flood_of_unknown_ones_asks_nothing() -> None:
    """A rotated key is asked for once; unknown ones make the provider be asked once in half a minute."""
    provider, now = Provider(), 0.0
    known = oidc(provider, lambda: now)
    assert await known.identify(token())
    for n in range(20):
        assert await known.identify(token(OTHER, kid=f"made-up-{n}")) is None
    assert provider.asked == 1
    provider.published = [jwk(OTHER, "RS256", "r2")]
    now = 31.0
    assert await known.identify(token(OTHER, kid="r2"))
    assert await known.identify(token()) is None
    assert provider.asked == 2


async def test_without_the_provider() -> None:
    """Before its keys were ever read it can't be told; after that, known keys hold on while it is away."""
    provider, now = Provider(), 0.0
    provider.away = True
    known = oidc(provider, lambda: now)
    for _ in range(2):
        with pytest.raises(Unavailable):
            await known.identify(token())
    provider.away, now = False, 60.0
    assert await known.identify(token())
    provider.away, now = True, 7200.0
    assert await known.identify(token())
