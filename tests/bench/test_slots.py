"""What the benchmarks read of the audit log: places, refills, the cap, what became of failures."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.bench.beside_work import HARD, HEADER, HEALS, WRONG, Done, Work, fate
from tests.bench.slots import JOBS, PODS, Slots, Turn, slots
from tests.control_plane.commands import ITSELF
from tests.control_plane.plane import Asked

ZERO = datetime(2026, 1, 1, tzinfo=UTC)


def _at(seconds: float) -> datetime:
    return ZERO + timedelta(seconds=seconds)


def _turn(came: float, answered: float) -> Turn:
    return Turn(_at(came), _at(answered))


def _asked(seconds: float, user: str, verb: str, resource: str, name: str = "", code: int = 201) -> Asked:
    return Asked(_at(seconds), _at(seconds - 0.001), user, verb, resource, name, code)


def test_a_start_after_the_end_is_within_the_cap() -> None:
    """Two places, three jobs, the third when the first has ended: two at once, and no more."""
    used = Slots(
        [_turn(0, 0.1), _turn(0, 0.2), _turn(2.1, 2.2)], [_turn(2, 2.05), _turn(3, 3), _turn(4, 4)], 2
    )
    assert (used.most, used.violations) == (2, 0)
    assert used.refills() == [pytest.approx(0.15)]
    assert used.span == pytest.approx(3.9)


def test_a_start_before_the_end_breaks_the_cap() -> None:
    """The third was answered before the first end was even asked for: three at once, for certain."""
    used = Slots([_turn(0, 0.1), _turn(0, 0.2), _turn(1.8, 1.9)], [_turn(2, 2.05)], 2)
    assert (used.most, used.violations) == (3, 1)


def test_what_is_not_certain_is_no_violation() -> None:
    """An end that was under way when the start was answered may have come first."""
    used = Slots([_turn(0, 0.1), _turn(0, 0.2), _turn(1.9, 2.02)], [_turn(2, 2.05)], 2)
    assert (used.most, used.violations) == (2, 0)


def test_the_beginning_of_a_long_run() -> None:
    """Up to the second end: what began later is left out, and the share is of that time alone."""
    begins = [_turn(k, k) for k in (0, 0, 10, 10, 20)]
    used = Slots(begins, [_turn(k, k) for k in (10, 10, 20, 20)], 2).first(2)
    assert (len(used.begins), len(used.ends)) == (4, 2)
    assert used.utilisation(10) == pytest.approx(1.0)
    assert used.utilisation(5) == pytest.approx(0.5)


def test_what_the_audit_log_tells() -> None:
    """Creates of that kind begin and the second status of a pod ends; refused and others' requests: not."""
    log = [
        _asked(1, "daemon", "create", "jobs", "a"),
        _asked(1.1, "daemon", "create", "jobs", "b", 409),
        _asked(1.2, ITSELF, "create", "pods"),
        _asked(2, ITSELF, "patch", "pods/status", "a-x", 200),
        _asked(5, ITSELF, "patch", "pods/status", "a-x", 200),
        _asked(2, ITSELF, "patch", "pods/status", "b-x", 200),
        _asked(3, "somebody", "patch", "pods/status", "b-x", 200),
        _asked(4, ITSELF, "patch", "pods/status", "b-x", 409),
    ]
    by_jobs, by_pods = slots(log, JOBS, 2), slots(log, PODS, 2)
    assert [one.at for one in by_jobs.begins] == [_at(1)]
    assert [one.at for one in by_pods.begins] == [_at(1.2)]
    assert [one.at for one in by_jobs.ends] == [_at(5)]


def _pod(task: str, end: str, phase: str, second: int) -> dict[str, Any]:
    env = [{"name": "TASK", "value": task}, {"name": "END", "value": end}]
    return {
        "metadata": {"creationTimestamp": f"2026-01-01T00:00:{second:02}Z", "labels": {"job-name": task}},
        "spec": {"containers": [{"env": env}]},
        "status": {"phase": phase},
    }


def test_what_became_of_failures() -> None:
    """The last attempt of a task tells whether it was mended; a configuration error should have one only."""
    pods = [
        _pod("1", HEALS, "Succeeded", 9),
        _pod("1", HEALS, "Failed", 1),
        _pod("2", HEALS, "Failed", 2),
        _pod("3", WRONG, "Failed", 3),
        _pod("4", "", "Succeeded", 3),
    ]
    assert fate(pods) == "1 of 2 mount failures retried and well, 1 lost, configuration error not retried"
    again = fate([*pods, _pod("3", WRONG, "Failed", 8)])
    assert again.endswith("configuration error run 2 times")


def test_a_row_has_every_column() -> None:
    """A whole run, and one that was watched at its beginning only, which says so."""
    used = Slots([_turn(0, 0), _turn(2, 2)], [_turn(2, 2), _turn(4, 4)], 1)
    row = Done(Work("two", 2, 1, 2), "ours", used, 3.04).row()
    assert row == ("two", "ours", "4.0 (4)", "100 %", "0", "0", "3.0", "1 (1)", "0", "–")
    part = Done(Work("two", 2, 1, 2), "slow", used, of=1).row()
    assert part[2] == "2.0 (the first 1 of 2)"
    assert len(part) == len(HEADER)
    assert HARD.ideal == 42
