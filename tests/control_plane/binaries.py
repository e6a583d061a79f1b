"""The programs of a control plane: found, or built once from their Go modules into the user's cache.

Called by ``fixtures``; run as ``python -m tests.control_plane.binaries`` it makes them ready ahead of time
and prints their folder.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

MODULE = Path(__file__).parent / "go"
NAMES = ("etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler", "kwok")
KUBERNETES = NAMES[1:4]
"""These three are one program, which does what the name it is called by says."""
PACKAGES = {"controlplane": ".", "server": "go.etcd.io/etcd/server/v3", "kwok": "sigs.k8s.io/kwok/cmd/kwok"}
"""What is built, by the name that Go gives to the result."""
USUAL_GO = Path("/usr/local/go/bin/go")
USUALLY = "about nine minutes on two cores, once"
NICE = 10
"""Whoever uses this machine meanwhile goes first."""


class Unavailable(Exception):
    """No control plane can run here; the message is one line with the reason and what to do."""


def find(say: Callable[[str], None], environment: Mapping[str, str] = os.environ) -> Path:
    """The folder with all five programs, built if need be.

    ``say``: gets one line before a build and one after. Raises ``Unavailable``.
    """
    if assets := environment.get("KUBEBUILDER_ASSETS"):
        return _complete(Path(assets))
    return _cached(cache_folder(environment), say)


def cache_folder(environment: Mapping[str, str] = os.environ) -> Path:
    """Where this version of them is kept: another version, or another way to build it, is another folder."""
    root = Path(environment.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    recipe = hashlib.sha256()
    for file in sorted(MODULE.iterdir()):
        recipe.update(file.name.encode() + b"\0" + file.read_bytes())
    recipe.update("\0".join(_command("go", Path("out"))).encode())
    return root / "batchkeeper" / "control-plane" / f"{version()}-{recipe.hexdigest()[:12]}"


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


def _cached(folder: Path, say: Callable[[str], None]) -> Path:
    if folder.is_dir():
        return folder
    go = toolchain()
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with _alone(folder.with_name(f"{folder.name}.lock")):
            if not folder.is_dir():  # else another one built it while we waited
                say(
                    f"building a Kubernetes {version()} control plane for the tests into {folder} ({USUALLY})"
                )
                _build(go, folder)
                say(f"built {folder}")
    except OSError as error:
        raise Unavailable(f"{folder} can't be written ({error.strerror}): set XDG_CACHE_HOME") from error
    return folder


def toolchain() -> str:
    """The ``go`` to build with: the one on PATH, else where its own archive puts it."""
    found = shutil.which("go") or shutil.which(USUAL_GO)
    if found is None:
        raise Unavailable(f"KUBEBUILDER_ASSETS is not set, and no Go toolchain is on PATH or at {USUAL_GO}")
    return found


@contextmanager
def _alone(lock: Path) -> Iterator[None]:
    """Two test workers, or two test runs, never build at once."""
    with lock.open("ab") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _build(go: str, folder: Path) -> None:
    """All or nothing: what a broken build leaves is never under the final name."""
    with tempfile.TemporaryDirectory(prefix=".building-", dir=folder.parent) as half:
        out = Path(half, "bin")
        out.mkdir()
        done = subprocess.run(
            _command(go, out),
            cwd=MODULE,
            env={**os.environ, "GOWORK": "off", "GOFLAGS": "", "CGO_ENABLED": "0"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        if done.returncode:
            raise Unavailable(
                f"the control plane does not build: {' / '.join(done.stdout.splitlines()[-3:])}"
            )
        (out / "server").rename(out / "etcd")
        for name in KUBERNETES:
            (out / name).symlink_to("controlplane")
        out.rename(folder)


def _command(go: str, out: Path) -> list[str]:
    """How they are built. kubectl and Helm can't parse the version that an unstamped build reports."""
    major, minor, _ = version().removeprefix("v").split(".")
    stamped = {"gitVersion": version(), "gitMajor": major, "gitMinor": minor}
    stamps = " ".join(f"-X k8s.io/component-base/version.{key}={value}" for key, value in stamped.items())
    built = list(PACKAGES.values())
    options = ["-mod=readonly", "-buildvcs=false", "-trimpath", "-ldflags", f"-s -w {stamps}"]
    return ["nice", "-n", str(NICE), go, "build", *options, "-o", f"{out}/", *built]


def main() -> int:
    """Make them ready, with the lines of progress on stderr and the folder on stdout."""

    def say(line: str) -> None:
        sys.stderr.write(f"{line}\n")

    try:
        sys.stdout.write(f"{find(say)}\n")
    except Unavailable as reason:
        say(str(reason))
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
