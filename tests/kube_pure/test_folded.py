"""Lists that are folded anew only where something changed tell the same as if they all were."""

from __future__ import annotations

import asyncio
import copy
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from controller.adapters import labels
from controller.adapters.kube_folded import MANY, Folded
from controller.adapters.kube_listing import our_jobs
from tests.kube_pure.things import INSTANCE, condition, job, ours, owner, pod

Json = dict[str, Any]
HERE = "runai-lab"


def mine(n: int, *conditions: Json, uid: str = "", **more: Any) -> Json:
    """The Job of the attempt with this number."""
    found = job(f"trait-{n}", *conditions, marks=ours(job_id=f"{n:024x}"), **more)
    found["metadata"]["uid"] = uid or f"u-{n}"
    return found


def its_pod(n: int, phase: str = "Running", uid: str = "") -> Json:
    """Its pod."""
    marks = ours(job_id=f"{n:024x}")
    return pod(f"trait-{n}-p", phase, marks=marks, owners=[owner("Job", uid or f"u-{n}")])


jobs = st.lists(
    st.builds(
        mine,
        st.integers(1, 3),
        st.sampled_from([condition("Failed"), condition("Complete"), condition("Suspended", "False")]),
        uid=st.sampled_from(["", "u-other"]),
    ),
    max_size=4,
)
pods = st.lists(
    st.builds(
        its_pod,
        st.integers(1, 3),
        st.sampled_from(["Pending", "Running", "Failed"]),
        st.sampled_from(["", "u-x"]),
    ),
    max_size=4,
)


@given(lists=st.lists(st.tuples(jobs, pods), max_size=4))
async def test_whatever_changes_between_two_lists(lists: list[tuple[list[Json], list[Json]]]) -> None:
    """Each list is told as it is, whatever the one before it was."""
    folded = Folded(INSTANCE)
    for listed, running in lists:
        assert await folded.jobs(HERE, listed, running) == our_jobs(listed, running, INSTANCE)


async def test_what_has_not_changed_is_not_folded_again() -> None:
    """It is the very same; what changed in any way is another, and so is its like in another namespace."""
    folded = Folded(INSTANCE)
    listed, running = [mine(n) for n in range(1, 4)], [its_pod(n) for n in range(1, 4)]
    before = await folded.jobs(HERE, listed, running)
    running[1]["status"]["phase"] = "Failed"
    listed[2]["spec"]["ttlSecondsAfterFinished"] = 600
    listed[2]["metadata"]["labels"][labels.EXPIRING] = INSTANCE
    after = await folded.jobs(HERE, copy.deepcopy(listed), copy.deepcopy(running))
    elsewhere = await folded.jobs("other", copy.deepcopy(listed), copy.deepcopy(running))
    first, second, third = after
    assert after[first] is before[first]
    assert (after[second].finished, after[third].expiring) == (True, True)
    assert elsewhere == after
    assert elsewhere[first] is not after[first]


async def test_what_is_gone_is_forgotten() -> None:
    """A list holds no more than it showed; who comes back as before is folded again, and told."""
    folded = Folded(INSTANCE)
    listed = [mine(1), mine(2)]
    before = await folded.jobs(HERE, listed, [])
    assert list(await folded.jobs(HERE, listed[:1], [])) == [f"{1:024x}"]
    again = await folded.jobs(HERE, listed, [])
    assert again == before
    assert again[f"{2:024x}"] is not before[f"{2:024x}"]


async def test_long_lists_leave_the_loop_its_turns() -> None:
    """Another task runs while thousands are folded."""
    listed = [mine(n) for n in range(1, 5 * MANY + 1)]
    turns, over = 0, False

    async def beside() -> None:
        nonlocal turns
        while not over:
            turns += 1
            await asyncio.sleep(0)

    task = asyncio.create_task(beside())
    found = await Folded(INSTANCE).jobs(HERE, listed, [])
    over = True
    await task
    assert len(found) == 5 * MANY
    assert turns >= 5
