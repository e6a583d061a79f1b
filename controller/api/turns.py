"""Whose specs are being read: one of each caller at a time, and few in all, for one process reads them.

Used by ``routes_specs``. Whoever would have to stand in line for long is told to come again instead.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from controller.api.problems import Problem

MOST = 8
"""Specs that are read or wait to be, of all callers."""
_AGAIN = {"Retry-After": "2"}


class Turns:
    """Who has a spec read now."""

    def __init__(self) -> None:
        self._users: set[str] = set()

    @contextlib.contextmanager
    def of(self, user: str) -> Iterator[None]:
        """This caller's turn. Raises ``Problem``: 429 while they have one, 503 while too many have."""
        if user in self._users:
            told = "another spec of yours is still being read: send one after the other; nothing was done"
            raise Problem(429, "one-at-a-time", told, headers=_AGAIN)
        if len(self._users) >= MOST:
            told = f"{MOST} specs of others are being read: send yours again; nothing was done"
            raise Problem(503, "too-many-specs", told, headers=_AGAIN)
        self._users.add(user)
        try:
            yield
        finally:
            self._users.discard(user)
