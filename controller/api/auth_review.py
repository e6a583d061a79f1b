"""Tokens that the cluster knows: the API server is asked, and a good answer holds for five minutes at most.

While the API server is away, whoever was known within that time stays known; of anybody else it can't be
told, and then nothing is done. Answers are kept by a hash of the token.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections import OrderedDict
from collections.abc import Callable, Sequence
from datetime import timedelta

from controller.api.auth import Identity
from controller.api.pace import Pace
from controller.ports import Reviewed, TokenReviewer, Unavailable

MOST = 10_000
NOBODY = timedelta(seconds=10)
"""For how long a token that is nobody's is not asked about again."""
LONGEST = 16 * 1024
"""Characters of a token that is asked about."""


RATE, BURST = 2.0, 20
"""Questions a second in the long run, and at once: a flood of made-up tokens must not take from the jobs' own
requests to the API server."""


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
        self._known: OrderedDict[str, tuple[float, Identity | None]] = OrderedDict()
        self._pace = Pace(RATE, BURST, monotonic)
        self._free = asyncio.Semaphore(at_once)

    async def identify(self, token: str) -> Identity | None:
        """Whose it is. Raises ``Unavailable`` when that was not asked lately and can't be asked now."""
        if len(token) > LONGEST:
            return None
        key = hashlib.sha256(token.encode()).hexdigest()
        until, identity = self._known.get(key, (0.0, None))
        if until > self._monotonic():
            return identity
        async with self._free:
            until, identity = self._known.get(key, (0.0, None))
            if until > self._monotonic():
                return identity  # somebody else has asked meanwhile
            if self._pace.take(""):
                raise Unavailable("more tokens that nobody has seen than the API server is asked about")
            asked = self._monotonic()
            found = await self._reviewer.review(token, self._audiences)
        identity = _identity(found)
        holds = self._cache if identity else NOBODY.total_seconds()
        self._known[key] = (asked + holds, identity)
        self._known.move_to_end(key)
        if len(self._known) > MOST:
            self._known.popitem(last=False)
        return identity


def _identity(found: Reviewed | None) -> Identity | None:
    return Identity(found.user, frozenset(found.groups), "token-review") if found else None
