"""A page of a list: the same as any JSON decoder reads, entry by entry."""

from __future__ import annotations

import asyncio
import gc
import json
from collections.abc import Mapping
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.adapters.kube_page import TURN, read_page

Json = dict[str, Any]
plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)
lists = st.fixed_dictionaries(
    {}, optional={"kind": plain, "items": plain | st.lists(plain), "metadata": plain, "more": plain}
)
LIST = '{"kind": "JobList", "items": [{"a": [1, "]"]}, {}, null], "metadata": {"continue": "}"}}'


def read(text: str) -> Json:
    """All of it, kept as it is."""
    return asyncio.run(read_page(text.encode("utf-8", "surrogatepass"), dict))


def whole(text: str) -> Json:
    """The same by a decoder that reads it in one go. Raises ``ValueError``."""
    found = json.loads(text)
    if not isinstance(found, dict):
        raise ValueError("no object")
    entries = found.get("items")
    there = [one for one in entries if isinstance(one, dict)] if isinstance(entries, list) else []
    return {key: value for key, value in found.items() if key} | {"items": there}


@given(lists, st.sampled_from([None, 1]), st.sampled_from([(",", ":"), (" , ", "\n:\t")]))
def test_it_reads_what_is_there(document: Json, indent: int | None, separators: tuple[str, str]) -> None:
    """However it is set out, and whatever its list is."""
    text = json.dumps(document, indent=indent, separators=separators)
    assert read(f" {text}\n") == whole(text)


@pytest.mark.parametrize("at", range(len(LIST)))
@pytest.mark.parametrize("instead", ["", ",", "]", "}", '"', " x"])
def test_what_is_no_object_is_refused(at: int, instead: str) -> None:
    """Cut short, or with any character taken away or another one in its place: as any decoder does."""
    for text in (LIST[:at], LIST[:at] + instead + LIST[at + 1 :], LIST[:at] + instead + LIST[at:]):
        try:
            told = whole(text)
        except ValueError:
            with pytest.raises(ValueError):  # noqa: PT011  each in its own words
                read(text)
        else:
            assert read(text) == told


@pytest.mark.parametrize("data", [b"", b"[]", b"null", b'{"items": [{}]} {}', b'{"items": ["\xff"]}'])
def test_what_is_none_at_all_is_refused(data: bytes) -> None:
    """Neither is half of one."""
    with pytest.raises(ValueError):  # noqa: PT011  each in its own words
        asyncio.run(read_page(data, dict))


async def test_others_have_their_turn_between_the_entries() -> None:
    """A long page holds nobody up."""
    read_by_then: list[int] = []
    entries: list[int] = []

    def keep(thing: Mapping[str, Any]) -> Json:
        entries.append(thing["number"])
        return {}

    async def others() -> None:
        while len(entries) < 1000:
            read_by_then.append(len(entries))
            await asyncio.sleep(0)

    page = json.dumps({"items": [{"number": number} for number in range(1000)]}).encode()
    await asyncio.gather(read_page(page, keep), others())
    steps = [later - sooner for sooner, later in pairwise(read_by_then)]
    assert max(steps) <= TURN
    assert entries == list(range(1000))


async def test_one_entry_at_a_time_is_held_as_it_came() -> None:
    """Of those before, only what was to be kept of them is there."""
    held: list[int] = []

    def keep(thing: Mapping[str, Any]) -> Json:
        held.append(sum("this one's own mark" in one for one in gc.get_objects() if isinstance(one, dict)))
        return {"kept": thing["number"]}

    text = json.dumps({"items": [{"this one's own mark": 1, "number": number} for number in range(5)]})
    found = await read_page(text.encode(), keep)
    assert found["items"] == [{"kept": number} for number in range(5)]
    assert max(held) <= 2
