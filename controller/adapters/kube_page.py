"""A page of a list, read entry by entry, while everybody else has a turn in between.

Used by ``kube_listing``. To decode a page of a thousand Jobs in one go holds up the event loop for 50 ms and
more, and all of it would be held at once. The API server writes a list as one JSON object; the standard
decoder reads one value of it after the other.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

Json = dict[str, Any]

TURN = 16
"""Entries, of four kilobytes or so each, that are read before everybody else has a turn."""
ITEMS = "items"
_decode = json.JSONDecoder().raw_decode
_space = re.compile(r"[ \t\r\n]*").match


async def read_page(data: bytes, keep: Callable[[Mapping[str, Any]], Json]) -> Json:
    """The object of this JSON; of the objects in its list ``items``, what ``keep`` makes of each.

    What is no object there is left out. Raises ``ValueError`` for anything but one JSON object.
    """
    found, kept = Json(), list[Json]()
    for number, (key, value) in enumerate(_members(data.decode()), start=1):
        if key:
            found[key] = value
        elif isinstance(value, dict):
            kept.append(keep(value))
        if number % TURN == 0:
            await asyncio.sleep(0)
    return found | {ITEMS: kept}


def _members(text: str) -> Iterator[tuple[str, Any]]:
    """Key and value of each member of an object; without a key, each entry of its list ``items``."""
    at = _after(text, 0, "{")
    while not _is(text, at, "}"):
        key, at = _value(text, at)
        if not isinstance(key, str):
            raise ValueError("a key that is no text")
        at = _after(text, at, ":")
        if key == ITEMS and _is(text, at, "["):
            at = _after(text, at, "[")
            while not _is(text, at, "]"):
                value, at = _value(text, at)
                yield "", value
                at = _past_comma(text, at, "]")
            at = _after(text, at, "]")
        else:
            value, at = _value(text, at)
            yield key, value
        at = _past_comma(text, at, "}")
    if _skipped(text, _after(text, at, "}")) < len(text):
        raise ValueError("something follows the object")


def _past_comma(text: str, at: int, end: str) -> int:
    """Behind the comma before the next one, or at the end of them all."""
    if _is(text, at, end):
        return at
    at = _after(text, at, ",")
    if _is(text, at, end):
        raise ValueError("nothing follows a comma")
    return at


def _skipped(text: str, at: int) -> int:
    """Where what is not space goes on."""
    space = _space(text, at)
    return space.end() if space else at


def _is(text: str, at: int, character: str) -> bool:
    return text.startswith(character, _skipped(text, at))


def _after(text: str, at: int, character: str) -> int:
    """Behind this character, which must come next. Raises ``ValueError``."""
    if not _is(text, at, character):
        raise ValueError(f"no {character!r} where there must be one")
    return _skipped(text, at) + 1


def _value(text: str, at: int) -> tuple[Any, int]:
    """The value that comes next, and where it ends. Raises ``ValueError``."""
    found, end = _decode(text, _skipped(text, at))
    return found, end
