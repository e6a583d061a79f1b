"""Every way to install the chart renders, with objects that fit together and a configuration that loads."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from controller import __version__
from controller.config import Settings, load
from tests.chart.helm import CHART, CI, NAMESPACE, RELEASE, TRIAL, Document, Helm, one, pods, several

each = pytest.mark.parametrize("values", CI, ids=lambda path: path.stem)
CLUSTER = CHART / "ci" / "cluster-values.yaml"
RUNAI = CHART / "ci" / "runai-values.yaml"
ONE = CHART / "ci" / "one-values.yaml"
WATCHED = CHART / "ci" / "watched-values.yaml"
UNKNOWN, RUNBOOKS = "https://batchkeeper.invalid/runbooks/", "https://docs.example.org/runbooks/"
"""Where the files say that the runbooks are, and where the values do."""


def configured(documents: list[Document], folder: Path) -> Settings:
    """What the daemon reads in its pod."""
    (config,) = (found for found in several(documents, "ConfigMap") if "config.yaml" in found["data"])
    file = folder / "config.yaml"
    file.write_text(config["data"]["config.yaml"], encoding="utf-8")
    return load(file)


@each
def test_it_is_linted(helm: Helm, values: Path) -> None:
    """Helm's own check finds nothing."""
    said = helm.call("lint", str(CHART), "--strict", "--values", str(values))
    assert said.code == 0, said.error


@each
def test_the_configuration_loads(
    helm: Helm, values: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The daemon accepts the rendered config.yaml: no key that it does not know, no value that it refuses."""
    for name in ("MONGODB_URI", "MAX_CONCURRENT"):
        monkeypatch.delenv(name, raising=False)
    settings = configured(helm.template(values), tmp_path)
    assert settings.cluster.kind in ("kubernetes", "runai")
    assert settings.specs.folder == (None if values == TRIAL else Path("/specs"))
    assert not settings.http.host.startswith("127.")


def test_what_the_configuration_says(helm: Helm, tmp_path: Path) -> None:
    """Namespaces are those of the Roles; what the operator says is there, large numbers too."""
    settings = configured(helm.template(CLUSTER), tmp_path)
    assert (settings.namespace, settings.policy.namespaces) == ("batches", ("more-batches",))
    assert settings.max_concurrent == 1_000_000
    assert str(settings.auth.static.file) == "/etc/batchkeeper-tokens/tokens"
    assert configured(helm.template(RUNAI), tmp_path).namespace == "runai-talmo-lab"
    assert configured(helm.template(TRIAL), tmp_path).namespace == NAMESPACE


@pytest.mark.parametrize(
    "nothing",
    [
        {"auth": None, "http": None, "log": None, "policy": None, "specs": None},
        {"http": {"host": None, "port": None}},
    ],
    ids=["sections", "keys"],
)
def test_what_is_commented_out_takes_nothing_away(
    helm: Helm, tmp_path: Path, no_variables: None, nothing: dict[str, object]
) -> None:
    """A section whose keys are all comments is null, and the daemon listened where no probe reaches it."""
    values = tmp_path / "values.yaml"
    values.write_text(json.dumps({"config": nothing}), encoding="utf-8")
    settings = configured(helm.template(CLUSTER, values), tmp_path)
    assert (settings.http.host, settings.http.port) == ("0.0.0.0", 8080)
    assert (settings.policy.namespaces, settings.log.format) == (("more-batches",), "json")
    assert str(settings.auth.static.file) == "/etc/batchkeeper-tokens/tokens"
    assert settings.specs.folder == Path("/specs")


@each
def test_names_are_there(helm: Helm, values: Path) -> None:
    """Every object has the recommended labels; selectors choose the pods; no name stands twice."""
    documents = helm.template(values)
    seen = [(d["kind"], d["metadata"].get("namespace"), d["metadata"]["name"]) for d in documents]
    assert len(seen) == len(set(seen))
    for document in documents:
        labels = document["metadata"]["labels"]
        assert labels["app.kubernetes.io/name"] == "batchkeeper"
        assert labels["app.kubernetes.io/instance"] == RELEASE
        assert labels["app.kubernetes.io/version"] == __version__
        assert labels["app.kubernetes.io/managed-by"] == "Helm"
    deployment = one(documents, "Deployment")
    labels = deployment["spec"]["template"]["metadata"]["labels"].items()
    chosen = [deployment["spec"]["selector"]["matchLabels"]]
    (service,) = (s for s in several(documents, "Service") if s["spec"].get("clusterIP") != "None")
    chosen.append(service["spec"]["selector"])
    chosen += [d["spec"]["selector"]["matchLabels"] for d in several(documents, "PodDisruptionBudget")]
    for selector in chosen:
        assert selector.items() <= labels
        assert not {"helm.sh/chart", "app.kubernetes.io/version"} & set(selector)


@each
def test_what_pods_refer_to_is_there(helm: Helm, values: Path) -> None:
    """The ConfigMap, the claim and the account of a pod are made by the chart or named in the values."""
    documents, said = helm.template(values), values.read_text(encoding="utf-8")
    known = {(d["kind"], d["metadata"]["name"]) for d in documents}
    spec = one(documents, "Deployment")["spec"]["template"]["spec"]
    wanted = [("ServiceAccount", spec["serviceAccountName"])]
    for volume in spec["volumes"]:
        if "configMap" in volume:
            wanted.append(("ConfigMap", volume["configMap"]["name"]))
        if "persistentVolumeClaim" in volume:
            wanted.append(("PersistentVolumeClaim", volume["persistentVolumeClaim"]["claimName"]))
    assert [name for kind, name in wanted if (kind, name) not in known and name not in said] == []
    mounts = {mount["name"] for mount in spec["containers"][0]["volumeMounts"]}
    assert mounts == {volume["name"] for volume in spec["volumes"]}


@each
def test_ports_fit_together(helm: Helm, values: Path, tmp_path: Path) -> None:
    """The container's port is the daemon's, and everything else names it by name."""
    documents = helm.template(values)
    (container,) = one(documents, "Deployment")["spec"]["template"]["spec"]["containers"]
    assert container["ports"] == [
        {"name": "http", "containerPort": configured(documents, tmp_path).http.port}
    ]
    for probe, path in (
        ("livenessProbe", "/livez"),
        ("startupProbe", "/livez"),
        ("readinessProbe", "/readyz"),
    ):
        assert container[probe]["httpGet"] == {"path": path, "port": "http"}


def test_a_new_configuration_rolls_the_pods(helm: Helm) -> None:
    """Its checksum is on the pods; and none of them goes before a new one is ready."""

    def seen(**values: Any) -> tuple[Document, Document]:
        documents = helm.template(CLUSTER, **values)
        deployment = one(documents, "Deployment")["spec"]
        return deployment, deployment["template"]["metadata"]["annotations"]

    deployment, before = seen()
    assert deployment["strategy"]["rollingUpdate"] == {"maxUnavailable": 0, "maxSurge": 1}
    assert seen()[1] == before
    assert seen(config={"reconcile": {"interval": "20s"}})[1] != before
    config = one(helm.template(CLUSTER), "ConfigMap", f"{RELEASE}-batchkeeper")["data"]["config.yaml"]
    assert before["checksum/config"] == hashlib.sha256(config.rstrip("\n").encode()).hexdigest()


def test_one_volume_of_one_node(helm: Helm) -> None:
    """Two pods could not both mount it: there is one, and it goes before the next one comes."""
    assert one(helm.template(ONE), "Deployment")["spec"]["strategy"] == {"type": "Recreate"}
    refused = helm.try_template(ONE, replicas=2)
    assert "specs.accessMode is ReadWriteOnce, which one pod can mount: set replicas to 1" in refused.error


def test_it_is_spread(helm: Helm) -> None:
    """Softly over nodes and zones, unless the operator says how."""
    spec = one(helm.template(CLUSTER), "Deployment")["spec"]["template"]["spec"]
    soft = {(c["topologyKey"], c["whenUnsatisfiable"]) for c in spec["topologySpreadConstraints"]}
    assert soft == {
        ("kubernetes.io/hostname", "ScheduleAnyway"),
        ("topology.kubernetes.io/zone", "ScheduleAnyway"),
    }
    theirs = one(helm.template(WATCHED), "Deployment")["spec"]["template"]["spec"]
    assert [c["whenUnsatisfiable"] for c in theirs["topologySpreadConstraints"]] == ["DoNotSchedule"]


def test_the_file_of_tokens_is_private(helm: Helm) -> None:
    """It is mounted as the daemon demands it: root's, for the pod's own group, and for nobody else."""
    spec = one(helm.template(CLUSTER), "Deployment")["spec"]["template"]["spec"]
    (secret,) = (volume["secret"] for volume in spec["volumes"] if volume["name"] == "tokens")
    assert secret["defaultMode"] == 0o440
    assert secret["items"] == [{"key": "tokens", "path": "tokens"}]
    assert spec["securityContext"]["fsGroup"] > 0
    mounted = [
        volume["name"]
        for volume in one(helm.template(TRIAL), "Deployment")["spec"]["template"]["spec"]["volumes"]
    ]
    assert "tokens" not in mounted


def test_the_connection_string_is_in_no_object(helm: Helm) -> None:
    """It comes from the Secret that the operator names, and stands nowhere else."""
    documents = helm.template(RUNAI)
    (container,) = one(documents, "Deployment")["spec"]["template"]["spec"]["containers"]
    (uri,) = (variable for variable in container["env"] if variable["name"] == "MONGODB_URI")
    assert uri["valueFrom"] == {"secretKeyRef": {"name": "batchkeeper-mongodb", "key": "connection"}}
    assert not several(documents, "Secret")
    assert not several(documents, "StatefulSet")


def test_the_trial_mongodb_is_found(helm: Helm) -> None:
    """The daemon's address is the member's name, which is in the replica set's own configuration."""
    documents = helm.template(TRIAL)
    (container,) = one(documents, "Deployment")["spec"]["template"]["spec"]["containers"]
    (uri,) = (variable["value"] for variable in container["env"] if variable["name"] == "MONGODB_URI")
    stateful = one(documents, "StatefulSet")
    name = stateful["metadata"]["name"]
    member = f"{name}-0.{stateful['spec']['serviceName']}.{NAMESPACE}.svc:27017"
    assert uri == f"mongodb://{member}/?replicaSet=rs0"
    (mongod,) = stateful["spec"]["template"]["spec"]["containers"]
    assert mongod["args"][:2] == ["--replSet", "rs0"]
    assert f"host: '{member}'" in mongod["startupProbe"]["exec"]["command"][-1]
    assert one(documents, "Service", name)["spec"]["publishNotReadyAddresses"] is True


def test_names_fit_where_they_go(helm: Helm) -> None:
    """The trial MongoDB's is in a label of its pod, with eleven characters behind it."""
    documents = helm.template(TRIAL, fullnameOverride="a" * 50)
    stateful = one(documents, "StatefulSet")
    assert len(stateful["metadata"]["name"]) <= 63 - 11
    assert one(documents, "Service", stateful["metadata"]["name"])
    assert max(len(document["metadata"]["name"]) for document in documents) <= 63 + len("-token-review")


def test_what_watches_it(helm: Helm) -> None:
    """The operator's objects have the rules and the labels; the dashboard is the file."""
    documents = helm.template(WATCHED)
    rules = (CHART / "files" / "alerts.yaml").read_text(encoding="utf-8").replace(UNKNOWN, RUNBOOKS)
    assert RUNBOOKS in rules
    assert one(documents, "PrometheusRule")["spec"] == YAML(typ="safe", pure=True).load(rules)
    monitor = one(documents, "ServiceMonitor")
    assert monitor["metadata"]["labels"]["release"] == "prometheus"
    service = one(documents, "Service")
    assert monitor["spec"]["selector"]["matchLabels"].items() <= service["metadata"]["labels"].items()
    assert monitor["spec"]["endpoints"] == [{"port": "http", "path": "/metrics", "interval": "15s"}]
    assert service["spec"]["ports"][0]["name"] == "http"
    dashboard = one(documents, "ConfigMap", f"{RELEASE}-batchkeeper-dashboard")
    text = (CHART / "files" / "dashboard.json").read_text(encoding="utf-8").replace(UNKNOWN, RUNBOOKS)
    assert json.loads(dashboard["data"]["batchkeeper.json"]) == json.loads(text)
    assert dashboard["metadata"]["labels"]["grafana_dashboard"] == "1"
    assert dashboard["metadata"]["annotations"] == {"grafana_folder": "Batches"}
    assert not several(helm.template(CLUSTER), "PrometheusRule")


def test_the_notes_say_what_to_do_first(helm: Helm) -> None:
    """Three things, with the names of this very release."""
    said = helm.done(
        *(
            "install",
            RELEASE,
            str(CHART),
            "--dry-run=client",
            "--values",
            str(TRIAL),
            "--namespace",
            NAMESPACE,
        )
    )
    notes = said.split("NOTES:")[1]
    assert re.findall(r"^(\d)\. ", notes, re.MULTILINE) == ["1", "2", "3"]
    assert f"rollout status deployment/{RELEASE}-batchkeeper" in notes
    assert f"helm test {RELEASE} --namespace {NAMESPACE}" in notes
    assert "MongoDB for trials" in notes


def test_versions() -> None:
    """The chart installs the program that it lies beside."""
    chart = YAML(typ="safe", pure=True).load(CHART / "Chart.yaml")
    assert chart["appVersion"] == __version__
    assert chart["apiVersion"] == "v2"


@each
def test_every_pod_is_restricted(helm: Helm, values: Path) -> None:
    """What the pod security standard demands, and more: nothing is writable but named folders."""
    for name, spec in pods(helm.template(values)).items():
        assert spec["securityContext"]["runAsNonRoot"] is True, name
        assert spec["securityContext"]["runAsUser"] > 0, name
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}, name
        assert spec["enableServiceLinks"] is False, name
        assert not {"hostNetwork", "hostPID", "hostIPC"} & set(spec), name
        for container in spec["containers"]:
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }, name
            assert container["resources"]["requests"].keys() == {"cpu", "memory"}, name
            assert "memory" in container["resources"]["limits"], name
        assert not [v for v in spec.get("volumes", ()) if "hostPath" in v], name
