"""The oracle itself: lawful histories pass, and a history that breaks an invariant is caught by its name."""

from __future__ import annotations

import ast
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from controller.core.model import BatchStatus, Holder, Origin, Result, Status, TerminatedCode, Verdict
from tests.oracle.bent import BENT, two_live
from tests.oracle.bent_batches import (
    success_of_nobody,
    waiting_orphan_retried,
    waiting_orphan_withdrawn,
    waiting_orphan_withdrawn_and_deleted,
)
from tests.oracle.bent_brake import LAWFUL_BRAKES
from tests.oracle.bent_gates import LAWFUL_GATES
from tests.oracle.bent_truth import LAWFUL_TRUTHS
from tests.oracle.histories import CANCEL, Tale, batch
from tests.oracle.history import Deed, Parent
from tests.oracle.invariants import Invariant

ADAPTERS = frozenset({"from_memory.py", "recorder.py"})
"""Where logs are translated for the oracle; only they know where these come from."""


def lawful_success(tale: Tale) -> None:
    """Two tasks that complete."""
    tale.begin("a", "c")
    tale.run("a")
    tale.run("c", "v", 1)
    tale.end("a")
    tale.end("c", "v")
    tale.finish()


def lawful_retry(tale: Tale) -> None:
    """A mount failure, its retry after the back-off, and success."""
    tale.begin("a")
    tale.run("a")
    tale.end("a", exit_code=2)
    child = tale.retry("a")
    tale.pass_time(60)
    tale.run(child, "v")
    tale.end(child, "v")
    tale.finish()


def lawful_cancel(tale: Tale) -> None:
    """A running job that is stopped: deleted by order, recorded once it is gone."""
    tale.begin("a")
    tale.run("a")
    tale.change("a", stop=CANCEL)
    tale.happen(Deed.DELETE, "a", ours=True)
    tale.happen(Deed.ENDED, "a", success=False)
    tale.happen(Deed.GONE, "a")
    terminated: dict[str, Any] = {"terminated_code": TerminatedCode.USER, "verdict": Verdict.CANCELLED}
    tale.change("a", status=Status.TERMINATED, slot=None, finished=tale.now, **terminated)
    tale.leave("a")
    tale.finish(Result.FAILED)


def lawful_burial(tale: Tale) -> None:
    """A create without an answer: the name is buried before the end is recorded."""
    tale.begin("a")
    tale.claim("a")
    tale.change("a", stop=CANCEL)
    tale.happen(Deed.BURIED, "a", ours=True)
    tale.change("a", tombstone=True)
    terminated: dict[str, Any] = {"terminated_code": TerminatedCode.USER, "verdict": Verdict.CANCELLED}
    tale.change("a", status=Status.TERMINATED, slot=None, finished=tale.now, **terminated)
    tale.leave("a")
    tale.finish(Result.FAILED)


def lawful_adoption(tale: Tale) -> None:
    """An object of others is taken over, fails, and its task is retried as ours; another had succeeded."""
    tale.begin("a", "c")
    tale.foreign(Deed.CREATED, "scan-c", "done")
    tale.foreign(Deed.ENDED, "scan-c", "done", success=True)
    tale.others("a")
    tale.take_over("a")
    success: dict[str, Any] = {"status": Status.COMPLETED, "verdict": Verdict.SUCCEEDED, "finished": tale.now}
    tale.change("c", origin=Origin.ADOPTED, kind="Job", scheduler_id="done", **success)
    tale.regate(hold="")
    tale.foreign(Deed.ENDED, "scan-a", "theirs", success=False)
    failed: dict[str, Any] = {"status": Status.ERROR, "verdict": Verdict.MOUNT_FAILURE, "exit_code": 2}
    tale.change("a", slot=None, finished=tale.now, **failed)
    child = tale.retry("a")
    tale.pass_time(60)
    tale.run(child, "v")
    tale.end(child, "v")
    tale.finish()


def longer_prefix_closes(tale: Tale, before: float) -> None:
    """Others' objects were a longer-named batch's until it closed; then a job starts in this one."""
    tale.begin("a")
    other = replace(batch(), id="c", name="scan-iron")
    tale.write(Parent(other))
    tale.foreign(Deed.CREATED, "scan-iron-x", "f1")
    tale.foreign(Deed.CREATED, "scan-iron-y", "f2")
    tale.pass_time(300)
    tale.write(Parent(replace(other, status=BatchStatus.FINISHED)))
    tale.pass_time(before)
    tale.claim("a")


def lawful_inheritance(tale: Tale) -> None:
    """Nobody can have counted within a second what has just fallen to this batch."""
    longer_prefix_closes(tale, 1)


def lawful_withdrawal(tale: Tale) -> None:
    """A task is cancelled between the look and the place of a take-over: it has the place for a moment."""
    tale.begin("a")
    tale.others("a")
    ended: dict[str, Any] = {"status": Status.TERMINATED, "terminated_code": TerminatedCode.USER}
    tale.change("a", **ended, verdict=Verdict.CANCELLED, finished=tale.now)
    tale.regate(holders=(Holder("a", 0, "theirs", "Job"),), foreign=())
    tale.foreign(Deed.ENDED, "scan-a", "theirs", success=True)
    tale.regate(holders=(), hold="")


def _retried_after_the_end(tale: Tale, *, withdrawn: bool) -> None:
    tale.begin("a")
    tale.run("a")
    tale.end("a", exit_code=1, verdict=Verdict.CONFIGURATION_ERROR)
    over = replace(tale.parent.batch, status=BatchStatus.FINISHED, result=Result.FAILED)
    tale.write(Parent(over, tale.parent.child_jobs))
    tale.pass_time(300)
    child = tale.retry("a", origin=Origin.USER)
    if withdrawn:
        ended: dict[str, Any] = {"status": Status.TERMINATED, "terminated_code": TerminatedCode.USER}
        tale.change(child, **ended, verdict=Verdict.CANCELLED, finished=tale.now)
    tale.write(tale.parent)


def lawful_reopening(tale: Tale) -> None:
    """A batch that was over opens again for a retry."""
    _retried_after_the_end(tale, withdrawn=False)


def lawful_reopening_for_what_was_withdrawn(tale: Tale) -> None:
    """Whoever asked for the retry can't know that it was withdrawn before he opens its batch."""
    _retried_after_the_end(tale, withdrawn=True)


LAWFUL = [
    *LAWFUL_TRUTHS,
    *LAWFUL_BRAKES,
    *LAWFUL_GATES,
    lawful_reopening,
    lawful_reopening_for_what_was_withdrawn,
    lawful_success,
    lawful_retry,
    lawful_cancel,
    lawful_burial,
    lawful_adoption,
    lawful_inheritance,
    lawful_withdrawal,
    success_of_nobody,
    waiting_orphan_withdrawn,
    waiting_orphan_withdrawn_and_deleted,
    waiting_orphan_retried,
]


def test_what_has_fallen_to_a_batch_counts_in_it() -> None:
    """Minutes after the longer-named batch has closed, its others' objects must be counted in this one."""
    tale = Tale()
    longer_prefix_closes(tale, 300)
    assert {one.invariant for one in tale.oracle.violations} == {Invariant.FOREIGN_COUNTED}


@pytest.mark.parametrize("history", LAWFUL)
def test_a_lawful_history_passes(history: Callable[[Tale], None]) -> None:
    """What is right is not complained about."""
    tale = Tale()
    history(tale)
    assert not tale.oracle.violations, "\n".join(map(str, tale.oracle.violations))


@pytest.mark.parametrize(("history", "invariant"), BENT, ids=lambda value: getattr(value, "__name__", ""))
def test_a_bent_history_is_caught(history: Callable[[Tale], None], invariant: Invariant) -> None:
    """Each invariant can be broken, and then it is named, with the story that led to it."""
    tale = Tale()
    history(tale)
    assert invariant.value in tale.broken, "\n".join(map(str, tale.oracle.violations))
    found = next(one for one in tale.oracle.violations if one.invariant is invariant)
    assert found.what


def test_every_invariant_has_a_history_that_breaks_it() -> None:
    """No invariant is checked by a rule that nobody has seen fail."""
    assert {invariant for _, invariant in BENT} == set(Invariant)


def test_the_document_counts_them() -> None:
    """docs/proof.md says how many invariants there are, and how many histories."""
    text = (Path(__file__).parents[2] / "docs" / "proof.md").read_text("utf-8")
    assert f"judges {len(Invariant)} invariants" in text
    assert f"{len(BENT)} in all" in text


def test_the_oracle_knows_nothing_of_the_program_but_its_glossary() -> None:
    """It imports the records' data types; only the adapters of its input know more."""
    for path in sorted(Path(__file__).parent.glob("*.py")):
        if path.name in ADAPTERS:
            continue
        tree = ast.parse(path.read_text())
        modules = [node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
        known = {module for module in modules if module.startswith("controller")}
        assert known <= {"controller.core.model"}, path.name


def test_a_third_party_that_takes_away_what_was_kept_is_not_our_fault() -> None:
    """A late create lands on a name that somebody else freed: the oracle blames nobody."""
    tale = Tale()
    tale.begin("a")
    tale.claim("a")
    tale.happen(Deed.CREATED, "a", "u", ours=True)
    tale.end("a", open_creates=tale.jobs["a"].open_creates)
    tale.happen(Deed.DELETE, "a", "u", ours=False)
    tale.happen(Deed.GONE, "a", "u")
    tale.happen(Deed.CREATED, "a", "v")
    assert not tale.broken


def test_a_story_tells_what_led_to_it() -> None:
    """The violation carries the records' and the objects' entries in order."""
    tale = Tale()
    two_live(tale)
    (violation,) = (one for one in tale.oracle.violations if one.invariant is Invariant.ONE_LIVE)
    assert any("created by us" in line for line in violation.story)
    assert any("status=running" in line for line in violation.story)
