"""The kinds that Run:ai brings, as custom resources without a controller: a test sets their phases itself."""

from __future__ import annotations

from functools import partial

from tests.control_plane.admin import Api, Document, Refused
from tests.e2e.waiting import wait_for

KINDS = {
    "TrainingWorkload": ("v2alpha1", "trainingworkloads"),
    "InteractiveWorkload": ("v2alpha1", "interactiveworkloads"),
    "DistributedWorkload": ("v2alpha1", "distributedworkloads"),
    "RunaiJob": ("v1", "runaijobs"),
}
"""By kind: its version and its plural, all of the group ``run.ai``."""
GROUP = "run.ai"
_DEFINITIONS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"


def install(api: Api) -> None:
    """Have the API server serve them; returns when it does. Who comes second finds them there."""
    for kind in KINDS:
        try:
            api.create(_DEFINITIONS, _definition(kind))
        except Refused as refused:
            if refused.reason != "AlreadyExists":
                raise
    for kind in KINDS:
        wait_for(f"{kind} is served", partial(_is_served, api, kind))


def uninstall(api: Api) -> None:
    """Have it serve them no more: on a control plane that nobody else uses."""
    for _, plural in KINDS.values():
        api.delete(f"{_DEFINITIONS}/{plural}.{GROUP}")
    for kind in KINDS:
        wait_for(f"{kind} is not served", partial(_is_unknown, api, kind))


def path_of(kind: str, namespace: str, name: str = "") -> str:
    """Where the objects of a kind are, or one of them."""
    version, plural = KINDS[kind]
    return f"/apis/{GROUP}/{version}/namespaces/{namespace}/{plural}" + (f"/{name}" if name else "")


def start(api: Api, kind: str, namespace: str, name: str, phase: str = "Running") -> str:
    """Somebody submits one; its uid."""
    version, _ = KINDS[kind]
    body = {"apiVersion": f"{GROUP}/{version}", "kind": kind, "metadata": {"name": name}, "spec": {}}
    made = api.create(path_of(kind, namespace), body)
    turn(api, kind, namespace, name, phase)
    return str(made["metadata"]["uid"])


def turn(api: Api, kind: str, namespace: str, name: str, phase: str) -> None:
    """It comes to another phase."""
    api.patch(f"{path_of(kind, namespace, name)}/status", {"status": {"phase": phase}})


def _is_served(api: Api, kind: str) -> bool:
    """Whether its objects can be listed; for a moment after it was defined the answer is 429."""
    try:
        return api.find(_collection(kind)) is not None
    except Refused as refused:
        if refused.status == 429:
            return False
        raise


def _is_unknown(api: Api, kind: str) -> bool:
    return api.find(_collection(kind)) is None


def _collection(kind: str) -> str:
    version, plural = KINDS[kind]
    return f"/apis/{GROUP}/{version}/{plural}"


def _definition(kind: str) -> Document:
    version, plural = KINDS[kind]
    schema = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    served = {
        "name": version,
        "served": True,
        "storage": True,
        "schema": {"openAPIV3Schema": schema},
        "subresources": {"status": {}},
    }
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.{GROUP}"},
        "spec": {
            "group": GROUP,
            "scope": "Namespaced",
            "names": {"kind": kind, "plural": plural, "singular": kind.lower()},
            "versions": [served],
        },
    }
