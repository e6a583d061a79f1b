"""The chart's account and rights as a namespace gets them, for the places of the end-to-end tests.

The daemons of those tests may do what a release of the chart may do, and nothing else. Where there is no
Helm and none is required, the rights are those that the daemon asks for.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

from controller.adapters.kube_access import EVENT_RULES, REVIEW_RULES, Right, lease_rules, rules_for
from controller.adapters.kube_foreign import JOB, POD, Kind
from tests.chart.binary import find
from tests.chart.helm import TRIAL, Document, Helm
from tests.control_plane.building import Unavailable
from tests.control_plane.fixtures import REQUIRED
from tests.control_plane.plane import RBAC, ControlPlane, ServiceAccount

ACCOUNT = "batchkeeper"
OUR_LEASE = "batchkeeper-default"
"""What it is called where nobody has said otherwise."""
HERE = "namespace-of-the-release"
"""Stands for the namespace in what is rendered once."""
PATHS = {
    "ServiceAccount": "/api/v1/namespaces/{}/serviceaccounts",
    "Role": RBAC + "/namespaces/{}/roles",
    "RoleBinding": RBAC + "/namespaces/{}/rolebindings",
    "ClusterRole": RBAC + "/clusterroles",
    "ClusterRoleBinding": RBAC + "/clusterrolebindings",
}


class Granted:
    """A release's account in one namespace; what it has on the whole cluster goes with ``withdraw``."""

    def __init__(self, plane: ControlPlane, namespace: str, kinds: Sequence[Kind] = ()) -> None:
        self._plane = plane
        self._cluster_wide: list[str] = []
        text = rendered(tuple(kind for kind in kinds if kind not in (JOB, POD)))
        for document in json.loads(text.replace(HERE, namespace)):
            path = PATHS[document["kind"]].format(namespace)
            plane.admin.create(path, document)
            if document["kind"].startswith("Cluster"):
                self._cluster_wide.append(f"{path}/{document['metadata']['name']}")
        self.account: ServiceAccount = plane.account(namespace, ACCOUNT)

    def withdraw(self) -> None:
        """The namespace takes the rest with it."""
        while self._cluster_wide:
            self._plane.admin.delete(self._cluster_wide.pop())


@cache
def rendered(kinds: tuple[Kind, ...] = ()) -> str:
    """The objects as JSON: the account first."""
    try:
        program = find(_say)
    except Unavailable:
        if os.environ.get(REQUIRED):
            raise
        return json.dumps(as_asked_for(kinds))
    with tempfile.TemporaryDirectory() as folder:
        helm = Helm(program, Path(folder))
        counted = [
            {"group": kind.group, "version": kind.version, "resource": kind.resource, "kind": kind.kind}
            for kind in kinds
        ]
        config = {"cluster": {"kind": "kubernetes"}, "kubernetes": {"counted": counted}}
        documents = helm.template(TRIAL, namespace=HERE, fullnameOverride=ACCOUNT, config=config)
    order = list(PATHS)
    found = [document for document in documents if document["kind"] in order]
    return json.dumps(sorted(found, key=lambda document: order.index(document["kind"])))


def as_asked_for(kinds: Sequence[Kind]) -> list[Document]:
    """The same objects from what the daemon asks for."""
    group = "rbac.authorization.k8s.io"
    subject = {"kind": "ServiceAccount", "name": ACCOUNT, "namespace": HERE}
    made: list[Document] = [{"kind": "ServiceAccount", "metadata": {"name": ACCOUNT}}]
    for prefix, name, rights in (
        ("", ACCOUNT, (*rules_for(kinds), *EVENT_RULES, *lease_rules(OUR_LEASE))),
        ("Cluster", f"{HERE}-{ACCOUNT}-token-review", REVIEW_RULES),
    ):
        role, metadata = f"{prefix}Role", {"name": name}
        reference = {"apiGroup": group, "kind": role, "name": name}
        made.append({"kind": role, "metadata": metadata, "rules": rules(rights)})
        made.append(
            {"kind": f"{role}Binding", "metadata": metadata, "roleRef": reference, "subjects": [subject]}
        )
    return made


def rules(rights: Sequence[Right]) -> list[dict[str, Any]]:
    """Rights as the rules of a Role."""
    return [
        {"apiGroups": [right.group], "resources": [right.resource], "verbs": list(right.verbs)}
        | ({"resourceNames": [right.name]} if right.name else {})
        for right in rights
    ]


def _say(line: str) -> None:
    sys.stderr.write(f"{line}\n")
