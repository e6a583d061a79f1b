"""The fidelity script: recorded operations on the store and the cluster, for fakes and real adapters.

``operations.jsonl`` beside this module holds them, one a line: the port's method under ``do``, its arguments
by their names. ``python -m tests.contract.fidelity_scripts`` writes it anew; ``fidelity_store_script`` and
``fidelity_cluster_script`` draw them from a seed, knowing the ports and neither a fake nor an adapter.

How values are written: ids as ``b1``, ``j12`` or ``?3`` (nobody's); instants as hours since the beginning,
or ``@j12.created``, what that record has there now; durations in seconds; whatever else as the words of the
glossary. In replies an instant of the script's own time is ``op 17``: the operation during which it was.
"""

from __future__ import annotations

import collections.abc
import dataclasses
import functools
import json
import re
import types
import typing
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from enum import Enum
from pathlib import Path
from typing import Any, Literal

from controller.core.change import Change
from controller.core.model import Attempt, Batch, Gate
from controller.ports import BatchkeeperError

SCRIPT = Path(__file__).with_name("operations.jsonl")
SYMBOL = re.compile(r"[bj?]\d+")
"""An id as the script writes it."""
REFERENCE = re.compile(r"@(?P<id>j\d+)(\.(?P<field>\w+))?")
"""A record, or what a field of it is, at the time of the operation."""

Operation = dict[str, Any]
"""``do``: the method; the rest are its arguments."""
Port = Literal["store", "cluster"]


def read(port: Port) -> list[Operation]:
    """The recorded operations on this port."""
    lines = (json.loads(line) for line in SCRIPT.read_text(encoding="utf-8").splitlines())
    return [
        {key: value for key, value in line.items() if key != "port"} for line in lines if line["port"] == port
    ]


def text(parts: Mapping[Port, Sequence[Operation]]) -> str:
    """The file for these operations."""
    lines = ({"port": port, **operation} for port, operations in parts.items() for operation in operations)
    return "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)


@functools.cache
def hints(owner: Any) -> Mapping[str, Any]:
    """The types of a class's fields, or of a method's arguments."""
    return typing.get_type_hints(owner)


class Meaning:
    """Values of the script as the ports take them, and replies as the script would write them."""

    def __init__(self, new_id: typing.Callable[[], str], start: datetime) -> None:
        """``start``: the beginning, by the adapter's own clock; its ids are drawn when they are met."""
        self._new_id = new_id
        self._start = start
        self._ids: dict[str, str] = {}
        self._symbols: dict[str, str] = {}
        self._begun: list[datetime] = []
        self.records: dict[str, Any] = {}
        """What ``@j12`` stands for in the operation that comes."""

    def begin(self, at: datetime) -> None:
        """The next operation begins at this instant; later than any that an earlier one has left behind."""
        self._begun.append(at)

    def name(self, symbol: str, actual: str) -> None:
        """That is what the script calls it: a uid that only the cluster knows."""
        self._ids[symbol], self._symbols[actual] = actual, symbol

    def id(self, symbol: str) -> str:
        """The id that this stands for; text that is no symbol stands for itself."""
        if SYMBOL.fullmatch(symbol) and symbol not in self._ids:
            self.name(symbol, self._new_id())
        return self._ids.get(symbol, symbol)

    def value(self, kind: Any, given: Any, owner: str = "") -> Any:
        """An argument of this type. ``owner``: the class that a mapping's keys are fields of."""
        origin, inner = typing.get_origin(kind), typing.get_args(kind)
        if origin in (typing.Union, types.UnionType):
            kinds = [each for each in inner if each is not type(None)]
            return None if given is None else self.value(kinds[0], given, owner)
        if isinstance(given, str) and (found := REFERENCE.fullmatch(given)):
            record = self.records[found["id"]]
            return getattr(record, found["field"], None) if found["field"] else record
        if kind is datetime:
            return self._start + timedelta(hours=given)
        if kind is timedelta:
            return timedelta(seconds=given)
        if isinstance(kind, type) and issubclass(kind, Enum):
            return kind(given)
        if dataclasses.is_dataclass(kind):
            return self._made(kind, given)
        if origin is tuple and len(inner) == 2 and inner[1] is not ...:
            return tuple(self.value(each, item) for each, item in zip(inner, given, strict=True))
        if origin is collections.abc.Mapping:
            return self._mapping(inner, given, owner)
        if isinstance(given, list):
            read = [self.value(inner[0] if inner else Any, item) for item in given]
            items = [item for item in read if item is not None]  # a record that is not there
            return tuple(items) if origin is tuple else items
        return self.id(given) if isinstance(given, str) else given

    def _made(self, kind: Any, given: Mapping[str, Any]) -> Any:
        known = hints(kind)
        owners = {"fields": "Attempt"} if kind is Change else {}
        return kind(
            **{name: self.value(known[name], value, owners.get(name, "")) for name, value in given.items()}
        )

    def _mapping(self, inner: tuple[Any, ...], given: Mapping[str, Any], owner: str) -> dict[Any, Any]:
        if owner:
            known = FIELDS[owner]
            return {name: self.value(known.get(name, Any), value) for name, value in given.items()}
        of_keys, of_values = inner
        return {self.value(of_keys, key): self.value(of_values, value) for key, value in given.items()}

    def shown(self, reply: Any) -> Any:
        """A reply as the script would write it: symbols, instants by operation, nothing that is a default."""
        if isinstance(reply, Enum):
            return reply.value
        if isinstance(reply, BatchkeeperError):  # that of one of several, told and not raised
            return {"raises": type(reply).__name__}
        if isinstance(reply, datetime):
            return self._instant(reply)
        if isinstance(reply, timedelta):
            return reply.total_seconds()
        if dataclasses.is_dataclass(reply) and not isinstance(reply, type):
            fields = ((each, getattr(reply, each.name)) for each in dataclasses.fields(reply))
            return {each.name: self.shown(value) for each, value in fields if value != _default(each)}
        if isinstance(reply, Mapping):
            return dict(sorted((str(self.shown(key)), self.shown(value)) for key, value in reply.items()))
        if isinstance(reply, set | frozenset):
            return sorted(map(self.shown, reply))
        if isinstance(reply, list | tuple):
            return [self.shown(item) for item in reply]
        return self._symbols.get(reply, reply) if isinstance(reply, str) else reply

    def _instant(self, at: datetime) -> str:
        if not self._begun or at < self._begun[0] or at > self._begun[-1] + timedelta(minutes=5):
            return f"{(at - self._start) / timedelta(hours=1):+.5f} h"
        return f"op {sum(begun <= at for begun in self._begun)}"


def _default(field: dataclasses.Field[Any]) -> Any:
    if field.default is not dataclasses.MISSING:
        return field.default
    return dataclasses.MISSING if field.default_factory is dataclasses.MISSING else field.default_factory()


FIELDS = {kind.__name__: typing.get_type_hints(kind) for kind in (Attempt, Batch, Gate)}
"""By class: the types of its fields, for mappings of names of fields."""


def differences(one: Any, other: Any, where: str = "") -> list[str]:
    """Where two replies differ, each as a path with both values."""
    if isinstance(one, dict) and isinstance(other, dict):
        keys = sorted({*one, *other})
        return [each for key in keys for each in differences(one.get(key), other.get(key), f"{where}.{key}")]
    if isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        pairs = enumerate(zip(one, other, strict=True))
        return [each for n, (mine, theirs) in pairs for each in differences(mine, theirs, f"{where}[{n}]")]
    return [] if one == other else [f"{where or 'reply'}: {json.dumps(one)} and {json.dumps(other)}"]
