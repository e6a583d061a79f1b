"""Helm as the tests call it: the chart rendered, checked, installed.

Made by the fixture ``helm``, and by ``rights`` for the places of the end-to-end tests.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

Document = dict[str, Any]
CHART = Path(__file__).parents[2] / "deploy" / "helm"
CI = sorted((CHART / "ci").glob("*-values.yaml"))
"""Values as operators write them: every way to install the chart is in one of them."""
TRIAL = CHART / "ci" / "trial-values.yaml"
RELEASE, NAMESPACE = "keep", "keeping"


@dataclass(frozen=True)
class Said:
    """What one command did."""

    code: int
    out: str
    err: str

    @property
    def error(self) -> str:
        """All that it complained of, in one line."""
        return " ".join((self.out + self.err).split())


@dataclass(frozen=True)
class Helm:
    """The program; ``folder`` is for its own files, ``kubeconfig`` the cluster it works on."""

    program: Path
    folder: Path
    kubeconfig: Path | None = None

    def call(self, *arguments: str, timeout: float = 240) -> Said:
        """Any command."""
        homes = {f"HELM_{name}_HOME": str(self.folder / name) for name in ("CACHE", "CONFIG", "DATA")}
        environment = {"PATH": os.environ["PATH"], "HOME": str(self.folder), **homes}
        if self.kubeconfig:
            environment["KUBECONFIG"] = str(self.kubeconfig)
        done = subprocess.run(
            [str(self.program), *arguments],
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )
        return Said(done.returncode, done.stdout, done.stderr)

    def done(self, *arguments: str) -> str:
        """A command that must succeed; its output."""
        said = self.call(*arguments)
        assert said.code == 0, said.error
        return said.out

    def template(
        self, *values: Path, chart: Path = CHART, namespace: str = NAMESPACE, **more: object
    ) -> list[Document]:
        """The objects of a release with these values files; ``more``: values over them."""
        said = self.try_template(*values, chart=chart, namespace=namespace, **more)
        assert said.code == 0, said.error
        return [one for one in YAML(typ="safe", pure=True).load_all(said.out) if one]

    def try_template(
        self, *values: Path, chart: Path = CHART, namespace: str = NAMESPACE, **more: object
    ) -> Said:
        """The same, where it may be refused."""
        told = ["--set-json", json.dumps(more)] if more else []
        return self.call("template", RELEASE, str(chart), "--namespace", namespace, *_files(values), *told)


def _files(values: Sequence[Path]) -> list[str]:
    return [word for file in values for word in ("--values", str(file))]


def one(documents: Sequence[Document], kind: str, name: str = "") -> Document:
    """The only object of a kind (and name)."""
    (found,) = several(documents, kind, name)
    return found


def several(documents: Sequence[Document], kind: str, name: str = "") -> list[Document]:
    """All of a kind (and name)."""
    return [
        document
        for document in documents
        if document["kind"] == kind and name in ("", document["metadata"]["name"])
    ]


def pods(documents: Sequence[Document]) -> dict[str, Document]:
    """Every pod and pod template: its spec, by kind and name; claims of its own are volumes of it."""
    found = {}
    for document in documents:
        name, spec = f"{document['kind']} {document['metadata']['name']}", document.get("spec", {})
        if document["kind"] == "Pod":
            found[name] = spec
        elif "template" in spec:
            claims = [claim["metadata"]["name"] for claim in spec.get("volumeClaimTemplates", ())]
            volumes = [{"name": claim, "persistentVolumeClaim": {"claimName": claim}} for claim in claims]
            pod = spec["template"]["spec"]
            found[name] = {**pod, "volumes": [*pod.get("volumes", ()), *volumes]}
    return found
