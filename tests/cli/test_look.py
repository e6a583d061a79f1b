"""list, status, jobs, logs, explain, report: what they show, to people and to programs."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from controller import requests
from controller.cli import commands_look
from controller.core.model import Batch, BatchStatus
from controller.ports import Unavailable
from tests.cli.place import Place, Shell


def test_list_shows_how_far_each_batch_is(sweep: Place, shell: Shell) -> None:
    """State, tasks done of all, active of the maximum, waiting and age stand in one line."""
    answer = shell("list")
    assert answer.code == 0
    head, line = answer.out.splitlines()
    assert head.split() == ["BATCH", "STATE", "DONE", "FAILED", "ACTIVE", "WAITING", "AGE"]
    assert line.split() == ["sweep", "running", "3/5", "1", "1/4", "1", "8s"]


def test_list_of_nothing_says_what_to_do(shell: Shell) -> None:
    """An empty place is no error, and no empty table either."""
    answer = shell("list")
    assert (answer.code, answer.out) == (0, "no batches yet: 'batchkeeper submit SPEC' makes one\n")
    assert shell.json("list") == []


def test_list_names_the_namespace_only_where_there_are_several(sweep: Place, shell: Shell) -> None:
    """One namespace is not worth a word."""
    assert "default/" not in shell("list").out


def test_list_for_programs_has_the_keys_of_a_status_file(sweep: Place, shell: Shell) -> None:
    """A batch looks the same beside its spec and in JSON."""
    (batch,) = shell.json("list")
    assert batch["batch"] == "default/sweep"
    assert batch["state"] == "running"
    assert batch["tasks"] == {
        "total": 5,
        "completed": 2,
        "endedWithoutSuccess": 1,
        "active": 1,
        "waiting": 1,
    }
    assert batch["settings"]["maxConcurrent"]["value"] == 4


def test_list_quarantined_names_specs_and_why(place: Place, shell: Shell) -> None:
    """A refused spec is found again, with every problem."""
    import asyncio

    assert "nothing is quarantined" in shell("list", "--quarantined").out
    asyncio.run(place.store.set_quarantine("bad.yaml", ["bad.yaml:3: name: is missing"]))
    assert "bad.yaml:3: name: is missing" in shell("list", "--quarantined").out
    assert shell.json("list", "--quarantined") == [
        {"kind": "spec", "item": "bad.yaml", "problems": ["bad.yaml:3: name: is missing"]}
    ]


def test_status_is_one_screen_with_the_reason(sweep: Place, shell: Shell) -> None:
    """Tasks, active jobs in batch, why it waits, the last failures, settings and whence they are."""
    out = shell("status", "sweep").out
    assert "default/sweep  running" in out
    assert "3 of 5 done: 2 completed, 1 ended without success" in out
    assert "active jobs in batch   1 of 4" in out
    assert "1, 1 of them retries in back-off" in out
    assert "the next retry is due in" in out
    assert "sweep-wrong" in out
    assert "configuration-error" in out
    assert "maxConcurrent" in out
    assert "sweep.yaml" in out
    assert "job.image, job.resources.gpu" in out
    assert len(out.splitlines()) <= 30


def test_status_never_shows_a_value_of_the_env(sweep: Place, shell: Shell) -> None:
    """A value in env may be a secret; no command prints one."""
    for words in (["status", "sweep"], ["jobs", "sweep"], ["report", "sweep"], ["list"]):
        assert "never-shown" not in shell(*words).out
        assert "never-shown" not in shell(*words, "-o", "json").out


def test_status_goes_on_when_the_cluster_is_away(sweep: Place, shell: Shell) -> None:
    """What the store knows is shown; not seeing the cluster is the reason, not a failure."""
    sweep.cluster.down = "the cluster is asleep"
    answer = shell("status", "sweep")
    assert answer.code == 0
    assert "nothing is decided while the cluster can't be seen: the cluster is asleep" in answer.out


def test_watching_without_a_terminal_is_lines_until_the_end(sweep: Place, shell: Shell) -> None:
    """A pipe gets a line per change and the command ends with the batch."""
    assert shell("cancel", "sweep").code == 0
    sweep.passes()
    answer = shell("status", "sweep", "--watch")
    assert answer.code == 0
    assert answer.out.startswith("sweep cancelled: ")
    assert "\x1b" not in answer.out


@pytest.mark.parametrize("comes", [True, False])
def test_watching_waits_for_a_batch_that_was_just_dropped(
    sweep: Place, shell: Shell, monkeypatch: pytest.MonkeyPatch, comes: bool
) -> None:
    """A folder is looked at twice before a spec counts: whoever watches at once is not sent away. A misspelt
    name is answered with the nearest one at once, and missed after fifteen seconds."""
    assert shell("cancel", "sweep").code == 0
    sweep.passes()
    known, at = sweep.store.batches, [0.0]

    async def wait(seconds: float) -> None:
        at[0] += seconds

    async def later(**which: Any) -> Sequence[Batch]:
        found: Sequence[Batch] = await known(**which)
        return found if comes and at[0] >= 4 else [replace(batch, name="sweet") for batch in found]

    monkeypatch.setattr(commands_look, "sleep", wait)
    monkeypatch.setattr(commands_look, "monotonic", lambda: at[0])
    monkeypatch.setattr(sweep.store, "batches", later)
    answer = shell("status", "sweep", "--watch")
    assert answer.code == (0 if comes else 1)
    first, *rest = answer.err.splitlines()
    missed = "there is no batch sweep; did you mean sweet?"
    assert first == f"waiting 15 s for its spec to be taken in: {missed}"
    assert rest == ([] if comes else [f"error: {missed}"])
    assert at[0] == (4 if comes else 15)


def test_watching_outlasts_an_outage(sweep: Place, shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever left it over night finds the end, and not the minute in which the store was away."""
    read, reads = sweep.store.batch, [0]

    async def away(batch_id: str) -> Batch | None:
        reads[0] += 1
        if reads[0] == 3:
            raise Unavailable("mongodb: batch got no answer")
        if reads[0] > 5:
            found: Batch = await read(batch_id)
            return replace(found, status=BatchStatus.CANCELLED)
        unchanged: Batch = await read(batch_id)
        return unchanged

    monkeypatch.setattr(commands_look, "PLAIN_SECONDS", 0.001)
    monkeypatch.setattr(sweep.store, "batch", away)
    answer = shell("status", "sweep", "--watch")
    assert answer.code == 0
    first, trouble, *_, last = answer.out.splitlines()
    assert first.startswith("sweep running: ")
    assert trouble == "nothing newer is known: mongodb: batch got no answer"
    assert last.startswith("sweep cancelled: ")


@pytest.mark.parametrize(("away", "code"), [(280, 0), (10**9, 1)], ids=["at times", "for good"])
def test_watching_ends_when_nothing_answers_any_more(
    sweep: Place, shell: Shell, monkeypatch: pytest.MonkeyPatch, away: float, code: int
) -> None:
    """A CI step does not hang on a controller that is gone; outages that are shorter are waited out."""
    read, at, reads = sweep.store.batch, [0.0], [0]

    async def wait(seconds: float) -> None:
        at[0] += seconds
        assert at[0] < 3600, "it waits for ever"

    async def now_and_then(batch_id: str) -> Batch | None:
        reads[0] += 1
        if reads[0] > 2 and at[0] % 300 < away:
            raise Unavailable("mongodb: batch got no answer")
        found: Batch = await read(batch_id)
        return replace(found, status=BatchStatus.CANCELLED) if at[0] > 1000 else found

    monkeypatch.setattr(commands_look, "sleep", wait)
    monkeypatch.setattr(commands_look, "monotonic", lambda: at[0])
    monkeypatch.setattr(sweep.store, "batch", now_and_then)
    answer = shell("status", "sweep", "--watch")
    assert answer.code == code
    if code:
        assert answer.err == (
            "error: sweep could not be read for 5 minutes; watch it again when this is mended: "
            "mongodb: batch got no answer\n"
        )
        assert 300 <= at[0] < 320


def test_watching_is_not_for_programs(sweep: Place, shell: Shell) -> None:
    """--watch -o json would never end; it says what to do."""
    answer = shell("status", "sweep", "--watch", "-o", "json")
    assert answer.code == 2
    assert "ask again" in answer.err


def test_jobs_are_in_spec_order_and_say_why(sweep: Place, shell: Shell) -> None:
    """Every attempt is a line; a retry says when it is due, a failure how it ended."""
    lines = shell("jobs", "sweep").out.splitlines()[1:]
    assert [line.split()[0] for line in lines] == [
        "sweep-good",
        "sweep-wrong",
        "sweep-mount",
        "sweep-mount-r1",
        "sweep-long",
        "sweep-last",
    ]
    assert "retry by spec[0] in 9m" in lines[3]
    assert "exit code 1" in lines[1]


def test_a_narrow_terminal_cuts_the_why_and_nothing_else(
    sweep: Place, shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At 80 columns every job is one line with its whole name and verdict."""
    monkeypatch.setenv("COLUMNS", "80")
    lines = shell("jobs", "sweep").out.splitlines()
    assert len(lines) == 7
    assert max(map(len, lines)) <= 80
    assert "configuration-error" in lines[2]
    assert lines[2].startswith("sweep-wrong ")
    assert lines[2].endswith("…")


def test_jobs_can_be_chosen(sweep: Place, shell: Shell) -> None:
    """--status, --verdict and --limit narrow the list; a cut is said."""
    assert [job["name"] for job in shell.json("jobs", "sweep", "--status", "running")] == ["sweep-long"]
    failed = shell.json("jobs", "sweep", "--verdict", "configuration-error", "--verdict", "mount-failure")
    assert [job["name"] for job in failed] == ["sweep-wrong", "sweep-mount"]
    answer = shell("jobs", "sweep", "--limit", "2")
    assert len(answer.out.splitlines()) == 3
    assert "there are more than 2" in answer.err
    assert shell("jobs", "sweep", "--status", "expanding").code == 2


def test_logs_come_live_while_the_cluster_has_them(sweep: Place, shell: Shell) -> None:
    """The log alone is on stdout; where it is from is on stderr."""
    answer = shell("logs", "sweep-long")
    assert answer.out == "still at it\n"
    assert "from the cluster" in answer.err


def test_logs_come_from_the_record_when_the_object_is_gone(sweep: Place, shell: Shell) -> None:
    """The evidence outlives the object, and it is said that this is it."""
    sweep.clock.seconds += 2 * 3600
    sweep.passes(1)
    answer = shell("logs", "sweep-mount")
    assert answer.out == "no data\n"
    assert "kept with its record" in answer.err


def test_logs_are_cut_from_their_end(sweep: Place, shell: Shell) -> None:
    """--bytes keeps the last ones; what is no size is a usage error with advice."""
    assert shell("logs", "sweep-long", "--bytes", "3").out == "it\n"
    answer = shell("logs", "sweep-long", "--bytes", "much")
    assert answer.code == 2
    assert "not an amount of memory" in answer.err


def test_explain_says_it_in_one_sentence(sweep: Place, shell: Shell) -> None:
    """Of a batch, of a job that waits, of one that failed: cause, number, what will change it."""
    assert "1 of 4 active jobs in batch sweep: the next retry is due in" in shell("explain", "sweep").out
    waiting = shell.json("explain", "sweep-mount-r1")
    assert waiting["cause"] == "back-off"
    assert waiting["until"] == "2026-05-01T12:10:02Z"
    failed = shell("explain", "sweep-wrong").out
    assert "exit code 1 is never retried automatically" in failed
    assert len(failed.splitlines()) == 1


def test_report_counts_and_names_what_failed(sweep: Place, shell: Shell) -> None:
    """The sum, the verdicts, and the failed tasks with their reason."""
    out = shell("report", "sweep").out
    assert "sweep  not over yet" in out
    assert "found      5" in out
    assert "configuration-error" in out
    assert "wrong" in out
    document = shell.json("report", "sweep")
    assert document["totals"]["succeeded"] == 2
    assert document["tasks"]["wrong"]["retry"] == "exit-one"


def test_a_report_can_be_expected(sweep: Place, shell: Shell) -> None:
    """What ``report -o yaml`` writes is an expectation that the same report meets."""
    import asyncio
    from io import StringIO

    from ruamel.yaml import YAML

    from controller.core.report import compare
    from controller.reporting import report_of

    written = YAML(typ="safe").load(StringIO(shell("report", "sweep", "-o", "yaml").out))
    report = asyncio.run(report_of(sweep.store, sweep.batch()))
    assert compare(report, written) == []
    written["totals"]["succeeded"] = 3
    assert compare(report, written) == ["the totals: succeeded is 2, expected 3"]


def test_a_file_gets_no_colours_whatever_ci_sets(
    sweep: Place, shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    """FORCE_COLOR is for terminals that don't tell; a log would be full of bars drawn over and over."""
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TTY_COMPATIBLE", "1")
    for words in (["list"], ["status", "sweep"], ["jobs", "sweep"]):
        assert "\x1b" not in shell(*words).out


def test_a_line_of_a_pipe_is_whole(sweep: Place, shell: Shell) -> None:
    """However long the reason is."""
    why = f"{'why ' * 1000}at last"
    job, people = sweep.job("sweep-long"), sweep.parts.people
    (answer,) = asyncio.run(requests.cancel_jobs(people, requests.Caller(job.user), [job.id], why))
    assert not answer.error
    assert "at last" in shell("jobs", "sweep").out
