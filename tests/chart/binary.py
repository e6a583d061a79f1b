"""The Helm that tests the chart: built once from its Go module into the user's cache.

Called by ``helm``; run as ``python -m tests.chart.binary`` it makes it ready ahead of time.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from pathlib import Path

from tests.control_plane.building import Recipe, cached, say_where

MODULE = Path(__file__).parent / "go"


def find(say: Callable[[str], None], environment: Mapping[str, str] = os.environ) -> Path:
    """The program, built if need be.

    ``say``: gets one line before a build and one after. Raises ``Unavailable``.
    """
    return cached(recipe(), say, environment) / "helm"


def recipe() -> Recipe:
    """How it is built; it reports the version that it is."""
    return Recipe(
        module=MODULE,
        kind="helm",
        version=version(),
        options=("-ldflags", f"-s -w -X helm.sh/helm/v4/internal/version.version={version()}"),
        packages=("helm.sh/helm/v4/cmd/helm",),
        finish=lambda out: None,
        what=f"Helm {version()}",
        usually="about three minutes on two cores, once",
    )


def version() -> str:
    """The version of Helm that the Go module asks for."""
    found = re.search(r"helm\.sh/helm/v4 (v\S+)", (MODULE / "go.mod").read_text())
    assert found, "go.mod requires helm.sh/helm/v4"
    return found.group(1)


if __name__ == "__main__":
    raise SystemExit(say_where(find))
