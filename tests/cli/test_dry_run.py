"""--dry-run, wherever it can be said: it writes nothing. The store here fails on every write."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

import pytest
import typer.main

from controller.cli.tree import app
from controller.ports import Store
from tests.cli.place import SPEC, Place, Shell

READS = frozenset(
    "new_id quarantined now epoch halts standing blind_gaps batch batch_named batches batches_with recorded"
    " batches_with_live_jobs gates job jobs job_named waiting waiting_for_end next_due has waiting_ids active"
    " roots roots_of chain chains find_jobs listed unfinished_lifecycles last_failures quarantine"
    " requests close".split()
)
"""The methods of the port that change nothing; every other one is a write."""


class WriteFailed(AssertionError):
    """A dry run wrote."""


class ReadOnly:
    """The store with every write method failing."""

    def __init__(self, store: Any) -> None:
        self._store = store

    def __getattr__(self, name: str) -> Any:
        if name not in READS:
            raise WriteFailed(f"a dry run called {name}")
        return getattr(self._store, name)


def test_reads_are_methods_of_the_port() -> None:
    """A slip in the list above would let a write through."""
    port = {name for name, _ in inspect.getmembers(Store, inspect.isfunction)}
    assert port >= READS
    assert {"claim", "change", "set_gate", "add_jobs", "set_halt", "toggle", "nudge"} <= port - READS


LINES = [
    "retry sweep-wrong --dry-run",
    "retry sweep-mount --now --dry-run",
    "retry --batch sweep --memory 3Gi --dry-run",
    "cancel sweep --dry-run",
    "cancel sweep-long sweep-mount-r1 --dry-run",
    "pause sweep --dry-run",
    "resume sweep --dry-run",
    "scale sweep 1 --dry-run",
    "repair --dry-run",
    "reap --dry-run",
    "adopt sweep --dry-run",
    "controller --dry-run",
    "halt submissions --as-admin --dry-run",
    "unhalt retries --as-admin --dry-run",
    "submit new.yaml --dry-run",
    "submit sweep.yaml --dry-run",
]


@pytest.mark.parametrize("line", LINES)
def test_a_dry_run_writes_nothing_and_says_so(sweep: Place, shell: Shell, line: str) -> None:
    """Done without a write, with an answer that says what would be done, and that nothing was."""
    Path("new.yaml").write_text(SPEC.format(name="new", at_most=3))
    Path("sweep.yaml").write_text(SPEC.format(name="sweep", at_most=9))
    sweep.store = ReadOnly(sweep.store)
    answer = shell(*line.split())
    assert answer.code == 0, answer.err
    assert answer.out.strip()
    assert "dry run: nothing was changed" in answer.err


def test_the_store_does_fail_on_a_write(sweep: Place, shell: Shell) -> None:
    """Without --dry-run the same store is noticed: the test above can fail."""
    sweep.store = ReadOnly(sweep.store)
    with pytest.raises(WriteFailed):
        shell("pause", "sweep")


def test_every_command_that_has_it_is_tried() -> None:
    """A new command with --dry-run can't be forgotten."""
    commands: Any = typer.main.get_command(app)
    have = {
        name
        for name, command in commands.commands.items()
        if any("--dry-run" in parameter.opts for parameter in command.params)
    }
    assert have == {line.split()[0] for line in LINES}


def test_a_dry_submit_goes_through_the_real_intake(sweep: Place, shell: Shell) -> None:
    """New, changed, the same and refused are told apart as the daemon would."""
    Path("new.yaml").write_text(SPEC.format(name="new", at_most=3))
    new = shell.json("submit", "new.yaml", "--dry-run")
    assert (new["outcome"], new["batchId"]) == ("accepted", None)
    Path("sweep.yaml").write_text(SPEC.format(name="sweep", at_most=9))
    assert shell.json("submit", "sweep.yaml", "--dry-run")["outcome"] == "changed"
    Path("other.yaml").write_text(SPEC.format(name="sweep", at_most=4).replace("memory: 1Gi", "memory: 2Gi"))
    assert shell.json("submit", "other.yaml", "--dry-run", code=1)["outcome"] == "refused"
    assert sweep.gate().max == 4


def test_a_dry_controller_names_what_a_pass_would_do(place: Place, shell: Shell) -> None:
    """Each job that would be submitted, with the plan's own reason."""
    place.submit(at_most=2)
    steps = shell.json("controller", "--dry-run")
    assert [(step["deed"], step["subject"]) for step in steps] == [
        ("submit", "sweep-good"),
        ("submit", "sweep-wrong"),
    ]
    assert {step["reason"] for step in steps} == {"place-free"}
