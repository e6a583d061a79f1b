"""When a file counts as whole, and what its name means: the pure parts of the spec folder."""

from __future__ import annotations

import os
from dataclasses import fields, replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.adapters.spec_directory_looks import QUIET, Look, Looks, Stat
from controller.adapters.spec_directory_names import is_spec, key_of, named_path, path_of, status_path

STAT = Stat(size=10, mtime_ns=1, ctime_ns=2, inode=3, uid=4)
LOOK = Look(STAT, "digest")

# A file name: any bytes but a slash and a zero, as the file system's own encoding reads them.
parts = st.binary(min_size=1, max_size=20).map(os.fsdecode).filter(lambda name: not set(name) & {"/", "\0"})


class TestLooks:
    def test_two_equal_looks_settle(self) -> None:
        """Not one, and not two that differ."""
        looks = Looks()
        assert looks.settled("a") is None
        looks.note("a", LOOK, 0.0)
        assert looks.settled("a") is None
        looks.note("a", LOOK, 2.0)
        assert looks.settled("a") == LOOK

    @pytest.mark.parametrize(
        "other",
        [
            replace(LOOK, digest="other"),
            replace(LOOK, error="permission denied"),
            replace(LOOK, stat=None),
            *(
                replace(LOOK, stat=replace(STAT, **{field.name: getattr(STAT, field.name) - 1}))
                for field in fields(Stat)
            ),
        ],
    )
    def test_whatever_differs_starts_anew(self, other: Look) -> None:
        """Size, either time (an earlier one too), inode, owner, bytes or error."""
        looks = Looks()
        for look in (LOOK, LOOK, other):
            looks.note("a", look, 0.0)
        assert looks.settled("a") is None
        looks.note("a", other, 0.0)
        assert looks.settled("a") == other

    def test_the_stat_suffices_once_the_file_is_settled_and_quiet(self) -> None:
        """Before that the bytes are read at every look."""
        looks = Looks()
        assert not looks.suffices("a", STAT, 100.0)
        looks.note("a", LOOK, 100.0)
        assert not looks.suffices("a", STAT, 100.0 + QUIET)
        looks.note("a", LOOK, 101.0)
        assert not looks.suffices("a", STAT, 99.9 + QUIET)
        assert looks.suffices("a", STAT, 100.0 + QUIET)
        assert not looks.suffices("a", replace(STAT, inode=9), 100.0 + QUIET)

    def test_what_could_not_be_read_is_read_again(self) -> None:
        """However long it has been so, and whatever its stat says."""
        looks = Looks()
        for now in (0.0, 100.0):
            looks.note("a", replace(LOOK, error="input/output error"), now)
        assert not looks.suffices("a", STAT, 200.0)

    def test_a_forgotten_file_is_a_new_one(self) -> None:
        """Its looks are gone; those of the others stay."""
        looks = Looks()
        for path in ("a", "b"):
            looks.note(path, LOOK, 0.0)
            looks.note(path, LOOK, 0.0)
        looks.keep_only(["b", "never seen"])
        assert (looks.settled("a"), looks.settled("b")) == (None, LOOK)


class TestNames:
    @pytest.mark.parametrize(
        "name", ["a.yaml", "a.yml", "a.json", "a.b.yaml", "status.yaml", "ä.yaml", " .yaml"]
    )
    def test_specs(self, name: str) -> None:
        """By their ending."""
        assert is_spec(name)

    @pytest.mark.parametrize(
        "name",
        [
            *("a.yaml.status.yaml", ".status.yaml", ".a.yaml", ".a.yaml.swp", ".#a.yaml", ".yaml"),
            *("a.yaml~", "#a.yaml#", "a.yaml.tmp", "a.yaml.part", "a.yaml.swp", "a.yaml.bak", "4913"),
            *(".nfs000000000012", "a.yaml.crdownload", "a.YAML", "a.csv", "yaml", "a.yaml ", ""),
        ],
    )
    def test_no_specs(self, name: str) -> None:
        """Statuses, hidden files, editors' and copy tools' files, everything else."""
        assert not is_spec(name)

    @given(st.lists(parts, min_size=1, max_size=4))
    def test_a_key_is_printable_and_unique(self, names: list[str]) -> None:
        """Every path has its own key, which is valid UTF-8 on one line."""
        path = "/".join([*names, "a.yaml"])
        key = key_of(path)
        assert key.isprintable()
        key.encode()
        hidden = any(name.startswith(".") for name in names)
        assert path_of(key) == (None if hidden else path)

    @given(st.text())
    def test_no_key_leads_out(self, key: str) -> None:
        """Whatever a record holds as a key, it names a spec inside or nothing."""
        path = path_of(key)
        assert path is None or (named_path("", path, "/r") == path and is_spec(path.split("/")[-1]))

    def test_a_status_stands_beside_its_spec(self) -> None:
        """Under the whole name, so that ``a.yaml`` and ``a.json`` have their own, and is no spec itself."""
        assert status_path("x/a.yaml") == "x/a.yaml.status.yaml"
        assert not is_spec("a.yaml.status.yaml")

    @pytest.mark.parametrize(
        ("spec", "written", "path"),
        [
            ("a.yaml", "t.csv", "t.csv"),
            ("x/a.yaml", "t.csv", "x/t.csv"),
            ("x/a.yaml", "../t.csv", "t.csv"),
            ("x/a.yaml", "../../t.csv", None),
            ("a.yaml", "/r/t.csv", "t.csv"),
            ("a.yaml", "/root/t.csv", None),
            ("a.yaml", "/r", None),
            ("a.yaml", "", None),
            ("a.yaml", "t\0.csv", None),
            ("a.yaml", "..csv", "..csv"),
        ],
    )
    def test_named_files(self, spec: str, written: str, path: str | None) -> None:
        """Relative to the spec or absolute, inside or nothing."""
        assert named_path(spec, written, "/r") == path


def test_every_field_of_a_stat_is_compared() -> None:
    """A field that is added takes part in the comparison above without anybody thinking of it."""
    values: dict[str, Any] = {field.name: field.compare for field in fields(Stat)}
    assert all(values.values())
