"""A problem is one line for people, whatever a spec's keys and file names hold."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from controller.core.problem import Problem


def test_the_place_stands_first() -> None:
    """File, line, field, then what is wrong and what to do."""
    problem = Problem("is missing: add it", file="a.yaml", line=3, field="job.image")
    assert str(problem) == "a.yaml:3: job.image: is missing: add it"


@given(st.text(), st.text(), st.text())
def test_it_is_one_printable_line(message: str, file: str, field: str) -> None:
    """A key with a line feed or a terminal's control sequence in it can't forge a line or a colour."""
    assert str(Problem(message, file=file, line=1, field=field)).isprintable()
