"""One place to run batches in: a state folder, a watched folder, a database, and their daemons."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

from pymongo import MongoClient
from pymongo.database import Database
from pymongo.errors import AutoReconnect, PyMongoError
from ruamel.yaml import YAML

from controller.adapters import local_proc
from controller.adapters.local_history import CREATE, Entry
from tests.e2e.history import history
from tests.e2e.process import PROGRAM, Daemon, Ran, run
from tests.e2e.specs import budgets
from tests.e2e.waiting import PATIENCE, wait_for
from tests.oracle.history import Side, Weather
from tests.oracle.oracle import Oracle
from tests.oracle.recorder import Recorder
from tests.oracle.state import Facts

Document = dict[str, Any]

CONFIG: Document = {
    "state_dir": "state",
    "specs": {"folder": "specs", "interval": "200ms"},
    "reconcile": {"interval": "1s"},
    "repair": {"interval": "1s", "after": "1s"},
    "submission": {"rate": 500, "burst": 200},
    "local": {"grace": "500ms", "sample": "50ms", "node": "here"},
    "http": {"port": 0},
    "log": {"format": "json"},
}
"""The real defaults at a test's pace."""


CLOSED = ("finished", "cancelled")
ENDED = ("completed", "error", "terminated")


class Place:
    """With ``uri`` the records are there, else the place's daemons start a mongod of their own. ``keep``:
    a config.yaml is there already."""

    def __init__(self, root: Path, uri: str, database: str, *, keep: bool = False) -> None:
        self.root = root
        self.state = root / "state"
        self.specs = root / "specs"
        self.uri = uri
        self.database = database
        self.config = root / "config.yaml"
        self.strangers: set[str] = set()
        self.program: tuple[str, ...] = PROGRAM
        """What its daemons run."""
        self.weather: list[Weather] = []
        self.left_open = ""
        """Why not everything has come to its end when the test is over; empty: it must have."""
        self._facts: dict[str, Any] = {"budgets": {}}
        self.forgiven: tuple[str, ...] = ()
        """What error lines may say that are meant to be."""
        self._daemons: list[Daemon] = []
        self._client: MongoClient[Document] | None = None
        self.specs.mkdir(parents=True)
        if not keep:
            self.configure()
        self.recorder = Recorder(uri, database) if uri else None

    def configure(self, **sections: Any) -> None:
        """Write config.yaml, with these sections' keys changed."""
        settings: Document = {**CONFIG, "store": {"uri": self.uri, "database": self.database}}
        for name, section in sections.items():
            settings[name] = {**settings.get(name, {}), **section} if isinstance(section, dict) else section
        self.config.write_text(json.dumps(settings), encoding="utf-8")

    # --------------------------------------------------------------------------------- the daemon

    def start(self, *arguments: str, wait: bool = True) -> Daemon:
        """A daemon here; with ``wait`` it leads when this returns."""
        log = self.root / f"daemon-{len(self._daemons)}.log"
        daemon = Daemon(self.root, log, "--config", str(self.config), *arguments, program=self.program)
        self._daemons.append(daemon)
        if wait:
            daemon.says("leading")
        return daemon

    def start_no_more(self) -> None:
        """End every daemon here."""
        for daemon in self._daemons:
            if daemon.running:
                assert daemon.stop() == 0

    def cli(self, *arguments: str) -> Ran:
        """One command of the program's."""
        return run(self.root, *arguments, "--config", str(self.config))

    # ---------------------------------------------------------------------------------- the specs

    def drop(self, spec: Mapping[str, Any], file: str = "") -> Path:
        """Put a spec into the watched folder, as a whole, the way editors and people do."""
        path = self.specs / (file or f"{spec['name']}.json")
        half = path.with_name(f".{path.name}.tmp")
        half.write_text(json.dumps(spec, indent=1), encoding="utf-8")
        half.replace(path)
        self.expect(spec)
        return path

    def expect(self, spec: Mapping[str, Any]) -> None:
        """Let the oracle know the spec's retry rules."""
        self._facts["budgets"][spec["name"]] = budgets(spec)

    def told(self, file: str) -> Document:
        """What stands beside a spec; empty as long as nothing does."""
        path = self.specs / f"{file}.status.yaml"
        try:
            return YAML(typ="safe", pure=True).load(path.read_text(encoding="utf-8")) or {}
        except FileNotFoundError:
            return {}

    def tells(self, file: str, so: Callable[[Document], Any]) -> Document:
        """What stands beside a spec as soon as it is so."""
        seen: Document = {}

        def look() -> bool:
            seen.update(told := self.told(file))
            return bool(told and so(told))

        wait_for(f"{file}.status.yaml as expected, not {self.told(file)}", look)
        return self.told(file)

    # -------------------------------------------------------------------------------- the records

    @property
    def db(self) -> Database[Document]:
        """The database."""
        if self._client is None:
            self._client = MongoClient(self.uri, tz_aware=True)
        return self._client[self.database]

    def parent(self, name: str) -> Document:
        """A batch parent; empty as long as there is none."""
        return self.db["jobs"].find_one({"batch_job": True, "name": name}) or {}

    def jobs(self, name: str, **query: Any) -> list[Document]:
        """The records of a batch, in the order of tasks and attempts."""
        asked = {"batch_id": self.parent(name).get("_id"), "batch_job": {"$ne": True}, **query}
        return list(self.db["jobs"].find(asked).sort([("index", 1), ("attempt", 1)]))

    def job(self, name: str) -> Document:
        """The record of one job, by its cluster name."""
        return self.db["jobs"].find_one({"name": name, "batch_job": {"$ne": True}}) or {}

    def id(self, name: str) -> str:
        """The id of one job."""
        return str(self.job(name)["_id"])

    def statuses(self, name: str) -> dict[str, str]:
        """Each job's status by its cluster name."""
        return {job["name"]: job["status"] for job in self.jobs(name)}

    def gate(self, name: str) -> Document:
        """A batch's gate."""
        return self.db["gates"].find_one({"_id": self.parent(name)["_id"]}) or {}

    def until(self, what: str, look: Callable[[], Any], seconds: float = PATIENCE) -> Any:
        """Wait for something while the last daemon lives; with its log when it never comes.

        A look that finds no server, or one that is just coming up, is repeated.
        """
        away: list[PyMongoError] = []

        def patient() -> Any:
            try:
                found = look()
            except AutoReconnect as error:
                away[:] = [error]
                return None
            away.clear()
            return found

        try:
            return wait_for(what, patient, seconds)
        except (AssertionError, PyMongoError) as error:
            log = self._daemons[-1].log.read_text(errors="replace")[-4000:] if self._daemons else ""
            last = "".join(f"\nthe database was away: {one}" for one in away)
            raise AssertionError(f"{error}{last}\nthe daemon's log ends:\n{log}") from None

    def over(self, *names: str) -> None:
        """Wait until these batches have come to their end."""
        for name in names:
            self.until(f"the end of {name}", partial(self._closed, name), 4 * PATIENCE)  # all its jobs

    def _closed(self, name: str) -> bool:
        """Closed, and nothing in it that is about to open it again."""
        closed = self.parent(name).get("batch_status") in CLOSED
        return closed and not self.jobs(name, status={"$nin": ENDED})

    def is_(self, job: str, *statuses: str) -> Document:
        """The record of a job, once it has one of these statuses."""
        self.until(f"{job} is {statuses}", lambda: self.job(job).get("status") in statuses)
        return self.job(job)

    def backdate(self, job: str, field: str, by: timedelta) -> None:
        """Set a record's instant back, in the database."""
        found = self.job(job)
        self.db["jobs"].update_one({"_id": found["_id"]}, {"$set": {field: found[field] - by}})

    # --------------------------------------------------------------------------------- the cluster

    def history(self) -> list[Entry]:
        """What happened to objects."""
        return history(self.state)

    def folder(self, job: str, namespace: str = "default") -> Path:
        """A job's folder in the local cluster."""
        return self.state / "cluster" / namespace / job

    # ------------------------------------------------------------------------------------- the end

    def storm(self, out: bool) -> None:
        """Note for the oracle that the store went away, or is back, at this moment."""
        self.weather.append(Weather(datetime.now(UTC), Side.STORE, out))

    def know(self, **facts: Any) -> None:
        """Tell the oracle the operator's figures where they are not the defaults."""
        self._facts |= facts

    def judged(self) -> Oracle:
        """The oracle's view of everything that happened here so far."""
        assert self.recorder is not None
        oracle = Oracle(Facts(**{"list_age": timedelta(seconds=1.5), **self._facts}))
        oracle.feed_all(self.recorder.entries(self.state, self.strangers, self.weather))
        if not self.left_open:
            oracle.finish()
        return oracle

    def close(self) -> None:
        """End daemons, then judge, then end whatever still runs."""
        try:
            for daemon in self._daemons:
                if daemon.running:
                    daemon.stop()
            if self.recorder is not None:
                violations = self.judged().violations
                assert not violations, "\n".join(map(str, violations))
            errors = [line for daemon in self._daemons for line in daemon.errors()]
            errors = [line for line in errors if not any(what in line for what in self.forgiven)]
            assert not errors, "\n".join(errors)
        finally:
            self.tidy()

    def tidy(self) -> None:
        """Kill what is left of daemons and jobs."""
        for daemon in self._daemons:
            if daemon.running:
                daemon.kill()
        for job_id in {entry.job_id for entry in self.history() if entry.kind == CREATE and entry.job_id}:
            while left := local_proc.marked(f"BATCHKEEPER_JOB={job_id}"):
                for process in left:
                    local_proc.send(process, signal.SIGKILL)
                time.sleep(0.01)
        if self._client is not None:
            self._client.close()
            self._client = None
