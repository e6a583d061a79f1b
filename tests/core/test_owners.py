"""Whose a spec is: the operator's map first, and no spec in somebody else's name."""

from __future__ import annotations

import posixpath

import pytest

from controller.core.owners import OwnerRule, Provenance, ownership

ALICE_FOLDER = OwnerRule("alice", folder="alice")
TALMO = OwnerRule("eberrigan", namespace="runai-talmo-lab")
BOB_UID = OwnerRule("bob", uid=1001)
MAP = (ALICE_FOLDER, TALMO, BOB_UID)


def provenance(key: str = "a.yaml", namespace: str = "default", uid: int | None = 500) -> Provenance:
    """A spec of carol's file in the watched folder, unless said otherwise."""
    return Provenance(key, namespace, "local:carol", uid, posixpath.dirname(key) or ".")


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


def elsewhere(key: str, namespace: str = "default") -> Provenance:
    """A spec that lies in a bucket."""
    return Provenance(key, namespace, "s3:lab", None)


SALK = OwnerRule("salk", source="s3://lab/specs/salk")


@pytest.mark.parametrize("written", ["s3://lab/specs/salk", "s3://lab/specs/salk/"])
@pytest.mark.parametrize(
    ("key", "user"),
    [
        ("s3://lab/specs/salk/a.yaml", "salk"),
        ("s3://lab/specs/salk/deep/er/a.yaml", "salk"),
        ("s3://lab/specs/salk2/a.yaml", "s3:lab"),
        ("s3://lab2/specs/salk/a.yaml", "s3:lab"),
        ("s3://lab/specs/a.yaml", "s3:lab"),
    ],
)
def test_a_place_in_a_bucket_is_somebodys(written: str, key: str, user: str) -> None:
    """The place and all below it, to the letter; the rest of the bucket is nobody's."""
    assert ownership((OwnerRule("salk", source=written),), elsewhere(key)).user == user


def test_a_folders_line_gives_away_nothing_outside_of_the_folder() -> None:
    """``folder: .`` is every file in the watched folder, no object of a bucket, and nothing that was sent."""
    rules = (OwnerRule("all", folder="."), OwnerRule("alice", folder="alice"))
    assert ownership(rules, elsewhere("s3://lab/alice/a.yaml")).user == "s3:lab"
    assert ownership(rules, Provenance("alice/a.yaml", "default", "ada")).user == "ada"
    assert ownership(rules, provenance("x/a.yaml")).user == "all"


def test_no_folder_can_pass_for_a_bucket() -> None:
    """A path never has two slashes in a row, whatever its folders are called."""
    assert ownership((SALK,), provenance("s3:/lab/specs/salk/a.yaml")).user == "local:carol"
    assert ownership((OwnerRule("mallory", source="x"),), provenance("x/a.yaml")).user == "local:carol"


@pytest.mark.parametrize("rules", [(), (SALK,)])
def test_in_a_bucket_a_claim_needs_a_line_of_the_map(rules: tuple[OwnerRule, ...]) -> None:
    """Also where there is no map at all: who put the object there is not known."""
    found = ownership(rules, elsewhere("s3://lab/specs/a.yaml"), "eberrigan")
    assert found.user == "s3:lab"
    assert "'eberrigan' can't be confirmed" in found.problem
    assert ownership(rules, elsewhere("s3://lab/specs/a.yaml")).problem == ""


def test_a_claim_that_disagrees_names_the_place() -> None:
    """As it stands in the map."""
    problem = ownership((SALK,), elsewhere("s3://lab/specs/salk/a.yaml"), "mallory").problem
    assert "specs in s3://lab/specs/salk belong to salk" in problem
