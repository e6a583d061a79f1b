"""Two replicas, forty tasks, and faults of every kind drawn from a seed: judged by the oracle as ever.

``CHAOS_SEEDS=1:20`` asks for more of them than ``make test`` does.
"""

from __future__ import annotations

import os
from collections import Counter
from contextlib import ExitStack

import pytest

from tests.control_plane.history import happenings, most_at_once
from tests.e2e.history import starts
from tests.kube.chaos import Chaos
from tests.kube.place import QUICK, KubePlace, spec
from tests.kube.way import way_of

MOST, FAULTS = 6, 4
TASKS: dict[str, dict[str, str]] = {
    **{f"good{n}": {"RUN_SECONDS": f"{1 + 0.5 * (n % 5)}"} for n in range(30)},
    **{f"again{n}": {"RUN_SECONDS": "0.3", "END": "exit-2,exit-0"} for n in range(6)},
    **{f"wrong{n}": {"RUN_SECONDS": "0.3", "END": "exit-1"} for n in range(3)},
    "endless": {"END": "never"},
}
ENDS = {"good": "completed", "again": "completed", "wrong": "error", "endless": "terminated"}


def seeds() -> range:
    """Those that are asked for."""
    first, _, after = os.environ.get("CHAOS_SEEDS", "1:2").partition(":")
    return range(int(first), int(after or int(first) + 1))


@pytest.mark.parametrize("seed", seeds())
def test_chaos(fragile: KubePlace, seed: int) -> None:
    """One start for each attempt, the cap at every revision, every task at its right end, whatever befell
    the servers, the replicas and the way between them."""
    place = fragile
    with ExitStack() as stack:
        ways = [stack.enter_context(way_of(place.account)) for _ in range(2)]
        place.drop(spec("chaos", TASKS, MOST, retry=QUICK))
        chaos = Chaos(place, ways, [], seed)
        chaos.replicas += [chaos.begin(0), chaos.begin(1)]
        place.until("some have ended", lambda: place.jobs("chaos", status="completed"))
        chaos.go(FAULTS)
        chaos.heal()
        assert place.cli("cancel", "chaos-endless").code == 0
        place.over("chaos")
        story = f"seed {seed}: {chaos.story}"
        newest = {job["task_id"]: job["status"] for job in place.jobs("chaos")}
        assert newest == {task: ENDS[task.rstrip("0123456789")] for task in TASKS}, story
        assert set(starts(place.history()).values()) == {1}, story
        attempts = Counter(job["task_id"] for job in place.jobs("chaos"))
        doubled = place.doubled()
        for task in {job["task_id"] for job in place.jobs("chaos") if job["name"] in doubled}:
            del attempts[task]
        assert attempts == {task: 2 if task.startswith("again") else 1 for task in attempts}, story
        assert len(attempts) >= len(TASKS) - len(doubled), story
        assert most_at_once(happenings(place.watcher.changes())) <= MOST, story
        for daemon in chaos.replicas:
            daemon.ready()
        place.start_no_more()
