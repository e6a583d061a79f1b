"""What stands beside a spec: right, short, printable, and the same until something happens."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from controller.core.model import (
    Attempt,
    Batch,
    BatchStatus,
    Counts,
    Evidence,
    Foreign,
    Gate,
    JobInput,
    Origin,
    Result,
    Setting,
    Status,
    Stop,
    TerminatedCode,
    Verdict,
)
from controller.core.statusfile import (
    MAX_FAILURES,
    MAX_LINES,
    MAX_TEXT,
    Progress,
    awaiting_status,
    batch_status,
    refused_status,
)

NOW = datetime(2026, 1, 2, 3, 4, 5, 678, tzinfo=UTC)
BATCH = Batch(
    id="b1",
    namespace="runai-talmo-lab",
    name="gapit3-trait",
    user="eberrigan",
    status=BatchStatus.RUNNING,
    spec={},
    spec_hash="ab" * 32,
    source="traits.yaml",
    settings={
        "paused": Setting(False, "traits.yaml", NOW),
        "maxConcurrent": Setting(8, "command by alice", NOW + timedelta(hours=1)),
    },
    tasks=186,
    inserted=NOW,
    updated=NOW,
    reason="its gate is open",
    counts=Counts({Status.COMPLETED: 120, Status.ERROR: 12, Status.RUNNING: 7, Status.WAITING: 51}),
)
GATE = Gate("b1", max=8)
PROGRESS = Progress(active=7, waiting=51)
STOP = Stop("no longer needed", "alice", NOW)


def failed(n: int = 1, **fields: Any) -> Attempt:
    """A failed attempt of task n."""
    attempt = Attempt(
        id=f"j{n}",
        batch_id="b1",
        namespace="runai-talmo-lab",
        user="eberrigan",
        task_id=str(n),
        index=n,
        attempt=0,
        name=f"gapit3-trait-{n}",
        status=Status.ERROR,
        job_input=JobInput("image", env={"TOKEN": "swordfish"}),
        origin=Origin.SPEC,
        inserted=NOW,
        updated=NOW,
        finished=NOW,
        verdict=Verdict.MOUNT_FAILURE,
        exit_code=2,
        node="n1",
        evidence=Evidence("Error", "mount /data failed", log_tail="secret swordfish"),
    )
    return replace(attempt, **fields)


def status(batch: Batch = BATCH, gate: Gate = GATE, **fields: Any) -> dict[str, Any]:
    """A batch's status; ``fields`` are those of the progress, and ``refused``."""
    refused = fields.pop("refused", ())
    return batch_status(batch, gate, replace(PROGRESS, **fields), refused)


def test_a_running_batch() -> None:
    """The whole status of an ordinary batch, in the order in which it is read."""
    assert json.dumps(status()) == json.dumps(
        {
            "batch": "runai-talmo-lab/gapit3-trait",
            "state": "running",
            "reason": "its gate is open",
            "next": "Nothing to do. 'batchkeeper status gapit3-trait --watch' shows it live.",
            "activeJobsInBatch": "7 of 8",
            "tasks": {
                "total": 186,
                "completed": 120,
                "endedWithoutSuccess": 8,
                "active": 7,
                "waiting": 51,
            },
            "retries": 4,
            "settings": {
                "maxConcurrent": {"value": 8, "from": "command by alice", "since": "2026-01-02T04:04:05Z"},
                "paused": {"value": False, "from": "traits.yaml", "since": "2026-01-02T03:04:05Z"},
            },
            "owner": "eberrigan",
            "accepted": "2026-01-02T03:04:05Z",
            "batchId": "b1",
            "specHash": "ab" * 32,
            "source": "traits.yaml",
        }
    )


def test_the_same_facts_give_the_same_status() -> None:
    """No clock is in it, and no order that depends on how the settings were stored."""
    turned = replace(BATCH, settings=dict(sorted(BATCH.settings.items())))
    assert json.dumps(status(turned)) == json.dumps(status())


def test_the_bound_is_the_gates() -> None:
    """A lowered maximum shows at once, with what is still above it."""
    assert status(gate=replace(GATE, max=3))["activeJobsInBatch"] == "7 of 3"


@pytest.mark.parametrize(
    ("batch", "gate", "state"),
    [
        (BATCH, GATE, "running"),
        (BATCH, replace(GATE, paused=True), "paused"),
        (BATCH, replace(GATE, paused=True, hold="systemic-failure: all fail"), "held"),
        (replace(BATCH, status=BatchStatus.PAUSED), GATE, "running"),
        (replace(BATCH, status=BatchStatus.EXPANDING), replace(GATE, paused=True), "expanding"),
        (replace(BATCH, status=BatchStatus.FINISHED), replace(GATE, paused=True), "finished"),
        (replace(BATCH, status=BatchStatus.CANCELLED), GATE, "cancelled"),
        (BATCH, replace(GATE, cancel=STOP), "running"),
    ],
)
def test_the_state_follows_the_gate_until_the_end(batch: Batch, gate: Gate, state: str) -> None:
    """Pause and hold show as soon as the gate has them; expanding and the ends are the batch's own."""
    assert status(batch, gate)["state"] == state


@pytest.mark.parametrize(
    ("batch", "gate", "part"),
    [
        (BATCH, replace(GATE, paused=True), "batchkeeper resume gapit3-trait"),
        (BATCH, replace(GATE, hold="systemic-failure: x"), "batchkeeper explain gapit3-trait"),
        (BATCH, replace(GATE, hold="adoption-needed: x"), "batchkeeper adopt gapit3-trait"),
        (BATCH, replace(GATE, hold="adopting: x"), "Nothing to do: the next pass"),
        (BATCH, replace(GATE, hold="looking: x"), "Nothing to do: the next pass"),
        (BATCH, replace(GATE, cancel=STOP), "being cancelled"),
        (replace(BATCH, status=BatchStatus.CANCELLED), GATE, "would open it again"),
        (replace(BATCH, status=BatchStatus.FINISHED, result=Result.COMPLETED), GATE, "every task completed"),
        (replace(BATCH, status=BatchStatus.FINISHED, result=Result.PARTIAL), GATE, "batchkeeper report"),
        (
            replace(BATCH, status=BatchStatus.FINISHED, result=Result.FAILED),
            GATE,
            "batchkeeper retry --batch",
        ),
    ],
)
def test_it_says_what_to_do(batch: Batch, gate: Gate, part: str) -> None:
    """Every state names its next step, with the command to type."""
    assert part in status(batch, gate)["next"]


def test_a_hold_shows_its_reason() -> None:
    """The gate's sentence replaces the batch's older one."""
    held = status(gate=replace(GATE, hold="systemic-failure: 9 of 10 failed by mount-failure"))
    assert held["reason"] == "systemic-failure: 9 of 10 failed by mount-failure"


def test_a_refused_change_stands_beside_the_batch_that_goes_on() -> None:
    """The file's author sees both: what was refused, and that the batch goes on as it was."""
    found = status(refused=("job.image may not change",))
    assert found["refused"] == ["job.image may not change"]
    assert "goes on as it was" in found["next"]
    assert found["state"] == "running"


def test_what_superseded_a_files_content_is_one_line_of_it() -> None:
    """None where its content is the batch's."""
    why = "superseded by ada: sent: edit the file"
    status = batch_status(BATCH, GATE, PROGRESS, superseded=why)
    assert status["superseded"] == why
    assert "superseded" not in batch_status(BATCH, GATE, PROGRESS)


def test_of_a_batch_that_has_ended_nothing_is_told_of_what_could_go_on() -> None:
    """Neither of a change that came after the end, nor of the hold under which it ended."""
    over = replace(BATCH, status=BatchStatus.FINISHED, result=Result.FAILED, reason="0 of 186 completed")
    found = status(over, replace(GATE, hold="systemic-failure: all fail"), refused=("it has ended",))
    assert "stays as it ended" in found["next"]
    assert found["reason"] == "0 of 186 completed"


def test_why_it_waits_is_the_plans_own_sentence() -> None:
    """The sentences are handed through."""
    assert status(why_waits=("no place: 8 of 8 are taken",))["waits"] == ["no place: 8 of 8 are taken"]


def test_foreign_jobs_and_terminating_ones_show_when_there_are_any() -> None:
    """They take places away, so the reader must see them; zero is not shown."""
    found = status(gate=replace(GATE, foreign=(Foreign("u", "gapit3-trait-x", "Pod"),)), terminating=2)
    assert found["foreign"] == 1
    assert found["tasks"]["terminating"] == 2
    assert "foreign" not in status()
    assert "terminating" not in status()["tasks"]


def test_what_to_do_where_recording_was_broken_off() -> None:
    """It said that there is nothing to do; a batch that is being cancelled needs no spec."""
    batch = replace(BATCH, status=BatchStatus.EXPANDING)
    assert "submit its spec again" in batch_status(batch, GATE, PROGRESS)["next"]
    cancelled = replace(GATE, cancel=Stop("x", "ada", NOW, TerminatedCode.USER))
    assert "is being cancelled" in batch_status(batch, cancelled, PROGRESS)["next"]


def test_while_expanding_nothing_has_ended() -> None:
    """Tasks that are not recorded yet are not counted as failures."""
    batch = replace(BATCH, status=BatchStatus.EXPANDING, counts=Counts())
    assert status(batch, active=0, waiting=0)["tasks"]["endedWithoutSuccess"] == 0


def test_what_has_a_place_waits_no_longer() -> None:
    """The cached counts lag behind the gate: a task that was just claimed is not shown twice."""
    batch = replace(BATCH, tasks=4, counts=Counts({Status.WAITING: 4}))
    tasks = status(batch, active=2, waiting=4)["tasks"]
    assert (tasks["active"], tasks["waiting"], tasks["endedWithoutSuccess"]) == (2, 2, 0)


def test_stale_counts_never_show_a_negative_number() -> None:
    """The counts are a cache; a moment's disagreement shows as zero."""
    found = status(replace(BATCH, tasks=100))
    assert found["tasks"]["endedWithoutSuccess"] == 0


def test_a_failure_tells_what_happened() -> None:
    """Task, job, verdict, exit code, message, node and time."""
    assert status(failures=(failed(17),))["failures"] == [
        {
            "task": "17",
            "job": "gapit3-trait-17",
            "verdict": "mount-failure",
            "exitCode": 2,
            "message": "Error: mount /data failed",
            "node": "n1",
            "ended": "2026-01-02T03:04:05Z",
        }
    ]


def test_an_exit_code_of_zero_is_shown() -> None:
    """Zero is evidence (a job that failed in spite of it), not an absent value."""
    assert status(failures=(failed(exit_code=0),))["failures"][0]["exitCode"] == 0


def test_only_the_last_failures_are_shown() -> None:
    """The newest ten, in the order given."""
    found = status(failures=[failed(n) for n in range(25)])["failures"]
    assert [one["task"] for one in found] == [str(n) for n in range(MAX_FAILURES)]


def test_nothing_secret_is_in_it() -> None:
    """Neither the env of a job nor its log."""
    assert "swordfish" not in json.dumps(status(failures=(failed(),)))


@pytest.mark.parametrize(
    "dirty", ["\x1b[31mred\x1b[0m", "two\nlines", "bell\x07", "\udcff", "\u2028", "x" * 5000]
)
def test_texts_are_one_short_printable_line(dirty: str) -> None:
    """Whatever a job printed or a file was called, its line can be read in a terminal."""
    found = status(
        replace(BATCH, source=dirty, reason=dirty, settings={"retry": Setting([{dirty: dirty}], dirty, NOW)}),
        failures=(failed(error=dirty),),
        why_waits=(dirty,),
        refused=(dirty,),
    )
    for text in texts(found) + texts(refused_status([dirty])):
        assert text.isprintable()
        assert len(text) <= MAX_TEXT


def texts(value: Any) -> list[str]:
    """Every text in nested plain data."""
    if isinstance(value, Mapping):
        return [text for pair in value.items() for one in pair for text in texts(one)]
    if isinstance(value, list):
        return [text for one in value for text in texts(one)]
    return [value] if isinstance(value, str) else []


def test_a_finished_batch_has_its_result_and_end() -> None:
    """They show while it is closed; a reopened one has neither."""
    found = status(replace(BATCH, status=BatchStatus.FINISHED, result=Result.PARTIAL, finished=NOW))
    assert (found["result"], found["finished"]) == ("partial", "2026-01-02T03:04:05Z")
    assert "result" not in status(replace(BATCH, result=Result.PARTIAL))


def test_times_are_utc() -> None:
    """An instant in another zone is the same instant in UTC."""
    there = NOW.astimezone(timezone(timedelta(hours=9)))
    assert status(replace(BATCH, inserted=there))["accepted"] == "2026-01-02T03:04:05Z"


def test_a_refused_file_lists_its_problems() -> None:
    """All problems up to a bound, then how many more there are; and that nothing comes of it."""
    assert refused_status(["a: wrong", "b: wrong"])["refused"] == ["a: wrong", "b: wrong"]
    many = refused_status([f"line {n}" for n in range(MAX_LINES + 7)])
    assert len(many["refused"]) == MAX_LINES + 1
    assert many["refused"][-1] == "and 7 more"
    assert (many["state"], "nothing is started from it" in many["next"]) == ("refused", True)


def test_a_spec_that_waits_for_its_csv_says_for_which() -> None:
    """Whoever copies a large table sees that it is waited for."""
    assert awaiting_status(["traits.csv"])["waits"] == ["traits.csv"]


@pytest.mark.parametrize(
    ("hold", "paused", "state"),
    [
        ("looking: x", False, BatchStatus.RUNNING),
        ("looking: x", True, BatchStatus.PAUSED),
        ("adopting: x", False, BatchStatus.HELD),
        ("adoption-needed: x", False, BatchStatus.HELD),
    ],
)
def test_a_new_batch_is_not_shown_as_held(hold: str, paused: bool, state: BatchStatus) -> None:
    """The look that every batch begins with needs nobody: only one that waits for people is shown."""
    told = status(BATCH, replace(GATE, hold=hold, paused=paused))
    assert (told["state"], told["reason"]) == (state.value, hold)
