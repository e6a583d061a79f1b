"""How EE2's clients see our records."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from controller.api.rpc_shapes import batch_state, job_state
from controller.core.model import (
    Batch,
    BatchStatus,
    Evidence,
    JobInput,
    Resources,
    Result,
    Status,
    TerminatedCode,
    Verdict,
)
from tests.core.chains import NOW, child, ended, root

MS = 1_772_366_400_000
"""``NOW`` in milliseconds since 1970."""
EE2_STATUSES = {"created", "estimating", "queued", "running", "completed", "error", "terminated"}


@pytest.mark.parametrize("status", list(Status))
def test_only_ee2s_statuses_are_shown(status: Status) -> None:
    """A job that waits in line is shown as created; the others keep their word."""
    shown = job_state(root(status=status))["status"]
    assert shown in EE2_STATUSES
    assert shown == ("created" if status is Status.WAITING else status.value)


def test_times_are_integer_milliseconds() -> None:
    """Since 1970, cut and not rounded; an instant that has not come has no key."""
    job = root(
        inserted=NOW,
        queued=NOW + timedelta(milliseconds=1500, microseconds=999),
        updated=NOW + timedelta(days=1),
    )
    state = job_state(job)
    assert (state["created"], state["queued"], state["updated"]) == (MS, MS + 1500, MS + 86_400_000)
    assert {"running", "finished", "estimating"}.isdisjoint(state)
    assert all(type(state[name]) is int for name in ("created", "queued", "updated"))


def test_lineage() -> None:
    """The root counts and lists its retries; a retry names the root and shows its toggle."""
    first = ended(root(retry_ids=("b", "c")), Verdict.MOUNT_FAILURE)
    state = job_state(first)
    assert (state["retry_ids"], state["retry_count"], state["retry_saved_toggle"]) == (["b", "c"], 2, False)
    assert "retry_parent" not in state
    retry = replace(child([first]), retry_toggle=True)
    state = job_state(retry)
    assert (state["retry_parent"], state["retry_count"], state["retry_saved_toggle"]) == (first.id, 0, True)
    assert (state["batch_id"], state["batch_job"], state["child_jobs"]) == ("batch", False, [])


@pytest.mark.parametrize("verdict", list(Verdict))
def test_an_error_has_its_code_and_block(verdict: Verdict) -> None:
    """One of EE2's codes, the message twice as EE2 has it, and never the log."""
    evidence = Evidence(message="exit code 1", log_tail="secret")
    job = root(status=Status.ERROR, verdict=verdict, error="it failed", evidence=evidence)
    state = job_state(job)
    assert state["error_code"] in {0, 1, 2, 3, 6}
    assert state["errormsg"] == "it failed"
    assert state["error"] == {
        "name": verdict.value,
        "code": state["error_code"],
        "message": "it failed",
        "error": "exit code 1",
    }
    assert "secret" not in str(state)


def test_a_termination_has_its_code() -> None:
    """Who ended it, in EE2's numbers, and no error."""
    state = job_state(root(status=Status.TERMINATED, terminated_code=TerminatedCode.ADMIN, error="why"))
    assert (state["terminated_code"], state["msg"]) == (1, "why")
    assert {"error", "error_code", "errormsg"}.isdisjoint(state)


def test_what_it_runs() -> None:
    """Command, env and requirements, in EE2's names and whole units."""
    given = JobInput("image", ("run", "one"), {"TRAIT": "7"}, Resources(cpu=1500, memory=2**20 + 1))
    shown = job_state(root(job_input=given, image_digest="image@sha256:1"))["job_input"]
    assert (shown["method"], shown["params"]) == ("run one", [{"TRAIT": "7"}])
    assert (shown["service_ver"], shown["requirements"]) == ("image@sha256:1", {"cpu": 2, "memory": 2})


def test_fields_can_be_left_out() -> None:
    """All that are named, save the id, without which nobody knows what the rest is of."""
    full = job_state(root())
    assert job_state(root(), frozenset({"job_input", "user", "job_id", "$where"})) == {
        name: value for name, value in full.items() if name not in ("job_input", "user")
    }


@pytest.mark.parametrize(
    ("status", "result", "shown"),
    [
        (BatchStatus.EXPANDING, None, "running"),
        (BatchStatus.HELD, None, "running"),
        (BatchStatus.FINISHED, Result.COMPLETED, "completed"),
        (BatchStatus.FINISHED, Result.PARTIAL, "error"),
        (BatchStatus.FINISHED, Result.FAILED, "error"),
        (BatchStatus.CANCELLED, None, "terminated"),
    ],
)
def test_a_batch_parent(status: BatchStatus, result: Result | None, shown: str) -> None:
    """Marked as one, with its children and the status that its record has."""
    fields: dict[str, Any] = {"status": status, "result": result, "finished": NOW}
    batch = Batch("p", "lab", "sweep", "ada", spec={}, spec_hash="", source="", settings={}, tasks=1,
                  inserted=NOW, updated=NOW, **fields)  # fmt: skip
    state = batch_state(batch, ["a", "b"])
    assert (state["status"], state["batch_job"], state["child_jobs"]) == (shown, True, ["a", "b"])
    assert (state["created"], state["finished"]) == (MS, MS)
    assert "child_jobs" not in batch_state(batch, ["a"], frozenset({"child_jobs"}))
