"""Kueue's controller manager, built once from its Go module into the user's cache, with its CRDs beside it.

Called by ``kueue``; run as ``python -m tests.bench.kueue_binary`` it makes them ready ahead of time.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

from tests.control_plane.building import Recipe, cached, say_where, toolchain

MODULE = Path(__file__).parent / "go"
CRDS = "crds"


def find(say: Callable[[str], None]) -> Path:
    """The folder with ``kueue`` and ``crds/``, built if need be. Raises ``Unavailable``."""
    return cached(recipe(), say)


def recipe() -> Recipe:
    """How it is built."""
    return Recipe(
        module=MODULE,
        kind="kueue",
        version=version(),
        options=("-ldflags", "-s -w"),
        packages=("sigs.k8s.io/kueue/cmd/kueue",),
        finish=_with_crds,
        what=f"Kueue {version()}",
        usually="about six minutes on two cores, once",
    )


def version() -> str:
    """The version of Kueue that the Go module asks for."""
    found = re.search(r"sigs\.k8s\.io/kueue (v\S+)", (MODULE / "go.mod").read_text())
    assert found, "go.mod requires sigs.k8s.io/kueue"
    return found.group(1)


def _with_crds(out: Path) -> None:
    asked = [toolchain(), "list", "-mod=readonly", "-m", "-f", "{{.Dir}}", "sigs.k8s.io/kueue"]
    source = subprocess.run(asked, cwd=MODULE, check=True, capture_output=True, text=True).stdout.strip()
    bases = Path(source, "config", "components", "crd", "bases")
    (out / CRDS).mkdir()
    for file in bases.glob("*.yaml"):
        shutil.copyfile(file, out / CRDS / file.name)


if __name__ == "__main__":
    raise SystemExit(say_where(find))
