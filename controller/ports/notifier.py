"""Who brings one line to people outside: a webhook as a port."""

from __future__ import annotations

from typing import Protocol

from controller.ports.errors import Unavailable


class Throttled(Unavailable):
    """The other side asks to be left alone for so many seconds."""

    def __init__(self, message: str, after: float) -> None:
        super().__init__(message)
        self.after = after


class Notifier(Protocol):
    """Posts messages. Errors never show where to: the address is a secret."""

    async def post(self, text: str) -> None:
        """Post one message.

        Raises ``Unavailable`` (it may have arrived all the same) or ``Throttled``, and ``Rejected`` when
        it never will be taken.
        """
        ...
