"""The rights that the chart gives: what the daemon asks for at its start, no verb more, none less."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from controller.adapters.kube_access import (
    EVENT_RULES,
    REVIEW_RULES,
    SPEC_RULES,
    lease_rules,
    rules_for,
)
from controller.adapters.kube_foreign import Kind, runai_kinds
from tests.chart.helm import CHART, CI, NAMESPACE, RELEASE, Helm, one, several
from tests.chart.rights import HERE, OUR_LEASE, as_asked_for, rendered
from tests.kube_pure.test_role import ROLE, Rule, asked, given

RUNAI = CHART / "ci" / "runai-values.yaml"
CLUSTER = CHART / "ci" / "cluster-values.yaml"
ONE = CHART / "ci" / "one-values.yaml"
WATCHED = CHART / "ci" / "watched-values.yaml"
VOLCANO = Kind("batch.volcano.sh", "v1alpha1", "jobs", "VolcanoJob")


def test_each_namespace_gets_what_the_daemon_asks_for(helm: Helm) -> None:
    """A Role and its binding in every work namespace, and one for the Lease in the release's own."""
    documents = helm.template(CLUSTER)
    name = f"{RELEASE}-batchkeeper"
    roles = {d["metadata"]["namespace"]: given(d) for d in several(documents, "Role", name)}
    assert roles == dict.fromkeys(("batches", "more-batches"), asked((*rules_for(()), *EVENT_RULES)))
    (lease,) = several(documents, "Role", f"{name}-lease")
    assert (lease["metadata"]["namespace"], given(lease)) == (NAMESPACE, asked(lease_rules(OUR_LEASE)))
    assert given(one(documents, "ClusterRole")) == asked(REVIEW_RULES)


def test_config_maps_are_read_where_they_hold_specs(helm: Helm) -> None:
    """In their namespace, by a Role of its own, which is there with that store only."""
    config = {"cluster": {"kind": "kubernetes"}, "specs": {"configmaps": {"namespace": "lab"}}}
    name = f"{RELEASE}-batchkeeper-specs"
    (role,) = several(helm.template(CLUSTER, config=config), "Role", name)
    assert role["metadata"]["namespace"] == "lab"
    assert given(role) == asked((*SPEC_RULES, *EVENT_RULES))
    (binding,) = several(helm.template(CLUSTER, config=config), "RoleBinding", name)
    assert (binding["metadata"]["namespace"], binding["roleRef"]["name"]) == ("lab", name)
    assert not several(helm.template(CLUSTER), "Role", name)


def test_what_does_not_watch_may_not(helm: Helm) -> None:
    """Where ``kubernetes.watch`` is false the Role has no such verb: some may not give it."""
    config = {"kubernetes": {"watch": False}}
    roles = several(helm.template(CLUSTER, config=config), "Role", f"{RELEASE}-batchkeeper")
    assert [given(role) for role in roles] == [asked((*rules_for((), watch=False), *EVENT_RULES))] * 2


def test_the_lease_may_be_elsewhere(helm: Helm) -> None:
    """Its Role is where the daemon will look for it, and for that one by name."""
    config = {"instance": "lab", "kubernetes": {"lease": {"namespace": "elsewhere", "name": "keeper"}}}
    lease = one(helm.template(CLUSTER, config=config), "Role", f"{RELEASE}-batchkeeper-lease")
    assert lease["metadata"]["namespace"] == "elsewhere"
    assert given(lease) == asked(lease_rules("keeper-lab"))


def test_counted_kinds_are_read(helm: Helm) -> None:
    """Run:ai's, and those that the configuration names, are listed and read: nothing else."""
    (role,) = (
        d for d in several(helm.template(RUNAI), "Role") if not d["metadata"]["name"].endswith("lease")
    )
    assert role["metadata"]["namespace"] == "runai-talmo-lab"
    assert given(role) == asked((*rules_for((*runai_kinds(stopped_counts=True), VOLCANO)), *EVENT_RULES))


def test_it_is_the_plain_manifest(helm: Helm) -> None:
    """deploy/role.yaml, for whoever uses no Helm, gives the same."""
    plain = list(YAML(typ="safe", pure=True).load_all(ROLE.read_text(encoding="utf-8")))
    config = {
        "cluster": {"kind": "runai"},
        "kubernetes": {"counted": None},
        "specs": {"configmaps": {"namespace": "specs"}},
    }
    documents = helm.template(
        RUNAI,
        namespace="batchkeeper",
        fullnameOverride="batchkeeper",
        workNamespaces=["batches"],
        config=config,
    )
    for kind in ("Role", "ClusterRole"):
        ours = {(d["metadata"].get("namespace"), frozenset(given(d))) for d in several(documents, kind)}
        assert ours == {(d["metadata"].get("namespace"), frozenset(given(d))) for d in several(plain, kind)}
    for kind in ("RoleBinding", "ClusterRoleBinding"):
        assert {json.dumps(d["subjects"]) for d in several(documents, kind)} == {
            json.dumps(d["subjects"]) for d in several(plain, kind)
        }


@pytest.mark.parametrize("values", CI, ids=lambda path: path.stem)
def test_nothing_dangerous(helm: Helm, values: Path) -> None:
    """No wildcard, no secrets, no making of pods, no exec; and every Role is bound to the account."""
    documents = helm.template(values)
    roles = [*several(documents, "Role"), *several(documents, "ClusterRole")]
    for role in roles:
        for group, resource, _, verbs in given(role):
            assert "*" not in (group, resource, *verbs)
            assert resource not in ("secrets", "pods/exec", "pods/attach", "serviceaccounts/token")
            assert not (resource == "pods" and verbs & {"create", "update", "patch", "delete"})
            assert not verbs & {"escalate", "bind", "impersonate", "deletecollection"}
    bindings = [*several(documents, "RoleBinding"), *several(documents, "ClusterRoleBinding")]
    assert {
        (b["roleRef"]["kind"], b["roleRef"]["name"], b["metadata"].get("namespace")) for b in bindings
    } == {(r["kind"], r["metadata"]["name"], r["metadata"].get("namespace")) for r in roles}
    account = one(documents, "Deployment")["spec"]["template"]["spec"]["serviceAccountName"]
    for binding in bindings:
        assert binding["subjects"] == [{"kind": "ServiceAccount", "name": account, "namespace": NAMESPACE}]


def test_what_is_not_wanted_is_not_given(helm: Helm) -> None:
    """Without token reviews nothing on the whole cluster, without Events none; without rbac none."""
    config = {"cluster": {"kind": "kubernetes"}, "kubernetes": {"events": False}}
    quiet = several(helm.template(CLUSTER, config=config), "Role", f"{RELEASE}-batchkeeper")
    assert [given(role) for role in quiet] == [asked(rules_for(()))] * 2
    ee2 = {"cluster": {"kind": "kubernetes"}, "store": {"layout": "ee2"}}
    for documents in (helm.template(ONE), helm.template(CLUSTER, config=ee2)):
        assert not several(documents, "ClusterRole")
        assert not several(documents, "ClusterRoleBinding")
        assert not several(documents, "Pod", f"{RELEASE}-batchkeeper-test-token")
    assert not [d for d in helm.template(WATCHED) if "Role" in d["kind"]]


@pytest.mark.parametrize("no", [False, 0, "False", "N", "off", "f", "no"])
def test_no_is_no_however_it_is_written(helm: Helm, no: object) -> None:
    """Every word that the daemon's configuration takes for false takes the right away."""
    config = {
        "cluster": {"kind": "kubernetes"},
        "kubernetes": {"watch": no, "events": no},
        "api": {"enabled": no},
    }
    documents = helm.template(CLUSTER, config=config)
    roles = several(documents, "Role", f"{RELEASE}-batchkeeper")
    assert [given(role) for role in roles] == [asked(rules_for((), watch=False))] * 2
    assert not several(documents, "ClusterRole")


def test_who_keeps_ee2s_records_has_the_lease_alone(helm: Helm) -> None:
    """With ``store.layout: ee2`` no job is made, looked at or ended in the cluster."""
    config = {
        "cluster": {"kind": "kubernetes"},
        "store": {"layout": "ee2"},
        "specs": {"configmaps": {"namespace": "lab"}},
    }
    documents = helm.template(CLUSTER, config=config)
    for kind in ("Role", "RoleBinding"):
        assert [d["metadata"]["name"] for d in several(documents, kind)] == [f"{RELEASE}-batchkeeper-lease"]


def test_who_keeps_ee2s_records_claims_no_volume_of_specs(helm: Helm) -> None:
    """It reads none: the pod waited for a volume that nobody needs, and one that a single node may mount kept
    it from a second replica."""
    documents = helm.template(
        CLUSTER, config={"store": {"layout": "ee2"}}, specs={"accessMode": "ReadWriteOnce"}, replicas=2
    )
    assert not several(documents, "PersistentVolumeClaim")
    spec = one(documents, "Deployment")["spec"]["template"]["spec"]
    assert "specs" not in {volume["name"] for volume in spec["volumes"]}
    assert "specs" not in {mount["name"] for mount in spec["containers"][0]["volumeMounts"]}


def test_the_token_is_for_the_daemon_alone(helm: Helm) -> None:
    """The account gives its token to no pod by itself; the daemon's pods ask for it."""
    documents = helm.template(CLUSTER)
    assert one(documents, "ServiceAccount")["automountServiceAccountToken"] is False
    spec = one(documents, "Deployment")["spec"]["template"]["spec"]
    assert spec["automountServiceAccountToken"] is True


def test_the_end_to_end_tests_have_the_charts_rights(helm: Helm) -> None:
    """What their places get is what the chart renders; without Helm they get the same rules."""
    kind = Kind("run.ai", "v1", "runaijobs", "RunaiJob")
    for kinds in ((), (kind,)):
        chart, plain = json.loads(rendered(kinds)), as_asked_for(kinds)
        assert "helm.sh/chart" in chart[0]["metadata"]["labels"]
        rules = set[Rule]().union(*(given(d) for d in several(chart, "Role")))
        assert rules == given(one(plain, "Role"))
        assert given(one(chart, "ClusterRole")) == given(one(plain, "ClusterRole"))
        assert {s["name"] for d in chart for s in d.get("subjects", ())} == {
            s["name"] for d in plain for s in d.get("subjects", ())
        }
        assert HERE in json.dumps(chart)
