"""The teller: delivers what is to be told, by each way on its own, and never in anybody's way.

Run by the daemon on an interval of its own, while it leads. A notice was written with the change that it
tells of; a delivery is begun by taking the notice for a while (so that of two replicas one delivers), and
ended by dropping it. A crash in between delivers it once more: an Event has one name and is there once, a
webhook may get its message twice. What can't be delivered is tried ever more rarely, then given up.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from controller.core.model import Batch, Status, Verdict
from controller.core.notices import TELLS, Channel, Notice, Topic
from controller.core.telling import end_line, event_name, slack_text
from controller.engine import Engine
from controller.ports import (
    ClusterEvent,
    EventWriter,
    JobFilter,
    Notifier,
    Rejected,
    Subject,
    Throttled,
    Unavailable,
    Untold,
)

EVENT_AGE = timedelta(minutes=30)
"""After which an Event is given up: half of what an API server keeps one for by default, so that one whose
answer was lost is still there when it is made again."""
LONGEST_KEPT = timedelta(days=7)
"""After which everything is given up, also what nobody could try because nobody led."""
LONGEST_REST = 60.0
"""Seconds between two tries, at most, unless the other side asks for more."""
LONGEST_ASKED = 600.0
"""Seconds for which the other side may ask."""
LONGEST_ROUND = 20.0
"""Seconds of one round after which it begins no more deliveries: a pass has a time limit, and a delivery that
is cut off by it would be made again."""
API = "batchkeeper/v1"
BATCH_LABEL = "batchkeeper.io/batch"
LONGEST_LABEL = 63
_Which = tuple[str, Topic, Channel, datetime | None]
"""What tells a notice from all others: whose it is, its topic, its way, and when it began."""


@dataclass(frozen=True, slots=True)
class Manner:
    """The operator's figures. ``namespace``: where Events about specs that are no batch's go."""

    namespace: str = "default"
    link: str = ""
    """The page's address; empty: messages have no link."""
    timeout: timedelta = timedelta(seconds=10)
    """Of one delivery; nobody else begins it meanwhile."""
    give_up_after: timedelta = timedelta(hours=1)
    """When a webhook's message is given up."""


@dataclass(slots=True)
class Teller:
    """Delivers notices. ``events`` and ``webhook``: the ways that there are."""

    engine: Engine
    events: EventWriter | None = None
    webhook: Notifier | None = None
    manner: Manner = field(default_factory=Manner)
    _rests: dict[Channel, tuple[float, int]] = field(default_factory=dict)
    """By way: until which monotonic instant it is left alone, after how many failures in a row."""
    _led: tuple[int, datetime | None] = (0, None)
    """The epoch, and since when this process tells in it."""
    _done: set[_Which] = field(default_factory=set)
    """What was delivered while the store could not be told so: it is not delivered again."""
    _forbidden: set[str] = field(default_factory=set)
    """Namespaces in which Events are forbidden, and it was said."""

    @property
    def channels(self) -> frozenset[Channel]:
        """The ways that there are."""
        ways = {Channel.EVENT: self.events, Channel.WEBHOOK: self.webhook}
        return frozenset(channel for channel, way in ways.items() if way is not None)

    async def tell(self, channel: Channel) -> int:
        """Deliver what is due by this way, one after the other; returns how many were delivered.

        Ends with the first that nobody answers: the others would fare alike. Raises ``Unavailable``
        when the store is away.
        """
        until, _ = self._rests.get(channel, (0.0, 0))
        if not self.engine.epoch or self.engine.clock.monotonic() < until:
            return 0
        if self._led[0] != self.engine.epoch:
            self._led = self.engine.epoch, self.engine.now()
        delivered, last = 0, self.engine.clock.monotonic() + LONGEST_ROUND
        for one in await self.engine.store.untold():
            if one.notice.channel is not channel or not self.engine.epoch:
                continue
            if self.engine.clock.monotonic() > last:
                break
            outcome = await self._one(one, self.engine.now())
            delivered += outcome == "delivered"
            if outcome == "failed":
                break
        return delivered

    async def _one(self, one: Untold, now: datetime) -> str:
        """One notice; how its delivery ended, or nothing when it is not begun."""
        notice, whose = one.notice, one.batch.id if one.batch else one.spec
        item, this = f"notice:{whose}:{notice.topic}", (whose, notice.topic, notice.channel, notice.at)
        if this in self._done:
            await self.engine.store.move_notice(one, None)
            self._done.discard(this)
            return ""
        if (notice.due or now) > now or self.engine.sick.rests(item, self.engine.clock.monotonic()):
            return ""
        with self.engine.guarded(item, topic=notice.topic.value):
            return await self._begin(one, this, now)
        return ""

    async def _begin(self, one: Untold, this: _Which, now: datetime) -> str:
        notice = one.notice
        if self._too_old(notice, now):
            await self.engine.store.move_notice(one, None)
            return self._ended(one, "given-up", why=f"not delivered in {notice.tries} tries")
        lease = self.manner.timeout + timedelta(seconds=_rest_after(notice.tries))
        if not await self.engine.store.move_notice(one, now + lease):
            return ""
        return await self._deliver(one, this)

    def _too_old(self, notice: Notice, now: datetime) -> bool:
        """Whether it is given up. Time before this lead does not count: who was to tell it may have been
        away. It does for an Event that was begun, which the API server keeps for an hour only: it could be
        there twice.
        """
        event, at = notice.channel is Channel.EVENT, notice.at or now
        since = at if event and notice.tries else max(at, self._led[1] or at)
        return now - since > (EVENT_AGE if event else self.manner.give_up_after) or now - at > LONGEST_KEPT

    async def _deliver(self, one: Untold, this: _Which) -> str:
        channel = one.notice.channel
        line = await self._line(one)
        try:
            if channel is Channel.EVENT:
                await self._event(one, line)
            else:
                await self._message(one, line)
        except Rejected as error:
            await self.engine.store.move_notice(one, None)
            return self._ended(one, "refused", **self._said(one, error))
        except Unavailable as error:
            self._rest(channel, error)
            return self._ended(one, "failed", why=str(error))
        self._rests.pop(channel, None)
        self._ended(one, "delivered")
        self._done.add(this)
        await self.engine.store.move_notice(one, None)
        self._done.discard(this)
        return "delivered"

    async def _event(self, one: Untold, line: str) -> None:
        if self.events is not None:
            at = one.notice.at or self.engine.now()
            await self.events.write(cluster_event(one, line, at, self.manner.namespace))

    async def _message(self, one: Untold, line: str) -> None:
        if self.webhook is None:
            return
        batch = one.batch
        headline = f"{batch.name} in {batch.namespace}" if batch else one.spec
        link = f"{self.manner.link.rstrip('/')}/#/batches/{batch.id}" if batch and self.manner.link else ""
        await self.webhook.post(slack_text(headline, f"{LEADS.get(one.notice.topic, '')}{line}", link))

    async def _line(self, one: Untold) -> str:
        """The sentence; for an end with the failures by verdict, which nobody had to count until now."""
        notice, batch = one.notice, one.batch
        if batch is None or notice.topic not in (Topic.FINISHED, Topic.CANCELLED):
            return notice.sentence
        took = (notice.at or batch.updated) - batch.inserted
        return end_line(notice.sentence, await self._failures(batch), took)

    async def _failures(self, batch: Batch) -> Mapping[Verdict, int]:
        failed = JobFilter(batch_id=batch.id, status=(Status.ERROR, Status.TERMINATED), newest_only=True)
        verdicts: Counter[Verdict] = Counter()
        async for job in self.engine.store.find_jobs(failed):
            verdicts[job.verdict or Verdict.UNKNOWN] += 1
        return verdicts

    # ------------------------------------------------------------------------------------- how it went

    def _rest(self, channel: Channel, error: Unavailable) -> None:
        """Leave this way alone for a while."""
        failures = self._rests.get(channel, (0.0, 0))[1] + 1
        seconds = _rest_after(failures)
        if isinstance(error, Throttled):
            seconds = min(LONGEST_ASKED, max(seconds, error.after))
        self._rests[channel] = (self.engine.clock.monotonic() + seconds, failures)

    def _said(self, one: Untold, error: Rejected) -> dict[str, object]:
        """Why it was refused; a right that is missing in a namespace is said once."""
        namespace = one.batch.namespace if one.batch else self.manner.namespace
        if one.notice.channel is Channel.EVENT and error.code == 403:
            if namespace in self._forbidden:
                return {}
            self._forbidden.add(namespace)
        return {"why": str(error)}

    def _ended(self, one: Untold, outcome: str, **facts: object) -> str:
        about = {"batch": one.batch.name} if one.batch else {"spec": one.spec}
        self.engine.journal.told(one.notice.channel.value, one.notice.topic.value, outcome, **about, **facts)
        return outcome


def _rest_after(failures: int) -> float:
    """Seconds: ever more, up to ``LONGEST_REST``. There may be more failures than a float has powers of 2."""
    return min(LONGEST_REST, 2.0 ** min(failures, 10))


LEADS: Mapping[Topic, str] = {
    Topic.FINISHED: "finished, ",
    Topic.SYSTEMIC_FAILURE: "held, ",
    Topic.REFUSED: "refused: ",
}
"""What a message begins with, where its sentence does not say it."""


def cluster_event(one: Untold, line: str, at: datetime, namespace: str) -> ClusterEvent:
    """The Event of a notice, about the batch as its spec calls it: ``kubectl get events`` shows it so."""
    notice, batch = one.notice, one.batch
    if batch is not None:
        subject = Subject(API, "Batch", batch.namespace, batch.name, batch.id)
        name, labels = event_name(batch, notice.topic), {BATCH_LABEL: batch.name[:LONGEST_LABEL]}
    else:
        subject = Subject(API, "Spec", namespace, one.spec[:253])
        digest = hashlib.sha256(one.spec.encode("utf-8", "replace")).hexdigest()[:20]
        name, labels = f"spec.{digest}.{notice.topic.value.lower()}", {}
    return ClusterEvent(name, subject, notice.topic, line, at, TELLS[notice.topic].warning, labels)
