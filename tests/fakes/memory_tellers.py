"""Where people are told, in memory: a cluster's Events, and a webhook. Each can be made to fail."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime

from controller.ports import Clock, ClusterEvent


@dataclass(slots=True)
class MemoryEvents:
    """``ports.EventWriter``: an Event of a name is there once. ``fails`` may raise for any of them."""

    clock: Clock
    there: dict[tuple[str, str], ClusterEvent] = field(default_factory=dict)
    made: dict[tuple[str, str], datetime] = field(default_factory=dict)
    """When each was made."""
    asked: list[str] = field(default_factory=list)
    """Names, as often as they were asked for."""
    fails: Callable[[ClusterEvent], None] = lambda event: None

    async def write(self, event: ClusterEvent) -> None:
        """Make it, unless it is there."""
        self.asked.append(event.name)
        self.fails(event)
        key = event.subject.namespace, event.name
        if key not in self.there:
            self.there[key], self.made[key] = event, self.clock.now()

    def reasons(self, batch: str) -> list[str]:
        """What was told of a batch, in its order."""
        return [event.reason.value for event in self.there.values() if event.subject.name == batch]


@dataclass(slots=True)
class MemoryWebhook:
    """``ports.Notifier``: keeps what it was told. ``fails`` may raise for any of it."""

    clock: Clock
    posts: list[tuple[datetime, str]] = field(default_factory=list)
    asked: int = 0
    fails: Callable[[str], None] = lambda text: None

    async def post(self, text: str) -> None:
        """Take it."""
        self.asked += 1
        self.fails(text)
        self.posts.append((self.clock.now(), text))

    @property
    def texts(self) -> list[str]:
        """What it was told, in its order."""
        return [text for _, text in self.posts]
