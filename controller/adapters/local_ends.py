"""How a job of the local cluster ended, in a cluster's own words: codes, reasons and messages.

Pure. Standard library only and few imports: each supervisor loads this.
"""

from __future__ import annotations

from controller.adapters.local_child import FAILED_MOUNT, START_ERROR, START_ERROR_CODE
from controller.adapters.local_files import Json

KILLED = 137
MOUNT_FAILURE = 2
MIB = 1024 * 1024

INJECTED_FAULT: Json = {"exit_code": MOUNT_FAILURE, "reason": "Error"}
MOUNT_TIMEOUT: Json = {
    "stop": "mount",
    "reason": FAILED_MOUNT,
    "exit_code": None,
    "message": "a hostPath or the working directory did not answer in time",
}
DELETED: Json = {"stop": "deleted"}
SHUTDOWN: Json = {
    "stop": "shutdown",
    "pod_reason": "Terminated",
    "conditions": ["DisruptionTarget"],
    "message": "the supervisor was told to end: this machine shuts down",
}
DEADLINE: Json = {
    "stop": "deadline",
    "pod_reason": "DeadlineExceeded",
    "message": "the job ran longer than its deadline",
}
"""Why a job was stopped; what it ended with is merged with these."""
UNREADABLE: Json = {
    "succeeded": False,
    "pod_reason": "NodeLost",
    "message": "its status can't be read: whether it ran is unknown",
}
"""The end of a job whose status file is torn and whose supervisor is gone."""


def start_error(message: str) -> Json:
    """The end of a job whose command can't be started."""
    return {"reason": START_ERROR, "exit_code": START_ERROR_CODE, "message": message}


def out_of_memory(used: int, limit: int) -> Json:
    """The end of a job that outgrew its memory; both in bytes."""
    message = f"memory of {used / MIB:.1f} MiB is over the limit of {limit / MIB:.1f} MiB"
    return {"stop": "memory", "reason": "OOMKilled", "exit_code": KILLED, "message": message}


def node_lost(*, rebooted: bool, last_words: str = "") -> Json:
    """The end of a job whose supervisor is gone without having recorded one."""
    what = "this machine restarted" if rebooted else "the job's supervisor was killed"
    message = f"{what} while the job ran" + (f": {last_words}" if last_words else "")
    return {"succeeded": False, "pod_reason": "NodeLost", "message": message}


def end_of(code: int | None, report: Json | None, cause: Json) -> Json:
    """What the status says of the end.

    ``code``: the main process's exit code, negative for a signal, None when there was no process.
    ``report``: what the child said instead of starting. ``cause``: why we stopped it, or empty.
    """
    if cause.get("stop") == "memory" and code == 0:
        cause = {}  # it was done before the signal came
    end = {**_own_end(code), **(report or {}), **{key: cause[key] for key in cause if key != "stop"}}
    failed_otherwise = bool(report) or bool({"pod_reason", "reason"} & cause.keys())
    end["succeeded"] = code == 0 and not failed_otherwise
    if end.get("reason") == FAILED_MOUNT:
        end["exit_code"] = None
        end["events"] = [f"{FAILED_MOUNT}: {end['message']}"]
    return end


def _own_end(code: int | None) -> Json:
    if code is None:
        return {"exit_code": None, "reason": ""}
    if code < 0:
        return {"exit_code": 128 - code, "signal": -code, "reason": "Error"}
    return {"exit_code": code, "reason": "Error" if code else "Completed"}
