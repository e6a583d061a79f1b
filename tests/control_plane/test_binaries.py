"""Where the programs of a control plane come from, and what is said when there are none."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.control_plane import binaries, building, fixtures
from tests.control_plane.binaries import NAMES, cache_folder, find, version
from tests.control_plane.building import Unavailable
from tests.control_plane.commands import private_key


def silent(line: str) -> None:
    """Nothing may be said."""
    raise AssertionError(line)


def test_assets_are_taken_as_they_are(tmp_path: Path) -> None:
    """A complete folder in KUBEBUILDER_ASSETS is used; nothing is built."""
    for name in NAMES:
        (tmp_path / name).touch(mode=0o755)
    assert find(silent, {"KUBEBUILDER_ASSETS": str(tmp_path)}) == tmp_path


def test_incomplete_assets_are_named(tmp_path: Path) -> None:
    """What the folder lacks is said by name: envtest's own archives have no scheduler."""
    for name in ("etcd", "kube-apiserver"):
        (tmp_path / name).touch(mode=0o755)
    with pytest.raises(Unavailable, match="no kube-controller-manager, kube-scheduler, kwok"):
        find(silent, {"KUBEBUILDER_ASSETS": str(tmp_path)})


def test_the_cache_is_keyed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another recipe is another folder, so that what was built by the old one is never taken for it."""
    environment = {"XDG_CACHE_HOME": str(tmp_path)}
    before = cache_folder(environment)
    assert before.is_relative_to(tmp_path)
    assert before.name.startswith(f"{version()}-")
    monkeypatch.setattr(binaries, "PACKAGES", {"controlplane": "./elsewhere"})
    assert cache_folder(environment) != before


def test_what_is_in_the_cache_is_not_built_again(tmp_path: Path) -> None:
    """A folder under the final name is complete."""
    environment = {"XDG_CACHE_HOME": str(tmp_path)}
    cache_folder(environment).mkdir(parents=True)
    assert find(silent, environment) == cache_folder(environment)


def test_a_build_that_fails_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its last words are the reason, and the next run tries again."""
    go = tmp_path / "go"
    go.write_text("#!/bin/sh\necho no space left on device\nexit 1\n")
    go.chmod(0o755)
    monkeypatch.setattr(building, "toolchain", lambda: str(go))
    environment = {"XDG_CACHE_HOME": str(tmp_path)}
    with pytest.raises(Unavailable, match="does not build: no space left on device"):
        find(lambda line: None, environment)
    assert [path.suffix for path in cache_folder(environment).parent.iterdir()] == [".lock"]


def test_without_go(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The reason says what was looked for and where."""
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(building, "USUAL_GO", tmp_path / "go")
    with pytest.raises(Unavailable, match=f"no Go toolchain is on PATH or at {tmp_path}/go"):
        find(silent, {"XDG_CACHE_HOME": str(tmp_path)})


@pytest.mark.parametrize(("required", "outcome"), [("", pytest.skip.Exception), ("1", pytest.fail.Exception)])
def test_skipped_or_failed(
    monkeypatch: pytest.MonkeyPatch, required: str, outcome: type[BaseException]
) -> None:
    """Without a control plane tests skip, and fail where one is required."""
    monkeypatch.setenv(fixtures.REQUIRED, required)
    with pytest.raises(outcome, match="no control plane: because"):
        fixtures.without("no control plane: because")


def test_keys_are_new() -> None:
    """Each control plane signs its tokens with a key of its own."""
    assert private_key() != private_key()
    assert private_key().startswith("-----BEGIN EC PRIVATE KEY-----\n")
