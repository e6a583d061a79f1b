"""Who can put an Event into the cluster, for people who look there and not here. For the tellers only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Subject:
    """What an Event is about: its OBJECT column. It need not be an object that the API server has."""

    api_version: str
    kind: str
    namespace: str
    name: str
    uid: str = ""


@dataclass(frozen=True, slots=True)
class ClusterEvent:
    """One Event. ``name`` makes it one: who writes it again under this name has written it once."""

    name: str
    """Within the subject's namespace; a DNS-1123 subdomain, always the same for the same thing told."""
    subject: Subject
    reason: StrEnum
    """In CamelCase, of a closed enum."""
    note: str
    """For people: no secret, no line breaks; cut to what an Event holds."""
    at: datetime
    """When it happened."""
    warning: bool = False
    labels: Mapping[str, str] = field(default_factory=dict)
    """Beside those that say whose it is."""


class EventWriter(Protocol):
    """Writes Events, each once."""

    async def write(self, event: ClusterEvent) -> None:
        """Make it; one that is there already counts as made.

        Raises ``Unavailable`` when nobody answered, ``Rejected`` when it was refused: ``Rejected.code`` 403
        is a missing right, everything else will never do.
        """
        ...
