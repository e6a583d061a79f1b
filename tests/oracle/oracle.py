"""The oracle: feed it the entries in order, then ask what was violated.

The simulator feeds it after every port call; a real run feeds it the merged logs afterwards.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from controller.core.model import Attempt, Gate
from tests.oracle import story
from tests.oracle.history import Entry, Happened, Parent, Weather, Written
from tests.oracle.invariants import Broken, Violation
from tests.oracle.rules_batch import (
    judge_counted,
    judge_last,
    judge_leader,
    judge_parent,
    judge_reopened,
    judge_truth,
)
from tests.oracle.rules_brake import judge_given_up, judge_likeness, judge_start
from tests.oracle.rules_cluster import judge_deed
from tests.oracle.rules_end import judge_end
from tests.oracle.rules_gate import judge_gate
from tests.oracle.rules_others import judge_kept
from tests.oracle.rules_records import judge_record
from tests.oracle.rules_retries import judge_retry
from tests.oracle.rules_systemic import judge_brake
from tests.oracle.rules_truth import judge_ending
from tests.oracle.state import Facts, State


@dataclass(slots=True)
class Oracle:
    """One run's judge. ``most``: after so many violations it stops looking, the first ones matter."""

    facts: Facts = field(default_factory=Facts)
    most: int = 20
    state: State = field(init=False)
    violations: list[Violation] = field(default_factory=list)
    entries: int = 0

    def __post_init__(self) -> None:
        self.state = State(self.facts)

    def feed(self, entry: Entry) -> None:
        """Judge one entry by what was true before it, then take it in."""
        self.entries += 1
        key = story.key_of(self.state, entry)
        self.state.stories[key].append(entry)
        for broken in _judge(self.state, entry):
            self._note(broken, key)
        self.state.take(entry)

    def feed_all(self, entries: Iterable[Entry]) -> None:
        """Judge entries in their order."""
        for entry in entries:
            self.feed(entry)

    def finish(self) -> None:
        """Judge the end: call it once everything was left alone for long enough."""
        for broken in judge_end(self.state):
            self._note(broken, "")

    def _note(self, broken: Broken, key: str) -> None:
        if len(self.violations) < self.most:
            invariant, what = broken
            self.violations.append(Violation(invariant, what, story.told(self.state, key, what)))


def _judge(state: State, entry: Entry) -> Iterator[Broken]:
    match entry:
        case Written(_, Attempt()):
            yield from judge_record(state, entry)
            yield from judge_retry(state, entry)
            yield from judge_leader(state, entry)
            yield from judge_last(state, entry)
            yield from judge_truth(state, entry)
            yield from judge_ending(state, entry)
            yield from judge_start(state, entry)
            yield from judge_likeness(state, entry)
        case Written(_, Gate()):
            yield from judge_gate(state, entry)
            yield from judge_counted(state, entry)
            yield from judge_given_up(state, entry)
            yield from judge_brake(state, entry)
            yield from judge_kept(state, entry)
        case Written(_, Parent()):
            yield from judge_parent(state, entry)
            yield from judge_reopened(state, entry)
            yield from judge_kept(state, entry)
        case Happened():
            yield from judge_deed(state, entry)
        case Written() | Weather():
            return
