"""Draws docs/images/page.png: ``python -m tests.web.picture [FOLDER]``; into a folder, every view instead.

What is seen is a batch made up for it: no daemon and no cluster is asked.
"""

from __future__ import annotations

import asyncio
import random
import sys
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path

from bson import ObjectId
from playwright.async_api import Browser, expect

from controller.adapters.mongod import acquire
from controller.core.model import Batch
from tests.api.place import ADA, Place, place
from tests.web.browser import NARROW, Visitor, browsing, chromium, visitor
from tests.web.world import ENDS, LOG, gate, parent, put

PICTURE = Path(__file__).parents[2] / "docs" / "images" / "page.png"
LONG = "a-batch-with-a-name-of-forty-characters1"
TASKS, RUNNING = 186, 4


async def sweep(here: Place, name: str) -> Batch:
    """Some 140 of 186 have ended, most of them well; four run."""
    drawn = random.Random(4)
    batch = await here.submit(name, TASKS)
    jobs = await here.jobs(batch)
    now = datetime.now(UTC)
    start = now - timedelta(minutes=170)
    free = [start] * RUNNING
    await parent(here, batch, inserted=start)
    for n, job in enumerate(jobs):
        slot = free.index(min(free))
        begun = free[slot] + timedelta(seconds=drawn.uniform(1, 9))
        ended = begun + timedelta(seconds=drawn.lognormvariate(5.5, 0.5))
        times = {"created": begun, "queued": begun, "running": begun + timedelta(seconds=2)}
        node = f"node-{drawn.randint(1, 9)}"
        if ended > now:
            running = jobs[n : n + RUNNING]
            for place_, one in enumerate(running):
                began = min(free[place_], now - timedelta(seconds=20))
                times = {"created": began, "queued": began, "running": began}
                await put(here, one, status="running", slot=place_, node=f"node-{place_ + 1}", **times)
            holders = [{"job": ObjectId(one.id), "slot": place_} for place_, one in enumerate(running)]
            await gate(here, batch, hold="", holders=holders)
            break
        free[slot] = ended
        status, verdict, code, error = ENDS[drawn.choices((0, 1, 2), (88, 8, 4))[0]]
        evidence = {"log_tail": LOG if code else "", "events": []}
        fields = {"status": status, "verdict": verdict, "exit_code": code, "error": error, "node": node}
        await put(here, job, **fields, **times, finished=ended, evidence=evidence)
    await here.store.recount(batch.id)
    return batch


async def draw(folder: Path | None) -> None:
    """The picture, or every view in light, dark and narrow."""
    with tempfile.TemporaryDirectory() as state:
        mongod = await acquire(Path(state), patience=timedelta(minutes=4))
        try:
            async with place(Path(state), mongod.uri, "page") as here, browsing(chromium()) as browser:
                batch = await sweep(here, "gapit3-trait")
                if folder is None:
                    one = await visitor(browser, here.url, ADA, width=1100, height=860, still=True)
                    await _batch(one, batch, PICTURE)
                else:
                    held = await sweep(here, LONG)
                    await gate(here, held, hold="systemic-failure: 11 of 12 first attempts: mount-failure")
                    await _all(browser, here, (batch, held), folder)
        finally:
            await mongod.release()


async def _batch(one: Visitor, batch: Batch, into: Path, *, full: bool = False) -> None:
    page = await one.open(f"#/batches/{batch.id}", batch.name)
    await expect(page.locator("#live")).to_have_text("live")
    await page.locator("h1").evaluate("one => one.blur()")
    await page.screenshot(path=into, full_page=full)


async def _all(browser: Browser, here: Place, batches: tuple[Batch, Batch], folder: Path) -> None:
    jobs = await here.jobs(batches[1])
    failed = next(job for job in jobs if job.error)
    for name, width, dark in (("light", 1100, False), ("dark", 1100, True), ("narrow", NARROW, False)):
        one = await visitor(
            browser, here.url, ADA, width=width, scheme="dark" if dark else "light", still=True
        )
        page = await one.open(heading="Batches")
        await expect(page.get_by_text("done in about")).to_have_count(1)
        await page.screenshot(path=folder / f"overview-{name}.png", full_page=True)
        await page.goto(f"{here.url}/#/jobs/{failed.id}")
        await expect(page.get_by_role("heading", name="Evidence")).to_be_visible()
        await page.screenshot(path=folder / f"job-{name}.png", full_page=True)
        for batch in batches:
            await _batch(one, batch, folder / f"{batch.name[:6]}-{name}.png", full=True)
        await page.locator("tbody input").first.check()
        await one.button("Retry", page.locator(".chosen-bar")).click()
        await expect(one.dialog.get_by_role("list")).to_be_visible()
        await page.screenshot(path=folder / f"dialog-{name}.png")
        await page.context.close()


if __name__ == "__main__":
    asyncio.run(draw(Path(sys.argv[1]) if sys.argv[1:] else None))
