"""The faults file: what it may say, what it means, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from controller.adapters.local_settings import Faults, injected_fault, load_faults, read_faults
from controller.core.model import JobInput, Mount
from controller.ports import NewJob, Rejected


def job(task: str, attempt: int, *mounts: Mount) -> NewJob:
    """An attempt of one task."""
    return NewJob("n", "default", "sweep", "0" * 24, task, attempt, "1" * 24, JobInput("x", mounts=mounts))


def test_a_faults_file_is_read() -> None:
    """Batches, tasks and counts; numbers as ids are fine; an empty file injects nothing."""
    document = {"mountFailures": {"sweep": {19: 1, "20": "always"}}}
    assert read_faults(document) == {"sweep": {"19": 1, "20": "always"}}
    assert read_faults(None) == {}


@pytest.mark.parametrize(
    ("document", "where"),
    [
        ({"mountFailure": {}}, "mountFailures is the only key"),
        ([1], "mountFailures is the only key"),
        ({"mountFailures": [1]}, "mountFailures: must be a section"),
        ({"mountFailures": {"sweep": 1}}, "mountFailures.sweep: must be a section"),
        ({"mountFailures": {"sweep": {"1": 0}}}, "mountFailures.sweep.1: must be a whole number"),
        ({"mountFailures": {"sweep": {"1": True}}}, "mountFailures.sweep.1: must be a whole number"),
        ({"mountFailures": {"sweep": {"1": "never"}}}, "mountFailures.sweep.1: must be a whole number"),
    ],
)
def test_a_wrong_faults_file_is_refused(document: object, where: str) -> None:
    """The error says where and what, in one line."""
    with pytest.raises(ValueError, match=where):
        read_faults(document)


def test_a_faults_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    """A missing or broken file is refused with its name, in one line."""
    with pytest.raises(Rejected, match=r"faults\.yaml can't be read: No such file"):
        load_faults(tmp_path / "faults.yaml")
    (tmp_path / "faults.yaml").write_text("mountFailures: {sweep: {")
    with pytest.raises(Rejected, match=r"faults\.yaml: ") as raised:
        load_faults(tmp_path / "faults.yaml")
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("count", "attempt", "fails"), [(1, 0, True), (1, 1, False), (2, 1, True), ("always", 99, True)]
)
def test_a_fault_hits_the_first_attempts(count: int, attempt: int, fails: bool) -> None:
    """n is the number of first attempts that fail; always is all of them; other tasks are spared."""
    faults: Faults = {"sweep": {"19": count}}
    line = injected_fault(job("19", attempt, Mount("/data", host_path="/x")), faults)
    assert line == ("mount failure (injected): /data is not mounted" if fails else "")
    assert injected_fault(job("20", 0), faults) == ""
