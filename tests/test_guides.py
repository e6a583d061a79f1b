"""What the guides tell people to type and to set is there: commands, options, keys, verdicts."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from typing import Any

import pytest
import typer.main
from pydantic import BaseModel

from controller.cli.tree import app
from controller.config import Settings
from controller.core.model import Verdict
from controller.core.rules import BUILTIN
from tests.links import ROOT, documents, prose

DOCS = ROOT / "docs"
COMMANDS: Any = typer.main.get_command(app)
TROUBLE = (DOCS / "troubleshooting.md").read_text(encoding="utf-8")
_TYPED = re.compile(r"`batchkeeper ([^`]+)`|^ *batchkeeper (.+?)(?: +#.*)?$", re.MULTILINE)
_SHORT = {"BATCH|JOB": "BATCH", "submissions|retries": "submissions", "N": "7", "COMMAND": "status"}
"""Placeholders that stand for one of several words, or for a number."""
_KEY = re.compile(r"`([a-z_]+(?:\.[a-z0-9_]+)+)(?:: [^`]*)?`")


def typed() -> list[tuple[str, str]]:
    """Every command line in the documents, with the page it stands on."""
    return sorted(
        {
            (str(page.relative_to(ROOT)), " ".join("".join(found).split()))
            for page in documents()
            for found in _TYPED.findall(page.read_text(encoding="utf-8"))
        }
    )


@pytest.mark.parametrize(("page", "line"), typed())
def test_what_people_are_told_to_type_is_a_command(page: str, line: str) -> None:
    """It names a command and options that are there, as many words as it takes, and values that it knows."""
    name, *words = [_SHORT.get(word, word) for word in shlex.split(line.removesuffix(" …"))]
    if name in _SHORT.values() and words == ["--help"]:
        return
    assert name in COMMANDS.commands, page
    command = COMMANDS.commands[name]
    if not words:  # the command is only named
        return
    context = command.make_context(name, words)
    assert not context.args, page
    if name in ("halt", "unhalt"):
        assert context.params["as_admin"], f"{page}: refused without --as-admin"


def keys(model: type[BaseModel], before: str = "") -> Iterator[str]:
    """Every key of the configuration, sections too."""
    for name, about in model.model_fields.items():
        yield before + name
        inner = about.annotation
        if isinstance(inner, type) and issubclass(inner, BaseModel):
            yield from keys(inner, f"{before}{name}.")


@pytest.mark.parametrize("page", ["user-guide.md", "operator-guide.md", "security.md", "troubleshooting.md"])
def test_keys_in_the_guides_are_keys(page: str) -> None:
    """What looks like a key of a section of the configuration is one."""
    known = set(keys(Settings))
    found = {key for key in _KEY.findall(prose(DOCS / page)) if key.partition(".")[0] in known}
    assert {key for key in found if key not in known} == set()


# ----------------------------------------------------------------------------------------------- verdicts


def sections() -> dict[str, str]:
    """Troubleshooting by verdict: the text under each heading."""
    part = TROUBLE.split("\n## By verdict\n")[1].split("\n## ")[0]
    return dict(re.findall(r"^### `([a-z-]+)`\n(.*?)(?=^### |\Z)", part, re.MULTILINE | re.DOTALL))


def test_every_verdict_has_its_section() -> None:
    """In the order of the code, and no other."""
    assert list(sections()) == [verdict.value for verdict in Verdict]


@pytest.mark.parametrize("verdict", list(Verdict))
def test_a_verdict_s_section_is_complete(verdict: Verdict) -> None:
    """What it means, where to look, what the daemon does by itself, what to do; its own name in commands."""
    text = sections()[verdict.value]
    wanted = ["Means", "Look", "By itself", "Do"]
    if verdict is Verdict.SUCCEEDED:
        wanted.remove("Look")
    assert [
        word for word in re.findall(r"\*\*([A-Z][a-z]+(?: itself)?)\*\*", text) if word in wanted
    ] == wanted
    assert set(re.findall(r"--verdict ([a-z-]+)", text)) <= {verdict.value}


@pytest.mark.parametrize("verdict", list(Verdict))
def test_the_retries_in_a_section_are_those_in_the_code(verdict: Verdict) -> None:
    """The number of the built-in rule, or that nothing retries it."""
    rule = next((rule for rule in BUILTIN if rule.match.verdicts == (verdict,)), None)
    text = sections()[verdict.value].split("**By itself**")[1].split("**Do**")[0]
    assert re.findall(r"(\d+)\s+retr(?:y|ies)", text) == ([str(rule.limit)] if rule else [])
    if rule:
        assert f"{rule.backoff.base.seconds}" in text
    elif verdict is not Verdict.SUCCEEDED:
        assert re.search(r"never|not\s+retried|only by a rule", text)
