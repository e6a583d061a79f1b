"""MongoDB's wire protocol, as much of it as is needed to tell commands apart and to answer for a server.

The source is MongoDB's own description of OP_MSG and of the two older messages of a first handshake.
"""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import bson

HEADER = struct.Struct("<iiii")
"""Length of the whole, its id, the id that it answers, what kind of message it is."""
OP_REPLY, OP_QUERY, OP_MSG = 1, 2004, 2013
MORE_TO_COME = 2
CHECKSUM = 1
_REPLY_HEAD = 20
_FLAGS = struct.Struct("<I")
_LENGTH = struct.Struct("<i")
TEXT = 2

Document = dict[str, Any]
Key = tuple[str, str]
"""A command's name, and its collection, or the word for what has none."""
NO_COLLECTION = "–"
HANDSHAKE: Key = ("handshake", NO_COLLECTION)
"""The first message of a connection."""
HEARTBEAT: Key = ("heartbeat", NO_COLLECTION)
"""A driver asks how a member fares."""


@dataclass(frozen=True, slots=True)
class Message:
    """One message, whole."""

    id: int
    answers: int
    kind: int
    body: bytes

    @property
    def raw(self) -> bytes:
        """As it goes over the wire."""
        return HEADER.pack(HEADER.size + len(self.body), self.id, self.answers, self.kind) + self.body

    @property
    def more_to_come(self) -> bool:
        """Whether another answer follows this one unasked."""
        return self.kind == OP_MSG and bool(_FLAGS.unpack_from(self.body)[0] & MORE_TO_COME)

    @property
    def document(self) -> Document:
        """The command or the answer, without what is sent in a sequence beside it."""
        start, end = self._span()
        return bson.decode(self.body[start:end])

    def _span(self) -> tuple[int, int]:
        """Where the document stands in the body."""
        if self.kind == OP_MSG:
            assert self.body[4] == 0, "drivers send the command first"
            start = 5
        elif self.kind == OP_REPLY:
            start = _REPLY_HEAD
        else:
            start = self.body.index(b"\0", 4) + 1 + 8
        return start, start + _LENGTH.unpack_from(self.body, start)[0]

    def with_document(self, document: Mapping[str, Any]) -> Message:
        """The same with another document; a checksum would be wrong, and drivers send none."""
        start, end = self._span()
        assert self.kind != OP_MSG or not _FLAGS.unpack_from(self.body)[0] & CHECKSUM
        return Message(
            self.id, self.answers, self.kind, self.body[:start] + bson.encode(document) + self.body[end:]
        )


async def read(reader: asyncio.StreamReader) -> Message:
    """The next message. Raises ``asyncio.IncompleteReadError`` at the end."""
    length, number, answers, kind = HEADER.unpack(await reader.readexactly(HEADER.size))
    return Message(number, answers, kind, await reader.readexactly(length - HEADER.size))


def key_of(message: Message) -> Key:
    """Which command on which collection; what a driver asks on its own account has names of its own."""
    if message.kind != OP_MSG:
        return HANDSHAKE
    start = message._span()[0] + 4
    kind, name_end = message.body[start], message.body.index(b"\0", start + 1)
    name = message.body[start + 1 : name_end].decode()
    if name == "getMore":
        return name, str(message.document["collection"])
    if name.lower() in ("hello", "ismaster") and "lsid" not in message.document:
        return HEARTBEAT
    if kind != TEXT:
        return name, NO_COLLECTION
    size = _LENGTH.unpack_from(message.body, name_end + 1)[0]
    return name, message.body[name_end + 5 : name_end + 4 + size].decode()


def answer(to: Message, document: Mapping[str, Any]) -> Message:
    """An answer in the server's stead."""
    return Message(-to.id & 0x7FFFFFFF, to.id, OP_MSG, _FLAGS.pack(0) + b"\0" + bson.encode(document))
