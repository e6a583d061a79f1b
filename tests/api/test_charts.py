"""A batch in numbers to draw, and the page that draws them."""

from __future__ import annotations

import json
import string
from datetime import UTC, datetime, timedelta
from typing import Any

from bson import ObjectId

from controller.api.page import content
from controller.core.charts import STEPS, Tally, timeline
from controller.core.model import Status, Verdict
from tests.api.place import Place


async def test_the_store_counts_what_the_records_say(here: Place) -> None:
    """Begun and ended by step, durations by doubling, failures by verdict: compared with a count by hand."""
    batch = await here.submit(tasks=6)
    jobs = await here.jobs(batch)
    start = datetime(2026, 5, 1, tzinfo=UTC)
    spans = [(0, 10), (0, 20), (5, 15), (30, 59), (30, None), (None, None)]
    for job, (begun, ended) in zip(jobs, spans, strict=True):
        at = {"created": begun, "running": begun, "finished": ended}
        fields: dict[str, Any] = {
            name: start + timedelta(seconds=when) for name, when in at.items() if when is not None
        }
        if ended is not None:
            fields |= {"status": "completed", "verdict": "succeeded"}
        elif begun is not None:
            fields |= {"status": "running", "slot": 0}
        await here.store._jobs.update_one({"_id": ObjectId(job.id)}, {"$set": fields})
    await here.end(jobs[3:4], Status.ERROR, Verdict.OUT_OF_MEMORY)
    await here.store._jobs.update_one(
        {"_id": ObjectId(jobs[3].id)}, {"$set": {"finished": start + timedelta(seconds=59)}}
    )
    tally = await here.store.tally(batch.id, start, 60.0)
    active = dict(timeline(tally, 60.0))
    for when in (1, 7, 12, 17, 25, 40):
        wanted = sum(b is not None and b <= when and (e is None or e > when) for b, e in spans)
        shown = [n for second, n in sorted(active.items()) if second <= when][-1]
        assert shown == wanted, when
    assert tally.took == {13: 2, 17: 1}, "10 s twice and 20 s once, four steps to a doubling"
    assert tally.seconds == 40.0
    assert tally.failures == {Verdict.OUT_OF_MEMORY: 1}
    assert max(tally.begun) < STEPS


async def test_a_batch_without_jobs_that_began(here: Place) -> None:
    """Nothing to draw is no error."""
    batch = await here.submit()
    told = (await here.ada.get(f"/api/v1/batches/{batch.id}/charts")).body
    assert told["timeline"]["points"] == []
    assert told["durations"] == {"edges": [], "counts": []}
    assert told["eta_seconds"] is None
    assert await here.store.tally(batch.id, datetime.now(UTC), 1.0) == Tally({}, {}, {}, 0.0, {})


async def test_what_is_kept_of_charts_is_small(here: Place) -> None:
    """A hundred answers are kept for hours, of batches that are over: as they are sent, not as objects."""
    batch, _ = await here.failed()
    asked = [(await here.ada.get(f"/api/v1/batches/{batch.id}/charts")).body for _ in range(2)]
    (told,) = here.api.context.charting._told.values()
    assert type(await told.task) is bytes
    assert [json.loads(await told.task)] * 2 == asked


async def test_charts_are_for_whoever_sees_the_batch(here: Place) -> None:
    """Others learn nothing, not even that there is such a batch."""
    batch, _ = await here.failed()
    assert (await here.ada.get(f"/api/v1/batches/{batch.id}/charts")).body["failures"] == {"mount-failure": 5}
    assert (await here.bob.get(f"/api/v1/batches/{batch.id}/charts")).status == 404


async def test_the_page_is_served_and_kept_by_browsers(here: Place) -> None:
    """Every file that the page names is there, with a tag by which it is not sent twice."""
    page = await here.as_("").get("/")
    assert page.status == 200
    assert page.headers["content-type"].startswith("text/html")
    assert "script-src 'self'" in page.headers["content-security-policy"]
    script = await here.as_("").get("/web/main.js")
    assert script.headers["content-type"].startswith("text/javascript")
    again = await here.as_("").get("/web/main.js", headers={"If-None-Match": script.headers["etag"]})
    assert (again.status, again.body) == (304, "")
    for path in ("/web/none.js", "/web/..%2fpage.py", "/web/page.py"):
        assert (await here.as_("").get(path)).status in (404, 422), path


def test_names_of_files_that_are_none_are_not_kept() -> None:
    """Anybody may ask for one more: each was remembered for ever."""
    for n in range(1, 31):
        for letter in string.ascii_lowercase:
            assert content(f"{letter * n}.js") is None
    assert content.cache_info().currsize < 100


async def test_who_am_i(here: Place) -> None:
    """Everybody is told as whom they are known, and what they may."""
    assert (await here.ada.get("/api/v1/whoami")).body == {
        "user": "ada",
        "operator": False,
        "sees_all": False,
    }
    assert (await here.root.get("/api/v1/whoami")).body == {
        "user": "root",
        "operator": True,
        "sees_all": True,
    }
    assert (await here.as_("").get("/api/v1/whoami")).status == 401
