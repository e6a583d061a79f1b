"""Who may lead, as a port: a Lease of the cluster, or the lock on one machine's state folder.

An election is for efficiency. What keeps two leaders harmless is the epoch in the store and the gate (R12).
"""

from __future__ import annotations

from typing import Protocol


class Elector(Protocol):
    """One candidate. ``acquire``, then ``lost``, then ``release`` at the end; and again."""

    identity: str
    """Who this candidate is: unique among all processes."""
    trouble: str
    """Why the election is out of reach at the moment; empty: it is not, as far as is known."""

    async def acquire(self) -> None:
        """Return once this candidate is elected. Never raises for a world that is out of reach."""
        ...

    async def lost(self) -> str:
        """Return, with the reason, once this candidate can't be sure any more that nobody else is elected."""
        ...

    async def release(self) -> None:
        """Let another candidate be elected at once, as far as that can be reached."""
        ...
