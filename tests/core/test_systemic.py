"""The brake: when a batch is held, and when it is let run."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.core.model import Verdict
from controller.core.systemic import NEVER_SYSTEMIC, hold_sentence, systemic_failure

MOUNT, OK = Verdict.MOUNT_FAILURE, Verdict.SUCCEEDED


@pytest.mark.parametrize(
    ("first", "held"),
    [
        ({}, None),
        ({MOUNT: 9}, None),
        ({MOUNT: 10}, MOUNT),
        ({MOUNT: 8, OK: 2}, MOUNT),
        ({MOUNT: 7, OK: 3}, None),
        ({MOUNT: 79, OK: 21}, None),
        ({MOUNT: 80, OK: 20}, MOUNT),
        ({MOUNT: 5, Verdict.LOST: 5}, None),
        ({OK: 100}, None),
        ({Verdict.CANCELLED: 100}, None),
        ({Verdict.REAPED: 100}, None),
        ({MOUNT: 8, Verdict.CANCELLED: 3}, None),
        ({Verdict.UNKNOWN: 10}, Verdict.UNKNOWN),
        ({Verdict.CONFIGURATION_ERROR: 9, MOUNT: 1}, Verdict.CONFIGURATION_ERROR),
    ],
)
def test_systemic_failure(first: dict[Verdict, int], held: Verdict | None) -> None:
    """Ten ended, four fifths alike, and neither success nor our own doing."""
    assert systemic_failure(first) is held


@given(st.dictionaries(st.sampled_from(Verdict), st.integers(0, 1000)))
def test_it_holds_exactly_as_written(first: dict[Verdict, int]) -> None:
    """The rule of S7b, said the other way round: at most one verdict can meet it, and then it holds."""
    ended = sum(first.values())
    guilty = [v for v, n in first.items() if ended >= 10 and n >= 0.8 * ended and v not in NEVER_SYSTEMIC]
    assert systemic_failure(first) is (guilty[0] if guilty else None)


def test_the_sentence_has_the_numbers_and_the_way_out() -> None:
    """A held batch says how many of how many, which verdict, and what to do."""
    sentence = hold_sentence({MOUNT: 9, OK: 1}, MOUNT)
    assert sentence.startswith("9 of the 10 first attempts that ended were mount-failure")
    assert "resume" in sentence
