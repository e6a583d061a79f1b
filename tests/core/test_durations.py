"""Durations: what is read, what is refused and how it is written."""

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.core.durations import LONGEST, format_duration, parse_duration


@pytest.mark.parametrize(
    ("text", "duration"),
    [
        ("0s", timedelta()),
        ("100ms", timedelta(milliseconds=100)),
        ("30s", timedelta(seconds=30)),
        ("1.5s", timedelta(seconds=1.5)),
        ("15m", timedelta(minutes=15)),
        ("1h30m", timedelta(minutes=90)),
        (" 24h ", timedelta(days=1)),
        ("14d", timedelta(days=14)),
        ("2w", timedelta(weeks=2)),
        ("3650d", LONGEST),
    ],
)
def test_reads(text: str, duration: timedelta) -> None:
    """Each unit, fractions and sums of units are read."""
    assert parse_duration(text) == duration


@pytest.mark.parametrize(
    "text",
    ["", " ", "30", "s", "-30s", "30 s", "30m1h", "1h1h", "1e3s", "30S", "٣s", "inf", "P1D", "1:30", "5min"],
)
def test_refuses(text: str) -> None:
    """What has no unit, the wrong order, a sign or another notation is refused with examples."""
    with pytest.raises(ValueError, match="write a number and its unit, as 30s"):
        parse_duration(text)


@pytest.mark.parametrize("text", ["3651d", "999999999w", "3650d1ms"])
def test_refuses_what_no_clock_holds(text: str) -> None:
    """More than ten years is a slip, not a duration."""
    with pytest.raises(ValueError, match="longer than ten years"):
        parse_duration(text)


def test_a_long_text_is_cut_in_the_message() -> None:
    """The message stays one readable line whatever was given."""
    with pytest.raises(ValueError, match=r"x\.\.\.' is not a duration") as refused:
        parse_duration("x" * 10_000)
    assert len(str(refused.value)) < 160


@pytest.mark.parametrize(
    ("duration", "text"),
    [
        (timedelta(), "0s"),
        (timedelta(milliseconds=1), "1ms"),
        (timedelta(microseconds=400), "0s"),
        (timedelta(seconds=90), "1m30s"),
        (timedelta(days=14), "14d"),
        (timedelta(days=1, hours=2, seconds=3, milliseconds=4), "1d2h3s4ms"),
        (timedelta(seconds=-90), "-1m30s"),
    ],
)
def test_writes(duration: timedelta, text: str) -> None:
    """The shortest exact form is written, with a sign where there is one."""
    assert format_duration(duration) == text


@given(st.integers(min_value=0, max_value=LONGEST // timedelta(milliseconds=1)))
def test_written_durations_are_read_back(milliseconds: int) -> None:
    """What is written is read back as the same duration."""
    duration = timedelta(milliseconds=milliseconds)
    assert parse_duration(format_duration(duration)) == duration


@given(st.text(max_size=30))
def test_any_text_is_read_or_refused(text: str) -> None:
    """No text makes the parser fail in any other way than ValueError."""
    try:
        assert timedelta() <= parse_duration(text) <= LONGEST
    except ValueError as refused:
        assert "\n" not in str(refused)
