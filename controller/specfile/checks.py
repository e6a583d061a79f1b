"""What spans several fields of a spec, looked at on the data as written, so that nothing hides it.

Runs beside the models, whatever they found: everything that is wrong is told at once.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from controller.core.durations import parse_duration
from controller.core.quantities import parse_cpu, parse_memory
from controller.specfile.nodes import Empty, Path
from controller.specfile.problems import Problems, nearest
from controller.specfile.schema import known_keys
from controller.specfile.secrecy import ADVICE, holds_secret

KINDS_OF_TASKS = ("range", "list", "matrix", "csv")
SOURCES = ("hostPath", "pvc", "configMap", "emptyDir")


def check(data: Mapping[str, Any], problems: Problems) -> None:
    """Note what is wrong across the fields of the spec, given as plain data."""
    if "tasks" in data:
        _exactly_one(data["tasks"], ("tasks",), KINDS_OF_TASKS, problems)
    job = _mapping(data, "job")
    _mounts(job, problems)
    _tolerations(job, problems)
    for path, env in (
        (("job", "env"), _mapping(job, "env")),
        (("job", "local", "env"), _mapping(_mapping(job, "local"), "env")),
    ):
        _secrets(env, path, problems)
    _rules(data, _mapping(job, "resources"), problems)


def _exactly_one(value: Any, path: Path, names: tuple[str, ...], problems: Problems) -> None:
    if not isinstance(value, dict):
        return
    given = [name for name in names if not isinstance(value.get(name, Empty()), Empty)]
    choice = f"exactly one of {', '.join(names)}"
    slips = [key for key in value if key not in known_keys(path) and nearest(key, names)]
    if not given and not slips:  # a slip is told as the unknown key that it is
        problems.add(path, f"needs {choice}")
    for name in given[1:]:
        problems.add((*path, name), f"stands beside {given[0]}: write {choice}")


def _mounts(job: Mapping[str, Any], problems: Problems) -> None:
    seen: dict[str, int] = {}
    for number, mount in _mappings(job, "mounts"):
        path: Path = ("job", "mounts", number)
        _exactly_one(mount, path, SOURCES, problems)
        where = mount.get("path")
        if not isinstance(where, str):
            continue
        first = seen.setdefault(where.rstrip("/"), number)
        if first != number:
            problems.add((*path, "path"), f"is also the path of mounts[{first}]: give each its own")
        if mount.get("emptyDir") == "false":
            problems.add((*path, "emptyDir"), "false gives no volume: write true, or another source")


def _tolerations(job: Mapping[str, Any], problems: Problems) -> None:
    for number, toleration in _mappings(job, "tolerations"):
        path: Path = ("job", "tolerations", number)
        exists = toleration.get("operator") == "Exists"
        if not exists and not toleration.get("key"):
            problems.add(path, "needs a key, or operator: Exists for every taint")
        if exists and toleration.get("value"):
            problems.add((*path, "value"), "can't be with operator: Exists: leave it out")


def _secrets(env: Mapping[str, Any], path: Path, problems: Problems) -> None:
    for name, value in env.items():
        if isinstance(value, str) and holds_secret(name, value):
            problems.add((*path, name), f"looks like a secret: {ADVICE}")


def _rules(data: Mapping[str, Any], resources: Mapping[str, Any], problems: Problems) -> None:
    seen: dict[str, int] = {}
    for number, rule in _mappings(data, "retry"):
        path: Path = ("retry", number)
        on = rule.get("on")
        if on == {}:
            problems.add((*path, "on"), "needs at least one of verdict, exitCodes, reasons, logs")
        if isinstance(on, dict):
            first = seen.setdefault(repr(sorted(on.items(), key=lambda item: item[0])), number)
            if first != number:
                problems.warn((*path, "on"), f"is never reached: retry[{first}] asks for the same")
        _backoff(_mapping(rule, "backoff"), (*path, "backoff"), problems)
        _growth(_mapping(rule, "resources"), resources, (*path, "resources"), problems)


def _backoff(backoff: Mapping[str, Any], path: Path, problems: Problems) -> None:
    base, most = _parsed(parse_duration, backoff.get("base")), _parsed(parse_duration, backoff.get("max"))
    base = base if "base" in backoff else parse_duration("60s")
    most = most if "max" in backoff else parse_duration("5m")
    if base is not None and most is not None and base > most:
        field = "max" if "max" in backoff else "base"
        problems.add(
            (*path, field), "the first wait (base) is longer than the longest one (max): swap or raise"
        )


def _growth(growth: Mapping[str, Any], resources: Mapping[str, Any], path: Path, problems: Problems) -> None:
    for name, parse, default in (("cpu", parse_cpu, "1"), ("memory", parse_memory, "0"), ("gpu", int, "0")):
        if name not in growth:
            continue
        request = _parsed(parse, resources.get(name, default))
        most = _parsed(parse, _mapping(growth, name).get("max"))
        if request == 0:
            problems.warn((*path, name), f"has no effect: job.resources.{name} is not set")
        elif request is not None and most is not None and most < request:
            problems.add((*path, name, "max"), f"is below what the job requests (job.resources.{name})")


def _parsed(parse: Any, value: Any) -> Any:
    """The value, or None where the models complain of it."""
    try:
        return parse(value) if isinstance(value, str) else None
    except ValueError:
        return None


def _mapping(data: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    value = data.get(key)
    return value if isinstance(value, dict) else {}


def _mappings(data: Mapping[str, Any], key: str) -> Iterator[tuple[int, dict[str, Any]]]:
    value = data.get(key)
    for number, item in enumerate(value if isinstance(value, list) else ()):
        if isinstance(item, dict):
            yield number, item
