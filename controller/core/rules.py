"""Retry rules as arithmetic: which rule a failure matches, what is used up, how long, how much more.

``retry`` decides with it; the report and ``explain`` quote it. A limit is counted in *retries*:
"limit 3" allows three retries, so four attempts. Earlier failures are matched by today's rules, by
what their records kept, so a rule that moved or was renamed has not become unused again.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import timedelta
from fractions import Fraction

from controller.core.copying import replace
from controller.core.evidence import reasons
from controller.core.model import Attempt, Origin, Resources, Status, Verdict
from controller.core.spec import Backoff, Escalation, Match, RetryRule

JITTER = 0.1
"""The largest share by which a delay is stretched."""


def _builtin(verdict: Verdict, limit: int, base: int, factor: float = 2.0) -> RetryRule:
    backoff = Backoff(timedelta(seconds=base), factor, timedelta(minutes=5))
    return RetryRule(f"builtin:{verdict}", Match(verdicts=(verdict,)), limit, backoff)


BUILTIN: tuple[RetryRule, ...] = (
    _builtin(Verdict.MOUNT_FAILURE, 3, 30),
    _builtin(Verdict.DISRUPTED, 5, 10),
    _builtin(Verdict.START_TIMEOUT, 2, 60),
    _builtin(Verdict.IMAGE_PULL, 2, 60),
    _builtin(Verdict.LOST, 2, 60),
    _builtin(Verdict.UNKNOWN, 1, 60),
)
"""What holds after a spec's own rules; every other verdict has no retry unless a spec's rule gives one."""


def first_match(failure: Attempt, rules: Sequence[RetryRule]) -> RetryRule | None:
    """The first rule that matches the failure, the built-in ones standing after the given ones."""
    return next((rule for rule in (*rules, *BUILTIN) if matches(failure, rule.match)), None)


def matches(failure: Attempt, match: Match) -> bool:
    """Whether every key that the rule asks holds for the failure: keys are AND, their values OR."""
    seen = reasons(failure.evidence)
    return (
        (not match.verdicts or failure.verdict in match.verdicts)
        and (not match.exit_codes or failure.exit_code in match.exit_codes)
        and (not match.reasons or any(reason.casefold() in seen for reason in match.reasons))
        and (not match.logs or match.logs in failure.evidence.matched)
    )


def since_last_person(chain: Sequence[Attempt]) -> Sequence[Attempt]:
    """The attempts since a person last asked for one, theirs included: budgets start anew with it."""
    for position in range(len(chain) - 1, 0, -1):
        if chain[position].origin is Origin.USER:
            return chain[position:]
    return chain


def used(chain: Sequence[Attempt], rule: RetryRule, rules: Sequence[RetryRule]) -> int:
    """How many failures before the newest used up a retry of this rule, since the last person's retry."""
    earlier = since_last_person(chain)[:-1]
    return sum(_failed(attempt) and first_match(attempt, rules) == rule for attempt in earlier)


def used_in_sum(chain: Sequence[Attempt]) -> int:
    """How many retries, whatever their rules, automation has made since the last person's retry."""
    return len(since_last_person(chain)) - 1


def delay(backoff: Backoff, n: int, jitter: float) -> timedelta:
    """The wait before retry ``n`` (from 1): min(base · factor^(n-1), max), stretched by up to a tenth.

    ``jitter`` is a random number in [0, 1]; anything else raises ValueError.
    """
    if not 0 <= jitter <= 1:
        raise ValueError(f"jitter must be in [0, 1], not {jitter}")
    return _plain_delay(backoff, n) * (1 + JITTER * jitter)


def grown(chain: Sequence[Attempt], rules: Sequence[RetryRule]) -> Resources:
    """What the next attempt requests: the root's request, escalated once per failure that says so.

    Every failure of the chain counts with its own rule, so a preemption between two memory failures
    loses nothing, and what has grown stays for retries of other reasons. A person's own choice of
    resources replaces the root's request from there on. It never falls below the newest attempt's.
    """
    start = _anchor(chain)
    amounts = {name: Fraction(getattr(chain[start].job_input.resources, name)) for name in _NAMES}
    for failure in chain[start:]:
        rule = first_match(failure, rules) if _failed(failure) else None
        for name, escalation in rule.resources.items() if rule else ():
            amounts[name] = _escalated(amounts[name], escalation)
    newest = chain[-1].job_input.resources
    return replace(newest, **{name: max(math.ceil(amounts[name]), getattr(newest, name)) for name in _NAMES})


_NAMES = ("cpu", "memory", "gpu")


def _escalated(amount: Fraction, escalation: Escalation) -> Fraction:
    """One step up, to the cap; a request that already is above the cap stays what it is."""
    more = amount * Fraction(str(escalation.factor))  # as written: 1.1 is eleven tenths
    if escalation.max is not None:
        more = min(more, Fraction(escalation.max))
    return max(amount, more)


def _anchor(chain: Sequence[Attempt]) -> int:
    """The position of the attempt whose request the factors multiply: a person's last choice, else 0."""
    for position in range(len(chain) - 1, 0, -1):
        mine, previous = chain[position], chain[position - 1]
        if mine.origin is Origin.USER and mine.job_input.resources != previous.job_input.resources:
            return position
    return 0


def _plain_delay(backoff: Backoff, n: int) -> timedelta:
    try:
        return min(backoff.base * backoff.factor ** (n - 1), backoff.max)
    except OverflowError:  # a power or a product beyond all bounds is beyond the maximum too
        return backoff.max


def _failed(attempt: Attempt) -> bool:
    return attempt.status is Status.ERROR
