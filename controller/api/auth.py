"""Who asks: the port of everything that can say whose a token is, and the order in which it is asked.

Used by ``context``. A token is believed when one authenticator knows it; when none does but one of them
could not be asked, the answer is "later", never "no" and never "yes".
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from controller.people import CONTROL
from controller.ports import Unavailable

LONGEST_NAME = 256
_CONTROL = re.compile(f"[{CONTROL}]")


@dataclass(frozen=True, slots=True)
class Identity:
    """Somebody who proved who they are. ``how``: which authenticator said so, for the audit log."""

    user: str
    groups: frozenset[str] = frozenset()
    how: str = ""
    local: bool = False
    """Whoever started this process on this machine: an admin here, as the command line has it."""


def is_name(user: str) -> bool:
    """Whether a token may name somebody so."""
    return 0 < len(user) <= LONGEST_NAME and not _CONTROL.search(user)


STATIC = "static"
"""The way of the file of tokens, in which an admin alone says who bears which."""


class Authenticator(Protocol):
    """One way of telling whose a token is."""

    name: str

    async def identify(self, token: str) -> Identity | None:
        """Whose it is; None: not one of its own, or not valid. Raises ``Unavailable`` when it can't tell."""
        ...


class Chain:
    """All authenticators that are configured, asked in order; empty: nobody can be told from anybody."""

    def __init__(self, authenticators: Sequence[Authenticator] = ()) -> None:
        self._all = tuple(authenticators)

    @property
    def names(self) -> list[str]:
        """What is configured, for the log."""
        return [one.name for one in self._all]

    async def identify(self, token: str) -> Identity | None:
        """Whose it is; None: nobody's. Raises ``Unavailable`` when that can't be told now."""
        away: Unavailable | None = None
        for one in self._all:
            try:
                if found := await one.identify(token):
                    return found
            except Unavailable as error:
                away = error
        if away is not None:
            raise away
        return None
