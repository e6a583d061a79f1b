"""Retry rules as arithmetic: matching, delays, and resources that grow and never shrink."""

from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.core.model import Attempt, Evidence, Origin, Resources, Verdict
from controller.core.rules import delay, first_match, grown, matches
from controller.core.spec import Backoff, Escalation, Match, RetryRule
from tests.core.chains import FAILURES, GIB, child, ended, failures, follow, root, rule, rulesets

OOM, LOST, DISRUPTED = Verdict.OUT_OF_MEMORY, Verdict.LOST, Verdict.DISRUPTED
HALF_MORE = rule(OOM, limit=5, resources={"memory": Escalation(1.5, 180 * GIB)})
FAILURE = ended(
    root(),
    OOM,
    exit_code=137,
    evidence=Evidence(reason="Evicted, OOMKilled", matched=("heap .* full",)),
)


@pytest.mark.parametrize(
    ("match", "holds"),
    [
        (Match(), True),
        (Match(verdicts=(OOM,)), True),
        (Match(verdicts=(LOST, OOM)), True),
        (Match(verdicts=(LOST,)), False),
        (Match(exit_codes=(137,)), True),
        (Match(exit_codes=(2,)), False),
        (Match(reasons=("OOMKilled",)), True),
        (Match(reasons=("oomkilled",)), True),
        (Match(reasons=("Evicted",)), True),
        (Match(reasons=("OOM",)), False),
        (Match(logs="heap .* full"), True),
        (Match(logs="heap"), False),
        (Match(verdicts=(OOM,), exit_codes=(137,), reasons=("Evicted",), logs="heap .* full"), True),
        (Match(verdicts=(OOM,), exit_codes=(2,)), False),
        (Match(verdicts=(OOM,), logs="other"), False),
    ],
)
def test_matches(match: Match, holds: bool) -> None:
    """Keys are AND, the values of a key are OR, a reason is a whole word, a pattern one that matched."""
    assert matches(FAILURE, match) is holds


def test_no_exit_code_matches_none() -> None:
    """An attempt that never had an exit code matches no rule that asks for one."""
    assert not matches(replace(FAILURE, exit_code=None), Match(exit_codes=(0, 137)))


def test_spec_rules_before_builtin() -> None:
    """The spec's rules stand first, in their order; the built-in ones hold what they leave."""
    mine = rule(LOST)
    assert first_match(ended(root(), LOST), [mine]) == mine
    builtin = first_match(ended(root(), DISRUPTED), [mine])
    assert builtin is not None
    assert builtin.name == "builtin:disrupted"
    assert first_match(ended(root(), Verdict.DEADLINE), [mine]) is None


@pytest.mark.parametrize("jitter", [-0.01, 1.01, float("nan")])
def test_jitter_is_a_share(jitter: float) -> None:
    """A jitter that is no share of one is a caller's bug."""
    with pytest.raises(ValueError, match="jitter"):
        delay(Backoff(), 1, jitter)


def test_the_thousandth_delay() -> None:
    """However large the power, the delay is the maximum and no number overflows."""
    backoff = Backoff(timedelta(seconds=30), 10.0, timedelta(minutes=5))
    assert delay(backoff, 5_000, 0.0) == timedelta(minutes=5)
    assert delay(backoff, 300, 0.0) == timedelta(minutes=5)


@given(
    st.integers(0, 600),
    st.floats(1, 20),
    st.integers(0, 3600),
    st.integers(1, 2000),
    st.floats(0, 1),
)
def test_delays_grow_within_bounds(base: int, factor: float, most: int, n: int, jitter: float) -> None:
    """Delays never shrink from one retry to the next, and stay between their plain value and a tenth more."""
    backoff = Backoff(timedelta(seconds=base), factor, timedelta(seconds=most))
    plain, stretched = delay(backoff, n, 0.0), delay(backoff, n, jitter)
    assert plain <= stretched <= plain * 1.1 + timedelta(microseconds=1)
    assert min(backoff.base, backoff.max) <= plain <= backoff.max
    assert plain <= delay(backoff, n + 1, 0.0)


def memory_of(chain: list[Attempt], rules: list[RetryRule]) -> float:
    """The memory of the next attempt, in GiB."""
    return grown(chain, rules).memory / GIB


def test_memory_grows_from_the_root() -> None:
    """Each memory failure multiplies the root's request once more; other failures don't."""
    assert memory_of(failures(OOM), [HALF_MORE]) == 6
    assert memory_of(failures(OOM, OOM), [HALF_MORE]) == 9
    assert memory_of(failures(LOST, OOM, LOST), [HALF_MORE]) == 6


def test_a_preemption_between_loses_nothing() -> None:
    """Memory, preemption, memory: the third attempt keeps what was raised, the fourth has more."""
    chain, _ = follow([OOM, DISRUPTED, OOM, LOST], [HALF_MORE], 9)
    assert [attempt.job_input.resources.memory / GIB for attempt in chain] == [4, 6, 6, 9]


def test_eleven_tenths_are_exact() -> None:
    """A factor is what was written: 1000 · 1.1 is 1100, not the next integer above a binary fraction."""
    tenth = rule(OOM, resources={"cpu": Escalation(1.1)})
    assert grown(failures(OOM), [tenth]).cpu == 1100


def test_capped_and_never_lowered() -> None:
    """The cap ends the growth; a request that stands above the cap is left as it is."""
    low = rule(OOM, resources={"memory": Escalation(10, 5 * GIB)})
    assert memory_of(failures(OOM, OOM), [low]) == 5
    lower = rule(OOM, resources={"memory": Escalation(10, GIB)})
    assert memory_of(failures(OOM), [lower]) == 4


def test_a_low_cap_of_one_rule_takes_nothing_from_another() -> None:
    """A rule whose cap is below what another rule has reached neither lowers it nor its next step."""
    double = rule(OOM, "spec[0]", resources={"memory": Escalation(2)})
    low = rule(LOST, "spec[1]", resources={"memory": Escalation(2, 5 * GIB)})
    assert memory_of(failures(OOM, LOST, OOM), [double, low]) == 16


def test_a_person_sets_a_new_base() -> None:
    """Resources that a person chose are multiplied from there on, not forgotten for the root's."""
    chain = failures(OOM, OOM)
    chosen = replace(chain[0].job_input, resources=Resources(cpu=500, memory=20 * GIB))
    chain.append(ended(child(chain, Origin.USER, job_input=chosen), OOM))
    assert grown(chain, [HALF_MORE]) == Resources(cpu=500, memory=30 * GIB)


def test_a_person_who_changes_nothing_keeps_the_growth() -> None:
    """A plain retry by a person neither loses nor repeats what had grown."""
    chain, _ = follow([OOM, OOM], [HALF_MORE], 9)
    grown_input = replace(chain[0].job_input, resources=grown(chain, [HALF_MORE]))
    chain.append(ended(child(chain, Origin.USER, job_input=chain[-1].job_input), LOST))
    assert memory_of(chain, [HALF_MORE]) == grown_input.resources.memory / GIB == 9


def test_a_withdrawn_rule_takes_nothing_back() -> None:
    """When the rule that raised the memory is gone from the spec, what the newest attempt had stays."""
    chain, _ = follow([OOM, LOST], [HALF_MORE], 9)
    assert memory_of(chain, []) == 6


@given(st.lists(st.sampled_from(FAILURES), min_size=1, max_size=10), rulesets())
def test_growth_is_monotone_and_capped(verdicts: list[Verdict], rules: tuple[RetryRule, ...]) -> None:
    """Along every history requests never shrink, and none grows past every cap that raised it."""
    chain, _ = follow(verdicts, rules, 99)
    amounts = [attempt.job_input.resources.memory for attempt in chain]
    assert amounts == sorted(amounts)
    caps = [one.resources["memory"].max for one in rules if "memory" in one.resources]
    known = [cap for cap in caps if cap is not None]
    if caps and len(known) == len(caps):
        assert grown(chain, rules).memory <= max(amounts[0], *known)


@given(
    st.integers(0, 6), st.lists(st.sampled_from([LOST, DISRUPTED, Verdict.DEADLINE]), max_size=8), st.data()
)
def test_growth_does_not_see_what_comes_between(
    memory_failures: int, others: list[Verdict], data: st.DataObject
) -> None:
    """Any order of memory failures and other ones asks for the same memory."""
    mixed = data.draw(st.permutations([OOM] * memory_failures + others + [LOST]))
    assert grown(failures(*mixed), [HALF_MORE]).memory == min(4 * GIB * 1.5**memory_failures, 180 * GIB)
