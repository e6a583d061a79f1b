"""The programs of a control plane: found, or built once from their Go modules into the user's cache.

Called by ``fixtures``; run as ``python -m tests.control_plane.binaries`` it makes them ready ahead of time
and prints their folder.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from pathlib import Path

from tests.control_plane.building import Recipe, Unavailable, cached, say_where

MODULE = Path(__file__).parent / "go"
NAMES = ("etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler", "kwok")
KUBERNETES = NAMES[1:4]
"""These three are one program, which does what the name it is called by says."""
PACKAGES = {"controlplane": ".", "server": "go.etcd.io/etcd/server/v3", "kwok": "sigs.k8s.io/kwok/cmd/kwok"}
"""What is built, by the name that Go gives to the result."""


def find(say: Callable[[str], None], environment: Mapping[str, str] = os.environ) -> Path:
    """The folder with all five programs, built if need be.

    ``say``: gets one line before a build and one after. Raises ``Unavailable``.
    """
    if assets := environment.get("KUBEBUILDER_ASSETS"):
        return _complete(Path(assets))
    return cached(recipe(), say, environment)


def recipe() -> Recipe:
    """How they are built. kubectl and Helm can't parse the version that an unstamped build reports."""
    major, minor, _ = version().removeprefix("v").split(".")
    stamped = {"gitVersion": version(), "gitMajor": major, "gitMinor": minor}
    stamps = " ".join(f"-X k8s.io/component-base/version.{key}={value}" for key, value in stamped.items())
    return Recipe(
        module=MODULE,
        kind="control-plane",
        version=version(),
        options=("-ldflags", f"-s -w {stamps}"),
        packages=tuple(PACKAGES.values()),
        finish=_named,
        what=f"a Kubernetes {version()} control plane",
        usually="about nine minutes on two cores, once",
    )


def cache_folder(environment: Mapping[str, str] = os.environ) -> Path:
    """Where this version of them is kept."""
    return recipe().folder(environment)


def version() -> str:
    """The version of Kubernetes that the Go module asks for, such as ``v1.36.3``."""
    found = re.search(r"k8s\.io/kubernetes (v\S+)", (MODULE / "go.mod").read_text())
    assert found, "go.mod requires k8s.io/kubernetes"
    return found.group(1)


def _complete(folder: Path) -> Path:
    missing = [name for name in NAMES if not os.access(folder / name, os.X_OK)]
    if missing:
        raise Unavailable(
            f"KUBEBUILDER_ASSETS={folder} has no {', '.join(missing)}: unset it to build all of them"
        )
    return folder


def _named(out: Path) -> None:
    (out / "server").rename(out / "etcd")
    for name in KUBERNETES:
        (out / name).symlink_to("controlplane")


if __name__ == "__main__":
    raise SystemExit(say_where(find))
