"""Broken specs by the thousand, read within the bounds of the daemon's reader."""

from __future__ import annotations

import asyncio

import pytest

from controller.specfile.worker import Limits
from tests.specfile.fuzz import fuzz, mutated, wrong
from tests.specfile.reading import read

SPECS = 10_000
BLOCK = 2_500
BOUNDED = 500
"""So many of them by the reader's process, whose bounds cost a new process now and then."""


@pytest.mark.parametrize("first", range(0, SPECS, BLOCK))
def test_every_spec_gets_its_answer(first: int) -> None:
    """A batch or its problems, one line each."""
    read_as = ((seed, *mutated(seed)) for seed in range(first, first + BLOCK))
    bad = [(seed, what) for seed, name, content in read_as if (what := wrong(read(content, name=name)))]
    assert not bad


def test_within_its_bounds() -> None:
    """Each within two seconds of CPU and 64 MiB, and the next one is answered."""
    found = asyncio.run(fuzz(range(SPECS, SPECS + BOUNDED)))
    assert not found, "\n".join(f"seed {one.seed}: {one.what}: {one.content!r}" for one in found)


def test_a_seed_is_the_whole_truth() -> None:
    """The same seed gives the same bytes; the seeds differ."""
    assert [mutated(seed) for seed in range(50)] == [mutated(seed) for seed in range(50)]
    assert len({mutated(seed)[1] for seed in range(50)}) > 45


def test_bounds_that_are_too_narrow_are_found() -> None:
    """A reader that may take no memory fails on some of them: the bounds bind."""
    narrow = Limits(cpu=1, wall=60.0, memory=64 * 2**10, csv_memory=64 * 2**10)
    assert asyncio.run(fuzz(range(50), narrow))
