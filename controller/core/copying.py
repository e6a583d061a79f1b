"""``dataclasses.replace`` in less time: a pass copies views, scenes and records all the time.

Used by core, by the passes, and by the stores and the cluster in memory.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from operator import attrgetter
from typing import TYPE_CHECKING, Any

_known: dict[type, tuple[Mapping[str, int], Callable[[Any], tuple[Any, ...]]]] = {}
"""By class: the place of each field among what ``__init__`` takes, and what reads all of them at once."""


if TYPE_CHECKING:
    from dataclasses import replace as replace  # its changes are checked field by field
else:

    def replace(thing: Any, /, **changes: Any) -> Any:
        """The same dataclass with these fields changed. Its ``__init__`` takes two at least, by order."""
        cls = type(thing)
        known = _known.get(cls)
        if known is None:
            fields = dataclasses.fields(thing)
            names = [field.name for field in fields if field.init]
            known = _known[cls] = {name: place for place, name in enumerate(names)}, attrgetter(*names)
        places, values_of = known
        values = list(values_of(thing))
        for name, value in changes.items():
            values[places[name]] = value
        return cls(*values)
