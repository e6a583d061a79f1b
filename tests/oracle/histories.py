"""Small histories written by hand: a lawful life of one attempt, to be bent by each test of the oracle."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from controller.core.model import (
    Attempt,
    Batch,
    BatchStatus,
    Foreign,
    Gate,
    Holder,
    JobInput,
    OpenCreate,
    Origin,
    Result,
    Setting,
    Status,
    Stop,
    TerminatedCode,
    Verdict,
)
from tests.oracle.history import Deed, Document, Ending, Entry, Happened, Parent, Side, Weather, Written
from tests.oracle.oracle import Oracle
from tests.oracle.state import Facts

START = datetime(2026, 3, 1, 12, tzinfo=UTC)
CANCEL = Stop("not needed", "local:alice", START, TerminatedCode.USER)


@dataclass
class Tale:
    """Tells the oracle one history, a second per entry. Documents are kept so that tests can change them."""

    oracle: Oracle = field(default_factory=lambda: Oracle(Facts(shows_ends=True)))
    now: datetime = START
    jobs: dict[str, Attempt] = field(default_factory=dict)
    gate: Gate = field(default_factory=lambda: Gate("b", 2))
    parent: Parent = field(default_factory=lambda: Parent(batch()))

    def tell(self, entry: Entry) -> None:
        """One entry as it is."""
        self.oracle.feed(entry)

    def pass_time(self, seconds: float = 1.0) -> None:
        """Let time go by."""
        self.now += timedelta(seconds=seconds)

    def write(self, document: Document, writer: int | None = None) -> None:
        """One revision of a document."""
        self.pass_time()
        self.tell(Written(self.now, document, writer))

    def begin(self, *task_ids: str) -> None:
        """A batch with its gate and one waiting root per task."""
        self.write(self.parent)
        self.regate(hold="looking: what runs already")
        for task in task_ids:
            self.insert(attempt(task))
        self.regate(hold="")
        self.parent = Parent(replace(self.parent.batch, tasks=len(task_ids)), tuple(self.jobs))
        self.write(self.parent)

    def insert(self, job: Attempt) -> None:
        """A new record."""
        self.jobs[job.id] = job
        self.write(job)

    def change(self, job_id: str, *, writer: int | None = None, **values: Any) -> None:
        """One revision of a record."""
        self.jobs[job_id] = replace(self.jobs[job_id], **values)
        self.write(self.jobs[job_id], writer)

    def regate(self, *, writer: int | None = None, **values: Any) -> None:
        """One revision of the gate."""
        self.gate = replace(self.gate, **values)
        self.write(self.gate, writer)

    def claim(self, job_id: str, slot: int = 0, *, writer: int | None = None) -> None:
        """A place, the slot and the create's token."""
        self.regate(holders=(*self.gate.holders, Holder(job_id, slot)), writer=writer)
        token = OpenCreate("k", self.now)
        self.change(job_id, status=Status.CREATED, slot=slot, open_creates=(token,))

    def happen(self, deed: Deed, job_id: str, uid: str = "u", **more: Any) -> None:
        """Something happens to an object of a record."""
        self.pass_time()
        job = self.jobs[job_id]
        self.tell(Happened(self.now, deed, uid, job.name, job.namespace, job_id, **more))

    def foreign(self, deed: Deed, name: str, uid: str = "f", **more: Any) -> None:
        """Something happens to an object of somebody else."""
        self.pass_time()
        self.tell(Happened(self.now, deed, uid, name, "lab", **more))

    def weather(self, side: Side, *, out: bool = True, namespace: str = "") -> None:
        """A side goes or comes back, or a namespace of it."""
        self.pass_time()
        self.tell(Weather(self.now, side, out, namespace))

    def others(self, job_id: str, uid: str = "theirs") -> None:
        """Somebody else's object runs under the attempt's name, and the gate is held to take it over."""
        self.foreign(Deed.CREATED, self.jobs[job_id].name, uid)
        self.regate(hold="adopting: asked for", foreign=(Foreign(uid, self.jobs[job_id].name, "Job"),))

    def take_over(self, job_id: str, uid: str = "theirs", slot: int = 0, **more: Any) -> None:
        """The object gets a place and its record, lawfully."""
        self.regate(holders=(*self.gate.holders, Holder(job_id, slot, uid, "Job")), foreign=())
        values: dict[str, Any] = {"origin": Origin.ADOPTED, "kind": "Job", "scheduler_id": uid, "slot": slot}
        self.change(job_id, **({"status": Status.RUNNING} | values | more))

    def run(self, job_id: str, uid: str = "u", slot: int = 0) -> None:
        """From waiting to running, lawfully."""
        self.claim(job_id, slot)
        self.happen(Deed.CREATED, job_id, uid, ours=True)
        self.change(job_id, status=Status.QUEUED, scheduler_id=uid, open_creates=())
        self.happen(Deed.STARTED, job_id, uid)
        self.change(job_id, status=Status.RUNNING)

    def end(
        self, job_id: str, uid: str = "u", exit_code: int = 0, *, reasons: tuple[str, ...] = (), **more: Any
    ) -> None:
        """The object ends, for these reasons, the record too, and the place is left unless 2 owes a retry."""
        shown = Ending(exit_code, frozenset(reasons))
        self.happen(Deed.ENDED, job_id, uid, success=exit_code == 0, end=shown)
        good = {"status": Status.COMPLETED, "verdict": Verdict.SUCCEEDED}
        bad = {"status": Status.ERROR, "verdict": Verdict.MOUNT_FAILURE}
        values: dict[str, Any] = (good if exit_code == 0 else bad) | {"exit_code": exit_code}
        self.change(job_id, **(values | {"finished": self.now, "slot": None} | more))
        if exit_code != 2:
            self.leave(job_id)

    def leave(self, job_id: str) -> None:
        """The place is given back."""
        self.regate(holders=tuple(holder for holder in self.gate.holders if holder.job != job_id))

    def retry(self, job_id: str, after: float = 30.0, **more: Any) -> str:
        """The record of an automatic retry, its lifecycle complete, and the place given back; its id."""
        failed = self.jobs[job_id]
        due = (failed.finished or self.now) + timedelta(seconds=after)
        child = attempt(failed.task_id, failed.attempt + 1, not_before=due, **more)
        self.insert(child)
        self.parent = Parent(self.parent.batch, (*self.parent.child_jobs, child.id))
        self.write(self.parent)
        root = child.retry_parent or ""
        self.change(root, retry_ids=(*self.jobs[root].retry_ids, child.id))
        self.change(child.id, retry_toggle=True)
        if any(holder.job == job_id for holder in self.gate.holders):
            self.leave(job_id)
        return child.id

    def finish(self, result: Result = Result.COMPLETED) -> None:
        """The batch ends, and the end is judged."""
        ended = replace(self.parent.batch, status=BatchStatus.FINISHED, result=result)
        self.parent = replace(self.parent, batch=ended)
        self.write(self.parent)
        self.oracle.finish()

    @property
    def broken(self) -> set[str]:
        """The invariants that were broken."""
        return {violation.invariant.value for violation in self.oracle.violations}


def batch() -> Batch:
    """The batch parent of all tales."""
    settings = {"maxConcurrent": Setting(2, "spec", START)}
    return Batch(
        "b", "lab", "scan", "local:alice", BatchStatus.RUNNING, {}, "", "", settings, 1, START, START
    )


def attempt(task: str, number: int = 0, **more: Any) -> Attempt:
    """A waiting record; a retry is automatic unless said otherwise."""
    suffix = f"-r{number}" if number else ""
    values: dict[str, Any] = {
        "inserted": START,
        "origin": Origin.AUTO if number else Origin.SPEC,
        "retry_parent": task if number else None,
        "retry_toggle": False if number else None,
        "user": "local:alice",
        "name": f"scan-{task}{suffix}",
        "job_input": JobInput("image"),
    }
    return Attempt(
        id=f"{task}{suffix}",
        batch_id="b",
        namespace="lab",
        task_id=task,
        index=0,
        attempt=number,
        status=Status.WAITING,
        updated=START,
        **(values | more),
    )
