"""One job: its attempts, evidence and log; and text from elsewhere, which stays text."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from playwright.async_api import expect

from tests.api.place import BOB, Place
from tests.web.browser import Visitor
from tests.web.conftest import Comes
from tests.web.world import put, under_way

pytestmark = pytest.mark.asyncio(loop_scope="session")
EVIL = "<script>document.title='owned'</script><img src=x onerror=\"document.title='owned'\">&amp;"


async def test_evidence_log_and_attempts(here: Place, ada: Visitor) -> None:
    """Why it failed, what was kept of it, and every attempt of its task; a retry from here."""
    _, jobs = await under_way(here)
    page = await ada.open(f"#/jobs/{jobs[1].id}", "sweep-2")
    for told in ("mount-failure", "node-1", "FailedMount: MountVolume", "checking mounts"):
        await expect(page.get_by_text(told).first).to_be_visible()
    await ada.button("Retry").click()
    await ada.button("Retry", ada.dialog).click()
    await expect(page.get_by_text("1 retry recorded")).to_be_visible()
    attempts = page.locator(".lineage li")
    await expect(attempts).to_have_count(2)
    await expect(attempts.first.locator("strong")).to_have_text("sweep-2")
    await attempts.nth(1).get_by_role("link", name="sweep-2-r1").click()
    await expect(page.get_by_role("heading", level=1)).to_have_text("sweep-2-r1")
    await expect(page.get_by_role("heading", level=1)).to_be_focused()
    await page.get_by_text("What it runs").click()
    await expect(page.get_by_text("PHRASE=never-shown-to-others")).to_be_visible()


async def test_the_log_of_a_job_that_ends_while_it_is_looked_at(here: Place, ada: Visitor) -> None:
    """The log that was read before its end was kept, without the lines that say why it ended."""
    _, jobs = await under_way(here)
    page = await ada.open(f"#/jobs/{jobs[11].id}", "sweep-12")
    await expect(page.get_by_text("It wrote nothing that was kept.")).to_be_visible()
    ended = {"status": "error", "verdict": "lost", "finished": datetime.now(UTC)}
    await put(here, jobs[11], **ended, evidence={"log_tail": "its last words\n"})
    await expect(page.get_by_label("Log", exact=True)).to_have_text("its last words")


async def test_text_of_others_stays_text(here: Place, ada: Visitor) -> None:
    """Markup in errors, nodes, events and logs is shown as it was written, and nothing of it runs."""
    batch, jobs = await under_way(here)
    evidence = {"reason": EVIL, "message": EVIL, "events": [EVIL], "log_tail": EVIL}
    await put(here, jobs[1], error=EVIL, node=EVIL, evidence=evidence, rule=EVIL, scheduler_id=EVIL)
    page = await ada.open(f"#/jobs/{jobs[1].id}", "sweep-2")
    await expect(page.get_by_label("Log", exact=True)).to_have_text(EVIL)
    await expect(page.get_by_label("Events")).to_have_text(EVIL)
    await page.goto(f"{here.url}/#/batches/{batch.id}")
    await expect(page.locator("tbody tr").nth(1)).to_contain_text("<script>")
    assert await page.locator("main img, main script").count() == 0
    assert await page.title() == "sweep · Batchkeeper"


async def test_what_belongs_to_others_is_not_there(here: Place, come: Comes) -> None:
    """Somebody else's batch and job are told apart from nothing by no word; the way back is there."""
    batch, jobs = await under_way(here)
    bob = await come(BOB)
    page = await bob.open(f"#/batches/{batch.id}", "Not found")
    await expect(page.get_by_role("alert")).to_contain_text("no batch")
    await page.goto(f"{here.url}/#/jobs/{jobs[0].id}")
    await expect(page.get_by_role("alert")).to_contain_text("no job")
    await page.get_by_role("link", name="All batches").click()
    await expect(page.get_by_text("No batch yet")).to_be_visible()
    await page.goto(f"{here.url}/#/elsewhere")
    await expect(page.get_by_role("heading", level=1)).to_have_text("There is nothing here")
