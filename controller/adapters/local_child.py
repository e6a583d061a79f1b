"""The job's first process: forked from its supervisor, checks what it needs, waits, becomes the command.

What may hang for ever (a dead NFS share, a working directory on one) is touched here and never by the
supervisor, which goes on listening. The child reports one JSON line: ready (``{}``) or why it can't
run; it starts only when it is told so, once the start is recorded.
Standard library only and few imports: each supervisor loads this.
"""

# pathlib would cost every supervisor several milliseconds of its start.
from __future__ import annotations

import contextlib
import ctypes
import json
import os
import signal
from collections.abc import Mapping
from typing import NamedTuple, NoReturn

from controller.adapters.local_files import Json

_PR_SET_PDEATHSIG, _PR_SET_CHILD_SUBREAPER = 1, 36
_libc = ctypes.CDLL(None, use_errno=True)
START_ERROR, FAILED_MOUNT = "StartError", "FailedMount"
START_ERROR_CODE = 128
"""What containerd gives a container whose command can't be started."""
_LONGEST = 400
"""Characters of a message: as JSON no more than 2,400 bytes, which a pipe takes at once (4,096)."""


class Child(NamedTuple):
    """The forked process and the supervisor's ends of its pipes (all non-blocking)."""

    pid: int
    output: int
    """Standard output and standard error."""
    report: int
    """One line when ready or refused; the end when the command runs, another line when it can't."""
    go: int
    """Write a byte: start. Close: don't."""


def adopt_orphans() -> None:
    """Make this process the parent of every orphan below it. Raises ``OSError``."""
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)


def make_folders(run: Json, folder: str) -> None:
    """Make what a job finds in its own folder: where it runs, and its emptyDirs. Raises ``OSError``."""
    if not run["workdir"]:
        os.makedirs(_workdir(run, folder), exist_ok=True)
    for number, mount in enumerate(run["mounts"]):
        if mount["empty_dir"]:
            os.makedirs(os.path.join(folder, "empty", str(number)), exist_ok=True)


def fork(run: Json, env: Mapping[str, str], folder: str) -> Child:
    """Fork the child of a job; ``run`` as in ``job.json``. Raises ``OSError``."""
    supervisor = os.getpid()
    output, output_end = os.pipe()
    report, report_end = os.pipe()
    go_end, go = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(go)
        _be_the_child(run, env, folder, supervisor, (go_end, output_end, report_end))
    for theirs in (output_end, report_end, go_end):
        os.close(theirs)
    for ours in (output, report):
        os.set_blocking(ours, False)
    return Child(pid, output, report, go)


def _be_the_child(
    run: Json, env: Mapping[str, str], folder: str, supervisor: int, pipes: tuple[int, int, int]
) -> NoReturn:
    go, output, report = pipes
    with contextlib.suppress(BaseException):
        _detach(supervisor, output)
        problem = _failed_mount(run) or _cannot_start(run, env, folder)
        _tell(report, problem)
        if not problem and os.read(go, 1):
            try:
                os.execvpe(run["command"][0], run["command"], dict(env))
            except (OSError, ValueError) as error:
                _tell(report, _refusal(f"command '{run['command'][0]}' can't be run: {error}"))
    os._exit(127)


def _detach(supervisor: int, output: int) -> None:
    """A session of its own, the default signals, and death with the supervisor."""
    for number in (signal.SIGTERM, signal.SIGCHLD, signal.SIGHUP, signal.SIGPIPE, signal.SIGXFSZ):
        signal.signal(number, signal.SIG_DFL)
    signal.set_wakeup_fd(-1)
    os.setsid()
    _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != supervisor:
        os._exit(127)
    with contextlib.suppress(OSError), open("/proc/self/oom_score_adj", "w") as file:
        file.write("500")  # when the machine runs out of memory, jobs go before what keeps them
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(output, 1)
    os.dup2(output, 2)


def _failed_mount(run: Json) -> Json:
    """A hostPath must be a folder with something in it: a share that is not mounted is an empty one."""
    for mount in run["mounts"]:
        source = mount["host_path"]
        if not source:
            continue
        try:
            with os.scandir(source) as entries:
                problem = "" if any(True for _ in entries) else "is empty: is the share mounted?"
        except NotADirectoryError:
            problem = ""  # a hostPath may be a file
        except OSError as error:
            problem = f"can't be read: {error.strerror}"
        if problem:
            return {"reason": FAILED_MOUNT, "message": f"hostPath {source} for {mount['path']} {problem}"}
    return {}


def _cannot_start(run: Json, env: Mapping[str, str], folder: str) -> Json:
    """Enter the working directory and look for the command."""
    workdir = _workdir(run, folder)
    try:
        os.chdir(workdir)
    except OSError as error:
        return _refusal(f"working directory {workdir} can't be entered: {error.strerror}")
    if not run["command"]:
        return _refusal("there is no command: give job.command, or job.local.command for this machine")
    return _missing(run["command"][0], env)


def _workdir(run: Json, folder: str) -> str:
    return run["workdir"] or os.path.join(folder, "work")


def _missing(command: str, env: Mapping[str, str]) -> Json:
    folders = [""] if "/" in command else env.get("PATH", os.defpath).split(os.pathsep)
    files = [path for path in (os.path.join(folder, command) for folder in folders) if os.path.isfile(path)]
    if not files:
        return _refusal(f"command '{command}' does not exist" + ("" if "/" in command else " (not in PATH)"))
    if not any(os.access(path, os.X_OK) for path in files):
        return _refusal(f"command '{command}' is not executable")
    return {}


def _refusal(message: str) -> Json:
    return {"reason": START_ERROR, "exit_code": START_ERROR_CODE, "message": message}


def _tell(report: int, what: Json) -> None:
    """One line that always fits into the pipe as a whole."""
    if "message" in what:
        what["message"] = what["message"][:_LONGEST]
    os.write(report, json.dumps(what).encode() + b"\n")


def _prctl(option: int, value: int) -> None:
    if _libc.prctl(option, value, 0, 0, 0):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
