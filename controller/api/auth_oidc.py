"""Tokens of an OpenID Connect provider: signed by one of its keys, for us, and not over.

Keys come by discovery and are kept; a token with an unknown key makes them be asked for anew, at most once
in a while. They are renewed beside requests, before they are old: a provider that is slow or away costs
nobody a wait whose token names a known key. Only RS256 and ES256 are believed, each with a key of its own
kind: never ``none``, and never a secret that both sides know, for which the provider's public key could be
passed off.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import jwt

from controller.api.auth import Identity, is_name
from controller.ports import KeySource, Unavailable
from controller.telemetry import get_logger

ALGORITHMS: Mapping[str, tuple[str, str | None]] = {"RS256": ("RSA", None), "ES256": ("EC", "P-256")}
"""By algorithm: the type and the curve that its key must have."""
FRESH = 3600.0
"""Seconds after which nobody is believed before keys were asked for again; while the provider is away, the
old ones hold on."""
DUE = FRESH / 2
"""Seconds after which keys are asked for again, which no token of a known key waits for."""
NOT_AGAIN = 30.0
"""Seconds for which an unknown key does not make them be asked for again."""
LEEWAY = 30
"""Seconds that our clock and the provider's may disagree."""
LONGEST = 16 * 1024
_log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Expected:
    """What a token must say to be believed, and where it says who it is about."""

    issuer: str
    audience: str
    user_claim: str = "sub"
    groups_claim: str = "groups"
    prefix: str = ""


class OidcTokens:
    """Tokens of one issuer."""

    name = "oidc"

    def __init__(self, expected: Expected, source: KeySource, monotonic: Callable[[], float]) -> None:
        self._expected = expected
        self._source = source
        self._monotonic = monotonic
        self._keys: dict[str, Mapping[str, Any]] = {}
        self._read_at: float | None = None
        self._tried_at: float | None = None
        self._answered_at: float | None = None
        """When the last attempt was begun that came to its end, well or not."""
        self._trouble = f"the keys of {expected.issuer} could not be read just now"
        """Why the last attempt failed."""
        self._reading: asyncio.Task[None] | None = None

    async def identify(self, token: str) -> Identity | None:
        """Whose it is; None: not of this issuer, or not valid. Raises ``Unavailable`` without its keys."""
        header = _header(token)
        if header is None or not self._may_be_ours(token):
            return None
        key = await self._key(str(header.get("kid", "")), header["alg"])
        return None if key is None else self._verified(token, key, header["alg"])

    def _may_be_ours(self, token: str) -> bool:
        """Whether it claims to be of this issuer: nobody is asked about a token that does not."""
        try:
            claims = jwt.decode(token, options={"verify_signature": False})
        except (jwt.PyJWTError, ValueError, RecursionError):
            return False
        return bool(claims.get("iss") == self._expected.issuer)

    def _verified(self, token: str, key: Any, algorithm: str) -> Identity | None:
        expected = self._expected
        try:
            claims = jwt.decode(
                token,
                key,
                algorithms=[algorithm],
                issuer=expected.issuer,
                audience=expected.audience,
                leeway=LEEWAY,
                options={"require": ["exp", "iss", "aud"]},
            )
        except (jwt.PyJWTError, ValueError, TypeError, OverflowError):
            return None
        user = claims.get(expected.user_claim)
        if not isinstance(user, str) or not is_name(user):
            return None
        # Some providers write it as a text.
        if expected.user_claim == "email" and str(claims.get("email_verified", True)).lower() != "true":
            return None
        groups = claims.get(expected.groups_claim, ())
        named = [groups] if isinstance(groups, str) else groups if isinstance(groups, list) else []
        return Identity(
            expected.prefix + user,
            frozenset(expected.prefix + group for group in named if isinstance(group, str)),
            "oidc",
        )

    # -------------------------------------------------------------------------------------------- keys

    async def _key(self, kid: str, algorithm: str) -> Any:
        """The key that a token names, of the kind that its algorithm needs; None: there is none."""
        now = self._monotonic()
        if kid not in self._keys or self._answered_at is None or now - self._answered_at > FRESH:
            await self._read()
        elif self._read_at is None or now - self._read_at > DUE:
            self._begin()
        data = self._keys.get(kid)
        kind, curve = ALGORITHMS[algorithm]
        if data is None or data.get("kty") != kind or (curve and data.get("crv") != curve):
            return None
        if data.get("use", "sig") != "sig" or data.get("alg", algorithm) != algorithm:
            return None
        try:
            return jwt.PyJWK(dict(data), algorithm=algorithm)
        except (jwt.PyJWTError, ValueError, TypeError):
            return None

    async def _read(self) -> None:
        """Have the keys asked for, unless that was done just now. Raises ``Unavailable`` without any."""
        if reading := self._begin():
            await asyncio.shield(reading)  # one who goes away does not end it for the others
        if self._read_at is None:
            raise Unavailable(self._trouble)

    def _begin(self) -> asyncio.Task[None] | None:
        """The attempt that is under way, a new one where it is time for it; None: neither."""
        now = self._monotonic()
        if self._reading is None and (self._tried_at is None or now - self._tried_at >= NOT_AGAIN):
            self._tried_at = now
            self._reading = asyncio.create_task(self._ask(now), name="issuer's keys")
        return self._reading

    async def _ask(self, now: float) -> None:
        try:
            found = await self._source.keys()
        except Unavailable as error:
            self._trouble = str(error)
            _log.warning("keys not read", error=self._trouble)
        else:
            self._keys = {str(key.get("kid", "")): key for key in found}
            self._read_at = now
        finally:
            self._reading = None
        self._answered_at = now


def _header(token: str) -> Mapping[str, Any] | None:
    """The header of a token that is signed in one of our ways; None: it is no such token."""
    if len(token) > LONGEST or token.count(".") != 2:
        return None
    try:
        header: Mapping[str, Any] = jwt.get_unverified_header(token)
    except (jwt.PyJWTError, ValueError, RecursionError):
        return None
    algorithm = header.get("alg")
    return header if isinstance(algorithm, str) and algorithm in ALGORITHMS else None
