"""Tokens that the cluster knows: the API server is asked, and a good answer holds for five minutes at most.

While the API server is away, whoever was known within that time stays known; of anybody else it can't be
told, and then nothing is done. Answers are kept by a hash of the token. Tokens that were somebody's are asked
about again at a pace of their own: strangers who make tokens up take nothing from it.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections import OrderedDict
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import TypeVar

from controller.api.auth import Identity, is_name
from controller.api.pace import Pace
from controller.ports import Reviewed, TokenReviewer, Unavailable

MOST = 10_000
NOBODY = timedelta(seconds=10)
"""For how long a token that is nobody's is not asked about again."""
LONGEST = 16 * 1024
"""Characters of a token that is asked about."""


RATE, BURST = 2.0, 20
"""Questions a second in the long run, and at once, about tokens that nobody is known by, and about those of
each user who is known: a flood of either must not take from the jobs' own requests to the API server."""
_STRANGERS = "strangers"
_T = TypeVar("_T")


class ReviewedTokens:
    """Tokens as the API server knows them."""

    name = "token-review"

    def __init__(
        self,
        reviewer: TokenReviewer,
        audiences: Sequence[str],
        cache: timedelta,
        monotonic: Callable[[], float],
        at_once: int = 8,
    ) -> None:
        self._reviewer = reviewer
        self._audiences = tuple(audiences)
        self._cache = cache.total_seconds()
        self._monotonic = monotonic
        self._known: OrderedDict[str, tuple[float, Identity]] = OrderedDict()
        """Whose each token was when it was asked about last, and until when that holds."""
        self._nobodys: OrderedDict[str, float] = OrderedDict()
        """Kept apart: made-up tokens push nobody out who is known."""
        self._pace = Pace(RATE, BURST, monotonic)
        self._free, self._free_for_known = asyncio.Semaphore(at_once), asyncio.Semaphore(at_once)

    async def identify(self, token: str) -> Identity | None:
        """Whose it is. Raises ``Unavailable`` when that was not asked lately and can't be asked now."""
        if len(token) > LONGEST:
            return None
        key = hashlib.sha256(token.encode()).hexdigest()
        if self._told(key):
            return self._whose(key)
        async with self._free_for_known if key in self._known else self._free:
            if self._told(key):
                return self._whose(key)  # somebody else has asked meanwhile
            before = self._whose(key)
            if self._pace.take(f"user {before.user}" if before else _STRANGERS):
                raise Unavailable("more tokens that nobody has seen than the API server is asked about")
            asked = self._monotonic()
            found = await self._reviewer.review(token, self._audiences)
        identity = _identity(found)
        if identity:
            _keep(self._known, key, (asked + self._cache, identity))
        else:
            self._known.pop(key, None)
            _keep(self._nobodys, key, asked + NOBODY.total_seconds())
        return identity

    def _told(self, key: str) -> bool:
        """Whether the last answer about this token still holds."""
        known = self._known.get(key)
        return (known[0] if known else self._nobodys.get(key, 0.0)) > self._monotonic()

    def _whose(self, key: str) -> Identity | None:
        known = self._known.get(key)
        return known[1] if known else None


def _keep(kept: OrderedDict[str, _T], key: str, value: _T) -> None:
    kept[key] = value
    kept.move_to_end(key)
    if len(kept) > MOST:
        kept.popitem(last=False)


def _identity(found: Reviewed | None) -> Identity | None:
    if found is None or not is_name(found.user):
        return None
    return Identity(found.user, frozenset(found.groups), "token-review")
