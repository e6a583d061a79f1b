"""Records and chains for the tests of the pure layer: short to write, complete as the store has them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import strategies as st

from controller.core.model import Attempt, JobInput, Origin, Resources, Status, Stop, TerminatedCode, Verdict
from controller.core.naming import job_name
from controller.core.retry import RetryDecision, decide_retry, new_child
from controller.core.spec import Backoff, Escalation, Match, RetryRule

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
GIB = 2**30
INPUT = JobInput(image="example", command=("scan",), resources=Resources(cpu=1000, memory=4 * GIB))

_STATUS = {
    Verdict.SUCCEEDED: Status.COMPLETED,
    Verdict.CANCELLED: Status.TERMINATED,
    Verdict.REAPED: Status.TERMINATED,
}
_EXIT = {Verdict.MOUNT_FAILURE: 2, Verdict.CONFIGURATION_ERROR: 1, Verdict.SUCCEEDED: 0}


def root(task: str = "7", **fields: Any) -> Attempt:
    """Attempt 0 of a task of the batch ``sweep``, waiting unless told otherwise."""
    known: dict[str, Any] = {
        "id": f"{task}-0",
        "batch_id": "batch",
        "namespace": "lab",
        "user": "ada",
        "task_id": task,
        "index": 0,
        "attempt": 0,
        "name": job_name("sweep", task, 0),
        "status": Status.WAITING,
        "job_input": INPUT,
        "origin": Origin.SPEC,
        "inserted": NOW,
        "updated": NOW,
    }
    return Attempt(**(known | fields))


def ended(attempt: Attempt, verdict: Verdict, **fields: Any) -> Attempt:
    """The attempt after its end, an hour after it was inserted."""
    known: dict[str, Any] = {
        "status": _STATUS.get(verdict, Status.ERROR),
        "verdict": verdict,
        "exit_code": _EXIT.get(verdict),
        "running": attempt.inserted,
        "finished": attempt.inserted + timedelta(hours=1),
    }
    if verdict in (Verdict.CANCELLED, Verdict.REAPED):
        code = TerminatedCode.USER if verdict is Verdict.CANCELLED else TerminatedCode.AUTOMATION
        known |= {"stop": Stop("asked", "ada", NOW, code), "terminated_code": code}
    return replace(attempt, **(known | fields))


def child(chain: Sequence[Attempt], origin: Origin = Origin.AUTO, **fields: Any) -> Attempt:
    """The next attempt of the chain, with the newest one's resources."""
    newest = chain[-1]
    number = newest.attempt + 1
    known: dict[str, Any] = {
        "id": f"{newest.task_id}-{number}",
        "attempt": number,
        "origin": origin,
        "job_input": newest.job_input,
        "retry_parent": chain[0].id,
        "retry_toggle": False,
        "name": job_name("sweep", newest.task_id, number),
        "inserted": (newest.finished or newest.inserted) + timedelta(minutes=1),
    }
    return root(newest.task_id, **(known | fields))


def failures(*verdicts: Verdict, by: Origin = Origin.AUTO) -> list[Attempt]:
    """A chain whose attempts ended so, every retry asked for by ``by``."""
    chain: list[Attempt] = [ended(root(), verdicts[0])]
    for verdict in verdicts[1:]:
        chain.append(ended(child(chain, by), verdict))
    return chain


def follow(
    verdicts: Sequence[Verdict], rules: Sequence[RetryRule], max_auto: int, **fields: Any
) -> tuple[list[Attempt], RetryDecision]:
    """Let automation play: each attempt ends as the next verdict says, until there is no child."""
    chain = [ended(root(**fields), verdicts[0])]
    for verdict in verdicts[1:]:
        decision = decide_retry(chain, rules, max_auto, 0.5)
        if not decision.child:
            return chain, decision
        number = len(chain)
        waiting = new_child(chain, decision, id=f"7-{number}", now=NOW + timedelta(hours=number))
        chain.append(ended(waiting, verdict))
    return chain, decide_retry(chain, rules, max_auto, 0.5)


def rule(verdict: Verdict, name: str = "spec[0]", **fields: Any) -> RetryRule:
    """A spec's rule for one verdict."""
    return replace(RetryRule(name, Match(verdicts=(verdict,))), **fields)


FAILURES = [v for v in Verdict if v not in (Verdict.SUCCEEDED, Verdict.CANCELLED, Verdict.REAPED)]
"""Verdicts of attempts that ended in error."""
RETRIED = [v for v in FAILURES if v is not Verdict.CONFIGURATION_ERROR]
"""Those that a rule may retry."""


@st.composite
def rulesets(draw: st.DrawFn) -> tuple[RetryRule, ...]:
    """A spec's retry section: up to four rules over verdicts, some with growing memory."""
    found = []
    for position in range(draw(st.integers(0, 4))):
        verdicts = draw(st.lists(st.sampled_from(RETRIED), min_size=1, max_size=3, unique=True))
        grows = draw(st.booleans())
        factor = draw(st.sampled_from([1.0, 1.1, 1.5, 2.0]))
        cap = draw(st.one_of(st.none(), st.integers(1, 64 * GIB)))
        found.append(
            RetryRule(
                f"spec[{position}]",
                Match(verdicts=tuple(verdicts)),
                draw(st.integers(0, 5)),
                Backoff(
                    timedelta(seconds=draw(st.integers(0, 300))), draw(st.sampled_from([1.0, 1.7, 2.0, 10.0]))
                ),
                resources={"memory": Escalation(factor, cap)} if grows else {},
            )
        )
    return tuple(found)
