"""What people are told: which topic follows from what, once, by which way, and in which words."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from controller.core.batches import BatchMove, BatchReason
from controller.core.decide import Lifecycle, Reason
from controller.core.model import (
    Batch,
    BatchStatus,
    Foreign,
    Gate,
    Holder,
    Result,
    Verdict,
)
from controller.core.notices import EVERY, TELLS, Channel, Notice, Topic, notices
from controller.core.plan import Leave, Remember, plan
from controller.core.telling import (
    SHOWN,
    end_line,
    event_name,
    happened,
    moved,
    refused,
    slack_text,
)
from controller.core.view import View
from tests.core.chains import NOW, child, ended, root, rule

BATCH = Batch(
    "0" * 24, "lab", "sweep", "ada", BatchStatus.RUNNING, {}, "", "", settings={}, tasks=9, inserted=NOW,
    updated=NOW,
)  # fmt: skip
GATE = Gate("batch", max=3)
HELD = "systemic-failure: 9 of the 10 first attempts that ended were lost: put that right"


def view(
    *holders: Any, gate: Gate | None = None, chains: Mapping[str, Any] | None = None, **more: Any
) -> View:
    """A running batch whose gate has these holders."""
    places = tuple(Holder(job.id, slot) for slot, job in enumerate(holders))
    known: dict[str, Any] = {
        "batch": BATCH,
        "gate": gate or replace(GATE, holders=places),
        "now": NOW,
        "life": Lifecycle(),
        "rules": (rule(Verdict.MOUNT_FAILURE, limit=1),),
        "channels": EVERY,
        "chains": chains or {job.root_id: (job,) for job in holders},
        "holders": holders,
        "foreign": (),
    }
    return View(**(known | more))


def topics(seen: View) -> list[Topic]:
    """What is to be told of it."""
    return [topic for topic, _ in happened(seen)]


FULL = replace(GATE, holders=tuple(Holder(f"h{slot}", slot) for slot in range(3)))
CROWDED = replace(GATE, holders=FULL.holders[:2], foreign=(Foreign("u", "sweep-x", "Job"),))
FIRST = ended(root("a"), Verdict.MOUNT_FAILURE)
SECOND = ended(child([FIRST]), Verdict.MOUNT_FAILURE)
REAPED = replace(ended(root("b"), Verdict.REAPED), error="it was queued for more than 14d")

HAPPENED: list[tuple[str, View, list[Topic]]] = [
    ("nothing but that it runs", view(), [Topic.ACCEPTED]),
    (
        "its tasks are still being recorded",
        view(batch=replace(BATCH, status=BatchStatus.EXPANDING)),
        [],
    ),
    ("a place is left", view(gate=replace(FULL, max=4)), [Topic.ACCEPTED]),
    ("no place is left", view(gate=FULL), [Topic.ACCEPTED, Topic.CAP_REACHED]),
    ("others fill it up", view(gate=CROWDED), [Topic.ACCEPTED, Topic.CAP_REACHED]),
    ("scaled to nothing", view(gate=Gate("batch", max=0)), [Topic.ACCEPTED]),
    ("a failure that is tried again", view(FIRST), [Topic.ACCEPTED]),
    (
        "a failure whose retries are used up",
        view(SECOND, chains={FIRST.id: (FIRST, SECOND)}),
        [Topic.ACCEPTED, Topic.RETRIES_EXHAUSTED],
    ),
    (
        "all automatic retries are used up",
        view(SECOND, chains={FIRST.id: (FIRST, SECOND)}, rules=(rule(Verdict.MOUNT_FAILURE, limit=9),),
             max_auto_retries=1),
        [Topic.ACCEPTED, Topic.RETRIES_EXHAUSTED],
    ),
    (
        "a person has already asked for another try",
        view(SECOND, chains={FIRST.id: (FIRST, SECOND, child([FIRST, SECOND]))}),
        [Topic.ACCEPTED],
    ),
    (
        "a failure that no rule is for, or one that allows none",
        view(FIRST, ended(root("c"), Verdict.DEADLINE), rules=(rule(Verdict.MOUNT_FAILURE, limit=0),)),
        [Topic.ACCEPTED],
    ),
    ("a reaped job", view(REAPED), [Topic.ACCEPTED, Topic.REAPED]),
    ("all of it was told", view(gate=FULL, batch=replace(BATCH, told=tuple(Topic))), []),
    ("a closed batch", view(batch=replace(BATCH, status=BatchStatus.FINISHED)), []),
    ("nobody is told", view(gate=FULL, channels=frozenset()), []),
    ("messages only, and these are Events", view(gate=FULL, channels=frozenset({Channel.WEBHOOK})), []),
]  # fmt: skip


@pytest.mark.parametrize(("seen", "told"), [row[1:] for row in HAPPENED], ids=[row[0] for row in HAPPENED])
def test_what_follows_from_what_is_so(seen: View, told: list[Topic]) -> None:
    """By what the records say now, and by what was told before."""
    assert topics(seen) == told
    steps = [step for step in plan(seen, lambda _: 0.0) if isinstance(step, Remember)]
    assert [topic for step in steps for topic, _ in step.told] == told
    assert all(step.reason is Reason.WORTH_TELLING for step in steps)


def test_it_is_remembered_before_the_place_is_given_back() -> None:
    """The place is what remembers an end: after it nothing would tell of that any more."""
    steps = plan(view(REAPED), lambda _: 0.0)
    kinds = [type(step) for step in steps]
    assert kinds.index(Remember) < kinds.index(Leave)


def move(status: BatchStatus, sentence: str = "x") -> BatchMove:
    """A move of the batch parent."""
    result = Result.PARTIAL if status is BatchStatus.FINISHED else None
    return BatchMove(status, BatchReason.ALL_ENDED, sentence, result)


@pytest.mark.parametrize(
    ("gate", "step", "told"),
    [
        (GATE, move(BatchStatus.FINISHED), [Topic.FINISHED]),
        (GATE, move(BatchStatus.CANCELLED), [Topic.CANCELLED]),
        (replace(GATE, hold=HELD), move(BatchStatus.HELD, HELD), [Topic.SYSTEMIC_FAILURE]),
        (replace(GATE, hold="adoption-needed: x"), move(BatchStatus.HELD, "adoption-needed: x"), []),
        (GATE, move(BatchStatus.PAUSED), []),
        (GATE, move(BatchStatus.RUNNING), []),
    ],
)
def test_what_follows_from_a_move_of_the_batch(gate: Gate, step: BatchMove, told: list[Topic]) -> None:
    """Its ends, and the hold that needs somebody to put something right."""
    assert [topic for topic, _ in moved(gate, step)] == told


def test_the_hold_is_told_in_its_own_words() -> None:
    """Not with the word that the gate keeps it by."""
    ((_, sentence),) = moved(replace(GATE, hold=HELD), move(BatchStatus.HELD, HELD))
    assert sentence.startswith("9 of the 10 first attempts")


def test_a_life_has_at_most_eight_events() -> None:
    """As many as there are topics, each once: that is what bounds them."""
    assert len(Topic) <= 8
    assert set(TELLS) == set(Topic)
    assert all(topic.value.isalpha() and topic.value[0].isupper() for topic in Topic), (
        "as Kubernetes has them"
    )


def test_each_way_gets_what_is_meant_for_it() -> None:
    """Every topic is an Event; a message is what somebody waits for, or must act on."""
    everything = [(topic, topic.value) for topic in Topic]
    by_event = list(notices(everything, {Channel.EVENT}))
    by_webhook = list(notices(everything, {Channel.WEBHOOK}))
    assert [one.topic for one in by_event] == list(Topic)
    assert [one.topic for one in by_webhook] == [
        Topic.REFUSED,
        Topic.SYSTEMIC_FAILURE,
        Topic.FINISHED,
        Topic.CANCELLED,
    ]
    assert len(list(notices(everything, EVERY))) == len(by_event) + len(by_webhook)
    assert list(notices(everything, ())) == []
    assert by_event[0] == Notice(Topic.ACCEPTED, Channel.EVENT, "BatchAccepted")


def test_the_words() -> None:
    """What people read of each topic."""
    told = dict(happened(view(SECOND, REAPED, chains={FIRST.id: (FIRST, SECOND)}, gate=CROWDED)))
    assert told == {
        Topic.ACCEPTED: "9 tasks, at most 3 active",
        Topic.CAP_REACHED: "2 of 3 places are taken, and 1 of others count",
        Topic.RETRIES_EXHAUSTED: f"{SECOND.name} failed for good (mount-failure): "
        "all 1 retries of spec[0] are used up",
        Topic.REAPED: f"{REAPED.name} was reaped: it was queued for more than 14d",
    }
    failures = {Verdict.LOST: 1, Verdict.MOUNT_FAILURE: 5, Verdict.OUT_OF_MEMORY: 2}
    assert end_line("178 of 186 tasks completed", failures, timedelta(hours=3, minutes=12, seconds=9)) == (
        "178 of 186 tasks completed, 8 failed (mount-failure 5, out-of-memory 2, lost 1), after 3h12m"
    )
    assert end_line("3 of 3 tasks completed", {}, timedelta(seconds=4)) == "3 of 3 tasks completed, after 4s"


def test_a_refusal_names_its_first_problems() -> None:
    """On one line, however many there are."""
    assert refused(["name: is missing."]) == "name: is missing"
    many = refused([f"line {n}" for n in range(SHOWN + 2)])
    assert many == "line 0; line 1; line 2; and 2 more"


def test_nobody_is_called_by_a_name() -> None:
    """What a person wrote into a spec mentions no channel and hides no link."""
    text = slack_text("<!channel> & co", "see <https://evil|here>", "https://keeper/#/batches/1")
    assert text == (
        "*&lt;!channel&gt; &amp; co*: see &lt;https://evil|here&gt; <https://keeper/#/batches/1|open>"
    )


def test_the_name_of_an_event_is_always_the_same() -> None:
    """By the batch's id, since names may be in several namespaces; as long as a name may be."""
    assert event_name(BATCH, Topic.FINISHED) == f"sweep.{'0' * 24}.batchfinished"
    longest = max(len(event_name(replace(BATCH, name="n" * 40), topic)) for topic in Topic)
    assert longest < 253
