"""The documents say what the code does: generated parts are compared, named files and links exist.

``python -m tests.test_documents`` writes the generated parts anew.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from controller.core.machine import TABLE, Row
from controller.core.model import ACTIVE, LIVE, TERMINAL, Status
from controller.core.rules import BUILTIN
from tests.contract.test_fidelity_traps import BUGS as STORE_TRAPS
from tests.e2e.sown import SOWN as HERE_SOWN
from tests.failover.sown import SOWN as STORE_SOWN
from tests.kube.planted import BUGS
from tests.kube.sown import SOWN as KUBE_SOWN
from tests.kube.test_matrix_sown import SOWN as MATRIX_SOWN

ROOT = Path(__file__).resolve().parent.parent
LIFECYCLE = ROOT / "docs" / "lifecycle.md"
DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "examples").rglob("*.md")])
_TABLE = re.compile(r"(<!-- table: [^>]*-->\n).*?(<!-- /table -->)", re.DOTALL)
_LINK = re.compile(r"\]\((?!https?:|mailto:|#)([^)#\s]+)(?:#[^)]*)?\)")
_FILE = re.compile(r"`(controller/[\w/]+(?:\.py|/)|tests/[\w/]+(?:\.py|/)?|examples/[\w./]+)`")
_GROUPS = {ACTIVE: "active", TERMINAL: "terminal", LIVE: "waiting, active", LIVE | TERMINAL: "any"}


def statuses(found: frozenset[Status]) -> str:
    """A set of statuses as people call it."""
    return _GROUPS.get(found) or ", ".join(status.value for status in Status if status in found)


def line(row: Row) -> str:
    """One row of the machine as one line of the document."""
    target = f"→ {statuses(row.targets)}" if row.targets else "–"
    guards = ", ".join(sorted(guard.value for guard in row.guards)) or "–"
    cells = (statuses(row.sources), row.event.value, target, guards, row.writer.value, row.deed)
    return f"| {' | '.join(cells)} |"


def table() -> str:
    """The machine as the document shows it."""
    head = "| status | event | becomes | guards repeated by the store | writer | deed |\n"
    head += "|---|---|---|---|---|---|\n"
    return head + "\n".join(line(row) for row in TABLE.values()) + "\n"


def rendered(text: str) -> str:
    """The document with its generated part as the code is now."""
    return _TABLE.sub(lambda found: found[1] + table() + found[2], text)


def test_the_table_in_the_document_is_the_table_in_the_code() -> None:
    """The state machine that people read is the one that runs."""
    text = LIFECYCLE.read_text(encoding="utf-8")
    assert rendered(text) == text, "python -m tests.test_documents writes it anew"


def test_the_budgets_in_the_document_are_those_in_the_code() -> None:
    """Every built-in rule stands in the document with its limit and its first delay."""
    rows = re.findall(r"^\| ([\w, -]+) \| (\d+) \| (\d+) s \|", LIFECYCLE.read_text("utf-8"), re.MULTILINE)
    shown = {verdict.strip(): (int(n), int(base)) for names, n, base in rows for verdict in names.split(",")}
    built_in = {
        rule.match.verdicts[0].value: (rule.limit, int(rule.backoff.base.total_seconds())) for rule in BUILTIN
    }
    assert shown == built_in


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_and_named_files_exist(document: Path) -> None:
    """Nobody is sent to a file that is not there."""
    text = document.read_text(encoding="utf-8")
    missing = [link for link in _LINK.findall(text) if not (document.parent / link).exists()]
    missing += [name for name in _FILE.findall(text) if not (ROOT / name).exists()]
    assert not missing


def test_every_planted_bug_has_its_row() -> None:
    """Those below the simulation: none is kept without being told of. ``test_planted.py`` has the others."""
    shown = re.findall(r"^\| ([^|]+) \|", (ROOT / "docs" / "proof.md").read_text("utf-8"), re.MULTILINE)
    kept = [*(bug.name for bug in BUGS), *KUBE_SOWN, *MATRIX_SOWN, *STORE_SOWN, *STORE_TRAPS, *HERE_SOWN]
    assert [bug for bug in kept if not any(bug in row for row in shown)] == []


if __name__ == "__main__":
    LIFECYCLE.write_text(rendered(LIFECYCLE.read_text(encoding="utf-8")), encoding="utf-8")
