"""docs/api.md: its examples do what it says."""

from __future__ import annotations

import asyncio
import os
import re
from pathlib import Path

import pytest

from tests.api.place import ADA, Place

TEXT = (Path(__file__).parents[2] / "docs" / "api.md").read_text(encoding="utf-8")
EXAMPLES = [
    line for block in re.findall(r"```sh\n(.*?)```", TEXT, re.DOTALL) for line in block.splitlines() if line
]


@pytest.mark.parametrize("example", EXAMPLES, ids=range(len(EXAMPLES)))
async def test_examples(here: Place, example: str) -> None:
    """Each is answered with 2xx, as it stands there."""
    _, jobs = await here.failed()
    environment = {**os.environ, "URL": here.url, "TOKEN": ADA, "JOB": jobs[0].id}
    shell = await asyncio.create_subprocess_exec(
        "sh", "-c", f"{example} -w '\\n%{{http_code}}'", env=environment, stdout=asyncio.subprocess.PIPE
    )
    out, _ = await shell.communicate()
    body, _, code = out.decode().rpartition("\n")
    assert code.startswith("2"), body
