"""The retry engine: what automation never does, its budgets, and the child that it makes."""

from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.core.model import (
    Attempt,
    Origin,
    Resources,
    Status,
    Stop,
    TerminatedCode,
    Verdict,
    When,
)
from controller.core.retry import BUILTIN, RetryReason, decide_retry, new_child
from controller.core.rules import first_match, since_last_person
from controller.core.spec import Backoff, Match, RetryRule
from tests.core.chains import FAILURES, NOW, RETRIED, child, ended, failures, follow, root, rule, rulesets

MOUNT = Verdict.MOUNT_FAILURE
VERDICTS = st.lists(st.sampled_from(FAILURES), min_size=1, max_size=12)


@pytest.mark.parametrize(
    ("verdict", "limit", "seconds"),
    [
        (Verdict.MOUNT_FAILURE, 3, [30, 60, 120]),
        (Verdict.DISRUPTED, 5, [10, 20, 40, 80, 160]),
        (Verdict.START_TIMEOUT, 2, [60, 120]),
        (Verdict.IMAGE_PULL, 2, [60, 120]),
        (Verdict.LOST, 2, [60, 120]),
        (Verdict.UNKNOWN, 1, [60]),
        (Verdict.APPLICATION_ERROR, 0, []),
        (Verdict.OUT_OF_MEMORY, 0, []),
        (Verdict.DEADLINE, 0, []),
        (Verdict.REJECTED, 0, []),
        (Verdict.NAME_COLLISION, 0, []),
    ],
)
def test_builtin_budget(verdict: Verdict, limit: int, seconds: list[int]) -> None:
    """Without rules of its own, a task has each verdict's built-in retries and waits, then no more."""
    waits = []
    for failed in range(1, limit + 1):
        chain = failures(*[verdict] * failed)
        decision = decide_retry(chain, (), 99, 0.0)
        assert decision.child
        assert decision.not_before is not None
        assert chain[-1].finished is not None
        waits.append((decision.not_before - chain[-1].finished).total_seconds())
    assert waits == seconds
    last = decide_retry(failures(*[verdict] * (limit + 1)), (), 99, 0.0)
    assert last.because is (RetryReason.LIMIT if limit else RetryReason.NO_RULE)


def test_three_retries_are_four_attempts() -> None:
    """A limit counts retries: a mount that stays away is met four times."""
    chain, decision = follow([MOUNT] * 9, (), 6)
    assert len(chain) == 4
    assert decision.sentence == "all 3 retries of builtin:mount-failure are used up"


@pytest.mark.parametrize(
    ("newest", "because"),
    [
        (root(), RetryReason.NOT_ENDED),
        (root(status=Status.RUNNING), RetryReason.NOT_ENDED),
        (root(status=Status.ESTIMATING), RetryReason.NOT_ENDED),
        (ended(root(), Verdict.SUCCEEDED), RetryReason.SUCCEEDED),
        (ended(root(), Verdict.CANCELLED), RetryReason.STOPPED),
        (ended(root(), Verdict.REAPED), RetryReason.STOPPED),
        (ended(root(), Verdict.CONFIGURATION_ERROR), RetryReason.EXIT_ONE),
        (ended(root(), Verdict.CONFIGURATION_ERROR, exit_code=None), RetryReason.EXIT_ONE),
        (ended(root(), Verdict.DISRUPTED, exit_code=1), RetryReason.EXIT_ONE),
        (ended(root(), MOUNT, no_retry=True), RetryReason.NO_RETRY_ASKED),
        (
            ended(root(), MOUNT, stop=Stop("asked", "ada", NOW, TerminatedCode.USER)),
            RetryReason.STOPPED,
        ),
        (ended(root(), MOUNT, status=Status.TERMINATED), RetryReason.STOPPED),
    ],
)
def test_never_by_automation(newest: Attempt, because: RetryReason) -> None:
    """What R8 forbids stays forbidden, even where a rule matches everything."""
    everything = RetryRule("spec[0]", Match(), limit=99)
    decision = decide_retry([newest], [everything], 99, 0.0)
    assert not decision.child
    assert decision.because is because
    assert decision.sentence


def test_a_stop_without_a_code_is_a_verdict() -> None:
    """The start deadline's order is no cancel: its failure is retried."""
    late = ended(root(), Verdict.START_TIMEOUT, stop=Stop("start-timeout", "batchkeeper", NOW))
    assert decide_retry([late], (), 6, 0.0).child


def test_the_first_matching_rule_wins() -> None:
    """A used-up spec rule does not fall through to the next one, nor to the built-in one."""
    one = rule(MOUNT, "spec[0]", limit=1)
    two = rule(MOUNT, "spec[1]", limit=5)
    first, second = (
        decide_retry(failures(MOUNT), [one, two], 6, 0.0),
        decide_retry(failures(MOUNT, MOUNT), [one, two], 6, 0.0),
    )
    assert (first.child, first.rule) == (True, one)
    assert (second.child, second.because, second.rule) == (False, RetryReason.LIMIT, one)


def test_max_auto_retries_bounds_the_sum() -> None:
    """Rules that each have budget left stop together when their sum is used up."""
    chain = failures(MOUNT, Verdict.DISRUPTED, MOUNT)
    assert decide_retry(chain, (), 3, 0.0).child
    decision = decide_retry(chain, (), 2, 0.0)
    assert decision.because is RetryReason.MAX_AUTO_RETRIES
    assert decision.sentence == "all 2 automatic retries are used up"


def test_a_person_starts_the_budgets_anew() -> None:
    """Failures before the last retry by a person use up nothing."""
    chain = failures(MOUNT, MOUNT, MOUNT, MOUNT)
    assert not decide_retry(chain, (), 3, 0.0).child
    chain.append(ended(child(chain, Origin.USER), MOUNT))
    decision = decide_retry(chain, (), 3, 0.0)
    assert decision.child
    assert decision.sentence == "retry 1 of 3 for mount-failure by builtin:mount-failure"


def test_a_renamed_rule_is_not_unused_again() -> None:
    """Putting a rule in front of another does not give the other's spent budget back."""
    mount, memory = rule(MOUNT, limit=2), rule(Verdict.OUT_OF_MEMORY, limit=2)
    chain, _ = follow([MOUNT] * 9, [mount], 6)
    moved = [replace(memory, name="spec[0]"), replace(mount, name="spec[1]")]
    assert decide_retry(chain, moved, 6, 0.0).because is RetryReason.LIMIT


def test_manual_rule_leaves_it_to_people() -> None:
    """``when: manual`` matches, makes no child, and says so."""
    decision = decide_retry(failures(MOUNT), [rule(MOUNT, when=When.MANUAL, limit=9)], 6, 0.0)
    assert not decision.child
    assert decision.because is RetryReason.MANUAL


def test_batch_end_child() -> None:
    """``when: batch-end`` writes the child with its failure, and the child says when."""
    chain = failures(MOUNT)
    decision = decide_retry(chain, [rule(MOUNT, when=When.BATCH_END)], 6, 0.0)
    assert new_child(chain, decision, id="x", now=NOW).when is When.BATCH_END


def test_the_child_runs_what_the_root_ran() -> None:
    """Lineage, name and frozen input of a child: a retry of a retry goes to the root."""
    chain = failures(MOUNT, MOUNT)
    chain[0] = replace(chain[0], image_digest="sha256:abc")
    decision = decide_retry(chain, (), 6, 1.0)
    made = new_child(chain, decision, id="x", now=NOW, request_id="req")
    assert (made.attempt, made.name, made.retry_parent) == (2, "sweep-7-r2", chain[0].id)
    assert (made.status, made.retry_toggle, made.origin) == (Status.WAITING, False, Origin.AUTO)
    assert (made.rule, made.request_id, made.when) == ("builtin:mount-failure", "req", When.NOW)
    assert (made.inserted, made.updated, made.not_before) == (NOW, NOW, decision.not_before)
    assert (made.job_input, made.image_digest) == (chain[0].job_input, "sha256:abc")
    assert (made.user, made.index, made.namespace) == (chain[0].user, chain[0].index, chain[0].namespace)
    assert (made.slot, made.finished, made.verdict, made.reason) == (None, None, None, "retry-due")


def test_no_child_of_a_refusal() -> None:
    """A decision against a retry can't be made into a record by mistake."""
    chain = failures(Verdict.CONFIGURATION_ERROR)
    with pytest.raises(ValueError, match="exit code 1 is never retried automatically"):
        new_child(chain, decide_retry(chain, (), 6, 0.0), id="x", now=NOW)


def test_an_empty_chain_is_a_bug() -> None:
    """A task has a root; deciding about none is refused."""
    with pytest.raises(ValueError, match="without attempts"):
        decide_retry([], (), 6, 0.0)


def test_a_record_without_finished_counts_from_its_update() -> None:
    """A terminal record that never learned when it finished is still backed off."""
    newest = ended(root(), MOUNT, finished=None)
    decision = decide_retry([newest], [rule(MOUNT, backoff=Backoff(timedelta(seconds=9)))], 6, 0.0)
    assert decision.not_before == newest.updated + timedelta(seconds=9)


@given(VERDICTS, rulesets(), st.integers(0, 8))
def test_budgets_hold_whatever_happens(
    verdicts: list[Verdict], rules: tuple[RetryRule, ...], max_auto: int
) -> None:
    """Automation left alone never exceeds a rule's limit, nor the sum; and never retries exit 1."""
    chain, _ = follow([*verdicts, *verdicts], rules, max_auto)
    retried = [first_match(attempt, rules) for attempt in chain[:-1]]
    assert len(chain) - 1 <= max_auto
    for one in (*rules, *BUILTIN):
        assert sum(match is not None and match.name == one.name for match in retried) <= one.limit
    assert all(attempt.verdict is not Verdict.CONFIGURATION_ERROR for attempt in chain[:-1])


@given(
    st.lists(
        st.tuples(st.sampled_from(list(Verdict)), st.sampled_from(list(Origin))), min_size=1, max_size=15
    ),
    rulesets(),
    st.integers(0, 8),
)
def test_no_history_buys_a_retry(
    history: list[tuple[Verdict, Origin]], rules: tuple[RetryRule, ...], max_auto: int
) -> None:
    """Even in histories that automation could not have made, a child means budget left (R8)."""
    chain = [ended(root(), history[0][0])]
    for verdict, origin in history[1:]:
        chain.append(ended(child(chain, origin), verdict))
    decision = decide_retry(chain, rules, max_auto, 0.0)
    if not decision.child:
        assert decision.because is not RetryReason.DUE
        return
    newest, window = chain[-1], since_last_person(chain)
    assert newest.status is Status.ERROR
    assert newest.exit_code != 1
    assert newest.verdict in RETRIED
    assert decision.rule == first_match(newest, rules)
    assert decision.rule is not None
    spent = [first_match(attempt, rules) for attempt in window[:-1] if attempt.status is Status.ERROR]
    assert sum(match == decision.rule for match in spent) < decision.rule.limit
    assert len(window) - 1 < max_auto


@given(
    st.sampled_from(RETRIED), rulesets(), st.sampled_from([TerminatedCode.USER, TerminatedCode.AUTOMATION])
)
def test_coded_stop_is_final(verdict: Verdict, rules: tuple[RetryRule, ...], code: TerminatedCode) -> None:
    """B5: whatever an attempt died of, a cancel or reap that reached it first forbids the retry."""
    newest = ended(root(), verdict, stop=Stop("asked", "ada", NOW, code))
    assert decide_retry([newest], rules, 6, 0.0).because is RetryReason.STOPPED


@given(VERDICTS, rulesets(), st.floats(0, 1))
def test_a_child_waits_after_the_failure(
    verdicts: list[Verdict], rules: tuple[RetryRule, ...], jitter: float
) -> None:
    """``not_before`` is never before the end of the attempt that failed, and within the rule's maximum."""
    chain = failures(*verdicts)
    decision = decide_retry(chain, rules, 99, jitter)
    if decision.child:
        assert decision.not_before is not None
        assert chain[-1].finished is not None
        assert decision.rule is not None
        wait = decision.not_before - chain[-1].finished
        assert timedelta() <= wait <= decision.rule.backoff.max * 1.1


def test_the_child_carries_the_decision_resources() -> None:
    """What the decision grew is what the record asks for; all else of the input stays."""
    chain = failures(MOUNT)
    decision = replace(decide_retry(chain, (), 6, 0.0), resources=Resources(cpu=1, memory=2, gpu=3))
    made = new_child(chain, decision, id="x", now=NOW)
    assert made.job_input == replace(chain[0].job_input, resources=Resources(cpu=1, memory=2, gpu=3))
