"""``dataclasses.replace``, several times as fast: the fakes copy a record at every write."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from operator import attrgetter
from typing import Any, TypeVar

_T = TypeVar("_T")

_known: dict[type, tuple[tuple[str, ...], Callable[[Any], tuple[Any, ...]]]] = {}


def copied(thing: _T, **changes: Any) -> _T:
    """The same dataclass with these fields changed; every field must be one of ``__init__``'s."""
    cls = type(thing)
    known = _known.get(cls)
    if known is None:
        names = tuple(field.name for field in dataclasses.fields(thing))  # type: ignore[arg-type]
        known = _known[cls] = names, attrgetter(*names)
    names, values_of = known
    return cls(**(dict(zip(names, values_of(thing), strict=True)) | changes))
