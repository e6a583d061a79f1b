"""The list of what the image is made of: all that is locked, with its hashes, and how it hangs together."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from controller import __version__
from deploy.sbom import LOCK, document

ROOT = Path(__file__).parents[2]
TEXT = LOCK.read_text(encoding="utf-8")
BOM = document(TEXT)


def components() -> dict[str, dict[str, Any]]:
    """By the name that the document calls them by."""
    return {one["bom-ref"]: one for one in BOM["components"]}


def test_every_locked_package_is_in_it() -> None:
    """With its version and every hash of the lock file, none more; read from the file another way."""
    wanted: dict[str, set[str]] = {}
    for line in TEXT.splitlines():
        if found := re.match(r"([a-z0-9][a-z0-9._-]*==[^ ;\\]+)", line):
            mine = wanted.setdefault(f"pkg:pypi/{found[1].replace('==', '@')}", set())
        elif found := re.match(r" +--hash=sha256:([0-9a-f]{64})", line):
            mine.add(found[1])
    shown = {
        ref: {told["content"] for place in one["externalReferences"] for told in place["hashes"]}
        for ref, one in components().items()
    }
    assert len(shown) > 40
    assert shown == wanted
    for ref, one in components().items():
        assert ref == one["purl"] == f"pkg:pypi/{one['name']}@{one['version']}"


def test_its_form() -> None:
    """What CycloneDX demands of every document; the whole was checked once with the library's own schema."""
    assert (BOM["bomFormat"], BOM["specVersion"], BOM["version"]) == ("CycloneDX", "1.6", 1)
    UUID(BOM["serialNumber"].removeprefix("urn:uuid:"))
    assert BOM["metadata"]["component"]["version"] == __version__
    for one in BOM["components"]:
        assert one["type"] == "library"
        for told in one.get("licenses", ()):
            assert set(told) in ({"expression"}, {"license"})


def test_how_it_hangs_together() -> None:
    """Everything is needed by something, in the end by the program; nothing is named that is not there."""
    root = BOM["metadata"]["component"]["bom-ref"]
    needs = {one["ref"]: one["dependsOn"] for one in BOM["dependencies"]}
    assert needs.keys() == {root, *components()}
    reached, ahead = set[str](), [root]
    while ahead:
        if (ref := ahead.pop()) not in reached:
            reached.add(ref)
            ahead += needs[ref]
    assert reached == needs.keys()


def test_what_is_installed_has_its_license() -> None:
    """Only what another system needs is not installed here, and says so."""
    silent = [one for one in BOM["components"] if "licenses" not in one]
    assert [one["name"] for one in silent if "win32" not in json.dumps(one.get("properties"))] == []


def test_the_same_lock_gives_the_same_list() -> None:
    """No time, no chance in it; another lock is another document."""
    assert document(TEXT) == BOM
    assert document(TEXT.replace("idna==", "idna==9"))["serialNumber"] != BOM["serialNumber"]


def test_make_sbom() -> None:
    """The command that the Makefile runs writes it."""
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    (module, file) = re.findall(r"\$\(BIN\)/python -m (deploy\.sbom) > (\S+)", makefile)[0]
    assert file.startswith("dist/")
    done = subprocess.run(
        [sys.executable, "-m", module], cwd=ROOT, capture_output=True, text=True, timeout=120, check=True
    )
    assert json.loads(done.stdout) == BOM


@pytest.mark.parametrize("lost", ["aiohttp", "pymongo"])
def test_a_lost_package_would_be_seen(lost: str) -> None:
    """Without one of them the list is another, and what needed it is told by nobody."""
    text = re.sub(rf"^{lost}==.*?(?=^[a-z])", "", TEXT, flags=re.MULTILINE | re.DOTALL)
    assert text != TEXT
    with pytest.raises(KeyError, match=lost):
        document(text)
