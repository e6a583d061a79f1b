"""Who can say whose a token is: the cluster's API server, and an OpenID Connect provider's keys."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol


@dataclass(frozen=True, slots=True)
class Reviewed:
    """Whose a token was found to be."""

    user: str
    groups: tuple[str, ...] = ()


class TokenReviewer(Protocol):
    """The API server's answer about one token."""

    async def review(self, token: str, audiences: Sequence[str]) -> Reviewed | None:
        """Whose it is; None: nobody's. Raises ``Unavailable`` when it can't be asked."""
        ...


class KeySource(Protocol):
    """The signing keys of one issuer."""

    async def keys(self) -> Sequence[Mapping[str, Any]]:
        """Its JSON Web Keys as they are now. Raises ``Unavailable`` when it can't be asked."""
        ...
