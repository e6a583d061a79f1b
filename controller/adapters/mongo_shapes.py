"""Shapes: how a frozen dataclass of ``core`` becomes a MongoDB document and comes back.

Called by ``mongo_documents``, which holds one shape per kind of record. A document is lean and has one
normal form: a field that has its default is not there (never null: a unique index would let two nulls
collide). Nothing that a user may choose is ever a field name, see ``pairs`` and ``escaped``.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from enum import Enum
from typing import Any, Generic, NamedTuple, TypeVar

from bson import Int64, ObjectId
from bson.errors import InvalidId

T = TypeVar("T")
Document = dict[str, Any]

_REQUIRED = object()


class Codec(NamedTuple):
    """Both directions of one field's value; neither sees None."""

    encode: Callable[[Any], Any]
    decode: Callable[[Any], Any]


class Field(NamedTuple):
    """One field: its names on both sides, its default, and its codec."""

    name: str
    key: str
    default: Any
    codec: Codec


class Shape(Generic[T]):
    """One dataclass and its documents. Fields that no codec is named for are kept as they are."""

    def __init__(
        self,
        cls: type[T],
        *,
        always: Sequence[str] = (),
        keys: Mapping[str, str] | None = None,
        **codecs: Codec,
    ) -> None:
        self._cls = cls
        self._always = frozenset(always)
        """Fields that are written even when they have their default: an index or a guard reads them."""
        self._fields = [
            Field(f.name, (keys or {}).get(f.name, f.name), _default(f), codecs.get(f.name, AS_TEXT_OR_IS))
            for f in dataclasses.fields(cls)  # type: ignore[arg-type]
        ]
        self._by_name = {field.name: field for field in self._fields}
        self._decoders = {field.key: (field.name, field.codec.decode) for field in self._fields}

    def encode(self, record: T) -> Document:
        """The document of a record; raises ``ValueError`` for a value that has no faithful form."""
        document: Document = {}
        for name, key, default, codec in self._fields:
            value = getattr(record, name)
            if value is not None and (value != default or name in self._always):
                document[key] = codec.encode(value)
        return document

    def key(self, name: str) -> str:
        """The document's name of a field."""
        return self._by_name[name].key

    def value(self, name: str, value: Any) -> Any:
        """One field's value as the document has it, or None when it is not to be there."""
        _, _, default, codec = self._by_name[name]
        if value is None or (value == default and name not in self._always):
            return None
        return codec.encode(value)

    def decode(self, document: Mapping[str, Any]) -> T:
        """The record of a document. Unknown fields are left out; malformed ones raise.

        Raises ``KeyError``, ``TypeError`` or ``ValueError``.
        """
        decoders = self._decoders
        found: Document = {}
        for key, value in document.items():
            if key in decoders and value is not None:
                name, decode = decoders[key]
                found[name] = value if decode is as_is else decode(value)
        return self._cls(**found)


def _default(field: dataclasses.Field[Any]) -> Any:
    if field.default is not dataclasses.MISSING:
        return field.default
    if field.default_factory is not dataclasses.MISSING:
        return field.default_factory()
    return _REQUIRED


def object_id(text: str) -> ObjectId:
    """The ObjectId of an id of ours; raises ``ValueError`` for anything else."""
    try:
        return ObjectId(text)
    except (InvalidId, TypeError) as error:
        raise ValueError(f"{text!r} is not an id: 24 hexadecimal digits") from error


def id_or_none(text: str) -> ObjectId | None:
    """The same; None for anything else, which matches nothing. Not asked first whether it is one: of ten
    thousand ids that took as long again."""
    try:
        return ObjectId(text) if text else None  # of None the driver would make a new one
    except (InvalidId, TypeError):
        return None


def text(value: str) -> str:
    """The same text, half surrogates replaced: a log line with one must not lose its whole record."""
    return str(value) if value.isascii() else value.encode("utf-8", "replace").decode("utf-8")


def _plain(value: Any) -> Any:
    return text(value) if isinstance(value, str) else value


def _instant(value: datetime) -> datetime:
    if value.tzinfo is None:
        raise ValueError(f"an instant without a timezone: {value}")
    return value


def _read_instant(value: Any) -> datetime:
    """A date that Python has not comes as something else, and so does whatever somebody wrote there."""
    if not isinstance(value, datetime):
        raise ValueError(f"no instant, or one that is out of range: {str(value)[:40]}")
    return value


def pairs(mapping: Mapping[str, Any]) -> list[Document]:
    """A mapping with the user's own keys, as name and value: ``$where`` and ``a.b`` stay mere text."""
    return [{"name": text(str(name)), "value": _plain(value)} for name, value in mapping.items()]


def from_pairs(documents: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The mapping that ``pairs`` wrote."""
    return {document["name"]: plain_number(document["value"]) for document in documents}


_ESCAPES = {"%": "%25", "$": "%24", ".": "%2E", "\0": "%00"}


def escaped(value: Any) -> Any:
    """JSON data whose keys no database could take for an operator or a path; readable otherwise."""
    if isinstance(value, Mapping):
        return {_escaped_key(str(key)): escaped(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [escaped(item) for item in value]
    return _plain(value)


def unescaped(value: Any) -> Any:
    """The JSON data that ``escaped`` wrote."""
    if isinstance(value, dict):
        return {_unescaped_key(key): unescaped(item) for key, item in value.items()}
    if isinstance(value, list):
        return [unescaped(item) for item in value]
    return plain_number(value)


def plain_number(value: Any) -> Any:
    """The same, a large number as an ``int`` like any other: the driver has a class of its own for those."""
    return int(value) if isinstance(value, Int64) else value


def _escaped_key(key: str) -> str:
    for character, escape in _ESCAPES.items():
        key = key.replace(character, escape)
    return text(key)


def _unescaped_key(key: str) -> str:
    for character, escape in reversed(_ESCAPES.items()):
        key = key.replace(escape, character)
    return key


def each(codec: Codec) -> Codec:
    """A tuple of such values, kept as a list."""
    encode, decode = codec
    to_tuple = tuple if decode is as_is else lambda items: tuple(map(decode, items))
    return Codec(lambda items: [encode(item) for item in items], to_tuple)


def nested(shape: Shape[Any]) -> Codec:
    """A dataclass inside another."""
    return Codec(shape.encode, shape.decode)


def as_is(value: Any) -> Any:
    """A value that the driver already decodes as we want it; lists of records never even call this."""
    return value


AS_TEXT_OR_IS = Codec(_plain, as_is)
WHOLE = Codec(as_is, int)
"""A number that may be large, see ``plain_number``."""
ID = Codec(object_id, str)
IDS = each(ID)
INSTANT = Codec(_instant, _read_instant)
SECONDS = Codec(timedelta.total_seconds, lambda seconds: timedelta(seconds=seconds))
TEXTS = each(AS_TEXT_OR_IS)
PAIRS = Codec(pairs, from_pairs)
JSON = Codec(escaped, unescaped)


def word(enum: type[Enum]) -> Codec:
    """A value of a closed enum, kept as its plain value; an unheard-of one raises ``ValueError``."""
    members = {member.value: member for member in enum}

    def decode(value: Any) -> Enum:
        return members[value] if value in members else enum(value)

    return Codec(lambda member: member.value, decode)
