"""The situations that are crashed at every side effect: together they strike every kind that there is."""

from __future__ import annotations

from collections.abc import Sequence

from controller.core.model import BatchStatus, Result, Status, Verdict
from tests.fakes.memory_objects import End
from tests.simulation.clerk import GOOD
from tests.simulation.faults import Fault
from tests.simulation.happenings import (
    adopt,
    by_hand,
    cancel,
    cancel_batch,
    come,
    creates,
    edit,
    go,
    halt,
    hurry,
    leftovers,
    lower,
    nudge,
    once_closed,
    pause,
    resume,
    retry,
    time_passes,
    unhalt,
    until_closed,
)
from tests.simulation.scenario import BatchPlan
from tests.simulation.situation import (
    DONE,
    ENDED,
    ERROR,
    FINISHED,
    OK,
    Rule,
    Situation,
)

LONG = End(0.0, 100_000.0)
NEVER = End(None, None, waiting="ContainerCreating")
PARTIAL = (BatchStatus.FINISHED, Result.PARTIAL)
FAILED = (BatchStatus.FINISHED, Result.FAILED)
CANCELLED = (ENDED, Verdict.CANCELLED)
REAPED = (ENDED, Verdict.REAPED)


# --------------------------------------------------------------------------------------- the situations

CREATE = Situation("create", wanted={"scan-t0": DONE})
RETRY = Situation(
    "retry",
    ends={"scan-t0": End(0.0, 3.0, 2)},
    rules={Verdict.MOUNT_FAILURE: Rule()},
    wanted={"scan-t0": (ERROR, Verdict.MOUNT_FAILURE), "scan-t0-r1": DONE},
)
REAPED_CREATED = Situation(
    "reaped while created",
    weather=creates(Fault.LATE, Fault.FAILED),
    late=150.0,
    figures={"created_after": 20.0, "tells": True},
    wanted={"scan-t0": REAPED},
    results={"scan": FAILED},
    spared=frozenset({"scan-t0"}),
)
REAPED_QUEUED = Situation(
    "reaped while queued",
    ends={"scan-t0": NEVER},
    figures={"queued_after": 20.0},
    wanted={"scan-t0": REAPED},
    results={"scan": FAILED},
)
PAIRS = (CREATE, RETRY, REAPED_CREATED, REAPED_QUEUED)
"""Small enough that every ordered pair of crashes can be played."""

SMALL = Situation(
    "retried and cancelled",
    tasks=3,
    most=2,
    ends={
        "scan-t0": End(0.0, 3.0, 2, log="files not found"),
        "scan-t1": End(0.0, 5.0, log="done"),
        "scan-t2": LONG,
    },
    asks=(cancel("scan-t2"), retry("scan-t2")),
    figures={"explain_every": 29, "tells": True},
    wanted={
        "scan-t0": (ERROR, Verdict.MOUNT_FAILURE),
        "scan-t0-r1": DONE,
        "scan-t1": DONE,
        "scan-t2": CANCELLED,
        "scan-t2-r1": DONE,
    },
)
"""A little of everything; what people are told is judged too."""

SITUATIONS: Sequence[Situation] = (
    SMALL,
    Situation(
        "a retry at the batch's end",
        tasks=2,
        ends={"scan-t0": End(0.0, 3.0, 2)},
        rules={Verdict.MOUNT_FAILURE: Rule(when="batch-end")},
        wanted={"scan-t0": (ERROR, Verdict.MOUNT_FAILURE), "scan-t0-r1": DONE, "scan-t1": DONE},
    ),
    REAPED_CREATED,
    REAPED_QUEUED,
    Situation(
        "never starts",
        ends={"scan-t0": NEVER},
        rules={Verdict.START_TIMEOUT: Rule()},
        figures={"start_deadline": 10.0},
        wanted={"scan-t0": (ERROR, Verdict.START_TIMEOUT), "scan-t0-r1": DONE},
    ),
    Situation(
        "cancelled, and reopened by a retry",
        tasks=2,
        ends={"scan-t0": LONG},
        asks=(cancel_batch, once_closed(retry("scan-t0"))),
        figures={"tells": True},
        wanted={"scan-t0": CANCELLED, "scan-t1": CANCELLED, "scan-t0-r1": DONE},
        results={"scan": PARTIAL},
    ),
    Situation(
        "cancelled while a create is under way",
        weather=creates(Fault.LATE, Fault.FAILED),
        late=40.0,
        asks=(cancel("scan-t0", Status.CREATED),),
        wanted={"scan-t0": CANCELLED},
        results={"scan": FAILED},
        spared=frozenset({"scan-t0"}),
    ),
    Situation(
        "lost",
        ends={"scan-t0": LONG},
        rules={Verdict.LOST: Rule()},
        others=(by_hand("scan-t0", Status.RUNNING),),
        wanted={"scan-t0": (ERROR, Verdict.LOST), "scan-t0-r1": DONE},
    ),
    Situation(
        "re-pointed",
        ends={"scan-t0": End(0.0, 60.0)},
        weather=creates(Fault.LATE),
        late=18.0,
        figures={"hints_lost": 1.0},
        others=(by_hand("scan-t0", Status.RUNNING, age=17.0),),
        wanted={"scan-t0": DONE},
        spared=frozenset({"scan-t0", "scan-t0-r1", "scan-t0-r2"}),
    ),
    Situation(
        "cancelled while its retry waits",
        ends={"scan-t0": End(0.0, 3.0, 2)},
        rules={Verdict.MOUNT_FAILURE: Rule(20)},
        asks=(cancel("scan-t0", ERROR),),
        wanted={"scan-t0": (ERROR, Verdict.MOUNT_FAILURE), "scan-t0-r1": CANCELLED},
        results={"scan": FAILED},
        spared=frozenset({"scan-t0-r1"}),
    ),
    Situation(
        "retried in bulk, and hurried",
        tasks=3,
        most=3,
        ends={
            "scan-t0": End(0.0, 3.0, 2),
            "scan-t1": End(0.0, 3.0, 3),
            "scan-t2": End(0.0, 3.0, 3),
        },
        rules={Verdict.MOUNT_FAILURE: Rule(40)},
        asks=(hurry, retry("scan-t1", "scan-t2")),
        wanted={
            "scan-t0": (ERROR, Verdict.MOUNT_FAILURE),
            "scan-t0-r1": DONE,
            "scan-t1": (ERROR, Verdict.APPLICATION_ERROR),
            "scan-t1-r1": DONE,
            "scan-t2": (ERROR, Verdict.APPLICATION_ERROR),
            "scan-t2-r1": DONE,
        },
    ),
    Situation(
        "closed and reopened",
        ends={"scan-t0": End(0.0, 1.0, 3)},
        asks=(once_closed(retry("scan-t0")),),
        wanted={"scan-t0": (ERROR, Verdict.APPLICATION_ERROR), "scan-t0-r1": DONE},
    ),
    Situation(
        "edited, scaled, paused, halted",
        tasks=2,
        ends={"scan-t0": End(0.0, 40.0), "scan-t1": End(0.0, 20.0)},
        asks=(edit, lower, halt, unhalt, nudge, pause, resume),
        wanted={"scan-t0": DONE, "scan-t1": DONE},
    ),
    Situation(
        "taken over",
        tasks=3,
        most=2,
        before=leftovers,
        asks=(adopt,),
        others=(go("scan-other", 30.0),),
        wanted={"scan-t0": DONE, "scan-t1": DONE, "scan-t2": DONE},
    ),
    Situation(
        "ended while a create is under way",
        weather=creates(Fault.LATE),
        late=60.0,
        figures={"hold": 90.0},
        wanted={"scan-t0": DONE},
    ),
    Situation(
        "two batches under one limit",
        more=(BatchPlan("leaf", 1, 1),),
        figures={"total": 1},
        wanted={"scan-t0": DONE, "leaf-t0": DONE},
        results={"scan": FINISHED, "leaf": FINISHED},
    ),
    Situation(
        "others' objects, a taken name, a refusal",
        tasks=2,
        most=3,
        ends={"scan-t0": End(0.0, 3.0, 2)},
        rules={Verdict.MOUNT_FAILURE: Rule(20)},
        refused={"scan-t1": "admission webhook denied the request"},
        others=(come("scan-t0-r1", 1.0), come("scan-other"), go("scan-other", 40.0), go("scan-t0-r1", 60.0)),
        wanted={
            "scan-t0": (ERROR, Verdict.MOUNT_FAILURE),
            "scan-t0-r1": (ERROR, Verdict.NAME_COLLISION),
            "scan-t1": (ERROR, Verdict.REJECTED),
        },
        results={"scan": FAILED},
    ),
    Situation(
        "a spec that is refused at first",
        specs=((0.0, b"nonsense"), (15.0, GOOD)),
        asks=(until_closed,),
        figures={"batches": (), "tells": True},
        wanted={"scan-t0": DONE},
    ),
    Situation(
        "a ghost",
        weather=creates(Fault.LATE),
        ends={"scan-t0": End(0.0, 2.0)},
        late=30.0,
        others=(by_hand("scan-t0", OK),),
        wanted={"scan-t0": DONE},
    ),
    Situation("two that lead by turns", figures={"replicas": 2}, wanted={"scan-t0": DONE}),
    Situation(
        "two that believe they lead",
        tasks=2,
        ends={"scan-t0": End(0.0, 3.0, 2)},
        rules={Verdict.MOUNT_FAILURE: Rule()},
        figures={"replicas": 2, "split_brain": True},
        others=(time_passes(30.0),),
        wanted={"scan-t0": (ERROR, Verdict.MOUNT_FAILURE), "scan-t0-r1": DONE, "scan-t1": DONE},
    ),
)

BESIDE_A_GHOST = Situation(
    "a ghost that runs for a minute",
    tasks=3,
    weather=creates(Fault.LATE),
    ends={name: End(0.0, runs) for name, runs in (("scan-t0", 60.0), ("scan-t1", 30.0))},
    late=80.0,
    figures={"patience": 5.0},
    others=(by_hand("scan-t0", OK),),
    wanted={"scan-t0": DONE, "scan-t1": DONE, "scan-t2": DONE},
)
"""Somebody takes away what kept a name, and the late create lands: nothing starts beside it uncounted."""
