"""Programs that tests need are built once from Go modules of ours, into the user's cache.

Called by ``binaries`` for the control plane, by ``tests.chart.binary`` for Helm and by
``tests.bench.kueue_binary`` for Kueue.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

USUAL_GO = Path("/usr/local/go/bin/go")
NICE = 10
"""Whoever uses this machine meanwhile goes first."""


class Unavailable(Exception):
    """The programs can't be had here; the message is one line with the reason and what to do."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """What is built, and how."""

    module: Path
    """The folder of the Go module, whose files say all versions."""
    kind: str
    """The folder in the cache."""
    version: str
    options: tuple[str, ...]
    """Of ``go build``, beside the usual ones."""
    packages: tuple[str, ...]
    finish: Callable[[Path], None]
    """Gives what was built its final names."""
    what: str
    """What it is, in a message."""
    usually: str
    """How long it takes, in a message."""

    def command(self, go: str, out: Path) -> list[str]:
        """How they are built."""
        options = ["-mod=readonly", "-buildvcs=false", "-trimpath", *self.options]
        return ["nice", "-n", str(NICE), go, "build", *options, "-o", f"{out}/", *self.packages]

    def folder(self, environment: Mapping[str, str] = os.environ) -> Path:
        """Where this version is kept: another version, or another way to build it, is another folder."""
        root = Path(environment.get("XDG_CACHE_HOME") or Path.home() / ".cache")
        recipe = hashlib.sha256()
        for file in sorted(self.module.iterdir()):
            recipe.update(file.name.encode() + b"\0" + file.read_bytes())
        recipe.update("\0".join(self.command("go", Path("out"))).encode())
        return root / "batchkeeper" / self.kind / f"{self.version}-{recipe.hexdigest()[:12]}"


def cached(recipe: Recipe, say: Callable[[str], None], environment: Mapping[str, str] = os.environ) -> Path:
    """The folder with what was built, now or earlier.

    ``say``: gets one line before a build and one after. Raises ``Unavailable``.
    """
    folder = recipe.folder(environment)
    if folder.is_dir():
        return folder
    go = toolchain()
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with _alone(folder.with_name(f"{folder.name}.lock")):
            if not folder.is_dir():  # else another one built it while we waited
                say(f"building {recipe.what} for the tests into {folder} ({recipe.usually})")
                _build(recipe, go, folder)
                say(f"built {folder}")
    except OSError as error:
        raise Unavailable(f"{folder} can't be written ({error.strerror}): set XDG_CACHE_HOME") from error
    return folder


def toolchain() -> str:
    """The ``go`` to build with: the one on PATH, else where its own archive puts it."""
    found = shutil.which("go") or shutil.which(USUAL_GO)
    if found is None:
        raise Unavailable(f"nothing is built yet, and no Go toolchain is on PATH or at {USUAL_GO}")
    return found


@contextmanager
def _alone(lock: Path) -> Iterator[None]:
    """Two test workers, or two test runs, never build at once."""
    with lock.open("ab") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _build(recipe: Recipe, go: str, folder: Path) -> None:
    """All or nothing: what a broken build leaves is never under the final name."""
    with tempfile.TemporaryDirectory(prefix=".building-", dir=folder.parent) as half:
        out = Path(half, "bin")
        out.mkdir()
        done = subprocess.run(
            recipe.command(go, out),
            cwd=recipe.module,
            env={**os.environ, "GOWORK": "off", "GOFLAGS": "", "CGO_ENABLED": "0"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        if done.returncode:
            raise Unavailable(f"{recipe.what} does not build: {' / '.join(done.stdout.splitlines()[-3:])}")
        recipe.finish(out)
        out.rename(folder)


def say_where(find: Callable[[Callable[[str], None]], Path]) -> int:
    """The command of each: made ready, progress on stderr, its path on stdout; 1 when it can't be had."""

    def say(line: str) -> None:
        sys.stderr.write(f"{line}\n")

    try:
        sys.stdout.write(f"{find(say)}\n")
    except Unavailable as reason:
        say(str(reason))
        return 1
    return 0
