"""A daemon's life: killed, started twice, without its database, with strange jobs, with many people."""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import time
from collections import Counter
from functools import partial
from pathlib import Path
from urllib.parse import quote

import pytest
from prometheus_client.parser import text_string_to_metric_families

from controller.adapters import local_proc
from controller.adapters.local_history import CREATE, START
from controller.adapters.mongod import acquire
from controller.core.model import Status
from tests.e2e.history import most_at_once, starts, under
from tests.e2e.locks import held
from tests.e2e.place import Place
from tests.e2e.process import Daemon
from tests.e2e.specs import batch
from tests.e2e.waiting import wait_for
from tests.oracle.recorder import Recorder

KILLS = 3


def until_there(path: Path) -> str:
    """A job that ends once this file is there."""
    return f"until [ -e {path} ]; do sleep 0.02; done"


# ---------------------------------------------------------------------------------------------- killed


@pytest.mark.parametrize("seed", [1, 2])
def test_killed_at_random_instants(place: Place, seed: int) -> None:
    """``kill -9`` again and again in the middle of a batch: running jobs are found again, nothing runs
    twice, nothing is lost, and never more than three are there at once."""
    dice = random.Random(seed)
    once = '[ "$BATCHKEEPER_ATTEMPT" -ge 1 ] || exit 2'
    does = {f"t{n}": dice.choice(["sleep 0.2", "true", once, "exit 1"]) for n in range(14)}
    place.drop(batch("kill", does, most=3))
    events = sorted(dice.sample(range(1, 30), KILLS))
    for event in events:
        daemon = place.start(wait=False)
        place.until(f"event {event}", partial(happened, place, event))
        time.sleep(dice.uniform(0, 0.1))  # anywhere between two of its writes
        daemon.kill()
    place.start()
    place.over("kill")
    assert set(starts(place.history()).values()) == {1}
    assert most_at_once(place.history(), lambda name: True) == 3
    newest = {job["task_id"]: job["status"] for job in place.jobs("kill")}
    assert newest == {task: "error" if do == "exit 1" else "completed" for task, do in does.items()}
    attempts = Counter(job["task_id"] for job in place.jobs("kill"))
    assert attempts == {task: 2 if do == once else 1 for task, do in does.items()}


def happened(place: Place, events: int) -> bool:
    """Whether so much has happened in the cluster."""
    return len(place.history()) >= events


def test_a_second_daemon_is_refused(shared: Place) -> None:
    """Two daemons on one state folder: the second leaves with one clear line that names the first."""
    ran = shared.cli("controller")
    assert ran.code == 1
    said = [line for line in ran.err.splitlines() if not line.startswith("{")]
    assert len(said) == 1
    assert "another daemon (pid " in said[0]
    assert str(shared.state) in said[0]
    shared.drop(batch("unmoved", 1))
    shared.over("unmoved")


# -------------------------------------------------------------------------------- without its database


def test_mongod_is_killed_in_mid_run(root: Path) -> None:
    """Our own mongod dies: nothing is submitted, deleted or judged and /readyz says why; it is started
    again without a person, and everything goes on."""
    place = Place(root, "", "batchkeeper")
    place.configure(store={"timeout": "1s"})
    go = root / "go"
    try:
        daemon = place.start()
        database = json.loads((place.state / "mongod.json").read_text())
        hold = asyncio.run(acquire(place.state))
        try:
            place.uri = database["uri"]
            place.recorder = Recorder(place.uri, place.database)
            place.drop(batch("outage", {"a": until_there(go), "b": until_there(go), "c": "true"}, most=2))
            for name in ("outage-a", "outage-b"):
                place.is_(name, "running")
            with held(place.state / "mongod.starting"):  # nobody can start another one meanwhile
                place.storm(out=True)
                os.kill(database["pid"], signal.SIGKILL)
                wait_for("unready", lambda: daemon.get("/readyz")[0] == 503)
                assert "mongodb" in daemon.get("/readyz")[1]
                assert daemon.get("/livez")[0] == 200
                go.touch()
                place.until("both have ended", lambda: len(place.history()) >= 6)
                dark = len(daemon.said("unavailable"))
                wait_for("a pass in the dark", lambda: len(daemon.said("unavailable")) > dark + 1)
                created = sorted(entry.name for entry in place.history() if entry.kind == CREATE)
                assert created == ["outage-a", "outage-b"]
                place.storm(out=False)  # at any instant from here on
            place.over("outage")
            daemon.ready()
            assert json.loads((place.state / "mongod.json").read_text())["pid"] != database["pid"]
            assert set(place.statuses("outage").values()) == {"completed"}
            assert set(starts(place.history()).values()) == {1}
            place.close()
        finally:
            asyncio.run(hold.release())
    finally:
        place.tidy()


def test_the_database_is_away_at_the_start(root: Path) -> None:
    """It waits for a configured server, /readyz says why, and it begins when the server comes."""
    home = root / "db"
    socket = quote(str(home / "mongod.sock"), safe="")
    place = Place(root, "", "batchkeeper")
    place.configure(store={"uri": f"mongodb://{socket}/?directConnection=true", "timeout": "1s"})
    try:
        daemon = place.start(wait=False)
        daemon.says("waiting to start")
        status, why = daemon.get("/readyz")
        assert status == 503
        assert "mongodb" in why
        assert daemon.get("/livez")[0] == 200
        hold = asyncio.run(acquire(home))
        try:
            daemon.ready()
            place.uri = hold.uri
            place.recorder = Recorder(place.uri, place.database)
            place.drop(batch("late", 2))
            place.over("late")
            place.close()
        finally:
            asyncio.run(hold.release())
    finally:
        place.tidy()


# -------------------------------------------------------------------------------------- strange folders


def test_the_spec_folder_goes_away_and_comes_back(shared: Place) -> None:
    """An unmounted share is no deletion: batches go on, and with the folder its specs are there again."""
    go = shared.root / "go-away"
    shared.drop(batch("away", {"a": until_there(go), "b": "true"}, most=1))
    shared.is_("away-a", "running")
    elsewhere = shared.root / "elsewhere"
    shared.specs.rename(elsewhere)
    go.touch()
    shared.over("away")
    assert set(shared.statuses("away").values()) == {"completed"}
    if shared.specs.exists():  # made anew by whoever wanted to write into it: that would be a bug
        raise AssertionError(f"{shared.specs} came back by itself: {list(shared.specs.iterdir())}")
    elsewhere.rename(shared.specs)
    shared.drop(batch("back", 1))
    shared.over("back")
    assert shared.tells("away.json", lambda told: told["state"] == "finished")["result"] == "completed"


# ------------------------------------------------------------------------------------------ strange jobs


def left_of(job_id: str) -> list[bytes]:
    """The command lines of what still runs of a job; its supervisor goes last."""
    lines = map(local_proc.command_line, local_proc.marked(f"BATCHKEEPER_JOB={job_id}"))
    return [line for line in lines if line and b"local_supervisor.py\0" not in line]


def test_a_job_that_ignores_sigterm_is_cancelled(shared: Place) -> None:
    """After its grace it is killed, with all that it started; until then it keeps its place."""
    stubborn = 'trap "" TERM; sleep 300 & while :; do sleep 0.1; done'
    shared.drop(batch("stubborn", {"a": stubborn}))
    job_id = str(shared.is_("stubborn-a", "running")["_id"])
    assert shared.cli("cancel", "stubborn-a", "--why", "enough").code == 0
    ended = shared.is_("stubborn-a", "terminated")
    assert (ended["verdict"], ended["terminated_code"]) == ("cancelled", 0)
    assert "enough" in ended["error"]
    assert not left_of(job_id)
    shared.over("stubborn")


def test_a_job_that_leaves_children_behind(shared: Place) -> None:
    """It completes, and by the time that it is recorded nothing of it runs any more."""
    shared.drop(batch("forks", {"a": "setsid sleep 300 & sleep 300 & exit 0"}))
    job_id = str(shared.is_("forks-a", "completed")["_id"])
    assert not left_of(job_id)
    shared.over("forks")


def test_a_command_that_does_not_exist(shared: Place) -> None:
    """It is the job's end with a verdict and the name of what is missing; the daemon goes on."""
    shared.drop(batch("nowhere", {"a": "true"}, job={"command": ["/no/such/program"]}))
    shared.over("nowhere")
    (job, *_) = shared.jobs("nowhere")
    assert job["status"] == "error"
    assert job["verdict"] == "application-error"
    assert "/no/such/program" in job["error"]


# ---------------------------------------------------------------------------------------- many people


def test_people_change_their_minds(shared: Place) -> None:
    """Scale, pause, resume, cancel a job, cancel the batch, from the command line while it runs."""
    does = {f"t{n}": "exec sleep 300" for n in range(5)}
    shared.drop(batch("minds", does, most=1))
    shared.is_("minds-t0", "running")
    assert shared.cli("scale", "minds", "2").code == 0
    shared.is_("minds-t1", "running")
    assert shared.cli("pause", "minds").code == 0
    assert shared.cli("cancel", "minds-t0", "minds-t4").code == 0
    shared.is_("minds-t0", "terminated")
    shared.is_("minds-t4", "terminated")
    shared.until("its place is free", lambda: len(shared.gate("minds")["holders"]) == 1)
    assert shared.statuses("minds")["minds-t2"] == "waiting"
    assert shared.cli("resume", "minds").code == 0
    shared.is_("minds-t2", "running")
    assert shared.cli("cancel", "minds", "--why", "home time").code == 0
    shared.over("minds")
    assert set(shared.statuses("minds").values()) == {"terminated"}
    assert shared.parent("minds")["batch_status"] == "cancelled"
    codes = [job["terminated_code"] for job in shared.jobs("minds")]
    assert codes == [0, 3, 3, 3, 0]
    assert shared.tells("minds.json", lambda told: told["state"] == "cancelled")
    assert set(starts(shared.history())) >= {"minds-t0", "minds-t1", "minds-t2"}
    assert not {"minds-t3", "minds-t4"} & set(starts(shared.history()))


def test_the_kill_switch(shared: Place) -> None:
    """While submissions are halted nothing starts in any batch, and the status names the halt."""
    assert shared.cli("halt", "submissions", "--as-admin", "--why", "the file server is down").code == 0
    try:
        shared.drop(batch("halted", 2))
        told = shared.tells("halted.json", lambda told: told.get("waits"))
        assert "the file server is down" in " ".join(told["waits"])
        assert set(shared.statuses("halted").values()) == {"waiting"}
    finally:
        assert shared.cli("unhalt", "submissions", "--as-admin").code == 0
    shared.over("halted")
    assert set(shared.statuses("halted").values()) == {"completed"}


# ---------------------------------------------------------------------------------------- one at a time


def test_once(place: Place) -> None:
    """``controller --once`` does one pass of everything and ends; said often enough, the batch ends."""
    sign = place.root / "once.go"
    place.drop(batch("once", dict.fromkeys("abc", until_there(sign))))
    runs = 0
    while place.parent("once").get("batch_status") != "finished":
        runs += 1
        assert runs <= 5
        assert place.start("--once", wait=False).ended() == 0
        sign.touch()  # the first run has started them, and can't have seen their ends
        place.until("what it started has ended", lambda: _all_ended(place))
    assert runs > 1
    assert place.parent("once")["result"] == "completed"


def _all_ended(place: Place) -> bool:
    kinds = Counter(entry.kind for entry in place.history())
    return kinds["create"] == kinds["end"]


# ------------------------------------------------------------------------------------------------ scale


def test_thousands_of_tasks_beside_a_running_batch(place: Place) -> None:
    """Six thousand tasks are taken in while the batch beside them goes on, job after job."""
    place.drop(batch("small", 60, most=2))
    daemon = place.start()
    place.is_("small-3", "completed")
    big = batch("big", 1, paused=True)
    big["tasks"] = {"range": {"name": "DO", "from": 1, "to": 6000}}
    place.drop(big)
    accepted = place.until(
        "its line", lambda: [line for line in daemon.said("spec") if line["batch"] == "big"]
    )
    assert "6000 tasks" in json.dumps(accepted)
    assert len(place.parent("big")["child_jobs"]) == 6000
    place.over("small")
    began = place.parent("big")["inserted"].isoformat()
    meanwhile = [entry for entry in place.history() if entry.kind == START and began < entry.time.isoformat()]
    assert meanwhile
    told = place.tells("big.json", lambda told: told["tasks"]["total"] == 6000)
    assert told["state"] == "paused"
    assert most_at_once(place.history(), under("small-")) == 2
    place.left_open = "the six thousand stay paused"


# ---------------------------------------------------------------------------------------------- metrics


def test_metrics_agree_with_the_oracle(place: Place) -> None:
    """At the end /metrics says what the two logs outside the daemon say, number by number."""
    once = '[ "$BATCHKEEPER_ATTEMPT" -ge 1 ] || exit 2'
    place.drop(batch("count", {"a": "true", "b": once, "c": "exit 1", "d": "exit 2", "e": "true"}, most=2))
    daemon = place.start()
    place.over("count")
    oracle = place.judged()
    assert not oracle.violations
    jobs = oracle.state.jobs.values()
    ends = Counter((job.status.value, str(job.verdict)) for job in jobs)
    place.until("the gauges are told", lambda: metric(daemon, "active_jobs") == {("count",): 0})
    finished = {end: n for end, n in metric(daemon, "jobs_finished", "status", "verdict").items() if n}
    assert finished == {("count", *end): n for end, n in ends.items()}
    created = sum(entry.kind == CREATE for entry in place.history())
    submitted = {key: n for key, n in metric(daemon, "submissions", "outcome", batch="").items() if n}
    assert submitted == {("created",): created}
    retries = [job for job in jobs if job.attempt > 0]
    told = Counter[str]()
    for (outcome,), n in metric(daemon, "retries", "outcome", batch="").items():
        told[outcome] += int(n)
    succeeded = sum(job.status is Status.COMPLETED for job in retries)
    assert told["recorded"] == len(retries)
    assert (told["succeeded"], told["failed"]) == (succeeded, len(retries) - succeeded)
    assert sum(metric(daemon, "invariant_violations", batch="").values()) == 0
    assert metric(daemon, "leader", batch="") == {(): 1}


def metric(daemon: Daemon, name: str, *labels: str, batch: str = "batch") -> dict[tuple[str, ...], float]:
    """The samples of one metric by these labels, ``batch`` being the first unless it is none."""
    wanted = (batch, *labels) if batch else labels
    found: dict[tuple[str, ...], float] = {}
    for family in text_string_to_metric_families(daemon.get("/metrics")[1]):
        for sample in family.samples:
            if sample.name in (f"batchkeeper_{name}", f"batchkeeper_{name}_total"):
                key = tuple(sample.labels[label] for label in wanted)
                found[key] = found.get(key, 0) + sample.value
    return found
