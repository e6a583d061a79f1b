"""Processes are known by pid and start time: a pid that was given away is somebody else."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest

from controller.adapters import local_proc
from controller.adapters.local_proc import Proc


@pytest.fixture
def child() -> Iterator[subprocess.Popen[bytes]]:
    """A process of ours that sleeps, with a child of its own."""
    started = subprocess.Popen(
        ["sh", "-c", "sleep 300 & echo; wait"], stdout=subprocess.PIPE, start_new_session=True
    )
    assert started.stdout
    started.stdout.readline()
    leader = local_proc.look(started.pid)
    assert leader
    members = local_proc.session_of(leader)
    yield started
    for process in members:
        local_proc.send(process, signal.SIGKILL)
    started.wait()
    started.stdout.close()


def test_a_reused_pid_is_another_process(child: subprocess.Popen[bytes]) -> None:
    """A process with the pid but another start time is not alive as that one, and gets no signal."""
    found = local_proc.look(child.pid)
    assert found
    former = Proc(found.pid, found.start - 1)
    assert local_proc.alive(found)
    assert not local_proc.alive(former)
    assert not local_proc.send(former, signal.SIGKILL)
    assert local_proc.alive(found)
    assert local_proc.send(found, signal.SIGKILL)


@pytest.mark.parametrize("number", [errno.EMFILE, errno.ENFILE, errno.ENOMEM], ids=errno.errorcode.get)
def test_who_can_not_look_says_of_nobody_that_they_are_gone(
    monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    """With no file left to open, what runs was dead: its job had ended, or a mongod was begun beside it."""

    def none_left(*given: object) -> None:
        raise OSError(number, os.strerror(number))

    found = local_proc.look(os.getpid())
    assert found
    monkeypatch.setattr(local_proc, "open", none_left, raising=False)
    assert local_proc.alive(found)
    assert not local_proc.send(found, 0), "nor does it get a signal that may be meant for another"
    with pytest.raises(OSError, match=os.strerror(number)):
        local_proc.marked("A=b")


def test_a_session_outlives_its_leader_in_those_who_are_known(child: subprocess.Popen[bytes]) -> None:
    """Once the leader is dead, one member that is known shows that the others are of its session, too."""
    found = local_proc.look(child.pid)
    assert found
    members = local_proc.session_of(found)
    assert len(members) == 2
    local_proc.send(found, signal.SIGKILL)
    child.wait()
    left = set(members) - {found}
    assert set(local_proc.session_of(found, members)) == left
    assert local_proc.session_of(found) == []
    assert local_proc.session_of(found, [one._replace(start=one.start - 1) for one in left]) == []


@pytest.mark.parametrize("later", [-100, 100])
def test_a_session_whose_number_has_another_leader_is_another(
    child: subprocess.Popen[bytes], later: int
) -> None:
    """The number of a leader that is dead was given away: whose session it is now started it anew."""
    found = local_proc.look(child.pid)
    assert found
    former = Proc(found.pid, found.start + later)
    assert local_proc.session_of(former) == []
    assert local_proc.session_of(former, [former, Proc(os.getpid(), 1)]) == []


def test_the_dead_are_not_alive() -> None:
    """A process that only waits to be collected is dead, and a signal to one that is gone says so."""
    child = subprocess.Popen(["sleep", "300"])
    found = local_proc.look(child.pid)
    assert found
    assert local_proc.send(found, signal.SIGKILL)
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    assert not local_proc.alive(found)
    child.wait()
    assert not local_proc.send(found, signal.SIGKILL)


@pytest.mark.parametrize("listed", [True, False], ids=["kernel's list", "by parent"])
def test_descendants_are_found_at_any_depth(
    child: subprocess.Popen[bytes], listed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Children of children are found, whether or not the kernel keeps a list of children."""
    if not listed:
        monkeypatch.setattr(local_proc, "_KERNEL_LISTS_CHILDREN", False)
    found = {proc.pid for proc in local_proc.descendants(os.getpid())}
    inner = {proc.pid for proc in local_proc.descendants(child.pid)}
    assert {child.pid} | inner <= found
    assert len(inner) == 1


def test_marks_are_whole_words(child: subprocess.Popen[bytes]) -> None:
    """A process is found by a whole entry of its environment, never by a part of one."""
    marked = subprocess.Popen(["sleep", "300"], env={"BATCHKEEPER_JOB": "f00ba4", "LAST": "1"})
    try:
        while local_proc.command_line(Proc(marked.pid, 0)) != b"sleep\000300\0":
            pass
        assert [proc.pid for proc in local_proc.marked("BATCHKEEPER_JOB=f00ba4")] == [marked.pid]
        assert local_proc.marked("BATCHKEEPER_JOB=f00ba") == []
    finally:
        marked.kill()
        marked.wait()


def test_proportional_memory_is_no_more_than_resident() -> None:
    """PSS counts a shared page in parts, RSS in full; both see what was touched."""
    program = "kept = b'x' * (30 << 20); print(flush=True); input()"
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen([sys.executable, "-c", program], **pipes) as child:  # type: ignore[call-overload]
        child.stdout.readline()
        found = local_proc.look(child.pid)
        assert found
        pss, rss = local_proc.proportional([found]), local_proc.resident([found])
        child.communicate(b"\n")
    assert 30 << 20 < pss <= rss < 80 << 20
