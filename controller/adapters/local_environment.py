"""A job's environment on this machine: a small clean base, its secrets, its own variables, its identity.

Called by the supervisor just before the job starts, so that no secret is ever written anywhere by us.
Standard library only and few imports: each supervisor loads this.
"""

# pathlib would cost every supervisor several milliseconds of its start.
from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator, Mapping

from controller.adapters.local_files import Json

KEPT = ("HOME", "USER", "LOGNAME", "SHELL", "LANG", "LC_ALL", "LC_CTYPE", "TZ", "TMPDIR")
"""What a job gets of the daemon's own environment, beside PATH: nothing that could be a secret."""


class NotStartable(Exception):
    """The job can't be started as it is; the text says why and what to do, and shows no values."""


def base(environ: Mapping[str, str], interpreter: str) -> dict[str, str]:
    """The clean base: the daemon's own interpreter comes first in PATH, so ``python`` is that one."""
    path = environ.get("PATH") or os.defpath
    kept = {name: environ[name] for name in KEPT if name in environ}
    first = {"PATH": f"{os.path.dirname(interpreter)}{os.pathsep}{path}", "LANG": "C.UTF-8"}
    return first | kept


def environment(run: Json, folder: str, clean: Mapping[str, str]) -> dict[str, str]:
    """Everything the job finds in its environment; later parts win. Raises ``NotStartable``.

    ``BATCHKEEPER_MOUNT_<n>`` is the real folder of the spec's n-th mount, counted from 0: without root
    nothing can be mounted at the path that the spec names.
    """
    mounts = {f"BATCHKEEPER_MOUNT_{n}": path for n, path in mounted(run, folder)}
    secrets = _secrets(run["secrets_folder"], run["secrets"])
    return {**clean, **secrets, **run["env"], **run["local_env"], **mounts, **run["identity"]}


def mounted(run: Json, folder: str) -> Iterator[tuple[int, str]]:
    """The mounts that this machine has: hostPaths, and a fresh folder for each emptyDir."""
    for number, mount in enumerate(run["mounts"]):
        if mount["host_path"]:
            yield number, mount["host_path"]
        elif mount["empty_dir"]:
            yield number, os.path.join(folder, "empty", str(number))


def _secrets(folder: str, names: Iterable[str]) -> dict[str, str]:
    """The variables of all these secrets; of two that have the same one, the later secret's."""
    found: dict[str, str] = {}
    for name in names:
        path = os.path.join(folder, f"{name}.env")
        found.update(_pairs(_private_text(path, name), path))
    return found


def _private_text(path: str, name: str) -> str:
    try:
        with open(path, encoding="utf-8") as file:
            about = os.fstat(file.fileno())
            if stat.S_IMODE(about.st_mode) & 0o077 or about.st_uid not in (os.getuid(), 0):
                raise NotStartable(f"secret '{name}' may be read by others: run chmod 600 {path}")
            return file.read()
    except FileNotFoundError:
        raise NotStartable(
            f"secret '{name}' is missing: put KEY=VALUE lines into {path} (mode 0600)"
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise NotStartable(f"secret '{name}' can't be read from {path}: {type(error).__name__}") from None


def _pairs(text: str, path: str) -> Iterator[tuple[str, str]]:
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        key, equals, value = line.partition("=")
        if not equals or not key.strip().isidentifier() or "\0" in value:
            raise NotStartable(f"{path}, line {number}: not KEY=VALUE")
        yield key.strip(), value
