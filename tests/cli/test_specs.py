"""validate, plan, submit: a spec is checked before anything is done, and everything wrong is told at once."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from collections.abc import Sequence
from pathlib import Path

from controller.core.model import Attempt
from controller.this_machine import ignored_here
from tests.cli.place import SPEC, Place, Shell

BAD = SPEC.format(name="Bad_Name", at_most=0).replace("memory: 1Gi", "memroy: 1Gi")


def write(name: str = "sweep.yaml", text: str = "") -> str:
    """A spec file in the working directory."""
    Path(name).write_text(text or SPEC.format(name="sweep", at_most=4), encoding="utf-8")
    return name


def test_a_good_spec_is_valid(shell: Shell) -> None:
    """One line per spec, exit code 0."""
    answer = shell("validate", write())
    assert answer.code == 0
    assert "batch sweep: 5 tasks, at most 4 active" in answer.out


def test_all_problems_are_told_with_their_lines(shell: Shell) -> None:
    """Name, maxConcurrent and the misspelled key at once, each in a line of stderr; exit code 1."""
    answer = shell("validate", write(), write("bad.yaml", BAD))
    assert answer.code == 1
    lines = [line for line in answer.err.splitlines() if not line.startswith("warning: ")]
    assert len(lines) >= 3
    assert all(line.startswith("error: bad.yaml:") for line in lines)
    assert any("did you mean memory?" in line for line in lines)
    assert "bad.yaml" in answer.out
    documents = shell.json("validate", "sweep.yaml", "bad.yaml", code=1)
    assert [document["valid"] for document in documents] == [True, False]
    assert len(documents[1]["problems"]) == len(lines)


def test_a_missing_spec_is_one_line(shell: Shell) -> None:
    """No traceback for a path that is not there."""
    answer = shell("validate", "nowhere.yaml")
    assert answer.code == 1
    assert answer.err == "error: nowhere.yaml: no such file or directory: give the path of a batch spec\n"


def test_the_schema_is_json(shell: Shell) -> None:
    """Editors can use what is printed."""
    schema = json.loads(shell("validate", "--schema").out)
    assert schema["$schema"].startswith("https://json-schema.org/")
    assert "tasks" in schema["properties"]


def test_validate_without_words_says_what_to_name(shell: Shell) -> None:
    """A usage error with advice."""
    answer = shell("validate")
    assert answer.code == 2
    assert "--schema" in answer.err


def test_plan_says_how_much_and_what_is_ignored(shell: Shell) -> None:
    """Count, names, peak, rules of the spec before the built-in ones, and what one machine has not."""
    out = shell("plan", write()).out
    assert "5, at most 4 active at once" in out
    assert "sweep-good, sweep-wrong, sweep-mount, sweep-long, sweep-last" in out
    assert "at the peak   8 CPU, 4Gi, 4 GPU" in out
    assert out.index("spec[0]") < out.index("builtin:mount-failure")
    assert "memory ×2 up to 4Gi" in out
    assert "job.image, job.resources.gpu" in out
    document = shell.json("plan", "sweep.yaml")
    assert document["peak"] == {"cpu": "8", "memory": "4Gi", "gpu": 4}
    assert document["retryRules"][0]["backoff"] == {"base": "10m", "factor": 2.0, "max": "1h"}


def test_mounts_that_one_machine_has_not_are_ignored() -> None:
    """Of a claim and a ConfigMap there is nothing here; a folder and an empty one are what they are."""
    mounts: list[dict[str, object]] = [
        {"hostPath": "/data"},
        {"pvc": "results"},
        {"emptyDir": True},
        {"configMap": "traits"},
    ]
    spec = {"job": {"mounts": [{"path": f"/m{n}", **mount} for n, mount in enumerate(mounts)]}}
    assert ignored_here("local", spec) == ["job.mounts[1]", "job.mounts[3]"]
    assert ignored_here("kubernetes", spec) == []


def test_plan_of_many_tasks_shows_the_first_and_the_last(shell: Shell) -> None:
    """186 names are a range; a peak can't be more than there are tasks."""
    text = SPEC.format(name="many", at_most=500).replace(
        "list: [{id: good}, {id: wrong}, {id: mount}, {id: long}, {id: last}]",
        "range: {name: N, from: 2, to: 187}",
    )
    out = shell("plan", write("many.yaml", text)).out
    assert "many-2, many-3, many-4 … many-185, many-186, many-187" in out
    assert "372 CPU" in out


def test_submit_makes_a_batch_once(place: Place, shell: Shell) -> None:
    """The same content again is the same batch; changed settings are changed; the source is kept."""
    answer = shell("submit", write())
    assert answer.code == 0
    assert "accepted: 5 tasks, at most 4 active" in answer.out
    assert "no daemon looks after this place" in answer.err
    place.daemon_there = True
    again = shell("submit", "sweep.yaml")
    assert "is batch sweep already" in again.out
    assert again.err == ""
    assert shell("submit", write(text=SPEC.format(name="sweep", at_most=9))).code == 0
    assert place.gate().max == 9
    assert place.batch().source.endswith(": sweep.yaml")


def test_a_submit_that_is_broken_off_says_what_to_do(place: Place, shell: Shell) -> None:
    """Its batch is recorded in part: it says so, ``status`` does, and the next submit goes on."""
    add = place.store.add_jobs

    async def dies(jobs: Sequence[Attempt]) -> None:
        await add(jobs[:2])
        os.kill(os.getpid(), signal.SIGTERM)
        await asyncio.sleep(60)

    signal.signal(signal.SIGTERM, signal.SIG_DFL)  # whoever started the tests may have it ignored
    place.store.add_jobs = dies
    answer = shell("submit", write())
    assert (answer.code, answer.out) == (128 + signal.SIGTERM, "")
    assert "recorded in part; the same command again goes on with it" in answer.err
    place.store.add_jobs = add
    place.clock.seconds += 600
    shown = " ".join(shell("status", "sweep").out.split())
    assert "recording its 5 tasks was begun 10m ago" in shown
    assert "'batchkeeper submit' of the same spec goes on" in shown
    assert "went on recording its 5 tasks" in shell("submit", "sweep.yaml").out
    assert "has not ended" not in shell("status", "sweep").out


def test_submit_does_not_change_what_is_somebody_elses(place: Place, shell: Shell) -> None:
    """The name of another user's batch is theirs; an admin may."""
    place.submit(user="local:somebody")
    changed = write(text=SPEC.format(name="sweep", at_most=9))
    answer = shell("submit", changed)
    assert answer.code == 1
    assert "belongs to local:somebody" in answer.err
    assert place.gate().max == 4
    assert shell("submit", changed, "--as-admin").code == 0
    assert place.gate().max == 9
