"""The answer beside a spec: ``<file>.status.yaml``, replaced as a whole and only when it says something new.

Blocking file work, run in a thread by ``SpecDirectory``. Everything raises ``OSError``.
"""

from __future__ import annotations

import io
import os
import posixpath
import zlib
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from ruamel.yaml import YAML

from controller.adapters.spec_directory_files import folder
from controller.adapters.spec_directory_names import status_path

HEADER = "# Batchkeeper writes this file and replaces it whenever something changes.\n"

_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


def render(status: Mapping[str, Any]) -> bytes:
    """The status as YAML, keys in the order given; control characters are escaped."""
    yaml = YAML(typ="rt")
    yaml.width = 110
    yaml.indent(mapping=2, sequence=4, offset=2)
    yaml.representer.ignore_aliases = lambda *_: True
    text = io.StringIO()
    yaml.dump(dict(status), text)
    return (HEADER + text.getvalue()).encode("utf-8", "backslashreplace")


def write_status(root: str, path: str, content: bytes) -> bool:
    """Put a status beside the spec of this path; False when it stands there already, or the spec is gone.

    A link at the status' name is replaced, never followed.
    """
    name = posixpath.basename(status_path(path))
    with folder(root, posixpath.dirname(path)) as parent:
        if not _exists(posixpath.basename(path), parent) or _stands(name, content, parent):
            return False
        temporary = f".{name}.{_writer()}.tmp"
        try:
            _write(temporary, content, parent)
            os.rename(temporary, name, src_dir_fd=parent, dst_dir_fd=parent)
        except OSError:
            with suppress(OSError):
                os.unlink(temporary, dir_fd=parent)
            raise
    return True


def _exists(name: str, parent: int) -> bool:
    try:
        os.stat(name, dir_fd=parent, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return True


def _stands(name: str, content: bytes, parent: int) -> bool:
    try:
        descriptor = os.open(name, _READ, dir_fd=parent)
    except OSError:
        return False
    with os.fdopen(descriptor, "rb") as file:
        return os.fstat(descriptor).st_size == len(content) and file.read(len(content) + 1) == content


def _write(name: str, content: bytes, parent: int) -> None:
    with suppress(FileNotFoundError):
        os.unlink(name, dir_fd=parent)
    descriptor = os.open(name, _CREATE, 0o644, dir_fd=parent)
    with os.fdopen(descriptor, "wb") as file:
        os.fchmod(descriptor, 0o644)
        file.write(content)
        file.flush()
        os.fsync(descriptor)


def _writer() -> str:
    """This process, among all that share the folder: a temporary file of another one is left alone."""
    return f"{zlib.crc32(os.uname().nodename.encode()):08x}-{os.getpid()}"
