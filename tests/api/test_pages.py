"""Pages of jobs: every sort, both ways, with values that are missing, against a plain sort of all of them."""

from __future__ import annotations

import base64
import json
import random
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from bson import ObjectId

from controller.core.model import Attempt, Status, Verdict
from controller.ports import JobQuery, JobSort
from controller.ports import Place as At
from tests.api.place import Place

START = datetime(2026, 5, 1, tzinfo=UTC)


def key(job: Attempt, sort: JobSort) -> tuple[Any, ...]:
    """What a job is sorted by, written down a second time: what is missing comes first."""
    took = None
    if job.running and job.finished:
        took = (job.finished - job.running) // timedelta(milliseconds=1)
    value: Any = {
        JobSort.ORDER: (job.batch_id, job.index, job.attempt),
        JobSort.NAME: job.name,
        JobSort.STATUS: job.status.value,
        JobSort.VERDICT: job.verdict.value if job.verdict else None,
        JobSort.ATTEMPT: job.attempt,
        JobSort.NODE: job.node or None,
        JobSort.INSERTED: job.inserted,
        JobSort.RUNNING: job.running,
        JobSort.FINISHED: job.finished,
        JobSort.SECONDS: took,
    }[sort]
    return (value is not None, value, job.id) if value is not None else (False, "", job.id)


@pytest.mark.parametrize("descending", [False, True])
@pytest.mark.parametrize("sort", JobSort)
async def test_every_sort_page_by_page(here: Place, sort: JobSort, descending: bool) -> None:
    """Every job once, in the order in which a plain sort has them; also of one verdict only, of those whose
    task's id has a text in it, and of all batches."""
    drawn = random.Random(f"{sort} {descending}")
    batch = await here.submit(tasks=40)
    other = await here.submit(name="other", tasks=5)
    for job in await here.jobs(batch):
        fields: dict[str, Any] = {"node": f"node-{drawn.randint(1, 4)}"} if drawn.random() < 0.7 else {}
        if drawn.random() < 0.6:
            begun = START + timedelta(seconds=drawn.randint(0, 9))
            ended = begun + timedelta(seconds=drawn.randint(0, 5))
            verdict = drawn.choice([Verdict.MOUNT_FAILURE, Verdict.LOST])
            fields |= {"status": Status.ERROR.value, "verdict": verdict.value, "finished": ended}
            fields |= {"running": begun} if drawn.random() < 0.8 else {}
        if fields:
            await here.store._jobs.update_one({"_id": ObjectId(job.id)}, {"$set": fields})
    jobs, others = await here.jobs(batch), await here.jobs(other)
    asked: list[tuple[JobQuery, list[Attempt]]] = [
        (JobQuery(batch_id=batch.id), jobs),
        (
            JobQuery(batch_id=batch.id, verdict=(Verdict.LOST,)),
            [j for j in jobs if j.verdict is Verdict.LOST],
        ),
        (JobQuery(batch_id=batch.id, text="3"), [job for job in jobs if "3" in job.task_id]),
        (JobQuery(status=(Status.WAITING,)), [j for j in (*jobs, *others) if j.status is Status.WAITING]),
    ]
    for query, found in asked:
        query = replace(query, sort=sort, descending=descending)
        wanted = sorted(found, key=lambda job: key(job, sort), reverse=descending)
        shown, after = list[Attempt](), None
        while True:
            page = await here.store.job_page(query, after, 7)
            shown += page.jobs
            assert len(shown) <= len(wanted)
            if page.next is None:
                break
            after = At(page.next.keys, page.next.id)
        assert [job.id for job in shown] == [job.id for job in wanted]
        assert await here.store.count_jobs(query, 1000) == len(wanted)


@pytest.mark.parametrize(
    ("path", "cursor"),
    [
        ("batches", ["batches", "0" * 24, [[]]]),
        ("batches", ["batches", "0" * 24, [{"0": ""}]]),
        ("batches", ["batches", "0x" + "0" * 22, [["2026-05-01T00:00:00+00:00"]]]),
        ("batches", {"batches": 1, "0" * 24: 2, "x": 3}),
        ("jobs?sort=name", ["jobs name 0", "0" * 24, ["\ud800"]]),
        ("jobs?sort=name", ["jobs name 0", "0" * 24, [7]]),
        ("jobs?sort=name", ["jobs node 0", "0" * 24, ["a"]]),
        ("batches", ["batches", "\u0660" * 24, [["2026-05-01T00:00:00+00:00"]]]),
        ("jobs", 7),
    ],
)
async def test_a_cursor_that_was_made_up(here: Place, path: str, cursor: Any) -> None:
    """Whatever it holds, it is refused, and no bug of ours."""
    text = base64.urlsafe_b64encode(json.dumps(cursor).encode()).decode()
    told = await here.ada.get(f"/api/v1/{path}", params={"cursor": text})
    assert (told.status, "begin with the first page" in told.body["detail"]) == (422, True)


async def test_a_page_has_a_hundred_unless_asked_otherwise(here: Place) -> None:
    """At most 1,000, as docs/api.md says."""
    await here.submit(tasks=120)
    assert len((await here.ada.get("/api/v1/jobs")).items) == 100
    assert len((await here.ada.get("/api/v1/jobs?limit=1000")).items) == 120
    assert (await here.ada.get("/api/v1/jobs?limit=1001")).status == 422
