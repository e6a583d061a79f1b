"""Quantities: what is read, what is refused and how it is written."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.core.quantities import (
    MOST_CPU,
    MOST_MEMORY,
    format_cpu,
    format_memory,
    parse_cpu,
    parse_memory,
)


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("0", 0),
        ("1000", 1000),
        ("32Gi", 32 * 2**30),
        ("32 Gi", 32 * 2**30),
        ("32G", 32 * 10**9),
        ("1.5Gi", 3 * 2**29),
        ("512Mi", 2**29),
        ("100k", 100_000),
        ("0.3", 1),
        ("1Pi", 2**50),
    ],
)
def test_reads_memory(text: str, size: int) -> None:
    """Binary and decimal units, fractions and plain bytes are read."""
    assert parse_memory(text) == size


@pytest.mark.parametrize(
    ("text", "advice"),
    [
        ("32GB", "write 'G' instead of 'GB'"),
        ("32gib", "write 'Gi' instead of 'gib'"),
        ("32gi", "write 'Gi' instead of 'gi'"),
        ("32K", "write 'k' instead of 'K'"),
        ("512m", "write 'M' instead of 'm'"),
        ("", "as 512Mi or 32Gi"),
        ("-1Gi", "as 512Mi or 32Gi"),
        ("lots", "as 512Mi or 32Gi"),
        ("12Xi", "as 512Mi or 32Gi"),
        ("٣Gi", "as 512Mi or 32Gi"),
        ("2000Pi", "more memory than there is"),
    ],
)
def test_refuses_memory(text: str, advice: str) -> None:
    """What is refused comes with what to write instead."""
    with pytest.raises(ValueError, match=advice):
        parse_memory(text)


@pytest.mark.parametrize(
    ("size", "text"),
    [(0, "0"), (1, "1"), (2**30, "1Gi"), (3 * 2**29, "1536Mi"), (32 * 10**9, "32G"), (1001, "1001")],
)
def test_writes_memory(size: int, text: str) -> None:
    """Bytes are written exactly, in the unit that is shortest."""
    assert format_memory(size) == text


@given(st.integers(min_value=0, max_value=MOST_MEMORY))
def test_written_memory_is_read_back(size: int) -> None:
    """What is written is read back as the same number of bytes."""
    assert parse_memory(format_memory(size)) == size


@pytest.mark.parametrize(
    ("text", "millicores"),
    [("12", 12_000), ("0.5", 500), ("500m", 500), ("1.25", 1250), ("0", 0), (" 2 ", 2000)],
)
def test_reads_cpu(text: str, millicores: int) -> None:
    """Cores, parts of cores and millicores are read."""
    assert parse_cpu(text) == millicores


@pytest.mark.parametrize(
    ("text", "advice"),
    [
        ("", "as 12, 0.5 or 500m"),
        ("12 cores", "as 12, 0.5 or 500m"),
        ("-1", "as 12, 0.5 or 500m"),
        ("1e3", "as 12, 0.5 or 500m"),
        ("0.0005", "finer than one millicore"),
        ("0.5m", "finer than one millicore"),
        ("1000001", "more CPU than there is"),
    ],
)
def test_refuses_cpu(text: str, advice: str) -> None:
    """What is refused comes with what to write instead."""
    with pytest.raises(ValueError, match=advice):
        parse_cpu(text)


@given(st.integers(min_value=0, max_value=MOST_CPU))
def test_written_cpu_is_read_back(millicores: int) -> None:
    """What is written is read back as the same amount."""
    assert parse_cpu(format_cpu(millicores)) == millicores


@given(st.text(max_size=30))
def test_any_text_is_read_or_refused(text: str) -> None:
    """No text makes the parsers fail in any other way than ValueError."""
    for parse in (parse_memory, parse_cpu):
        try:
            assert parse(text) >= 0
        except ValueError as refused:
            assert "\n" not in str(refused)
