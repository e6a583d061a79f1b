"""docs/cli.md against the real tree of commands, and against what programs really get."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import typer.main

from controller.cli.tree import COMMANDS, app
from tests.cli.place import SPEC, Place, Shell

TEXT = (Path(__file__).parents[2] / "docs" / "cli.md").read_text(encoding="utf-8")
CONTRACT = set(
    "controller run validate plan submit list status jobs logs explain retry cancel pause resume scale repair"
    " reap report adopt halt unhalt".split()
)


def rows(heading: str) -> dict[str, list[str]]:
    """The table under a heading: the cells after the first, by the first word of the first."""
    part = TEXT.split(f"\n## {heading}\n")[1].split("\n## ")[0]
    cells = [re.split(r"(?<!\\)\|", line)[1:-1] for line in part.splitlines() if line.startswith("| ")]
    return {
        match[1]: [cell.strip() for cell in row[1:]]
        for row in cells
        if (match := re.match(r"`([a-z]+)", row[0].strip()))
    }


def tree() -> dict[str, Any]:
    """The commands as they are."""
    root: Any = typer.main.get_command(app)
    return dict(root.commands)


def test_every_command_of_the_contract_is_there() -> None:
    """And no other."""
    assert set(tree()) == CONTRACT


@pytest.mark.parametrize("heading", list(COMMANDS))
def test_every_command_and_option_is_documented(heading: str) -> None:
    """Under the heading of the help screen, with exactly the options it has."""
    documented = rows(heading)
    assert list(documented) == [name for name, _ in COMMANDS[heading]]
    for name, (_, options) in documented.items():
        real = {
            option
            for parameter in tree()[name].params
            for option in parameter.opts
            if option.startswith("--") and option != "--help"
        }
        assert set(re.findall(r"--[a-z-]+", options)) == real, name


def test_every_command_has_its_configuration() -> None:
    """--config everywhere; what shows has -o."""
    for name, command in tree().items():
        options = {option for parameter in command.params for option in parameter.opts}
        assert "--config" in options, name
        if name not in {"logs", "halt", "unhalt"}:
            assert {"-o", "--output"} <= options, name


def documented_keys(command: str) -> set[str]:
    """The keys in the row that names the command."""
    part = TEXT.split("\n## What programs read\n")[1]
    for line in part.splitlines():
        if line.startswith("|") and f"`{command}`" in line.split("|")[1]:
            shape = re.sub(r"\([^)]*\)|\{[^}]*\}", "", line.split("|")[2])
            return set(re.findall(r"`([a-zA-Z_]+)`", shape))
    raise AssertionError(f"{command} is not in the table")


@pytest.mark.parametrize(
    ("words", "row"),
    [
        ("jobs sweep", "jobs"),
        ("explain sweep", "explain"),
        ("report sweep", "report"),
        ("retry sweep-wrong --dry-run", "retry"),
        ("pause sweep --dry-run", "pause"),
        ("plan sweep.yaml", "plan"),
        ("validate sweep.yaml", "validate"),
        ("submit sweep.yaml --dry-run", "submit"),
    ],
)
def test_programs_get_the_documented_keys(sweep: Place, shell: Shell, words: str, row: str) -> None:
    """Exactly those: a renamed key would break somebody's script."""
    Path("sweep.yaml").write_text(SPEC.format(name="sweep", at_most=9))
    document = shell.json(*words.split())
    first = document[0] if isinstance(document, list) else document
    assert set(first) == documented_keys(row) - ({"differences"} if row == "report" else set())


def test_a_batch_has_no_key_that_is_not_documented(sweep: Place, shell: Shell) -> None:
    """Empty ones are left out, so it is a subset."""
    assert set(shell.json("status", "sweep")) <= documented_keys("status")
    assert set(shell.json("list")[0]) <= documented_keys("list")
