"""The plots of a batch: what is drawn tells its numbers, too."""

from __future__ import annotations

import pytest
from playwright.async_api import expect

from tests.api.place import Place
from tests.web.browser import Visitor
from tests.web.world import under_way

pytestmark = pytest.mark.asyncio(loop_scope="session")
TOLD = """columns => columns.map(one => one.firstElementChild)
    .filter(one => one instanceof SVGTitleElement).map(one => one.textContent)"""


async def test_each_column_tells_its_numbers(here: Place, ada: Visitor) -> None:
    """A browser shows the title of what the pointer rests on if it is one of SVG, and none of HTML."""
    batch, _ = await under_way(here)
    page = await ada.open(f"#/batches/{batch.id}", "sweep")
    columns = page.locator(".plot rect.column")
    await expect(columns.first).to_be_attached()
    told = await columns.evaluate_all(TOLD)
    assert len(told) == await columns.count()
    assert all(" took " in one and " to " in one for one in told)
