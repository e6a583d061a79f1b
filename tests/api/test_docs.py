"""docs/api.md: its examples do what it says; and every page names routes that are served."""

from __future__ import annotations

import asyncio
import os
import re
from pathlib import Path

import pytest

from tests.api.place import ADA, Place
from tests.links import documents, prose

TEXT = (Path(__file__).parents[2] / "docs" / "api.md").read_text(encoding="utf-8")
EXAMPLES = [
    line for block in re.findall(r"```sh\n(.*?)```", TEXT, re.DOTALL) for line in block.splitlines() if line
]
_ROUTE = re.compile(r"`(GET|POST) (/api/v1/[^`?\[]*)`")


async def test_routes_in_the_documents_are_served(here: Place) -> None:
    """Method and path, as the OpenAPI document has them."""
    paths = (await here.ada.get("/openapi.json")).body["paths"]
    served = {(method.upper(), path) for path, methods in paths.items() for method in methods}
    told = {found for page in documents() for found in _ROUTE.findall(prose(page))}
    assert told
    assert told - served == set()


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
