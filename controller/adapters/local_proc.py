"""Processes as ``/proc`` shows them, for the local cluster and its supervisors.

A pid alone may be somebody else's by now: a process is known by its pid and its start time, and every
look and every signal checks both. Standard library only and few imports: each supervisor loads this.
"""

# pathlib would cost every supervisor several milliseconds of its start.
from __future__ import annotations

import errno
import os
import signal
from collections.abc import Iterable, Iterator
from typing import NamedTuple

_PAGE = os.sysconf("SC_PAGE_SIZE")
_SCARCE = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOMEM})
"""Why we can't look, whoever is looked at."""
_KERNEL_LISTS_CHILDREN = os.path.exists(f"/proc/self/task/{os.getpid()}/children")


class Proc(NamedTuple):
    """One process: ``start`` is in clock ticks since boot, as in ``/proc/<pid>/stat``."""

    pid: int
    start: int


class Stat(NamedTuple):
    """What ``/proc/<pid>/stat`` tells of a process that still runs."""

    proc: Proc
    parent: int
    session: int


def boot_id() -> str:
    """This boot of this machine; pids and start times of another boot mean nothing."""
    return _read("/proc/sys/kernel/random/boot_id").strip().decode()


def stat(pid: int) -> Stat | None:
    """The process as it is now; None when it is gone, or dead and only waits to be collected."""
    return _stat(pid, _read(f"/proc/{pid}/stat"))


def _stat(pid: int, text: bytes) -> Stat | None:
    if not text:
        return None
    fields = text[text.rindex(b")") + 2 :].split()
    # A dead main thread whose other threads go on is shown as a zombie too: it has several threads.
    if fields[0] in b"ZX" and int(fields[17]) <= 1:
        return None
    return Stat(Proc(pid, int(fields[19])), int(fields[1]), int(fields[3]))


def look(pid: int) -> Proc | None:
    """The running process that has this pid now, if any."""
    found = stat(pid)
    return found.proc if found else None


def alive(proc: Proc) -> bool:
    """Whether this very process still runs; yes, as far as that can't be looked at now."""
    try:
        found = _stat(proc.pid, _read_now(f"/proc/{proc.pid}/stat"))
    except OSError:
        return True
    return found is not None and found.proc == proc


def send(proc: Proc, number: int) -> bool:
    """Signal this very process, never one that got its pid since; False when it is gone."""
    try:
        handle = os.pidfd_open(proc.pid)
    except ProcessLookupError:
        return False
    try:
        if look(proc.pid) != proc:
            return False
        signal.pidfd_send_signal(handle, number)
    except ProcessLookupError:
        return False
    finally:
        os.close(handle)
    return True


def descendants(pid: int) -> list[Proc]:
    """Every running process below this one, those that were re-parented to it included."""
    found: list[Proc] = []
    todo = list(_children(pid))
    while todo:
        child = todo.pop()
        if proc := look(child):
            found.append(proc)
            todo.extend(_children(child))
    return found


def session_of(leader: Proc, known: Iterable[Proc] = ()) -> list[Proc]:
    """Running members of the session that this process led; none where it may be another's by now.

    The kernel gives a number to nobody else while a session of it lives. So it is this one as long as the
    leader lives, or a member that is ``known`` to be of it: asked after the look, for all that it has shown.
    """
    members = {entry.proc for entry in map(stat, _pids()) if entry and entry.session == leader.pid}
    return list(members) if any(map(alive, members & {leader, *known})) else []


def marked(entry: str) -> list[Proc]:
    """Running processes that were started with this ``KEY=value`` in their environment.

    All of them: raises ``OSError`` where they can't be looked at now.
    """
    pids = (pid for pid in _pids() if bears(pid, entry))
    return [proc for proc in map(look, pids) if proc and proc.pid != os.getpid()]


def bears(pid: int, entry: str) -> bool:
    """Whether it was started with this ``KEY=value`` in its environment; one that ends has none any more.

    Raises ``OSError`` where it can't be looked at now.
    """
    return b"\0" + entry.encode() + b"\0" in b"\0" + _read_now(f"/proc/{pid}/environ")


def carries(pid: int, entry: str) -> bool:
    """The same; no, as far as that can't be looked at now."""
    try:
        return bears(pid, entry)
    except OSError:
        return False


def session(pid: int) -> int:
    """The number of its session; 0 when it is gone."""
    try:
        return os.getsid(pid)
    except OSError:
        return 0


def command_line(proc: Proc) -> bytes:
    """Its arguments, each ended by a NUL; empty when it is gone."""
    return _read(f"/proc/{proc.pid}/cmdline")


def resident(procs: Iterable[Proc]) -> int:
    """Bytes of memory in use, shared pages counted for each process: cheap, and never too low."""
    fields = (_read(f"/proc/{proc.pid}/statm").split() for proc in procs)
    return sum(int(field[1]) for field in fields if field) * _PAGE


def proportional(procs: Iterable[Proc]) -> int:
    """Bytes of memory in use (PSS): a page that several processes share counts once in the sum."""
    return sum(_pss(proc) for proc in procs)


def _pss(proc: Proc) -> int:
    for line in _read(f"/proc/{proc.pid}/smaps_rollup").splitlines():
        if line.startswith(b"Pss:"):
            return int(line.split()[1]) * 1024
    return resident((proc,))  # not ours to read (a set-uid program), or no longer there


def _children(pid: int) -> list[int]:
    """Pids of the children of every thread; looked for in all of ``/proc`` where the kernel keeps no list."""
    if not _KERNEL_LISTS_CHILDREN:
        return [entry.proc.pid for entry in map(stat, _pids()) if entry and entry.parent == pid]
    try:
        threads = os.listdir(f"/proc/{pid}/task")
    except OSError:
        return []
    return [int(child) for one in threads for child in _read(f"/proc/{pid}/task/{one}/children").split()]


def _pids() -> Iterator[int]:
    return (int(name) for name in os.listdir("/proc") if name.isdigit())


def _read(path: str) -> bytes:
    """The file's bytes; empty when the process is gone or is not ours to read, or nothing can be read now."""
    try:
        return _read_now(path)
    except OSError:
        return b""


def _read_now(path: str) -> bytes:
    """The same. Raises ``OSError`` when nothing can be read now, whosever it is."""
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError as error:
        if error.errno in _SCARCE:
            raise
        return b""
