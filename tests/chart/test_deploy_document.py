"""docs/deploy.md: its commands are run on the test control plane, and what it says of a release is so."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from controller import __version__
from tests.chart.dockerfile import DOCKERFILE, ROOT
from tests.chart.helm import CHART, RELEASE, TRIAL, Document, Helm, one, several
from tests.chart.test_values import VALUES
from tests.control_plane.plane import ControlPlane

TEXT = (ROOT / "docs" / "deploy.md").read_text(encoding="utf-8")
CLUSTER = CHART / "ci" / "cluster-values.yaml"


def commands() -> list[list[str]]:
    """Every line of every block of shell, as words."""
    blocks = re.findall(r"^```sh\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL)
    return [shlex.split(line) for block in blocks for line in block.splitlines()]


def helms() -> Iterator[list[str]]:
    """Those of Helm, without its name."""
    return (words[1:] for words in commands() if words[0] == "helm")


def test_its_commands(there: Helm, control_plane: ControlPlane, namespace: str) -> None:
    """Each of Helm's, in the order in which they stand, on a real API server. The document installs one name
    twice, for two kinds of readers."""
    spaces = [control_plane.make_namespace(f"{namespace}-{name}") for name in ("batches", "more")]
    values = there.folder / "values.json"
    told = YAML(typ="safe", pure=True).load(CLUSTER)
    values.write_text(json.dumps({**told, "workNamespaces": spaces}), encoding="utf-8")
    here = {"keeping": namespace, "deploy/helm": str(CHART), "values.yaml": str(values)}
    installed, done = False, list[str]()
    try:
        for words in helms():
            if words[0] == "install" and installed:
                there.done("uninstall", RELEASE, "--namespace", namespace)
            without_waiting = [here.get(word, word) for word in words if word != "--rollback-on-failure"]
            there.done(*without_waiting)
            installed = words[0] != "uninstall"
            done.append(words[0])
    finally:
        for mine in spaces:
            control_plane.admin.delete(f"/api/v1/namespaces/{mine}")
    assert done == ["install", "test", "install", "upgrade", "uninstall"]


def test_the_options_that_are_not_waited_for(there: Helm) -> None:
    """Helm knows them."""
    assert "--rollback-on-failure" in there.done("upgrade", "--help")
    assert re.search(r"`(helm rollback keep --namespace keeping)`", TEXT)


def test_how_the_image_is_built() -> None:
    """The file that is named is there, and the tag is the version that the chart installs."""
    (build, push) = (words for words in commands() if words[0] == "docker")
    assert ROOT / build[build.index("--file") + 1] == DOCKERFILE
    assert build[build.index("--tag") + 1] == push[-1] == f"registry.example.org/batchkeeper:{__version__}"
    assert build[-1] == "."


def test_the_secret_is_the_one_that_is_read(helm: Helm) -> None:
    """Its name and key are those of the values file."""
    (words,) = (words for words in commands() if words[0] == "kubectl")
    name, told = words[words.index("generic") + 1 :][:2]
    (container,) = one(helm.template(CLUSTER), "Deployment")["spec"]["template"]["spec"]["containers"]
    (uri,) = (v["valueFrom"]["secretKeyRef"] for v in container["env"] if v["name"] == "MONGODB_URI")
    assert uri == {"name": name, "key": told.removeprefix("--from-file=").split("=")[0]}


@pytest.mark.parametrize("name", sorted(set(re.findall(r"^\| `([\w.]+)` \|", TEXT, re.MULTILINE))))
def test_values_that_are_named_are_there(name: str) -> None:
    """In values.yaml, or for the daemon's own keys in its configuration."""
    value: Document | None = VALUES
    if name.startswith("config."):
        return
    for word in name.split("."):
        assert isinstance(value, dict)
        assert word in value
        value = value[word]


def test_where_things_are(helm: Helm) -> None:
    """Paths, names and numbers of the table are those of a release."""
    documents = helm.template(CLUSTER)
    deployment = one(documents, "Deployment")["spec"]
    (container,) = deployment["template"]["spec"]["containers"]
    mounts = {mount["mountPath"] for mount in container["volumeMounts"]}
    for path in ("/etc/batchkeeper", "/specs", "/tmp", "/var/lib/batchkeeper"):
        assert path in mounts
        assert f"`{path}" in TEXT
    assert (deployment["replicas"], "Deployment, two pods" in TEXT) == (2, True)
    claims = one(helm.template(TRIAL), "StatefulSet")["spec"]["volumeClaimTemplates"]
    assert [claim["metadata"]["name"] for claim in claims] == ["data"]
    assert "`data-…-mongodb-0`" in TEXT
    (claim,) = several(documents, "PersistentVolumeClaim")
    assert claim["metadata"]["annotations"] == {"helm.sh/resource-policy": "keep"}
    once = helm.template(CLUSTER, specs={"keep": False})
    assert "annotations" not in one(once, "PersistentVolumeClaim")["metadata"]


def test_every_file_of_values_is_for_something() -> None:
    """Each of them says in its first line what it is for."""
    files = sorted(Path(CHART / "ci").iterdir())
    assert [file.name for file in files if not file.read_text("utf-8").startswith("# ")] == []
