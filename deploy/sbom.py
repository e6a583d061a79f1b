"""The list of what the image is made of (CycloneDX 1.6), from requirements.lock: `make sbom`.

Every locked package with its version, all its hashes, what needs it, and its license as the environment that
this runs in knows it. The same lock gives the same document.
"""

from __future__ import annotations

import json
import re
import sys
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from controller import __version__

LOCK = Path(__file__).parent.parent / "requirements.lock"
OURS = "batchkeeper"
_NAME = r"([a-z0-9][a-z0-9._-]*)"
_PACKAGE = re.compile(rf"^{_NAME}==([^\s;]+)(?: ; ([^\\\n]+?))? *\\?\n((?:    .*\n)*)", re.MULTILINE)
_HASH = re.compile(r"--hash=sha256:([0-9a-f]{64})")
_USER = re.compile(rf"#(?: via |   ){_NAME}(?: \([\w.]+\))?$", re.MULTILINE)
_LONGEST = 60
"""Characters of a license's name; what is longer is its text."""


@dataclass(frozen=True)
class Package:
    """One package of the lock file."""

    name: str
    version: str
    marker: str
    """Where it is installed; empty: everywhere."""
    hashes: tuple[str, ...]
    users: tuple[str, ...]
    """The packages that need it; ours is one of them."""

    @property
    def purl(self) -> str:
        """Its address among all packages; the name that the document calls it by."""
        return f"pkg:pypi/{self.name}@{self.version}"


def locked(text: str) -> Iterator[Package]:
    """All packages of a lock file."""
    for name, version, marker, rest in _PACKAGE.findall(text):
        yield Package(name, version, marker, tuple(_HASH.findall(rest)), tuple(_USER.findall(rest)))


def document(text: str) -> dict[str, Any]:
    """The whole list for a lock file with this text."""
    packages = list(locked(text))
    root = f"pkg:pypi/{OURS}@{__version__}"
    needs: dict[str, list[str]] = {root: [], **{package.purl: [] for package in packages}}
    purls = {OURS: root, **{package.name: package.purl for package in packages}}
    for package in packages:
        for user in package.users:
            needs[purls[user]].append(package.purl)
    return {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": uuid.uuid5(uuid.NAMESPACE_URL, f"{root}\n{text}").urn,
        "version": 1,
        "metadata": {
            "component": {
                "type": "application",
                "bom-ref": root,
                "name": OURS,
                "version": __version__,
                "purl": root,
            }
        },
        "components": [_component(package) for package in packages],
        "dependencies": [{"ref": ref, "dependsOn": sorted(used)} for ref, used in needs.items()],
    }


def _component(package: Package) -> dict[str, Any]:
    told: dict[str, Any] = {
        "type": "library",
        "bom-ref": package.purl,
        "name": package.name,
        "version": package.version,
        "purl": package.purl,
    }
    if licenses := _licenses(package):
        told["licenses"] = licenses
    if package.marker:
        told["properties"] = [{"name": "batchkeeper:marker", "value": package.marker}]
    # One file of these is installed, by the machine's kind; each hash is of one of them.
    told["externalReferences"] = [
        {
            "type": "distribution",
            "url": f"https://pypi.org/project/{package.name}/{package.version}/",
            "hashes": [{"alg": "SHA-256", "content": content} for content in package.hashes],
        }
    ]
    return told


def _licenses(package: Package) -> list[dict[str, Any]]:
    """What its own metadata says; empty where it is not installed here, as what only Windows needs."""
    try:
        told = metadata.distribution(package.name)
    except metadata.PackageNotFoundError:
        return []
    if told.version != package.version:
        return []
    known = told.metadata.json
    if expression := known.get("license_expression"):
        return [{"expression": expression}]
    prefix = "License :: OSI Approved :: "
    names = [
        one.removeprefix(prefix) for one in told.metadata.get_all("Classifier", []) if one.startswith(prefix)
    ]
    said = str(known.get("license", ""))
    if not names and said and len(said) <= _LONGEST and "\n" not in said:
        names = [said]
    return [{"license": {"name": name}} for name in names]


if __name__ == "__main__":
    sys.stdout.write(json.dumps(document(LOCK.read_text(encoding="utf-8")), indent=2) + "\n")
