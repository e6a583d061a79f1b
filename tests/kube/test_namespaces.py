"""Namespaces that are not there, that go, or that we may not look into: told, waited for; others go on."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any
from uuid import uuid4

from controller.adapters.kube_access import rules_for
from tests.control_plane.plane import NAMESPACE_PREFIX
from tests.kube.place import KubePlace, rules, spec
from tests.kube.test_by_hand import explained

RBAC = "/apis/rbac.authorization.k8s.io/v1"
FIRST = {"metadata": {"finalizers": ["example.org/first"]}}


def allow(place: KubePlace, namespace: str) -> None:
    """Batches may be in this namespace too, and what happens there is recorded."""
    place.also(namespace)
    place.configure(policy={"namespaces": [namespace], "host_path_prefixes": ["/hpi"]})


@contextmanager
def everywhere(place: KubePlace) -> Iterator[None]:
    """The daemon's account may do its work in all namespaces, those to come too, as long as this lasts."""
    name = {"metadata": {"name": place.namespace}}
    there = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": place.namespace}
    role: dict[str, Any] = {**name, "rules": rules(rules_for(()))}
    binding = {**name, "roleRef": there, "subjects": [place.account.subject]}
    place.plane.admin.create(f"{RBAC}/clusterroles", role)
    place.plane.admin.create(f"{RBAC}/clusterrolebindings", binding)
    try:
        yield
    finally:
        place.plane.admin.delete(f"{RBAC}/clusterrolebindings/{place.namespace}")
        place.plane.admin.delete(f"{RBAC}/clusterroles/{place.namespace}")


def waits(place: KubePlace, name: str, words: str) -> None:
    """What stands beside the spec says so."""
    place.tells(f"{name}.json", lambda told: words in " ".join(told.get("waits", ())))


def test_a_namespace_that_we_may_not_look_into(place: KubePlace) -> None:
    """Our rights there are taken and given back: its batch stands still and says why, the other goes on."""
    with place.plane.namespace() as away:
        given = rules(rules_for(()))
        place.plane.grant(away, "batchkeeper", given, place.account.subject)
        allow(place, away)
        place.drop(spec("far", {"a": {"END": "never"}, "b": {}}, 1, namespace=away))
        place.start()
        place.is_("far-a", "running")
        place.plane.admin.delete(f"{RBAC}/namespaces/{away}/rolebindings/batchkeeper")
        explained(place, "far", "can't be seen", f"namespace {away} can't be listed", "cannot list resource")
        waits(place, "far", "cannot list resource")
        place.drop(spec("near", {"a": {}, "b": {}}, 1))
        place.over("near")
        assert place.cli("cancel", "far-a").code == 0
        assert place.statuses("far") == {"far-a": "running", "far-b": "waiting"}
        place.plane.admin.delete(f"{RBAC}/namespaces/{away}/roles/batchkeeper")
        place.plane.grant(away, "batchkeeper", given, place.account.subject)
        place.over("far")
        assert place.statuses("far") == {"far-a": "terminated", "far-b": "completed"}
        assert place.statuses("near") == {"near-a": "completed", "near-b": "completed"}


def test_a_namespace_that_goes_and_comes_again(place: KubePlace) -> None:
    """Creates into a namespace that is being deleted, or is not there, wait for it as for a quota."""
    away, admin = f"{NAMESPACE_PREFIX}{uuid4().hex[:10]}", place.plane.admin
    keeps = f"/api/v1/namespaces/{away}/configmaps"
    with everywhere(place), place.plane.namespace(away):
        admin.create(keeps, {"metadata": {"name": "keeps", **FIRST["metadata"]}})
        admin.delete(f"/api/v1/namespaces/{away}")
        allow(place, away)
        place.drop(spec("far", {"a": {}}, 1, namespace=away))
        place.drop(spec("near", {"a": {}}, 1))
        place.start()
        explained(place, "far-a", "not taken yet", "is being terminated", "asks again")
        admin.patch(f"{keeps}/keeps", {"metadata": {"finalizers": None}})
        place.until("it is gone", partial(_is_gone, place, away))
        explained(place, "far-a", "not taken yet", f'namespaces "{away}" not found')
        place.over("near")
        assert place.job("far-a")["status"] == "created"
        place.plane.make_namespace(away)
        place.over("far")
        assert place.statuses("far") == {"far-a": "completed"}


def _is_gone(place: KubePlace, namespace: str) -> bool:
    return place.plane.admin.find(f"/api/v1/namespaces/{namespace}") is None


def test_a_kind_that_is_not_installed(place: KubePlace) -> None:
    """Nothing of it is there to count, and that is said; the batch runs all the same."""
    widgets = {"group": "widgets.example.org", "version": "v1", "resource": "widgets", "kind": "Widget"}
    reading = {"apiGroups": [widgets["group"]], "resources": ["widgets"], "verbs": ["get", "list"]}
    place.plane.grant(place.namespace, "widgets", [reading], place.account.subject)
    place.configure(kubernetes={"counted": [widgets]})
    place.drop(spec("lone", {"a": {"END": "never"}, "b": {}}, 2))
    place.start()
    place.is_("lone-b", "completed")
    said = "widgets.example.org/v1 is not served by this cluster"
    explained(place, "lone", said)
    waits(place, "lone", said)
    assert place.cli("cancel", "lone-a").code == 0
    place.over("lone")
