"""Pages: a hundred at a time unless asked otherwise, with a cursor that says where the next one begins.

A cursor holds the keys of the last one shown, so what is inserted meanwhile moves nothing. It is read as
strictly as a body: one that was made up is refused.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import Query

from controller.api.problems import Problem
from controller.ports import Place

PAGE = 100
MOST_ON_A_PAGE = 1_000
MOST_COUNTED = 100_000
"""The total is counted no further; ``total_is_exact`` says whether that was all."""
_ID = re.compile("[0-9a-f]{24}")

Cursor = Annotated[
    str,
    Query(
        max_length=2000,
        pattern=r"^[A-Za-z0-9_=-]*$",
        description="`next` of the page before; empty: the first page.",
    ),
]
Limit = Annotated[int, Query(ge=1, le=MOST_ON_A_PAGE, description="At most so many on a page.")]


def cursor_of(place: Place | None, order: str) -> str | None:
    """The text of a place in a list of this order; None: there is no next page."""
    if place is None:
        return None
    text = json.dumps([order, place.id, [_packed(key) for key in place.keys]], separators=(",", ":"))
    return base64.urlsafe_b64encode(text.encode()).decode()


def place_of(cursor: str, order: str, keys: Sequence[str]) -> Place | None:
    """The place of a cursor; ``keys``: the kinds of its keys. Raises ``Problem`` 422 for what is none."""
    if not cursor:
        return None
    try:
        found_order, record_id, packed = json.loads(base64.urlsafe_b64decode(cursor.encode()))
        if found_order != order or len(packed) != len(keys):
            raise ValueError("of another list")
        if not (isinstance(record_id, str) and _ID.fullmatch(record_id)):
            raise ValueError("no id")
        return Place(tuple(_unpacked(one, kind) for one, kind in zip(packed, keys, strict=True)), record_id)
    except (ValueError, TypeError, LookupError, binascii.Error, RecursionError, OverflowError):
        raise Problem(
            422, "invalid", "cursor: is not one of this list and order: begin with the first page"
        ) from None


def _packed(key: Any) -> Any:
    return [key.astimezone(UTC).isoformat()] if isinstance(key, datetime) else key


def _unpacked(packed: Any, kind: str) -> Any:
    """A key of that kind (``s`` text, ``n`` number, ``t`` instant, ``i`` id); any may be missing."""
    if packed is None:
        return None
    if kind == "t":
        instant = datetime.fromisoformat(packed[0])
        if instant.tzinfo is None or not 1970 <= instant.year < 9999:
            raise ValueError("no instant")
        return instant
    if kind == "i":
        if not isinstance(packed, str) or not _ID.fullmatch(packed):
            raise ValueError("no id")
        return packed
    if kind == "s" and isinstance(packed, str):
        packed.encode()  # half a surrogate is no text that the store could compare with
        return packed
    if kind == "n" and isinstance(packed, int) and not isinstance(packed, bool) and abs(packed) < 2**53:
        return packed
    raise ValueError("of another kind")


def page(items: Sequence[Any], following: str | None, total: int) -> dict[str, Any]:
    """The body of a page."""
    return {
        "items": list(items),
        "next": following,
        "total": total,
        "total_is_exact": total < MOST_COUNTED,
    }
