"""Watched stores that can't be had when the daemon starts."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from controller import spec_stores
from controller.adapters.system_clock import SystemClock
from controller.ports import Unavailable


async def test_a_folder_that_can_not_be_made_ends_no_daemon(tmp_path: Path) -> None:
    """Its looks tell why; batches and the other stores go on, and it is looked for again."""
    (tmp_path / "share").write_text("no folder yet")
    parts: Any = SimpleNamespace(clock=SystemClock())
    source = spec_stores._folder(tmp_path / "share" / "specs", parts)
    with pytest.raises(Unavailable, match=r"can't be listed: not a directory"):
        await source.scan()
    (tmp_path / "share").unlink()
    (tmp_path / "share" / "specs").mkdir(parents=True)
    assert await source.scan() == ()
