"""The program over EE2's records: a real daemon, a real MongoDB, a hook that is a real program."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Iterator
from contextlib import redirect_stderr, redirect_stdout
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from controller.cli.program import main
from controller.ee2 import keeper
from controller.ports import StaleEpoch, Unavailable
from tests.e2e.process import Daemon, Ran
from tests.e2e.waiting import wait_for
from tests.ee2.forge import DAY, HOUR, Ee2
from tests.ee2.oracle import Oracle
from tests.ee2.scheduler import Scheduler


class Office:
    """A folder with a configuration, a hook that notes its arguments, and the daemons started there."""

    def __init__(self, root: Path, uri: str, database: str) -> None:
        self.root = root
        self.noted = root / "cancelled"
        hook = root / "cancel"
        hook.write_text(f'#!/bin/sh\necho "$@" >> {self.noted}\n', encoding="utf-8")
        hook.chmod(0o755)
        self._settings: dict[str, Any] = {
            "state_dir": "state",
            "store": {
                "uri": uri,
                "database": database,
                "layout": "ee2",
                "ee2": {"create_indexes": True, "cancel": {"command": [str(hook)]}},
            },
            "reconcile": {"interval": "300ms"},
            "repair": {"interval": "300ms"},
            "http": {"port": 0},
            "log": {"format": "json"},
        }
        self.daemons: list[Daemon] = []

    def config(self, name: str = "state", **ee2: Any) -> str:
        """A configuration of its own state folder; its path."""
        store = self._settings["store"]
        settings = {
            **self._settings,
            "state_dir": name,
            "store": {**store, "ee2": {**store["ee2"], **ee2}},
        }
        path = self.root / f"{name}.json"
        path.write_text(json.dumps(settings), encoding="utf-8")
        return str(path)

    def start(self, name: str = "state", *arguments: str) -> Daemon:
        """A daemon that leads when this returns."""
        log = self.root / f"{name}-{len(self.daemons)}.log"
        daemon = Daemon(self.root, log, "--config", self.config(name), *arguments)
        self.daemons.append(daemon)
        daemon.says("leading")
        return daemon

    def cancelled(self) -> list[str]:
        """The lines that the hook noted."""
        return self.noted.read_text().splitlines() if self.noted.exists() else []

    def cli(self, *arguments: str, **ee2: Any) -> Ran:
        """One command, in this process: what matters here is what it does, not that it starts."""
        out, err = io.StringIO(), io.StringIO()
        with redirect_stdout(out), redirect_stderr(err):
            code = main([*arguments, "--config", self.config(**ee2)])
        return Ran(code, out.getvalue(), err.getvalue())


@pytest.fixture
def office(tmp_path: Path, mongo_uri: str, ee2: Ee2, monkeypatch: pytest.MonkeyPatch) -> Iterator[Office]:
    """A place of a test's own; daemons that are left are killed."""
    monkeypatch.setattr("sys.excepthook", sys.excepthook)
    for name in ("BATCHKEEPER_URL", "BATCHKEEPER_CONFIG", "MONGODB_URI", "MAX_CONCURRENT"):
        monkeypatch.delenv(name, raising=False)
    made = Office(tmp_path, mongo_uri, ee2.jobs.database.name)
    yield made
    for daemon in made.daemons:
        if daemon.running:
            daemon.kill()


def incident(ee2: Ee2) -> dict[str, str]:
    """What an EE2 that crashed leaves: a retry half told, jobs stuck, and a record that a script broke."""
    batch = ee2.batch(40 * DAY)
    root = ee2.child_of(batch, DAY)
    ee2.end(root)
    child = ee2.launch(root, 2 * HOUR, scheduled=False)
    queued, sick = ee2.run_job(20 * DAY), ee2.run_job(20 * DAY)
    ee2.queue(queued, 15 * DAY)
    ee2.queue(sick, 15 * DAY)
    ee2.spoil(sick, queued=1.7e12)
    return {"batch": batch, "root": root, "child": child, "queued": queued, "sick": sick}


def test_the_daemon_repairs_and_reaps_in_place(
    ee2: Ee2, office: Office, oracle: Oracle, scheduler: Scheduler
) -> None:
    """One daemon from its start to SIGTERM: the retry is complete and, never launched, ended; the queued job
    is cancelled and ended; the batch parent stays; the sick record is shown; metrics and health tell."""
    jobs = incident(ee2)
    scheduler.agreed += [jobs["child"], jobs["queued"]]
    with oracle.watching():
        daemon = office.start()
        for job in (jobs["child"], jobs["queued"]):
            wait_for(f"the end of {job}", partial(_ended, ee2, job))
        wait_for("the repair", lambda: ee2.job(jobs["child"])["retry_saved_toggle"])
        daemon.ready()
        metrics = wait_for("metrics", lambda: _metrics(daemon, 'reaped_total{state="queued"} 1.0'))
        assert daemon.stop() == 0
    assert ee2.job(jobs["batch"])["child_jobs"] == [jobs["root"], jobs["child"]]
    assert ee2.job(jobs["root"])["retry_ids"] == [jobs["child"]]
    assert ee2.job(jobs["batch"])["status"] == "created"
    assert sorted(office.cancelled()) == sorted([f"{jobs['child']} ", f"{jobs['queued']} 4711"])
    for line in ('reaped_total{state="created"} 1.0', 'repaired_total{step="retry_saved_toggle"} 1.0'):
        assert f"batchkeeper_{line}" in metrics
    assert "batchkeeper_retry_lifecycle_incomplete" in metrics
    shown = office.cli("list", "--quarantined", "-o", "json").json
    assert [(one["job_id"], "not in seconds" in one["reason"]) for one in shown] == [(jobs["sick"], True)]
    assert daemon.errors() == []


def _ended(ee2: Ee2, job: str) -> bool:
    return bool(ee2.job(job)["status"] == "terminated")


def _metrics(daemon: Daemon, line: str) -> str:
    text = daemon.get("/metrics")[1]
    return text if line in text else ""


def test_a_daemon_that_is_killed_leaves_the_rest_to_the_next(
    ee2: Ee2, office: Office, oracle: Oracle, scheduler: Scheduler
) -> None:
    """``kill -9`` among eight jobs: in the end each is ended."""
    jobs = [ee2.run_job(2 * HOUR) for _ in range(8)]
    scheduler.agreed += jobs
    with oracle.watching():
        daemon = office.start()
        wait_for("a first one", office.cancelled)
        daemon.kill()
        for job in jobs:  # claims of the one that died would be waited for
            ee2.jobs.database["batchkeeper_ee2"].update_one(
                {"_id": ee2.job(job)["_id"]}, {"$unset": {"cancel.until": ""}}
            )
        office.start()
        wait_for("the end", lambda: ee2.jobs.count_documents({"status": "terminated"}) == len(jobs))
    assert {line.strip() for line in office.cancelled()} == set(jobs)
    assert len(office.cancelled()) <= len(jobs) + 1, "the one that died between the yes and its note"


def test_two_daemons_ask_once(ee2: Ee2, office: Office, oracle: Oracle, scheduler: Scheduler) -> None:
    """Two with folders of their own on one database: the newer epoch leads, and no job is asked for twice."""
    first = office.start("one")
    office.start("two")
    jobs = [ee2.run_job(2 * HOUR) for _ in range(5)]
    scheduler.agreed += jobs
    with oracle.watching():
        wait_for("the end", lambda: ee2.jobs.count_documents({"status": "terminated"}) == len(jobs))
        first.says("stepped-down")
    assert sorted(line.strip() for line in office.cancelled()) == sorted(jobs)


def test_dry_runs_say_all_and_change_nothing(ee2: Ee2, office: Office, oracle: Oracle) -> None:
    """Neither EE2's records, nor a collection of ours, nor an index."""
    jobs = incident(ee2)
    names = set(ee2.jobs.database.list_collection_names())
    with oracle.watching():
        repair = office.cli("repair", "--dry-run", "-o", "json")
        reap = office.cli("reap", "--dry-run", "-o", "json")
        daemon = office.cli("controller", "--dry-run")
    assert [(one["job_id"], one["deed"]) for one in repair.json] == [
        (jobs["child"], "child_jobs, retry_ids, retry_saved_toggle")
    ]
    assert {one["job_id"]: one["deed"] for one in reap.json} == {
        jobs["child"]: "cancel, then terminate",
        jobs["queued"]: "cancel, then terminate",
        jobs["sick"]: "quarantine",
    }
    assert daemon.code == 0
    assert "createIndex" in daemon.err
    assert "dry run: nothing was changed" in daemon.err
    assert oracle.writes == 0
    assert set(ee2.jobs.database.list_collection_names()) == names
    assert list(ee2.jobs.index_information()) == ["_id_"]


def test_commands_do_the_same_without_a_daemon(
    ee2: Ee2, office: Office, oracle: Oracle, scheduler: Scheduler
) -> None:
    """``repair`` and ``reap`` by hand; without a hook, reaping says so and does nothing."""
    jobs = incident(ee2)
    scheduler.agreed += [jobs["child"], jobs["queued"]]
    with oracle.watching():
        bare = office.cli("reap", cancel={})
        assert "no cancel hook" in bare.err
        assert ee2.job(jobs["queued"])["status"] == "queued"
        assert office.cli("repair").code == 0
        assert office.cli("reap").code == 0
    assert ee2.job(jobs["child"])["retry_saved_toggle"] is True
    assert ee2.job(jobs["queued"])["status"] == ee2.job(jobs["child"])["status"] == "terminated"


@pytest.mark.parametrize(
    "command",
    [["list"], ["status", "x"], ["jobs", "x"], ["retry", "x"], ["cancel", "x"], ["halt", "retries"]],
)
def test_what_makes_no_sense_here_says_so_in_one_line(ee2: Ee2, office: Office, command: list[str]) -> None:
    """There are no batches of ours, no places and no submission."""
    ran = office.cli(*command)
    assert ran.code == 1
    (line,) = ran.err.splitlines()
    assert "store.layout is ee2" in line


@pytest.mark.parametrize(
    ("which", "times", "error"),
    [("reap", 9, Unavailable), ("reap", 1, Unavailable), ("reap", 1, StaleEpoch), ("repair", 1, Unavailable)],
)
def test_one_pass_that_decides_nothing_says_why(
    office: Office, monkeypatch: pytest.MonkeyPatch, which: str, times: int, error: type[Exception]
) -> None:
    """Whoever asked for it reads the reason, not only the log. Of the reaper's two passes the first finds out
    whether time can be trusted: where it fails, the second ends nothing, however well it goes."""
    real, met = getattr(keeper, which), 0

    async def fails(*given: object, **more: object) -> object:
        nonlocal met
        met += 1
        if met <= times:
            raise error("mongodb: claim got no answer")
        return await real(*given, **more)

    monkeypatch.setattr(keeper, which, fails)
    ran = office.cli("controller", "--once")
    assert ran.code == 1
    said = "nothing was decided: mongodb: claim got no answer; ask again once that is mended"
    assert ran.err.rstrip().endswith(said)
