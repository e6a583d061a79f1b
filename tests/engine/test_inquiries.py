"""Objects that get no pod are asked about few at a time and ever less often, and each of them is."""

from __future__ import annotations

import itertools
from collections import Counter
from dataclasses import replace
from typing import Any

import pytest

from controller.core.model import Status
from controller.core.sight import ClusterJob
from controller.inquiries import BURST, FIRST, LONGEST, RATE, REMEMBERED, VOLLEY, Inquiries
from tests.fakes.memory_machine import Machine
from tests.fakes.memory_objects import End, Thing
from tests.simulation.stage import Stage, perform

JOBS = 60
WAITED = 130
LATE = End(135.0, 5.0)


def test_few_are_asked_about_at_one_time() -> None:
    """Of a thousand that wait alike, a burst at first, then so many a second, ten at a time: each time costs
    the API server lists, however many share them. Who never was asked about comes before those that were."""
    inquiries, asked, times = Inquiries(), Counter[int](), 0
    for second in range(round((1000 - BURST) / RATE) + 1):
        turns = [n for n in range(1000) if inquiries.turn(f"{n}", float(second))]
        assert len(turns) in (0, VOLLEY if second else BURST)
        times += bool(turns)
        asked.update(turns)
    assert len(asked) == asked.total() == 1000
    assert times == 1 + (1000 - BURST) / VOLLEY


def test_each_ever_less_often() -> None:
    """The pauses double up to a bound."""
    inquiries, at = Inquiries(), [0.0]
    assert inquiries.turn("a", 0.0)
    for second in range(1, 7200):
        if inquiries.turn("a", float(second)):
            at.append(float(second))
    pauses = [late - soon for soon, late in itertools.pairwise(at)]
    assert pauses[:3] == [FIRST, 2 * FIRST, 4 * FIRST]
    assert pauses[-1] == LONGEST == max(pauses)


def test_what_is_remembered_is_bounded() -> None:
    """Weeks of jobs cost no memory: the one that was asked about longest ago goes first."""
    inquiries = Inquiries()
    for n in range(2 * REMEMBERED):
        assert inquiries.turn(f"{n}", float(n))
    assert len(inquiries._asked) == REMEMBERED
    assert "0" not in inquiries._asked


def test_many_without_pods_cost_few_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sixty objects wait for minutes behind a quota: every one is asked about, and none in every pass;
    when they get their pods, all end well."""
    original = Machine._shown

    def without_pod(machine: Machine, thing: Thing) -> ClusterJob:
        shown = original(machine, thing)
        waits = thing.started is None and not shown.finished
        return replace(shown, pod_unfinished=False, scheduled_at=None) if waits else shown

    monkeypatch.setattr(Machine, "_shown", without_pod)
    looks: Counter[str] = Counter()

    async def trace(stage: Stage) -> None:
        daemon = await stage.leader()
        await stage.drop(JOBS, JOBS)
        real = daemon.engine.cluster.get

        async def get(namespace: str, name: str, job_id: str) -> Any:
            looks[name] += 1
            return await real(namespace, name, job_id)

        monkeypatch.setattr(daemon.engine.cluster, "get", get)
        await stage.passes(daemon, WAITED)
        assert {stage.job(name).status for name in stage.names()} == {Status.QUEUED}
        assert len(looks) == JOBS, "every one is asked about"
        assert max(looks.values()) <= 5 < (WAITED - 60) / 5
        await stage.until_over(daemon)
        assert {stage.job(name).status for name in stage.names()} == {Status.COMPLETED}

    perform(trace, ends={f"scan-t{n}": LATE for n in range(JOBS)})
