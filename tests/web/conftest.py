"""Fixtures of the page: one browser per worker, and a place and a tab of each test's own.

All of it runs on one loop, for a browser can't move to another.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Awaitable, Callable, Generator
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import Browser

from tests.api.place import ADA, Place, place
from tests.web.browser import MISSING, REQUIRED, Visitor, browsing, chromium, visitor

Comes = Callable[..., Awaitable[Visitor]]


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def browser() -> AsyncIterator[Browser]:
    """The machine's Chromium; without one these tests skip, or fail where they are required."""
    path = chromium()
    if not path:
        why = f"{MISSING}install Chromium (Debian: apt-get install chromium), or name one in CHROMIUM"
        if os.environ.get(REQUIRED):
            pytest.fail(why)
        pytest.skip(why)
    async with browsing(path) as found:
        yield found


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """All tests that skip for want of a browser skip in one place, for pytest folds those."""
    report = yield
    if report.skipped and isinstance(report.longrepr, tuple) and MISSING in report.longrepr[2]:
        report.longrepr = (__file__, 1, report.longrepr[2])
    return report


@pytest_asyncio.fixture(loop_scope="session")
async def here(browser: Browser, tmp_path: Path, mongo_uri: str, mongo_database: str) -> AsyncIterator[Place]:
    """A server with three people who have tokens: ada, bob, and root, an admin."""
    async with place(tmp_path, mongo_uri, mongo_database) as made:
        yield made


@pytest_asyncio.fixture(loop_scope="session")
async def come(here: Place, browser: Browser) -> AsyncIterator[Comes]:
    """Somebody comes to look, as ada unless told. No test passes while the page had an error of its own."""
    came: list[Visitor] = []

    async def comes(token: str = ADA, **how: object) -> Visitor:
        one = await visitor(browser, here.url, token, **how)  # type: ignore[arg-type]
        came.append(one)
        return one

    yield comes
    complaints = [complaint for one in came for complaint in one.complaints]
    for one in came:
        await one.page.context.close()
    assert complaints == []


@pytest_asyncio.fixture(loop_scope="session")
async def ada(come: Comes) -> Visitor:
    """Whose the batches are, at an ordinary screen."""
    return await come()
