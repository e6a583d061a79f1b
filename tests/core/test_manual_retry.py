"""A person's retry: what is refused and why, what it runs with, and when it is warned about."""

from dataclasses import replace

import pytest

from controller.core.model import Attempt, Origin, Resources, Status, Verdict, When
from controller.core.retry import ManualDecision, Refusal, decide_manual, new_child
from tests.core.chains import GIB, NOW, child, ended, failures, root

MOUNT = Verdict.MOUNT_FAILURE


def refusal(decision: ManualDecision) -> Refusal | None:
    """Why it was refused; a refusal always says so in a sentence and never makes a child."""
    assert decision.sentence
    assert decision.child is (decision.refusal is None)
    return decision.refusal


@pytest.mark.parametrize("verdict", [MOUNT, Verdict.CONFIGURATION_ERROR, Verdict.CANCELLED, Verdict.REAPED])
def test_error_and_terminated_are_retried(verdict: Verdict) -> None:
    """E1: people may retry what automation would not: exit 1, a cancel, a reap."""
    assert refusal(decide_manual(failures(verdict))) is None


@pytest.mark.parametrize(
    "status",
    [
        Status.WAITING,
        Status.CREATED,
        Status.ESTIMATING,
        Status.QUEUED,
        Status.RUNNING,
        Status.COMPLETED,
    ],
)
def test_other_states_are_refused_by_name(status: Status) -> None:
    """A job that has not failed is refused with its state."""
    decision = decide_manual([root(status=status)])
    assert refusal(decision) is Refusal.NOT_RETRYABLE
    assert f"sweep-7 is {status}" in decision.sentence


@pytest.mark.parametrize("status", [Status.WAITING, Status.CREATED, Status.QUEUED, Status.RUNNING])
def test_a_retry_in_flight_is_named(status: Status) -> None:
    """E6: while a retry of the root waits or runs, a second one is refused and the first is named."""
    chain = failures(MOUNT)
    chain.append(child(chain, status=status))
    decision = decide_manual(chain, asked=chain[0])
    assert refusal(decision) is Refusal.IN_FLIGHT
    assert decision.in_flight == chain[-1].id
    assert "sweep-7-r1" in decision.sentence


def test_the_running_retry_itself_is_not_failed() -> None:
    """Asked about the retry that runs, the answer is about its own state."""
    chain = failures(MOUNT)
    chain.append(child(chain, status=Status.RUNNING))
    assert refusal(decide_manual(chain, asked=chain[-1])) is Refusal.NOT_RETRYABLE


def test_a_task_that_completed_later_is_not_run_again() -> None:
    """An old failure whose retry completed is done: running it again would overwrite its result."""
    chain = failures(MOUNT, Verdict.SUCCEEDED)
    assert refusal(decide_manual(chain, asked=chain[0])) is Refusal.ALREADY_COMPLETED


def test_refused_while_its_batch_is_being_cancelled() -> None:
    """Until a cancel has come to its end, a retry in the batch would be cancelled with the rest."""
    assert refusal(decide_manual(failures(MOUNT), cancelling=True)) is Refusal.CANCELLING


def test_max_retries_bounds_people_not_rules() -> None:
    """E8: the operator's limit counts what people asked for; automatic retries use up none of it."""
    assert refusal(decide_manual(failures(MOUNT, MOUNT, MOUNT), max_retries=1)) is None
    asked_for = failures(MOUNT, MOUNT, MOUNT, by=Origin.USER)
    assert refusal(decide_manual(asked_for, max_retries=3)) is None
    decision = decide_manual(asked_for, max_retries=2)
    assert refusal(decision) is Refusal.MAX_RETRIES
    assert decision.sentence == "2 retries were asked for, and max_retries is 2"
    assert refusal(decide_manual(failures(MOUNT), max_retries=0)) is Refusal.MAX_RETRIES
    assert refusal(decide_manual(failures(*[MOUNT] * 50, by=Origin.USER))) is None


@pytest.mark.parametrize(
    ("chain", "warned"),
    [
        (failures(MOUNT, MOUNT), False),
        (failures(MOUNT, MOUNT, MOUNT), True),
        (failures(Verdict.LOST, MOUNT, MOUNT, MOUNT), True),
        (failures(MOUNT, MOUNT, Verdict.LOST), False),
        (failures(MOUNT, Verdict.LOST, MOUNT, MOUNT), False),
        (failures(*[Verdict.CANCELLED] * 3, by=Origin.USER), False),
    ],
)
def test_warns_after_three_equal_verdicts(chain: list[Attempt], warned: bool) -> None:
    """E7b: three equal verdicts in a row warn, and don't refuse; people's own cancels say nothing."""
    decision = decide_manual(chain)
    assert refusal(decision) is None
    assert ("unlikely to help" in decision.warning) is warned


def test_resources_of_the_newest_attempt_unless_overridden() -> None:
    """What had grown is kept; what the caller asks for instead is taken as it is."""
    chain = failures(Verdict.OUT_OF_MEMORY)
    grown = replace(chain[0].job_input, resources=Resources(cpu=1000, memory=6 * GIB))
    chain.append(ended(child(chain, job_input=grown), MOUNT))
    assert decide_manual(chain).resources == grown.resources
    chosen = Resources(cpu=2000, memory=GIB)
    assert decide_manual(chain, resources=chosen).resources == chosen


def test_the_child_of_a_person() -> None:
    """Its record says who asked, waits for nothing but a place, and goes to the root."""
    chain = failures(MOUNT, MOUNT)
    made = new_child(chain, decide_manual(chain), id="x", now=NOW, request_id="req")
    assert (made.origin, made.rule, made.when, made.not_before) == (Origin.USER, "", When.NOW, None)
    assert (made.retry_parent, made.attempt, made.name) == (chain[0].id, 2, "sweep-7-r2")
    assert (made.retry_toggle, made.request_id, made.reason) == (False, "req", "retry-asked")
    assert made.job_input == chain[0].job_input


def test_no_child_of_a_refused_request() -> None:
    """A refusal can't be made into a record by mistake."""
    chain = [root(status=Status.RUNNING)]
    with pytest.raises(ValueError, match="no child"):
        new_child(chain, decide_manual(chain), id="x", now=NOW)


def test_an_empty_chain_is_a_bug() -> None:
    """A task has a root; deciding about none is refused."""
    with pytest.raises(ValueError, match="without attempts"):
        decide_manual([])
