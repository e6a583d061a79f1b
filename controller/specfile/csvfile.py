"""The csv file that a spec names, whole, with the line of every row: as it came with the spec, or, for a
command, out of the spec's folder and from nowhere else.
"""

from __future__ import annotations

import csv
import hashlib
import io
import os
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from controller.ports import NamedFile
from controller.specfile.problems import Problems, shown
from controller.specfile.scalars import env_name
from controller.specfile.text import MAX_CSV_BYTES, Unreadable, decoded

MAX_COLUMNS = 200
_FIELD: tuple[str, ...] = ("tasks", "csv")
_FOLDER = getattr(os, "O_PATH", os.O_RDONLY) | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


@dataclass(frozen=True, slots=True)
class Table:
    """A csv file. ``rows``: the line each begins on (from 1), and its cells, as many as the header has."""

    path: str
    content: bytes
    header: tuple[str, ...]
    rows: tuple[tuple[int, list[str]], ...]

    @property
    def sha256(self) -> str:
        """SHA-256 (hex) of the file's bytes."""
        return hashlib.sha256(self.content).hexdigest()


def located(path: str, folder: Path, root: Path) -> Path:
    """The file that a spec in ``folder`` names, links followed; raises ``Unreadable`` outside ``root``."""
    _check_relative(path)
    try:
        target = (folder / path).resolve(strict=True)
        inside = target.is_relative_to(root.resolve(strict=True))
    except FileNotFoundError:
        raise Unreadable(
            f"{shown(path)}: no such file beside the spec: put it there, or correct it"
        ) from None
    except (OSError, RuntimeError, ValueError) as error:
        raise Unreadable(f"{shown(path)}: can't be opened: {_why(error)}") from None
    if not inside:
        raise Unreadable(f"{shown(path)} leads out of the watched folder: copy the file into it")
    return target


def handed(path: str, beside: Mapping[str, NamedFile]) -> bytes:
    """The bytes that came with a spec whose source is no folder of this machine; raises ``Unreadable``."""
    _check_relative(path)
    file = beside.get(path, NamedFile(error="no such file"))
    if file.truncated:
        raise Unreadable(f"{shown(path)} is larger than 32 MiB: split the batch")
    if file.error:
        raise Unreadable(f"{shown(path)}: {file.error}: put the file beside the spec, or correct the path")
    return file.content


def fetched(target: Path, path: str) -> bytes:
    """The bytes of a regular file of at most 32 MiB; raises ``Unreadable``. Never waits for a pipe.

    ``target`` as ``located`` has found it; ``path``: the file as the spec writes it.
    """
    try:
        handle = _opened(target)
    except OSError as error:
        raise Unreadable(f"{shown(path)}: can't be opened: {_why(error)}") from None
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        raise Unreadable(f"{shown(path)} is not a file: name the csv file itself")
    with os.fdopen(handle, "rb") as file:
        try:
            content = file.read(MAX_CSV_BYTES + 1)
        except OSError as error:
            raise Unreadable(f"{shown(path)}: can't be read: {_why(error)}") from None
    if len(content) > MAX_CSV_BYTES:
        raise Unreadable(f"{shown(path)} is larger than 32 MiB: split the batch")
    return content


def _opened(target: Path) -> int:
    """Open a file without links on its way, part by part: what was swapped for a link since leads nowhere."""
    here = os.open(target.anchor, _FOLDER)
    try:
        for part in target.parts[1:-1]:
            deeper = os.open(part, _FOLDER, dir_fd=here)
            os.close(here)
            here = deeper
        return os.open(target.name, _FILE, dir_fd=here)
    finally:
        os.close(here)


def parsed(path: str, content: bytes, most_rows: int, problems: Problems) -> Table | None:
    """The table in these bytes; None, with the problems noted, when there is no usable one."""
    try:
        records = _records(decoded(content))
        line, header = next(records, (1, []))
        if not header:
            problems.add(_FIELD, "is empty: begin with a header line", line=1, file=path)
            return None
        usable = _check_header(header, line, path, problems)
        rows = list(_even(records, len(header), most_rows, path, problems))
    except Unreadable as error:
        problems.add(_FIELD, str(error), line=error.line, file=path)
        return None
    if not rows:
        problems.add(_FIELD, "has no rows below its header: add one per task", line=1, file=path)
    return Table(path, content, tuple(header), tuple(rows)) if usable and rows else None


def _records(text: str) -> Iterator[tuple[int, list[str]]]:
    """Records that are not blank lines, with the line each begins on."""
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    begins = 1
    try:
        for record in reader:
            if record:
                yield begins, record
            begins = reader.line_num + 1
    except csv.Error as error:
        raise Unreadable(f"not valid CSV: {error}: check the quotes of this record", begins) from None


def _check_header(header: list[str], line: int, path: str, problems: Problems) -> bool:
    complaints = []
    if len(header) > MAX_COLUMNS:
        complaints.append(f"{len(header)} columns: {MAX_COLUMNS} at most")
    elif len(header) == 1 and (";" in header[0] or "\t" in header[0]):
        complaints.append("the header is one column: separate columns with commas")
    else:
        for position, column in enumerate(header):
            if column in header[:position]:
                complaints.append(f"column {shown(column)} stands twice: rename or remove one")
            elif complaint := _not_a_name(column):
                complaints.append(f"column {complaint}")
    for complaint in complaints:
        problems.add(_FIELD, complaint, line=line, file=path)
    return not complaints


def _not_a_name(column: str) -> str:
    try:
        env_name(column)
    except ValueError as error:
        return str(error)
    return ""


def _even(
    records: Iterator[tuple[int, list[str]]], width: int, most: int, path: str, problems: Problems
) -> Iterator[tuple[int, list[str]]]:
    """The records that are as wide as the header; the others are noted."""
    for count, (line, record) in enumerate(records, 1):
        if count > most:
            raise Unreadable(f"more than {most} rows: split the batch", line)
        if len(record) == width:
            yield line, record
        else:
            cells = f"{len(record)} cell{'' if len(record) == 1 else 's'}"
            problems.add(_FIELD, f"this row has {cells}, the header {width}", line=line, file=path)


def _check_relative(path: str) -> None:
    if path.startswith("/") or "\\" in path:
        raise Unreadable(f"{shown(path)} must be relative to the spec, with / between folders")


def _why(error: Exception) -> str:
    return (error.strerror if isinstance(error, OSError) else None) or str(error)[:80]
