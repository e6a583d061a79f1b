"""Taking over a batch that already runs under somebody else's hands (S11): what is bound, as what, and after.

Called by ``controller.adopting`` and the ``adopt`` command, which show and do the very same bindings, and
by ``decide`` for every attempt that was taken over. Such an object is not ours: it is known by its uid, its
end is judged like any other, and nothing here ever asks for it to be written to, deleted or reaped.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from controller.core.change import Change
from controller.core.evidence import evidence_of
from controller.core.machine import Event
from controller.core.model import Attempt, Gate, Hold, Holder, Origin, Status, Verdict
from controller.core.moves import Act, Move, Reason, Sight
from controller.core.sight import Adoptable, ClusterJob
from controller.core.verdict import exit_code_of, judge

LOOKING = f"{Hold.LOOKING.value}: what runs under its names already is looked at first"
"""The hold that every gate is born with: nothing starts before a live look at the cluster (fail closed)."""
ABOUT_OTHERS = (Hold.LOOKING, Hold.ADOPTION_NEEDED, Hold.ADOPTING)
"""The holds that only a look or a take-over lifts, and no ``resume``."""
_NEVER = datetime.min.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Binding:
    """A task whose first attempt's name others took, and the object of theirs that is this attempt now.

    ``matched``: the spec's log patterns that its log tail matched.
    """

    job: Attempt
    found: Adoptable
    log_tail: str = ""
    matched: tuple[str, ...] = ()
    verdict: Verdict | None = field(init=False)
    """What its end was; None while it is active."""
    because: str = field(init=False)

    def __post_init__(self) -> None:
        thing = self.found.job
        ruling = judge(thing, log_tail=self.log_tail, stop=None, started=thing.started)
        object.__setattr__(self, "verdict", None if thing.active else ruling.verdict)
        object.__setattr__(self, "because", "it has not ended" if thing.active else ruling.because)

    @property
    def status(self) -> Status:
        """What its record becomes."""
        if self.found.job.active:
            return Status.RUNNING if self.found.job.started else Status.QUEUED
        return Status.COMPLETED if self.verdict is Verdict.SUCCEEDED else Status.ERROR

    @property
    def takes_place(self) -> bool:
        """Whether it holds a place: while it is active, and for an end that may owe a retry."""
        return self.status is not Status.COMPLETED


def bindings(waiting: Iterable[Attempt], found: Iterable[Adoptable]) -> tuple[Binding, ...]:
    """The first attempts that are taken over, in the order of the spec, each by one object of its very name.

    Of several objects of a name the active one counts, else the one that succeeded, else the newest.
    """
    by_name: dict[tuple[str, str], list[Adoptable]] = {}
    for one in found:
        by_name.setdefault((one.job.namespace, one.job.name), []).append(one)
    tasks = sorted((job for job in waiting if job.attempt == 0), key=lambda job: (job.index, job.id))
    return tuple(
        Binding(job, max(by_name[job.namespace, job.name], key=_rank))
        for job in tasks
        if job.status is Status.WAITING and (job.namespace, job.name) in by_name
    )


def _rank(one: Adoptable) -> tuple[bool, bool, datetime, str]:
    return one.job.active, one.job.succeeded is True, one.job.created_at or _NEVER, one.job.uid


def fitting(gate: Gate, bound: Iterable[Binding]) -> tuple[Binding, ...]:
    """Without active objects that came under a name since its place was given, before a crash.

    A place is for the object that it names, or for one that had ended: whoever came later is foreign.
    """
    places = {holder.job: holder.uid for holder in gate.holders}
    return tuple(
        one
        for one in bound
        if not one.status.active or places.get(one.job.id, one.found.job.uid) == one.found.job.uid
    )


def half_done(gate: Gate, waiting: Iterable[Attempt], bound: Collection[str]) -> tuple[Binding, ...]:
    """Attempts that got their place and not their record before a crash, and whose object is not found now.

    Their place names the object. They are recorded as queued; a live look then finds what became of it.
    """
    places = {holder.job: holder for holder in gate.holders if holder.uid}
    return tuple(
        Binding(job, Adoptable(places[job.id].kind, _bare(job, places[job.id].uid)))
        for job in waiting
        if job.status is Status.WAITING and job.id in places and job.id not in bound
    )


def _bare(job: Attempt, uid: str) -> ClusterJob:
    return ClusterJob(name=job.name, namespace=job.namespace, uid=uid, job_id="", batch_id="")


def places(gate: Gate, bound: Sequence[Binding]) -> tuple[Holder, ...]:
    """The places that are still to be given, in the lowest free slots; an active object's names it (R2)."""
    held = {holder.job for holder in gate.holders}
    taking = [one for one in bound if one.takes_place and one.job.id not in held]
    slots = gate.lowest_free_slots(len(taking))
    return tuple(
        Holder(one.job.id, slot, one.found.job.uid, one.found.kind)
        if one.status.active
        else Holder(one.job.id, slot)
        for one, slot in zip(taking, slots, strict=True)
    )


def adopted(binding: Binding, slots: Mapping[str, int]) -> Change:
    """The record of an attempt that is taken over: bound by uid, and if it has ended with its verdict."""
    thing = binding.found.job
    fields: dict[str, object] = {
        "origin": Origin.ADOPTED,
        "kind": binding.found.kind,
        "scheduler_id": thing.uid,
        "image_digest": thing.image_digest or None,
        "node": thing.node or None,
    }
    if binding.status.active:
        fields["slot"] = slots[binding.job.id]
    else:
        fields |= {
            "verdict": binding.verdict,
            "exit_code": exit_code_of(thing),
            "evidence": evidence_of(thing, binding.log_tail, binding.matched),
            "error": "" if binding.status is Status.COMPLETED else binding.because,
        }
    return Change(binding.job.id, Event.ADOPTED, Reason.ADOPTED, status=binding.status, fields=fields)


def next_move(job: Attempt, sight: Sight) -> Move | None:
    """The next step of an attempt that was taken over: to look, and to write down what became of it.

    Its uid is what is followed. Gone, or another uid under its name, is judged from a live answer only.
    """
    if not job.status.active or not sight.known:
        return None
    found = sight.job
    if found is None or found.uid != job.scheduler_id:
        if not sight.live:
            return Move(Act.LOOK, Reason.NOT_SEEN)
        return Move(Act.WRITE, Reason.LOST, _lost(job))
    if found.active:
        if not (job.status is Status.QUEUED and found.started and sight.live):
            return None
        fields = {"node": found.node or None}
        change = Change(job.id, Event.STARTED, Reason.STARTED, fields=fields, uid=job.scheduler_id)
        return Move(Act.WRITE, Reason.STARTED, change)
    return Move(Act.END if sight.live else Act.LOOK, Reason.FINISHED, uid=found.uid)


def _lost(job: Attempt) -> Change:
    error = f"the {job.kind} that was taken over is gone, and nobody saw how it ended"
    fields = {"verdict": Verdict.LOST, "error": error}
    return Change(
        job.id, Event.VANISHED, Reason.LOST, status=Status.ERROR, fields=fields, uid=job.scheduler_id
    )


# ------------------------------------------------------------------------------------------------ words


def hold_sentence(batch: str, bound: Sequence[Binding]) -> str:
    """The gate's hold: how many of its names others took, and what takes them over."""
    n, active = len(bound), sum(one.status.active for one in bound)
    are = "1 job under its names is" if n == 1 else f"{n} jobs under its names are"
    return (
        f"{Hold.ADOPTION_NEEDED.value}: {are} not ours ({active} active, {n - active} ended); "
        f"'batchkeeper adopt {batch}', or adopt: true in the spec, takes over what is there"
    )


def adopting_sentence(by: str) -> str:
    """The gate's hold from the order to take over until everything is bound."""
    return f"{Hold.ADOPTING.value}: what is there is taken over, as {by} asked"


def not_ours_to_stop(job: Attempt) -> str:
    """Why an attempt that was taken over is not cancelled, and who can end it."""
    what = f"{job.kind} {job.namespace}/{job.name}"
    return (
        f"{what} was taken over and is not ours to delete: whoever started it must stop it "
        f"('kubectl delete {job.kind.lower()} {job.name} -n {job.namespace}'); its record follows"
    )


def about_others(gate: Gate) -> bool:
    """Whether the gate is held for what runs under the batch's names already."""
    return any(gate.held_for(hold) for hold in ABOUT_OTHERS)
