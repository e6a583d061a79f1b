"""From bytes to text: UTF-8 and nothing else, with an error that says what the bytes look like."""

from __future__ import annotations

import codecs

MAX_SPEC_BYTES = 256 * 1024
MAX_CSV_BYTES = 32 * 1024 * 1024

_MARKS = (
    (codecs.BOM_UTF32_LE, "UTF-32"),
    (codecs.BOM_UTF32_BE, "UTF-32"),
    (codecs.BOM_UTF16_LE, "UTF-16"),
    (codecs.BOM_UTF16_BE, "UTF-16"),
)


class Unreadable(ValueError):
    """The content can't be read. ``str()`` says why and what to do; ``line`` from 1, 0: all of it."""

    def __init__(self, message: str, line: int = 0) -> None:
        super().__init__(message)
        self.line = line


def decoded(content: bytes) -> str:
    """The text of UTF-8 bytes, without a byte order mark; raises ``Unreadable``."""
    for mark, name in _MARKS:
        if content.startswith(mark):
            raise Unreadable(f"this is {name} text: save it as UTF-8")
    if (position := content.find(b"\0")) >= 0:
        raise Unreadable(
            "a NUL byte: this is no UTF-8 text (UTF-16, perhaps, or a binary file): save it as UTF-8",
            _line_at(content, position),
        )
    try:
        return content.removeprefix(codecs.BOM_UTF8).decode("utf-8")
    except UnicodeDecodeError as error:
        line = _line_at(content.removeprefix(codecs.BOM_UTF8), error.start)
        byte = error.object[error.start]
        raise Unreadable(
            f"byte 0x{byte:02x} is not UTF-8 (Latin-1 or Windows-1252, perhaps): save the file as UTF-8", line
        ) from None


def _line_at(content: bytes, position: int) -> int:
    return content.count(b"\n", 0, position) + 1
