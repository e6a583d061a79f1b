"""Whose a spec is: the operator's map first, and no spec in somebody else's name."""

from __future__ import annotations

import pytest

from controller.core.owners import OwnerRule, Provenance, ownership

ALICE_FOLDER = OwnerRule("alice", folder="alice")
TALMO = OwnerRule("eberrigan", namespace="runai-talmo-lab")
BOB_UID = OwnerRule("bob", uid=1001)
MAP = (ALICE_FOLDER, TALMO, BOB_UID)


def provenance(key: str = "a.yaml", namespace: str = "default", uid: int | None = 500) -> Provenance:
    """A spec of carol's file, unless said otherwise."""
    return Provenance(key, namespace, "local:carol", uid)


@pytest.mark.parametrize(
    ("origin", "user"),
    [
        (provenance("alice/a.yaml"), "alice"),
        (provenance("alice/deep/er/a.yaml"), "alice"),
        (provenance("alice2/a.yaml"), "local:carol"),
        (provenance("x/alice/a.yaml"), "local:carol"),
        (provenance("alice.yaml"), "local:carol"),
        (provenance(namespace="runai-talmo-lab"), "eberrigan"),
        (provenance(namespace="runai-talmo-lab2"), "local:carol"),
        (provenance(uid=1001), "bob"),
        (provenance(uid=None), "local:carol"),
        (provenance(), "local:carol"),
    ],
)
def test_the_map_names_the_user(origin: Provenance, user: str) -> None:
    """Folder (with all below it), namespace and uid are matched exactly; else the file's owner is it."""
    assert ownership(MAP, origin).user == user


def test_uid_zero_is_a_uid() -> None:
    """Root's files can be mapped, and only they are; zero is no missing value."""
    rules = (OwnerRule("alice", uid=0),)
    assert ownership(rules, provenance(uid=0)).user == "alice"
    assert ownership(rules, provenance(uid=500)).user == "local:carol"


def test_a_line_without_a_condition_gives_nobody_anything() -> None:
    """The settings refuse it; if one came through, it must not own every spec."""
    assert ownership((OwnerRule("mallory"),), provenance("x/a.yaml")).user == "local:carol"


def test_the_first_line_that_applies_decides() -> None:
    """A spec that meets several lines belongs to the first one's user."""
    origin = provenance("alice/a.yaml", "runai-talmo-lab", 1001)
    assert ownership(MAP, origin).user == "alice"
    assert ownership(MAP[::-1], origin).user == "bob"


@pytest.mark.parametrize("folder", ["alice", "alice/", "./alice", "alice/."])
def test_a_folder_may_be_written_in_any_way(folder: str) -> None:
    """Slashes and dots that change nothing change nothing."""
    rules = (OwnerRule("alice", folder=folder),)
    assert ownership(rules, provenance("alice/a.yaml")).user == "alice"
    assert ownership(rules, provenance("a.yaml")).user == "local:carol"


def test_the_watched_folder_itself() -> None:
    """A dot means every spec."""
    rules = (OwnerRule("all", folder="."),)
    assert {ownership(rules, provenance(key)).user for key in ("a.yaml", "x/y/a.yaml")} == {"all"}


def test_without_a_map_owner_is_only_shown() -> None:
    """On one machine the file's owner decides, whatever the spec claims."""
    found = ownership((), provenance(), "somebody")
    assert (found.user, found.shown, found.problem) == ("local:carol", "somebody", "")
    assert ownership((), provenance()).shown == "local:carol"


@pytest.mark.parametrize("claimed", ["", "alice"])
def test_a_claim_that_agrees(claimed: str) -> None:
    """An owner that is left out, or is the map's, is no problem."""
    assert ownership(MAP, provenance("alice/a.yaml"), claimed).problem == ""


@pytest.mark.parametrize("claimed", ["carol", "local:carol"])
def test_a_claim_of_the_files_own_owner_agrees_where_the_map_is_silent(claimed: str) -> None:
    """Who is not in the map may still sign with the name that their files carry."""
    assert ownership(MAP, provenance(), claimed).problem == ""


@pytest.mark.parametrize(
    ("origin", "parts"),
    [
        (provenance("alice/a.yaml"), ("'mallory'", "specs in folder alice", "alice; leave owner out")),
        (provenance(namespace="runai-talmo-lab"), ("namespace runai-talmo-lab", "eberrigan")),
        (provenance(uid=1001), ("files of uid 1001", "bob")),
        (provenance(), ("can't be confirmed", "local:carol", "ask the operator")),
    ],
)
def test_a_claim_that_disagrees_says_with_what(origin: Provenance, parts: tuple[str, ...]) -> None:
    """The problem is one line that names the claim, the map's line and what to write; the map stands."""
    found = ownership(MAP, origin, "mallory")
    assert all(part in found.problem for part in parts)
    assert len(found.problem.splitlines()) == 1
    assert found.user == ownership(MAP, origin).user
