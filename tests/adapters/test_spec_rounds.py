"""Rounds over listings: what counts as settled, what is fetched, and who has his turn when time is short."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from controller.adapters import spec_directory_files, spec_directory_watch, spec_rounds
from controller.adapters.spec_rounds import Listed, Place, Round, Rounds
from controller.ports import NamedFile

PLACE = Place("s3://lab/", "s3:lab")


class Store:
    """Objects by path, and what was fetched of them."""

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}
        self.fetched: list[str] = []
        self.away: set[str] = set()
        self.rounds = Rounds(PLACE)

    def listing(self, **changed: bytes) -> dict[str, Listed]:
        """As it would be listed, with some objects as they were at another time."""
        shown = {**self.objects, **{f"{name}.yaml": content for name, content in changed.items()}}
        return {path: Listed(content.decode(), len(content)) for path, content in shown.items()}

    def fetch(self, path: str, listed: Listed, limit: int) -> NamedFile | None:
        """The content, if it is still as it was listed."""
        self.fetched.append(path)
        content = self.objects.get(path)
        if path in self.away or content is None or content.decode() != listed.tag:
            return None
        return NamedFile(content)

    def look(
        self, listing: Mapping[str, Listed] | None = None, in_time: Callable[[], bool] = lambda: True
    ) -> list[str]:
        """The paths that one round hands out."""
        found: Round = self.rounds.round(
            self.listing() if listing is None else listing, {}, self.fetch, in_time
        )
        return [file.key.removeprefix(PLACE.start) for file in found.files]


def test_a_listing_that_flaps_settles_nothing() -> None:
    """A store whose answers are old and new in turn: neither is handed out until two in a row agree."""
    store = Store()
    store.objects["a.yaml"] = b"new"
    for _ in range(3):
        assert store.look(store.listing(a=b"old")) == []
        assert store.look() == []
    assert store.look() == ["a.yaml"]


def test_an_old_listing_after_the_hand_out_hands_out_nothing() -> None:
    """Twice the old state, whose bytes are gone: what was handed out is not handed out again."""
    store = Store()
    store.objects["a.yaml"] = b"new"
    assert store.look() + store.look() == ["a.yaml"]
    for _ in range(2):
        assert store.look(store.listing(a=b"old")) == []
    assert store.look() + store.look() == []


def test_when_time_is_up_the_rest_comes_next(monkeypatch: pytest.MonkeyPatch) -> None:
    """One fetch a round: each object has its turn, those that fail keep none back, and none comes twice."""
    store = Store()
    store.objects = {f"{name}.yaml": name.encode() for name in "abcdef"}
    store.away = {"b.yaml", "c.yaml"}
    store.look()
    found = [path for _ in range(12) for path in store.look(in_time=once())]
    assert found == ["a.yaml", "d.yaml", "e.yaml", "f.yaml"]
    store.away.clear()
    assert store.look() == ["b.yaml", "c.yaml"]


def once() -> Callable[[], bool]:
    """Time for one."""
    left = [True]
    return lambda: bool(left) and left.pop()


def test_so_many_bytes_at_once_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a round holds in memory is bounded; the rest comes with the next."""
    monkeypatch.setattr(spec_rounds, "HAND_OUT_BUDGET", 2)
    store = Store()
    store.objects = {f"{name}.yaml": name.encode() for name in "abcde"}
    store.look()
    assert [store.look() for _ in range(4)] == [["a.yaml", "b.yaml"], ["c.yaml", "d.yaml"], ["e.yaml"], []]


def test_the_limits_are_a_folders() -> None:
    """A spec that is moved from one store to another is read alike."""
    assert spec_rounds.SPEC_LIMIT == spec_directory_watch.SPEC_LIMIT
    assert spec_rounds.BESIDE_LIMIT == spec_directory_watch.BESIDE_LIMIT
    assert spec_rounds.MAX_DEPTH == spec_directory_files.MAX_DEPTH


@pytest.mark.parametrize(
    ("key", "path"),
    [
        ("s3://lab/a.yaml", "a.yaml"),
        ("s3://lab/x/a%20b.yaml", "x/a b.yaml"),
        ("s3://lab2/a.yaml", None),
        ("a.yaml", None),
        ("s3://lab/../a.yaml", None),
        ("s3://lab/.x/a.yaml", None),
        ("s3://lab/1/2/3/4/a.yaml", None),
        ("s3://lab/a.yaml.status.yaml", None),
    ],
)
def test_a_key_leads_to_its_object_and_to_no_other(key: str, path: str | None) -> None:
    """Nothing is ever written beside what is no spec of this place."""
    assert PLACE.path(key) == path


NAMES = ("a.yaml", "b.yaml")
STEPS = st.lists(
    st.tuples(
        st.sampled_from(("put", "remove", "away", "back", "hurry")),
        st.sampled_from(NAMES),
        st.sampled_from((b"1", b"2")),
        st.integers(0, 2),
    ),
    max_size=20,
)
"""What happens, to which object, with which content; and how many looks follow."""


def happens(store: Store, step: str, name: str, content: bytes) -> None:
    """One thing that somebody does to an object, or that the store does."""
    if step == "put":
        store.objects[name] = content
    elif step == "remove":
        store.objects.pop(name, None)
    elif step == "away":
        store.away.add(name)
    elif step == "back":
        store.away.discard(name)


@settings(max_examples=300)
@given(STEPS)
def test_whatever_happens_between_looks(steps: list[tuple[str, str, bytes, int]]) -> None:
    """What is handed out stood there at two looks in a row, and is never what was handed out last; when it is
    quiet, what was handed out last is what is there."""
    store, seen, last = Store(), list[dict[str, bytes]](), dict[str, bytes]()

    def look(in_time: Callable[[], bool] = lambda: True) -> None:
        seen.append(dict(store.objects))
        for gone in last.keys() - store.objects.keys():
            del last[gone]
        for path in store.look(in_time=in_time):
            assert len(seen) > 1
            assert seen[-2].get(path) == seen[-1][path] != last.get(path)
            last[path] = seen[-1][path]

    for step, name, content, looks in steps:
        happens(store, step, name, content)
        for _ in range(looks):
            look(once() if step == "hurry" else lambda: True)
    store.away.clear()
    for _ in range(3):
        look()
    assert last == store.objects
