"""A control plane of a module's own can be broken: servers killed and restarted, revisions compacted."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from tests.control_plane.admin import Refused
from tests.control_plane.jobs import ended, jobs_path, manifest, submit
from tests.control_plane.plane import API_SERVER, ETCD, ControlPlane
from tests.control_plane.recorder import recorded
from tests.control_plane.sharing import ROOT
from tests.e2e.waiting import wait_for


def test_the_api_server_comes_back(private_control_plane: ControlPlane) -> None:
    """After a kill -9 nobody answers; after the restart all is as it was, and pods go on to their ends."""
    plane = private_control_plane
    with plane.namespace() as namespace:
        submit(plane, namespace, manifest("before", {"RUN_SECONDS": "1"}))
        pid = plane.pids[API_SERVER]
        plane.kill()
        with pytest.raises(OSError, match="refused"):
            plane.admin.get("/version")
        plane.start()
        assert plane.pids[API_SERVER] != pid
        submit(plane, namespace, manifest("after"))
        for name in ("before", "after"):
            assert ended(plane, namespace, name)["type"] == "Complete"


def test_etcd_keeps_what_it_acknowledged(private_control_plane: ControlPlane) -> None:
    """A kill -9 of etcd loses nothing that the API server said was there."""
    plane = private_control_plane
    with plane.namespace() as namespace:
        for number in range(20):
            submit(plane, namespace, manifest(f"kept-{number}", {"END": "never"}))
        plane.restart(ETCD)
        found = wait_for("the API server finds it again", lambda: listed(plane, namespace))
        assert len(found) == 20


def listed(plane: ControlPlane, namespace: str) -> list[str]:
    """The names of the Jobs, or none while the store is away."""
    try:
        return [job["metadata"]["name"] for job in plane.admin.get(jobs_path(namespace))["items"]]
    except (OSError, Refused):
        return []


def test_a_compacted_revision_has_expired(private_control_plane: ControlPlane) -> None:
    """A watch from before the compaction is told 410, and so is the next page of a list."""
    plane = private_control_plane
    with plane.namespace() as namespace:
        for name in ("one", "two"):
            submit(plane, namespace, manifest(name, {"END": "never"}))
        page = plane.admin.get(jobs_path(namespace), limit="1")["metadata"]
        plane.expire_watches()
        with pytest.raises(Refused) as refused:
            next(plane.admin.watch(jobs_path(namespace), page["resourceVersion"]))
        assert refused.value.status == 410
        with pytest.raises(Refused) as refused:
            plane.admin.get(jobs_path(namespace), limit="1", **{"continue": page["continue"]})
        assert refused.value.status == 410


def test_the_recorder_outlives_all_of_it(private_control_plane: ControlPlane) -> None:
    """What happens before, during and after an outage with expired watches is recorded, once each."""
    plane = private_control_plane
    with plane.namespace() as namespace, recorded(plane.admin, namespace) as recorder:
        for name in ("before", "deleted"):
            submit(plane, namespace, manifest(name))
            ended(plane, namespace, name)
        plane.expire_watches()
        plane.admin.delete(jobs_path(namespace, "deleted"), propagationPolicy="Background")
        submit(plane, namespace, manifest("after"))
        ended(plane, namespace, "after")
        wait_for("it is gone", lambda: plane.admin.find(jobs_path(namespace, "deleted")) is None)
        changes = recorder.changes()
        assert recorder.gaps
    jobs = [(change.type, change.object["metadata"]["name"]) for change in changes if change.kind == "Job"]
    assert sorted(name for kind, name in jobs if kind == "ADDED") == ["after", "before", "deleted"]
    assert [name for kind, name in jobs if kind == "DELETED"] == ["deleted"]
    assert [change.revision for change in changes] == sorted(change.revision for change in changes)


HOLD = """
import sys, time
from pathlib import Path
from tests.control_plane.sharing import acquire
hold = acquire(sys.argv[1], Path(sys.argv[2]))
print(Path(hold.about["audit"]).parent, *hold.about["pids"].values(), flush=True)
time.sleep(600)
"""


@pytest.mark.parametrize("victim", ["user", "keeper"])
def test_nothing_is_left_of_a_killed_run(private_control_plane: ControlPlane, victim: str) -> None:
    """When its only user is killed, or the keeper itself, every process of the control plane ends."""
    assert private_control_plane.hold
    binaries = private_control_plane.hold.about["binaries"]
    command = [sys.executable, "-c", HOLD, f"left-{victim}", binaries]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as user:
        assert user.stdout
        folder, *numbers = user.stdout.readline().split()
        pids = [int(number) for number in numbers]
        assert all(map(runs, pids))
        (user if victim == "user" else psutil.Process(pids[0])).kill()
        wait_for("all of them end", lambda: not any(map(runs, pids)))
        user.kill()
    if victim == "user":
        wait_for("the folder is gone", lambda: not Path(folder).exists())
    shutil.rmtree(folder, ignore_errors=True)


def runs(pid: int) -> bool:
    """Whether that process runs: one that nobody has waited for yet does not."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
