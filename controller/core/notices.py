"""What people are told of a batch, and by which way: closed sets, so that it is bounded by construction.

``core.telling`` says what follows from which change; a notice is written with the change itself, kept on
the batch parent until it was delivered, and delivered by ``teller``. docs/notifications.md shows ``TELLS``.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class Topic(StrEnum):
    """What is told: an Event's reason. A batch's life has at most one Event of each."""

    ACCEPTED = "BatchAccepted"
    REFUSED = "SpecRefused"
    CAP_REACHED = "CapReached"
    RETRIES_EXHAUSTED = "RetriesExhausted"
    REAPED = "JobReaped"
    SYSTEMIC_FAILURE = "SystemicFailure"
    FINISHED = "BatchFinished"
    CANCELLED = "BatchCancelled"


class Channel(StrEnum):
    """A way by which people are told."""

    EVENT = "event"
    WEBHOOK = "webhook"


EVERY = frozenset(Channel)


@dataclass(frozen=True, slots=True)
class Tell:
    """How a topic is told. ``when`` is for the document."""

    when: str
    webhook: bool = False
    warning: bool = False


TELLS: Mapping[Topic, Tell] = {
    Topic.ACCEPTED: Tell("its tasks are recorded"),
    Topic.REFUSED: Tell("its spec, or a change of it, is refused as it is now", webhook=True, warning=True),
    Topic.CAP_REACHED: Tell("all places of its gate are taken for the first time"),
    Topic.RETRIES_EXHAUSTED: Tell(
        "a task failed for the last time: its retries are used up; the first such task", warning=True
    ),
    Topic.REAPED: Tell("a job was stuck for too long and was ended; the first such job", warning=True),
    Topic.SYSTEMIC_FAILURE: Tell(
        "it is held because nearly all of it fails in one way", webhook=True, warning=True
    ),
    Topic.FINISHED: Tell("every task has come to its end", webhook=True),
    Topic.CANCELLED: Tell("it was cancelled, and nothing of it is left", webhook=True),
}


@dataclass(frozen=True, slots=True)
class Notice:
    """One thing to tell by one way. ``at`` and ``due`` are the store's, which sets them.

    ``tries``: deliveries begun. Whoever delivers first takes it for a while, by that number; so two
    replicas don't deliver it both, and one that dies on the way leaves it to the next.
    """

    topic: Topic
    channel: Channel
    sentence: str
    at: datetime | None = None
    due: datetime | None = None
    tries: int = 0


def notices(told: Iterable[tuple[Topic, str]], channels: Collection[Channel]) -> Iterator[Notice]:
    """What was decided to be told, by each way that is there."""
    for topic, sentence in told:
        if Channel.EVENT in channels:
            yield Notice(topic, Channel.EVENT, sentence)
        if Channel.WEBHOOK in channels and TELLS[topic].webhook:
            yield Notice(topic, Channel.WEBHOOK, sentence)
