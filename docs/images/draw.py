"""Draws the README's picture from a run under way: ``python docs/images/draw.py`` during ``make run``."""

from __future__ import annotations

import asyncio
import io
import re
import time
from pathlib import Path

from rich.console import Console, Group
from rich.terminal_theme import MONOKAI
from rich.text import Text

from controller.app import open_parts
from controller.cli.progress import Pace, drawn
from controller.cli.tables import jobs_table
from controller.config import load
from controller.core.model import Status
from controller.explaining import explanation_of_batch
from controller.ports import JobFilter
from controller.shapes import job_document
from controller.standing import standing_of

HERE = Path(__file__).parent
EXAMPLE = HERE.parent.parent / "examples" / "gwas" / "config.yaml"
COMMAND = "$ make run"


async def draw(share: float = 0.55) -> None:
    """Wait until this share of the tasks is done, then draw the screen as it is."""
    pace = Pace(time.monotonic)
    async with open_parts(load(EXAMPLE)) as parts:
        store = parts.store
        while True:
            batches = await store.batches()
            if not batches:
                await asyncio.sleep(0.2)
                continue
            now = await standing_of(store, batches[0].id, parts.clock.now())
            assert now is not None
            pace.left(now)
            if now.done >= share * now.total:
                break
            await asyncio.sleep(0.2)
        why = await explanation_of_batch(parts.engine, now.batch)
        found = store.find_jobs(JobFilter(now.batch.id, (Status.ERROR,)))
        failed = [job_document(job) async for job in found]
        screen = Group(
            Text(COMMAND, style="bold"),
            drawn(now, pace, why.sentence),
            Text("\n$ batchkeeper jobs gwas-trait --status error", style="bold"),
            jobs_table(failed[-6:], parts.clock.now()),
        )
    console = Console(record=True, width=118, file=io.StringIO(), force_terminal=True)
    console.print(screen)
    svg = console.export_svg(title="batchkeeper", theme=MONOKAI)
    local = re.sub(r"@font-face \{.*?\}\s*", "", svg, flags=re.DOTALL)  # a picture fetches nothing
    (HERE / "run.svg").write_text(local.replace("Fira Code", "DejaVu Sans Mono"), encoding="utf-8")


if __name__ == "__main__":
    asyncio.run(draw())
