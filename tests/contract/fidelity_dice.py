"""The dice of the fidelity script: what is roughly known of the records, and what may happen to one.

Most changes that are drawn could apply to a record as it is thought to be; some are what the table refuses.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from controller.core.machine import TABLE, Event
from controller.core.model import Status, TerminatedCode, Verdict
from controller.core.notices import Channel, Topic

Given = dict[str, Any]
"""Arguments, or fields, as the script writes them."""
WAY: Mapping[Status, list[Event]] = {
    Status.WAITING: [*[Event.CLAIMED] * 6, Event.WITHDRAWN, Event.HURRIED, Event.ADOPTED],
    Status.CREATED: [
        *[Event.ACCEPTED] * 5,
        *(Event.CREATE_OPENED, Event.CREATE_CLOSED, Event.REJECTED, Event.COLLIDED, Event.NEVER_CREATED),
        *(Event.STOP_ASKED, Event.GIVEN_UP, Event.BURIED, Event.STAMPED, Event.OVERDUE),
    ],
    Status.QUEUED: [
        *[Event.STARTED] * 5,
        *(Event.REPOINTED, Event.SEEN, Event.VANISHED, Event.STOP_ASKED),
        *(Event.GIVEN_UP, Event.OVERDUE, Event.ENDED),
    ],
    Status.RUNNING: [
        *[Event.ENDED] * 5,
        *(Event.SEEN, Event.VANISHED, Event.STOP_ASKED, Event.STAMPED, Event.OVERDUE),
    ],
}
"""What is likely to happen to a record in this status."""
OVER = [Event.NO_RETRY, Event.LOG_KEPT, Event.LINKED, Event.TOGGLED, Event.CREATE_CLOSED]


@dataclass
class Known:
    """What is roughly known of a record."""

    id: str
    batch: str
    task: str
    number: int
    index: int
    status: Status
    root: str
    uid: str = ""
    tokens: list[str] = field(default_factory=list)

    @property
    def name(self) -> str:
        """In the cluster."""
        return f"{self.batch}-{self.task}-{self.number}"


class Dice:
    """The dice, and what was done so far."""

    def __init__(self, seed: int) -> None:
        self._dice = random.Random(seed)
        self._records: list[Known] = []
        self._known: list[str] = []
        """Batches."""
        self._names: dict[str, str] = {}
        self._unknown = 0
        self._newest = 0
        """The newest epoch."""
        self._uids = 0
        self._orders: dict[str, Given] = {}
        """The last cancel of a batch."""
        self._holds: dict[str, str] = {}
        self._told: list[tuple[str, Topic, Channel]] = []
        self._moved = 0

    def _bad(self, chance: float = 0.2) -> bool:
        return self._dice.random() < chance

    def _nobody(self) -> str:
        self._unknown += 1
        return f"?{self._unknown}"

    def _batch_id(self, bad: float = 0.12) -> str:
        return self._nobody() if self._bad(bad) else self._dice.choice(self._known)

    def _batch_ids(self) -> list[str]:
        return [*self._dice.sample(self._known, min(3, len(self._known))), self._nobody()]

    def _job_of(self, *statuses: Status) -> Known:
        wanted = [job for job in self._records if not statuses or job.status in statuses]
        return self._dice.choice(wanted or self._records)

    def _job_ids(self) -> list[str]:
        some = [self._job_of().id for _ in range(self._dice.randint(1, 4))]
        return [*some, some[0], self._nobody()] if self._bad(0.5) else some

    def _leader(self) -> int:
        """The epoch of a decision: mostly the newest."""
        return self._newest - 1 if self._bad(0.2) else self._newest

    def _slot(self) -> int:
        return self._dice.randint(0, 19)

    def _stop(self, *, coded: bool = True) -> Given:
        if coded:
            code = self._dice.choice(list(TerminatedCode)).value
            return {"why": "enough", "by": "ada", "at": -0.75, "code": code}
        return {"why": Verdict.MOUNT_FAILURE.value, "by": "batchkeeper", "at": -0.75}

    def _event(self) -> Given:
        job = self._job_of(*self._dice.choice([(Status.WAITING,), tuple(Status), tuple(WAY)]))
        likely = OVER if job.status.terminal else WAY[job.status]
        event = self._dice.choice(list(Event)) if self._bad(0.18) else self._dice.choice(likely)
        change = {
            "job": self._nobody() if self._bad(0.03) else job.id,
            "event": event.value,
            "reason": "because",
        }
        targets = sorted(TABLE[event].targets)
        target = self._dice.choice(targets) if targets else None
        if len(targets) > 1 or self._bad(0.1):
            change["status"] = (target or Status.WAITING).value
        change |= self._details(event, job, target)
        if job.status in TABLE[event].sources and target is not None:
            job.status = target
        return change

    def _details(self, event: Event, job: Known, target: Status | None) -> Given:
        """What an event usually carries."""
        usual = self._by_event(job, target).get(event, lambda: {})
        more: Given = {"fields": {}, "uid": "another" if self._bad(0.1) else job.uid, **usual()}
        if self._bad(0.05):
            more["fields"] = {**more["fields"], "user": "eve"}
        if self._bad(0.3):
            more["hold"] = -60.0
        return {name: value for name, value in more.items() if value not in ("", {})}

    def _by_event(self, job: Known, target: Status | None) -> Mapping[Event, Callable[[], Given]]:
        ends = (Event.ENDED, Event.VANISHED, Event.NEVER_CREATED, Event.REJECTED, Event.COLLIDED)
        return {
            Event.CLAIMED: lambda: {"fields": {"slot": self._slot()}, "add_token": self._token(job)},
            Event.CREATE_OPENED: lambda: {"add_token": self._token(job)},
            Event.CREATE_CLOSED: lambda: {"drop_token": job.tokens.pop() if job.tokens else "unheard-of"},
            Event.ACCEPTED: lambda: self._accepted(job),
            Event.STARTED: lambda: {"fields": {"node": "node-1"}},
            Event.SEEN: lambda: {"fields": {"node": "node-2", "exit_code": 3}},
            Event.REPOINTED: lambda: {"fields": {"scheduler_id": self._uid(job)}},
            Event.ADOPTED: lambda: self._adopted(job, target),
            Event.WITHDRAWN: lambda: {"fields": {"verdict": "cancelled", "terminated_code": 0}},
            Event.STOP_ASKED: lambda: {"fields": {"stop": self._stop(coded=not self._bad(0.1))}},
            Event.OVERDUE: lambda: self._overdue(job),
            Event.GIVEN_UP: lambda: {
                "fields": {"stop": self._stop(coded=False), "evidence": {"reason": "FailedMount"}}
            },
            Event.NO_RETRY: lambda: {"fields": {"no_retry": True}},
            Event.HURRIED: lambda: {"fields": {"not_before": None}},
            Event.BURIED: lambda: {"fields": {"tombstone": True}},
            Event.LOG_KEPT: lambda: {"fields": {"evidence": {"log_tail": "$kept"}}},
            Event.LINKED: lambda: {"fields": {"retry_ids": [self._job_of().id]}},
            Event.TOGGLED: lambda: {"fields": {"retry_toggle": True}},
            **dict.fromkeys(ends, self._end),
        }

    def _end(self) -> Given:
        fields: Given = {"verdict": self._dice.choice(list(Verdict)).value, "error": "gone", "node": "node-1"}
        fields["exit_code"] = self._dice.choice([0, 1, 137])
        return {"fields": {**fields, "evidence": {"log_tail": "the end ☃", "events": ["FailedMount: $x"]}}}

    def _accepted(self, job: Known) -> Given:
        answered = {"drop_token": job.tokens.pop()} if job.tokens and not self._bad(0.2) else {}
        return {"fields": {"scheduler_id": self._uid(job), "scheduler_type": "local"}, **answered}

    def _adopted(self, job: Known, target: Status | None) -> Given:
        job.uid = "theirs-1"
        place = {"slot": self._slot()} if target and target.active else {}
        return {"fields": {"scheduler_id": job.uid, "kind": "Job", "origin": "adopted", **place}}

    def _overdue(self, job: Known) -> Given:
        entered = f"@{job.id}.{job.status.value}" if job.status.active and not self._bad(0.2) else -2
        limit = self._dice.choice([-60, -60, 3600])
        return {"fields": {"stop": self._stop()}, "entered": entered, "limit": limit}

    def _uid(self, job: Known) -> str:
        self._uids += 1
        job.uid = f"uid-{self._uids}"
        return job.uid

    def _token(self, job: Known) -> str:
        job.tokens.append(f"token-{job.id}-{len(job.tokens)}")
        return job.tokens[-1]
