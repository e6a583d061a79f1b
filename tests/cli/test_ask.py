"""retry, cancel, pause, resume, scale: what is asked reaches the records, and what is refused says why."""

from __future__ import annotations

import pytest

from controller.core.model import Origin, Status
from tests.cli.place import Place, Shell


def test_retry_by_name_puts_the_next_attempt_in_line(sweep: Place, shell: Shell) -> None:
    """A person's retry is recorded at once and waits for nothing but a place."""
    answer = shell("retry", "sweep-wrong")
    assert answer.code == 0
    assert "stands in line as sweep-wrong-r1" in answer.out
    child = sweep.job("sweep-wrong-r1")
    assert (child.status, child.origin, child.retry_toggle) == (Status.WAITING, Origin.USER, True)


def test_retry_by_id_answers_programs_per_id(sweep: Place, shell: Shell) -> None:
    """JSON has a stable answer for every id, in the order of the ids."""
    job = sweep.job("sweep-wrong")
    (answer,) = shell.json("retry", job.id)
    assert answer["done"] is True
    assert answer["retry_id"] == sweep.job("sweep-wrong-r1").id
    assert set(answer) == {
        "job_id",
        "name",
        "done",
        "did",
        "error",
        "stage",
        "retry_id",
        "retry_ids",
        "child_jobs",
        "retry_toggle",
        "warning",
    }
    assert answer["retry_ids"] == answer["child_jobs"] == [answer["retry_id"]]
    assert answer["retry_toggle"] is True


def test_some_refused_is_exit_code_three(sweep: Place, shell: Shell) -> None:
    """Each refused id has its reason; the good one is done all the same."""
    answer = shell("retry", "sweep-good", "sweep-wrong", "sweep-wrogn", "sweep")
    assert answer.code == 3
    assert "sweep-good is completed" in answer.out
    assert "did you mean sweep-wrong?" in answer.out
    assert "Cannot retry batch job parents" in answer.out
    assert "'batchkeeper retry --batch sweep' retries every failed task of that batch" in answer.err
    assert sweep.job("sweep-wrong-r1").status is Status.WAITING


def test_a_job_named_twice_is_refused_and_nothing_is_done(sweep: Place, shell: Shell) -> None:
    """By name and by id is twice, too."""
    answer = shell("retry", "sweep-wrong", sweep.job("sweep-wrong").id)
    assert answer.code == 1
    assert "name each job once; nothing was done" in answer.err
    with pytest.raises(AssertionError):
        sweep.job("sweep-wrong-r1")


def test_retry_of_a_batch_takes_the_failed_tasks(sweep: Place, shell: Shell) -> None:
    """A task whose retry already waits is not asked for; --verdict narrows."""
    assert [a["name"] for a in shell.json("retry", "--batch", "sweep")] == ["sweep-wrong"]
    nothing = shell("retry", "--batch", "sweep", "--verdict", "mount-failure")
    assert (nothing.code, nothing.out) == (0, "")
    assert "no task of sweep has failed as mount-failure" in nothing.err


def test_now_hurries_what_waits_out_its_back_off(sweep: Place, shell: Shell) -> None:
    """retry --now: the retry that is already recorded loses its due time; no second one is made."""
    assert sweep.job("sweep-mount-r1").not_before is not None
    answer = shell("retry", "sweep-mount", "--now")
    assert answer.code == 0
    assert "starts with the next free place" in answer.out
    assert sweep.job("sweep-mount-r1").not_before is None
    names = {a["name"] for a in shell.json("retry", "--batch", "sweep", "--now", "--dry-run")}
    assert names == {"sweep-wrong"}


def test_without_now_a_waiting_retry_is_named(sweep: Place, shell: Shell) -> None:
    """The refusal names the retry that is under way."""
    answer = shell("retry", "sweep-mount")
    assert answer.code == 3
    assert "sweep-mount-r1" in answer.out


def test_memory_and_cpu_override_only_themselves(sweep: Place, shell: Shell) -> None:
    """--memory leaves the CPU and the GPU of the task as they were."""
    assert shell("retry", "sweep-wrong", "--memory", "3Gi").code == 0
    resources = sweep.job("sweep-wrong-r1").job_input.resources
    assert (resources.memory, resources.cpu, resources.gpu) == (3 * 2**30, 2000, 1)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("retry",), "name either jobs, or a batch"),
        (("retry", "a", "--batch", "b"), "name either jobs, or a batch"),
        (("retry", "a", "--verdict", "lost"), "--batch"),
        (("retry", "a", "--memory", "3 GB"), "write 'G' instead of 'GB'"),
        (("retry", "a", "--cpu", "many"), "not an amount of CPU"),
        (("retry", "a", "--cpu", "0"), "no CPU at all"),
        (("scale", "sweep", "many"), "'N'"),
    ],
)
def test_wrong_words_are_usage_errors(shell: Shell, words: tuple[str, ...], says: str) -> None:
    """Exit code 2, one line, and what to write instead."""
    answer = shell(*words)
    assert answer.code == 2
    assert says in answer.err
    assert len(answer.err.splitlines()) == 1


def test_cancel_takes_batches_and_jobs(sweep: Place, shell: Shell) -> None:
    """A job is stopped with the reason given; a batch is cancelled to its end."""
    assert shell("cancel", "sweep-long", "--why", "wrong input").code == 0
    stop = sweep.job("sweep-long").stop
    assert stop is not None
    assert stop.why == "wrong input"
    assert shell("cancel", "sweep").code == 0
    sweep.passes()
    assert sweep.batch().status.value == "cancelled"
    again = shell("cancel", "sweep", "nothing")
    assert again.code == 3
    assert "has ended (cancelled)" in again.out
    assert "there is no batch or job nothing" in again.out


def test_pause_resume_and_scale_reach_the_gate(sweep: Place, shell: Shell) -> None:
    """The gate is the authority; the settings say who changed them."""
    assert "is paused" in shell("pause", "sweep").out
    assert sweep.gate().paused
    assert "goes on" in shell("resume", "sweep").out
    assert not sweep.gate().paused
    assert "at most 2 active jobs" in shell("scale", "sweep", "2").out
    assert sweep.gate().max == 2
    assert sweep.batch().settings["maxConcurrent"].source.startswith("local:")
    for n, says in (("0", "use 'batchkeeper pause'"), ("1000001", "at most 1000000, not 1000001")):
        answer = shell("scale", "sweep", n)
        assert says in shell.json("scale", "sweep", n, code=1)[0]["error"]
        assert answer.code == 1
        assert says in answer.err
    assert sweep.gate().max == 2


def test_what_belongs_to_others_needs_an_admin(place: Place, shell: Shell) -> None:
    """Everything that changes is refused without --as-admin, and done with it."""
    place.submit(user="local:somebody")
    place.passes()
    for words in (["pause", "sweep"], ["scale", "sweep", "3"], ["resume", "sweep"]):
        refused = shell(*words)
        assert refused.code == 1
        assert "belongs to local:somebody" in refused.err
        assert shell(*words, "--as-admin").code == 0
    for words in (["retry", "sweep-wrong"], ["cancel", "sweep-long"], ["cancel", "sweep"]):
        assert shell(*words).code == 3
        assert shell(*words, "--as-admin").code == 0
