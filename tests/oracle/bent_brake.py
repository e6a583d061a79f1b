"""Starts that something should have kept back, retries of something else, and one that is never given."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from controller.core.model import (
    Foreign,
    Halt,
    Halts,
    Holder,
    JobInput,
    OpenCreate,
    Origin,
    Resources,
    Result,
    Status,
    Stop,
    TerminatedCode,
    Verdict,
)
from tests.oracle.bent_batches import cancelled_batch
from tests.oracle.histories import START, Tale, attempt
from tests.oracle.history import Deed, Side
from tests.oracle.invariants import Invariant


def _creates_again(tale: Tale) -> None:
    """Much later another create of what has its place goes out."""
    tale.pass_time(300)
    tokens = (*tale.jobs["a"].open_creates, OpenCreate("again", tale.now))
    tale.change("a", open_creates=tokens)


def created_while_halted(tale: Tale) -> None:
    """Submissions are halted, and a create of what had its place before goes out minutes later."""
    tale.begin("a")
    tale.claim("a")
    tale.write(Halts(submissions=Halt("maintenance", "local:root", START)))
    _creates_again(tale)


def retried_while_halted(tale: Tale) -> None:
    """A retry has its place, automatic retries are halted, and its record is claimed minutes later."""
    tale.begin("a")
    tale.run("a")
    tale.end("a", exit_code=2)
    child = tale.retry("a")
    tale.pass_time(60)
    tale.regate(holders=(Holder(child, 0),))
    tale.write(Halts(retries=Halt("look first", "local:root", START)))
    tale.pass_time(300)
    tale.change(child, status=Status.CREATED, slot=0, open_creates=(OpenCreate("k", tale.now),))


def created_in_a_full_gate(tale: Tale) -> None:
    """Others fill the gate, and a create of what had its place before goes out minutes later."""
    tale.begin("a")
    tale.claim("a")
    tale.regate(foreign=(Foreign("f", "scan-x", "Job"), Foreign("g", "scan-y", "Job")))
    _creates_again(tale)


def created_above_a_lower_maximum(tale: Tale) -> None:
    """The maximum is lowered to what runs already, and one more is created minutes later."""
    tale.begin("a", "c")
    tale.run("c")
    tale.claim("a", 1)
    tale.regate(max=1)
    _creates_again(tale)


def claimed_long_after_the_pause(tale: Tale) -> None:
    """It has its place, the batch is paused, and its record is claimed minutes later all the same."""
    tale.begin("a")
    tale.regate(holders=(Holder("a", 0),))
    tale.regate(paused=True)
    tale.pass_time(300)
    tale.change("a", status=Status.CREATED, slot=0, open_creates=(OpenCreate("k", tale.now),))


def waits_too_long(tale: Tale) -> None:
    """The first retry of a mount failure may start after ten minutes instead of half a minute."""
    tale.begin("a")
    tale.run("a")
    tale.end("a", exit_code=2)
    tale.retry("a", after=600)


def _retries_as(tale: Tale, **more: Any) -> None:
    tale.begin("a")
    tale.run("a")
    tale.end("a", exit_code=2)
    tale.retry("a", **more)


def retries_another_image(tale: Tale) -> None:
    """A retry has another image."""
    _retries_as(tale, job_input=JobInput("other"))


def retries_another_input(tale: Tale) -> None:
    """A retry has other parameters."""
    _retries_as(tale, job_input=JobInput("image", env={"TRAIT": "4"}))


def retries_for_another(tale: Tale) -> None:
    """A retry belongs to somebody else."""
    _retries_as(tale, user="local:bob")


def retries_under_another_name(tale: Tale) -> None:
    """A retry has the name of another one."""
    _retries_as(tale, name="scan-a-r2")


def retries_another_digest(tale: Tale) -> None:
    """A retry is bound to an image that its task never ran."""
    _retries_as(tale, image_digest="sha256:2")


def retries_with_less(tale: Tale) -> None:
    """An automatic retry asks for less than what failed had."""
    root = JobInput("image", resources=Resources(memory=2**30))
    tale.begin()
    tale.insert(attempt("c", job_input=root))
    tale.run("c")
    tale.end("c", exit_code=2)
    tale.retry("c", job_input=JobInput("image"))


def given_up(tale: Tale) -> None:
    """A second mount failure leaves the gate, and its retry is not recorded."""
    tale.begin("a")
    tale.run("a")
    tale.end("a", exit_code=2)
    child = tale.retry("a")
    tale.pass_time(60)
    tale.run(child, "v")
    tale.end(child, "v", exit_code=2)
    tale.leave(child)


def owed_after_a_reopening(tale: Tale) -> None:
    """A cancelled batch is opened again for a person's retry, which fails, and nobody tries it again."""
    cancelled_batch(tale)
    tale.regate(cancel=None)
    child = tale.retry("a", 0.0, origin=Origin.USER, inserted=tale.now)
    tale.run(child, "v")
    tale.end(child, "v", exit_code=2)
    tale.leave(child)
    tale.finish(Result.FAILED)


def _fail(tale: Tale, *task_ids: str) -> None:
    """They are too many for their memory, one after the other."""
    for task in task_ids:
        tale.run(task, f"u-{task}")
        tale.end(task, f"u-{task}", exit_code=137, reasons=("OOMKilled",), verdict=Verdict.OUT_OF_MEMORY)


TASKS = tuple("abcdefghijkl")


def braked_for_nothing(tale: Tale) -> None:
    """Nine have failed alike, and the batch is held as if it were more."""
    tale.begin(*TASKS)
    _fail(tale, *TASKS[:9])
    tale.regate(hold="systemic-failure: nearly all")


def braked_for_a_few(tale: Tale) -> None:
    """Three of eleven have failed alike, and the batch is held as if it were nearly all."""
    tale.begin(*TASKS)
    _fail(tale, *TASKS[:3])
    for task in TASKS[3:11]:
        tale.run(task, f"u-{task}")
        tale.end(task, f"u-{task}")
    tale.pass_time(60)
    tale.regate(hold="systemic-failure: nearly all")


def never_braked(tale: Tale) -> None:
    """Ten have failed alike minutes ago, and one more starts."""
    tale.begin(*TASKS)
    _fail(tale, *TASKS[:10])
    tale.pass_time(300)
    tale.claim("l")


def lawful_brake(tale: Tale) -> None:
    """Ten have failed alike, the batch is held, somebody resumes it, and more start at once."""
    tale.begin(*TASKS)
    _fail(tale, *TASKS[:10])
    tale.regate(hold="systemic-failure: nearly all")
    tale.pass_time(300)
    tale.parent = replace(tale.parent, batch=replace(tale.parent.batch, resumed=tale.now))
    tale.write(tale.parent)
    tale.regate(hold="")
    tale.pass_time(300)
    tale.claim("l")


def claimed_in_a_refused_namespace(tale: Tale) -> None:
    """Nothing of its namespace was seen for minutes, and a place is taken."""
    tale.begin("a")
    tale.weather(Side.CLUSTER, namespace="lab")
    tale.pass_time(300)
    tale.claim("a")


def judged_in_a_refused_namespace(tale: Tale) -> None:
    """Nothing of its namespace was seen for minutes, and an end is recorded."""
    tale.begin("a")
    tale.run("a")
    tale.weather(Side.CLUSTER, namespace="lab")
    tale.pass_time(300)
    tale.end("a")


def lost_blindly(tale: Tale) -> None:
    """What ended before an outage of the cluster is called lost minutes into it."""
    tale.begin("a")
    tale.run("a")
    tale.happen(Deed.ENDED, "a", success=False)
    tale.happen(Deed.GONE, "a")
    tale.weather(Side.CLUSTER)
    tale.pass_time(300)
    tale.change("a", status=Status.ERROR, verdict=Verdict.LOST, slot=None, finished=tale.now)


def reaped_for_a_refusal(tale: Tale) -> None:
    """The reaper counts the time in which its namespace was refused."""
    tale.begin("a")
    tale.claim("a")
    tale.weather(Side.CLUSTER, namespace="lab")
    tale.pass_time(3500)
    tale.weather(Side.CLUSTER, out=False, namespace="lab")
    tale.pass_time(200)
    tale.change("a", stop=Stop("created for over 1h", "batchkeeper", tale.now, TerminatedCode.AUTOMATION))


def lawful_beside_a_refusal(tale: Tale) -> None:
    """Another namespace is refused: that keeps nobody here from anything."""
    tale.begin("a")
    tale.weather(Side.CLUSTER, namespace="other-lab")
    tale.pass_time(300)
    tale.run("a")
    tale.end("a")


def lawful_late_record(tale: Tale) -> None:
    """Of what ended before an outage somebody had heard, and records it minutes into it."""
    tale.begin("a")
    tale.run("a")
    tale.happen(Deed.ENDED, "a", success=True)
    tale.weather(Side.CLUSTER)
    tale.pass_time(300)
    tale.change("a", status=Status.COMPLETED, verdict=Verdict.SUCCEEDED, slot=None, finished=tale.now)
    tale.weather(Side.CLUSTER, out=False)
    tale.leave("a")
    tale.finish()


def lawful_reaping_beside_a_refusal(tale: Tale) -> None:
    """What was refused elsewhere is no time that nobody looked here."""
    tale.begin("a")
    tale.claim("a")
    tale.weather(Side.CLUSTER, namespace="other-lab")
    tale.pass_time(3700)
    tale.weather(Side.CLUSTER, out=False, namespace="other-lab")
    tale.change("a", stop=Stop("created for over 1h", "batchkeeper", tale.now, TerminatedCode.AUTOMATION))


def lawful_late_create(tale: Tale) -> None:
    """Whoever looked before submissions were halted may begin a create right after it."""
    tale.begin("a")
    tale.claim("a")
    tale.write(Halts(submissions=Halt("maintenance", "local:root", START)))
    tale.change("a", open_creates=(*tale.jobs["a"].open_creates, OpenCreate("again", tale.now)))


def lawful_create_again(tale: Tale) -> None:
    """A gate that is full with what has its own place keeps nobody from creating it again."""
    tale.begin("a")
    tale.regate(max=1)
    tale.claim("a")
    _creates_again(tale)


def lawful_retry_of_a_person(tale: Tale) -> None:
    """A person asks for more memory."""
    tale.begin("a")
    tale.run("a")
    tale.end("a", exit_code=1, verdict=Verdict.CONFIGURATION_ERROR)
    more = JobInput("image", resources=Resources(memory=2**31))
    tale.retry("a", origin=Origin.USER, job_input=more)


def lawful_stretch(tale: Tale) -> None:
    """A back-off may be stretched by a tenth."""
    tale.begin("a")
    tale.run("a")
    tale.end("a", exit_code=2)
    tale.retry("a", after=33.0)


BENT_BRAKES: tuple[tuple[Callable[[Tale], None], Invariant], ...] = (
    (created_while_halted, Invariant.GATE_SHUT),
    (retried_while_halted, Invariant.GATE_SHUT),
    (created_in_a_full_gate, Invariant.GATE_SHUT),
    (created_above_a_lower_maximum, Invariant.GATE_SHUT),
    (claimed_long_after_the_pause, Invariant.GATE_SHUT),
    (waits_too_long, Invariant.BACK_OFF),
    (retries_another_image, Invariant.LIKENESS),
    (retries_another_input, Invariant.LIKENESS),
    (retries_for_another, Invariant.LIKENESS),
    (retries_under_another_name, Invariant.LIKENESS),
    (retries_another_digest, Invariant.LIKENESS),
    (retries_with_less, Invariant.LIKENESS),
    (given_up, Invariant.GIVEN_UP),
    (owed_after_a_reopening, Invariant.UNFINISHED),
    (braked_for_nothing, Invariant.BRAKE),
    (braked_for_a_few, Invariant.BRAKE),
    (never_braked, Invariant.BRAKE),
    (claimed_in_a_refused_namespace, Invariant.OUTAGE),
    (judged_in_a_refused_namespace, Invariant.OUTAGE),
    (lost_blindly, Invariant.OUTAGE),
    (reaped_for_a_refusal, Invariant.REAPED),
)
LAWFUL_BRAKES = (
    lawful_brake,
    lawful_beside_a_refusal,
    lawful_late_record,
    lawful_reaping_beside_a_refusal,
    lawful_late_create,
    lawful_create_again,
    lawful_retry_of_a_person,
    lawful_stretch,
)
