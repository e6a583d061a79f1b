"""The retry engine: whether a task's newest end is tried again, by automation or for a person, and how.

``decide`` and the plan ask ``decide_retry`` for every failure (lifecycle.md R8 and section 4); the
commands and the API ask ``decide_manual``; both make the child's record with ``new_child``. The
report and ``explain`` print the same decisions.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from controller.core.copying import replace
from controller.core.lineage import in_flight, root_of
from controller.core.model import Attempt, Origin, Resources, Status, TerminatedCode, Verdict, When
from controller.core.naming import job_name
from controller.core.rules import BUILTIN as BUILTIN
from controller.core.rules import delay, first_match, grown, used, used_in_sum
from controller.core.spec import RetryRule
from controller.core.verdict import CONFIGURATION_EXIT_CODE

EQUAL_VERDICTS = 3
"""So many equal verdicts in a row make another retry unlikely to help (E7b)."""


class RetryReason(StrEnum):
    """Why automation does, or does not, try a task again: log key, metric label, report column."""

    DUE = "retry-due"
    ASKED = "retry-asked"
    NOT_ENDED = "not-ended"
    SUCCEEDED = "succeeded"
    STOPPED = "stopped"
    NO_RETRY_ASKED = "no-retry-asked"
    EXIT_ONE = "exit-one"
    NO_RULE = "no-rule"
    MANUAL = "manual"
    LIMIT = "limit"
    MAX_AUTO_RETRIES = "max-auto-retries"


BEING_CANCELLED = "its batch is being cancelled: try again once it is"
"""Why nothing of a batch is retried, or hurried, while its cancel has not come to its end."""


class Refusal(StrEnum):
    """Why a person's retry is refused: stable, programs read it."""

    NOT_RETRYABLE = "not-retryable"
    IN_FLIGHT = "in-flight"
    ALREADY_COMPLETED = "already-completed"
    CANCELLING = "cancelling"
    MAX_RETRIES = "max-retries"


@dataclass(frozen=True, slots=True)
class RetryDecision:
    """What automation does about a task's newest attempt. ``sentence`` says why, for people.

    ``rule``, ``not_before`` and ``resources`` are the child's; without a child only ``rule`` may be
    set: the one that matched and gave none.
    """

    child: bool
    because: RetryReason
    sentence: str
    rule: RetryRule | None = None
    not_before: datetime | None = None
    resources: Resources | None = None
    when: When = When.NOW

    @property
    def origin(self) -> Origin:
        """What asks for the child."""
        return Origin.AUTO


@dataclass(frozen=True, slots=True)
class ManualDecision:
    """What becomes of a person's request to try a task again."""

    refusal: Refusal | None
    sentence: str
    """Why it is refused, else what will happen."""
    resources: Resources | None = None
    in_flight: str = ""
    """The id of the retry that is already under way, if that is why."""
    warning: str = ""
    """Set when another retry is unlikely to help; it is allowed all the same."""

    @property
    def child(self) -> bool:
        """Whether a child is to be made."""
        return self.refusal is None

    @property
    def because(self) -> RetryReason:
        """The child's reason."""
        return RetryReason.ASKED

    @property
    def rule(self) -> RetryRule | None:
        """No rule asks for a person's retry."""
        return None

    @property
    def not_before(self) -> datetime | None:
        """A person's retry waits for a place only."""
        return None

    @property
    def when(self) -> When:
        """A person's retry does not wait for the batch's end."""
        return When.NOW

    @property
    def origin(self) -> Origin:
        """What asks for the child."""
        return Origin.USER


def decide_retry(
    chain: Sequence[Attempt], rules: Sequence[RetryRule], max_auto: int, jitter: float
) -> RetryDecision:
    """Whether automation tries the task of this chain again (R8).

    ``chain``: all attempts of one task, newest last. ``rules``: the spec's; the built-in ones follow.
    ``max_auto``: automatic retries in sum since the last one by a person. ``jitter``: a random number
    in [0, 1]. Raises ValueError for an empty chain or another jitter.
    """
    if not chain:
        raise ValueError("a task without attempts")
    newest = chain[-1]
    if no := _never(newest):
        return no
    rule = first_match(newest, rules)
    if rule is None:
        return RetryDecision(False, RetryReason.NO_RULE, f"no rule retries {_verdict(newest)}")
    if no := _not_by(rule, chain, rules, max_auto):
        return no
    n = used(chain, rule, rules) + 1
    return RetryDecision(
        True,
        RetryReason.DUE,
        f"retry {n} of {rule.limit} for {_verdict(newest)} by {rule.name}",
        rule,
        (newest.finished or newest.updated) + delay(rule.backoff, n, jitter),
        grown(chain, rules),
        rule.when,
    )


def decide_manual(
    chain: Sequence[Attempt],
    *,
    asked: Attempt | None = None,
    resources: Resources | None = None,
    max_retries: int | None = None,
    cancelling: bool = False,
) -> ManualDecision:
    """Whether a person's retry is allowed (E1, E6, E8), and with which resources.

    ``asked``: the attempt that the request names (the newest by default); whichever it is, the retry
    is the task's next attempt. ``resources`` override those of the newest attempt. ``max_retries``
    bounds the retries by people of one task; None: no bound. ``cancelling``: the batch's cancel has
    not come to its end. Raises ValueError for an empty chain.
    """
    if not chain:
        raise ValueError("a task without attempts")
    if refused := _refused(chain, asked or chain[-1], max_retries, cancelling):
        return refused
    newest = chain[-1]
    return ManualDecision(
        None,
        f"attempt {newest.attempt + 1} of task {newest.task_id} will stand in line",
        resources or newest.job_input.resources,
        warning=_unlikely_to_help(chain),
    )


def forbidden(job: Attempt, chain: Sequence[Attempt]) -> bool:
    """Whether a waiting automatic retry must be withdrawn: its previous attempt says no retry (R8)."""
    if job.origin is not Origin.AUTO:
        return False
    return any(attempt.attempt == job.attempt - 1 and attempt.no_retry for attempt in chain)


def to_be_withdrawn(job: Attempt) -> str:
    """What becomes of a forbidden one, and what to do for the task to be tried again all the same."""
    why = "is withdrawn when its turn comes, for its task was cancelled"
    return f"{job.name} ({job.id}) {why}: cancel it, then retry"


def new_child(
    chain: Sequence[Attempt],
    decision: RetryDecision | ManualDecision,
    *,
    id: str,  # noqa: A002  # the record's own field name
    now: datetime,
    request_id: str | None = None,
) -> Attempt:
    """The child's record, as it is inserted: waiting, its lineage complete, its lists not yet told.

    ``now``: the instant of insertion. What the child runs is what the root ran, with the decision's
    resources and the digest that the first attempt was seen to run, of those that we asked for: whatever
    others ran under the name need not be the spec's image.
    Raises ValueError when the decision makes no child.
    """
    if not decision.child or decision.resources is None:
        raise ValueError(f"no child: {decision.sentence}")
    root, number = root_of(chain), chain[-1].attempt + 1
    batch = root.name.removesuffix(f"-{root.task_id}")
    return Attempt(
        id=id,
        batch_id=root.batch_id,
        namespace=root.namespace,
        user=root.user,
        task_id=root.task_id,
        index=root.index,
        attempt=number,
        name=job_name(batch, root.task_id, number),
        status=Status.WAITING,
        job_input=replace(root.job_input, resources=decision.resources),
        origin=decision.origin,
        inserted=now,
        updated=now,
        image_digest=next((one.image_digest for one in chain if one.image_digest and not one.kind), ""),
        retry_parent=root.id,
        retry_toggle=False,
        rule=decision.rule.name if decision.rule else "",
        when=decision.when,
        request_id=request_id,
        not_before=decision.not_before,
        reason=decision.because.value,
    )


def _never(newest: Attempt) -> RetryDecision | None:
    """What no rule can overrule (R8)."""
    if not newest.status.terminal:
        return _no(RetryReason.NOT_ENDED, f"attempt {newest.attempt} is {newest.status}")
    if newest.status is Status.COMPLETED or newest.verdict is Verdict.SUCCEEDED:
        return _no(RetryReason.SUCCEEDED, "it succeeded")
    if _was_stopped(newest):
        return _no(RetryReason.STOPPED, f"{_stopper(newest)}, and automation does not undo that")
    if newest.no_retry:
        return _no(RetryReason.NO_RETRY_ASKED, "a cancel came while its retry was due")
    if newest.exit_code == CONFIGURATION_EXIT_CODE or newest.verdict is Verdict.CONFIGURATION_ERROR:
        return _no(RetryReason.EXIT_ONE, "exit code 1 is never retried automatically")
    return None


def _not_by(
    rule: RetryRule, chain: Sequence[Attempt], rules: Sequence[RetryRule], max_auto: int
) -> RetryDecision | None:
    """Why the rule that matches gives no child."""
    if rule.when is When.MANUAL:
        return _no(RetryReason.MANUAL, f"{rule.name} leaves {_verdict(chain[-1])} to people", rule)
    if rule.limit <= 0:
        return _no(RetryReason.LIMIT, f"{rule.name} allows no retry", rule)
    if used(chain, rule, rules) >= rule.limit:
        return _no(RetryReason.LIMIT, f"all {rule.limit} retries of {rule.name} are used up", rule)
    if used_in_sum(chain) >= max_auto:
        return _no(RetryReason.MAX_AUTO_RETRIES, f"all {max_auto} automatic retries are used up", rule)
    return None


def _refused(
    chain: Sequence[Attempt], asked: Attempt, max_retries: int | None, cancelling: bool
) -> ManualDecision | None:
    newest, running = chain[-1], in_flight(chain)
    if running and running.id != asked.id:
        sentence = f"{running.name} ({running.id}) is already retrying it and is {running.status}"
        if running.status is Status.WAITING and forbidden(running, chain):
            sentence = to_be_withdrawn(running)
        return ManualDecision(Refusal.IN_FLIGHT, sentence, in_flight=running.id)
    if asked.status not in (Status.ERROR, Status.TERMINATED):
        sentence = f"{asked.name} is {asked.status}: only jobs in error or terminated can be retried"
        return ManualDecision(Refusal.NOT_RETRYABLE, sentence)
    if newest.status is Status.COMPLETED:
        sentence = f"{newest.name} ({newest.id}), a later attempt of the same task, completed"
        return ManualDecision(Refusal.ALREADY_COMPLETED, sentence)
    if cancelling:
        return ManualDecision(Refusal.CANCELLING, BEING_CANCELLED)
    by_people = sum(attempt.origin is Origin.USER for attempt in chain)
    if max_retries is not None and by_people >= max_retries:
        sentence = f"{by_people} retries were asked for, and max_retries is {max_retries}"
        return ManualDecision(Refusal.MAX_RETRIES, sentence)
    return None


def _unlikely_to_help(chain: Sequence[Attempt]) -> str:
    last = [attempt.verdict for attempt in chain[-EQUAL_VERDICTS:]]
    verdict = last[-1]
    if len(last) < EQUAL_VERDICTS or set(last) != {verdict} or verdict in (None, Verdict.CANCELLED):
        return ""
    return f"the last {EQUAL_VERDICTS} attempts ended as {verdict}: another retry is unlikely to help"


def _was_stopped(attempt: Attempt) -> bool:
    return (
        attempt.status is Status.TERMINATED
        or (attempt.stop is not None and attempt.stop.code is not None)
        or attempt.verdict in (Verdict.CANCELLED, Verdict.REAPED)
    )


def _stopper(attempt: Attempt) -> str:
    code = attempt.terminated_code
    if code is None and attempt.stop is not None:
        code = attempt.stop.code
    if attempt.verdict is Verdict.REAPED or code is TerminatedCode.AUTOMATION:
        return "it was reaped"
    return f"it was cancelled by {attempt.stop.by}" if attempt.stop else "it was cancelled"


def _verdict(attempt: Attempt) -> str:
    return str(attempt.verdict or Verdict.UNKNOWN)


def _no(because: RetryReason, sentence: str, rule: RetryRule | None = None) -> RetryDecision:
    return RetryDecision(False, because, sentence, rule)
