"""Schemathesis asks what the OpenAPI document says may be asked, and worse: nothing is found."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

import pytest

from tests.api.place import ROOT, Place

CHECKS = (
    "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance,"
    "negative_data_rejection,missing_required_header,unsupported_method,ignored_auth"
)

REFUSED = """[checks.negative_data_rejection]
expected-statuses = [400, 401, 403, 404, 405, 406, 409, 413, 415, 422, 428, 429, "5xx"]
"""
"""Its own list, and 413, which more ids than are taken at once are answered."""


@pytest.mark.slow
async def test_nothing_is_found(here: Place, tmp_path: Path) -> None:
    """Every operation, with good data and bad; the stream of events, which never ends, is left out."""
    await here.failed(tasks=3, user="root")
    (tmp_path / "here").mkdir()
    (tmp_path / "here" / "schemathesis.toml").write_text(REFUSED)
    fuzzer = await asyncio.create_subprocess_exec(
        str(Path(sys.executable).parent / "schemathesis"),
        *("run", f"{here.url}/openapi.json", "--checks", CHECKS, "--max-examples", "3", "--seed", "1"),
        *("--phases", "examples,coverage,fuzzing", "--exclude-path", "/api/v1/events", "--no-color"),
        *("--header", f"Authorization: Bearer {ROOT}", "--max-time", "20", "--suppress-health-check", "all"),
        *("--generation-database", "none"),
        cwd=tmp_path / "here",
        env={**os.environ, "PYTHONWARNINGS": "ignore"},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    out, _ = await fuzzer.communicate()
    assert fuzzer.returncode == 0, out.decode()[-6000:]
    assert "Unresolvable references" not in out.decode()
