"""Names in a spec folder: which files are specs, what a file's key is, where its status stands.

Pure. A *path* is a file's real place, relative to the watched folder and with ``/`` between its parts.
A *key* is the same place for records, logs and people: whatever can't be printed or isn't UTF-8 stands
as ``%XX``, so a key is always one clean line, and the path can be read back from it.
"""

from __future__ import annotations

import os
import posixpath
from urllib.parse import unquote_to_bytes

SUFFIXES = (".yaml", ".yml", ".json")
STATUS_SUFFIX = ".status.yaml"


def is_spec(name: str) -> bool:
    """Whether a file of this name is read as a spec.

    Editors' and copy tools' own files (``.x.swp``, ``x.yaml~``, ``4913``, ``x.yaml.part``, ``.nfs…``)
    are none: they start with a dot or end in something else.
    """
    return name.endswith(SUFFIXES) and not name.startswith(".") and not name.endswith(STATUS_SUFFIX)


def status_path(path: str) -> str:
    """Where the status of this spec stands."""
    return path + STATUS_SUFFIX


def key_of(path: str) -> str:
    """The key of a path."""
    return path if _plain(path) else "".join(char if _plain(char) else _escaped(char) for char in path)


def path_of(key: str) -> str | None:
    """The path of a key; None for text that is no key of a spec in any folder."""
    path = os.fsdecode(unquote_to_bytes(key))
    parts = path.split("/")
    if "\0" in path or any(part in ("", ".", "..") for part in parts):
        return None
    return path if is_spec(parts[-1]) and not any(part.startswith(".") for part in parts) else None


def named_path(spec_path: str, written: str, root: str) -> str | None:
    """The path of a file that a spec names, relative to the spec or absolute; None when it is outside.

    Lexical only: what links on the way lead to is for whoever opens it.
    """
    whole = posixpath.join(root, posixpath.dirname(spec_path), written)
    relative = posixpath.relpath(posixpath.normpath(whole), root)
    outside = relative in (".", "..") or relative.startswith("../") or "\0" in relative
    return None if outside else relative


def _plain(text: str) -> bool:
    return text.isprintable() and "%" not in text


def _escaped(char: str) -> str:
    return "".join(f"%{byte:02X}" for byte in os.fsencode(char))
