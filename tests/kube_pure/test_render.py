"""From a job that is asked for to the Job that runs it, field by field."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.adapters.kube_render import Rendering, literal, render_job, render_tombstone
from controller.core.model import JobInput, Mount, Resources
from controller.core.naming import MAX_BATCH_NAME, MAX_JOB_NAME, job_name
from tests.kube_pure.things import BATCH_ID, INSTANCE, JOB_ID, new_job

Json = dict[str, Any]
PLAIN = Rendering(INSTANCE)
DIGEST = f"sha256:{'c' * 64}"
MOST_OF_A_LABEL = 63


def rendered(rendering: Rendering = PLAIN, **asked: Any) -> Json:
    """The pod's spec of a job that asks for this."""
    job = new_job(JobInput(**{"image": "example.org/scan:1.0", **asked}))
    spec: Json = render_job(job, rendering)["spec"]["template"]["spec"]
    return spec


def container(rendering: Rendering = PLAIN, **asked: Any) -> Json:
    """Its one container."""
    (only,) = rendered(rendering, **asked)["containers"]
    found: Json = only
    return found


def env_of(container: Json) -> dict[str, str]:
    """Its environment."""
    return {one["name"]: one["value"] for one in container["env"]}


# ------------------------------------------------------------------------------------------- the Job


def test_a_job_has_one_pod_ever() -> None:
    """No back-off, one completion, and no replacement before its pod has failed."""
    spec = render_job(new_job(), PLAIN)["spec"]
    assert {key: spec[key] for key in spec if key not in ("template", "podFailurePolicy")} == {
        "backoffLimit": 0,
        "completions": 1,
        "parallelism": 1,
        "podReplacementPolicy": "Failed",
    }


def test_the_jobs_condition_keeps_the_evidence() -> None:
    """A disruption is looked for first, then the exit code; both fail the Job, and none is ignored."""
    rules = render_job(new_job(), PLAIN)["spec"]["podFailurePolicy"]["rules"]
    assert [rule["action"] for rule in rules] == ["FailJob", "FailJob"]
    assert rules[0]["onPodConditions"] == [{"type": "DisruptionTarget", "status": "True"}]
    assert rules[1]["onExitCodes"] == {"containerName": "main", "operator": "NotIn", "values": [0]}
    assert container()["name"] == "main"


@pytest.mark.parametrize("of_the_job", ["ttlSecondsAfterFinished", "activeDeadlineSeconds", "suspend"])
def test_what_a_job_is_born_without(of_the_job: str) -> None:
    """It is collected only once its result is durable, and its deadline is its pod's."""
    body = render_job(new_job(JobInput(image="i", deadline=timedelta(hours=1))), PLAIN)
    assert of_the_job not in body["spec"]


def test_a_name_is_given_and_never_generated() -> None:
    """The name is the create's idempotency key."""
    body = render_job(new_job(), PLAIN)
    assert (body["apiVersion"], body["kind"]) == ("batch/v1", "Job")
    assert {key: body["metadata"][key] for key in ("name", "namespace")} == {
        "name": "trait-2",
        "namespace": "runai-lab",
    }
    assert "generateName" not in body["metadata"]


def test_labels_stand_on_the_job_and_on_its_pod() -> None:
    """Both are known by the same labels, and the operator's cannot replace ours."""
    told = Rendering(INSTANCE, labels={"run.ai/project": "lab", "batchkeeper.io/job-id": "another"})
    body = render_job(new_job(attempt=3), told)
    assert body["metadata"]["labels"] == body["spec"]["template"]["metadata"]["labels"]
    assert body["metadata"]["labels"] == {
        "app.kubernetes.io/managed-by": "batchkeeper",
        "batchkeeper.io/instance": INSTANCE,
        "batchkeeper.io/batch": "trait",
        "batchkeeper.io/batch-id": BATCH_ID,
        "batchkeeper.io/task": "2",
        "batchkeeper.io/attempt": "3",
        "batchkeeper.io/job-id": JOB_ID,
        "run.ai/project": "lab",
    }


def test_the_longest_names_are_labels() -> None:
    """The longest batch and task that a spec may have still fit, with the suffixes of retry and pod."""
    batch = "b" * MAX_BATCH_NAME
    task = "t" * (MAX_JOB_NAME - MAX_BATCH_NAME - 1)
    name = job_name(batch, task, 99)
    body = render_job(new_job(batch=batch, task_id=task, attempt=99, name=name), PLAIN)
    assert all(len(value) <= MOST_OF_A_LABEL for value in body["metadata"]["labels"].values())
    assert len(job_name(batch, task, 0)) <= MAX_JOB_NAME
    assert len(name) <= MOST_OF_A_LABEL


# ------------------------------------------------------------------------------------------- the pod


def test_a_pod_by_default() -> None:
    """Everything that a job did not ask for is left out, and it has no way into the API server."""
    spec = rendered(Rendering(INSTANCE, spread=False))
    spec.pop("containers")
    assert spec == {
        "restartPolicy": "Never",
        "terminationGracePeriodSeconds": 30,
        "enableServiceLinks": False,
        "automountServiceAccountToken": False,
        "securityContext": {"seccompProfile": {"type": "RuntimeDefault"}},
    }


@pytest.mark.parametrize(
    ("asked", "field", "value"),
    [
        ({"deadline": timedelta(hours=24)}, "activeDeadlineSeconds", 86400),
        ({"deadline": timedelta(seconds=1.5)}, "activeDeadlineSeconds", 2),
        ({"deadline": timedelta(milliseconds=200)}, "activeDeadlineSeconds", 1),
        ({"node_selector": {"pool": "a"}}, "nodeSelector", {"pool": "a"}),
        ({"tolerations": ({"operator": "Exists"},)}, "tolerations", [{"operator": "Exists"}]),
        ({"priority_class": "low"}, "priorityClassName", "low"),
        ({"service_account": "reader"}, "serviceAccountName", "reader"),
        ({"service_account": "reader"}, "automountServiceAccountToken", True),
        ({"image_pull_secrets": ("a", "b")}, "imagePullSecrets", [{"name": "a"}, {"name": "b"}]),
    ],
)
def test_what_a_job_asks_of_its_pod(asked: Json, field: str, value: object) -> None:
    """Each as the spec says it; a deadline is never rounded down, to none at all least of all."""
    assert rendered(**asked)[field] == value


def test_run_ai_schedules_it() -> None:
    """Another scheduler is named, and the job finds Run:ai's variable in its environment."""
    told = Rendering(INSTANCE, scheduler_name="runai-scheduler", runai=True)
    assert rendered(told)["schedulerName"] == "runai-scheduler"
    assert env_of(container(told))["RUNAI_JOB_NAME"] == "trait-2"
    assert "RUNAI_JOB_NAME" not in env_of(container())


def test_nodes_are_avoided_softly() -> None:
    """A node where this task's mount failed is not preferred; nothing is required, or nodes would run out."""
    affinity = render_job(new_job(avoid_nodes=("a", "b")), PLAIN)["spec"]["template"]["spec"]["affinity"]
    assert list(affinity) == ["nodeAffinity"]
    ((kind, terms),) = affinity["nodeAffinity"].items()
    assert kind == "preferredDuringSchedulingIgnoredDuringExecution"
    names = {"key": "kubernetes.io/hostname", "operator": "NotIn", "values": ["a", "b"]}
    assert terms == [{"weight": 100, "preference": {"matchExpressions": [names]}}]
    assert "affinity" not in rendered()


def test_pods_are_spread_softly() -> None:
    """Side by side rather than on one node, and on one node rather than not at all."""
    (spread,) = rendered()["topologySpreadConstraints"]
    assert spread == {
        "maxSkew": 1,
        "topologyKey": "kubernetes.io/hostname",
        "whenUnsatisfiable": "ScheduleAnyway",
        "labelSelector": {"matchLabels": {"batchkeeper.io/batch-id": BATCH_ID}},
    }
    assert "topologySpreadConstraints" not in rendered(Rendering(INSTANCE, spread=False))


@pytest.mark.parametrize(
    ("mount", "volume", "mounted"),
    [
        (
            Mount("/data", host_path="/hpi/data", read_only=True, propagation="HostToContainer"),
            {"hostPath": {"path": "/hpi/data", "type": "Directory"}},
            {"mountPath": "/data", "readOnly": True, "mountPropagation": "HostToContainer"},
        ),
        (
            Mount("/data", host_path="/hpi/data"),
            {"hostPath": {"path": "/hpi/data", "type": "Directory"}},
            {"mountPath": "/data"},
        ),
        (
            Mount("/out", pvc="outputs"),
            {"persistentVolumeClaim": {"claimName": "outputs"}},
            {"mountPath": "/out"},
        ),
        (
            Mount("/in", pvc="inputs", read_only=True),
            {"persistentVolumeClaim": {"claimName": "inputs", "readOnly": True}},
            {"mountPath": "/in", "readOnly": True},
        ),
        (
            Mount("/etc/scan", config_map="scan"),
            {"configMap": {"name": "scan"}},
            {"mountPath": "/etc/scan"},
        ),
        (Mount("/tmp", empty_dir=True), {"emptyDir": {}}, {"mountPath": "/tmp"}),
    ],
)
def test_mounts(mount: Mount, volume: Json, mounted: Json) -> None:
    """Each of the four kinds; a host path that is not there keeps the pod from starting."""
    spec = rendered(mounts=(Mount("/first", empty_dir=True), mount))
    assert spec["volumes"][1] == {"name": "mount-1"} | volume
    assert spec["containers"][0]["volumeMounts"][1] == {"name": "mount-1"} | mounted


# ------------------------------------------------------------------------------------- the container


def test_a_container_by_default() -> None:
    """It runs as its image says, and has no way up."""
    only = container(resources=Resources(cpu=250))
    assert only.pop("env")
    assert only == {
        "name": "main",
        "image": "example.org/scan:1.0",
        "resources": {"requests": {"cpu": "250m"}},
        "securityContext": {"allowPrivilegeEscalation": False},
    }


@pytest.mark.parametrize(
    ("asked", "requests", "limits"),
    [
        (Resources(cpu=12_000), {"cpu": "12000m"}, None),
        (Resources(cpu=500, memory=2**30), {"cpu": "500m", "memory": "1073741824"}, {"memory": "1073741824"}),
        (Resources(cpu=500, gpu=2), {"cpu": "500m", "nvidia.com/gpu": "2"}, {"nvidia.com/gpu": "2"}),
    ],
)
def test_resources(asked: Resources, requests: Json, limits: Json | None) -> None:
    """Memory and GPUs are limits too; processor time that is idle may be used."""
    found = container(resources=asked)["resources"]
    assert found == {"requests": requests} | ({"limits": limits} if limits else {})


def test_a_job_knows_itself() -> None:
    """Batch, task, attempt and job are in its environment, after and above what the spec says."""
    env = {"MODEL": "MLM", "BATCHKEEPER_TASK": "another", "BATCHKEEPER_JOB": "another"}
    found = env_of(container(env=env))
    assert found == {
        "MODEL": "MLM",
        "BATCHKEEPER_BATCH": "trait",
        "BATCHKEEPER_TASK": "2",
        "BATCHKEEPER_ATTEMPT": "0",
        "BATCHKEEPER_JOB": JOB_ID,
    }


@pytest.mark.parametrize("value", ["0.10", "no", "1e3", "", " a  b ", "ü\n", "$HOME", "100%", "$"])
def test_values_stay_as_written(value: str) -> None:
    """What a spec says of a parameter goes into the Job to the letter."""
    only = container(env={"TRAIT": value}, command=("run", value))
    assert env_of(only)["TRAIT"] == value
    assert only["command"] == ["run", value]


@pytest.mark.parametrize(
    ("text", "escaped"),
    [
        ("$(HOME)", "$$(HOME)"),
        ("a$(B)$(C)", "a$$(B)$$(C)"),
        ("$ (A)", "$ (A)"),
        ("kill $$", "kill $$$$"),
        ("$$(HOME)", "$$$$(HOME)"),
    ],
)
def test_the_kubelet_replaces_nothing(text: str, escaped: str) -> None:
    """``$(NAME)`` and ``$$`` mean something to Kubernetes, and are escaped in commands and values."""
    only = container(env={"TRAIT": text}, command=("run", text))
    assert (env_of(only)["TRAIT"], only["command"][1]) == (escaped, escaped)


@given(st.text(st.sampled_from("$()Ab")))
def test_every_text_reaches_the_job(text: str) -> None:
    """Whatever it holds, what the kubelet makes of it is the text itself."""
    assert expanded(literal(text)) == text


def expanded(text: str) -> str:
    """What Kubernetes makes of a value when every variable is set: its rules, written down again."""
    found, at = "", 0
    while at < len(text):
        following = text[at + 1 : at + 2] if text[at] == "$" else ""
        if following == "(" and ")" in text[at:]:
            found, at = f"{found}<replaced>", text.index(")", at) + 1
        elif following:
            found, at = found + ("$" if following == "$" else f"${following}"), at + 2
        else:
            found, at = found + text[at], at + 1
    return found


def test_secrets_come_by_name() -> None:
    """In the order of the spec, and never as values."""
    names = [{"secretRef": {"name": "a"}}, {"secretRef": {"name": "b"}}]
    assert container(env_from_secret=("a", "b"))["envFrom"] == names


@pytest.mark.parametrize(
    ("image", "known", "ran"),
    [
        ("example.org/scan:1.0", "", "example.org/scan:1.0"),
        ("example.org/scan:1.0", DIGEST, f"example.org/scan@{DIGEST}"),
        ("example.org/scan:1.0", f"example.org/scan@{DIGEST}", f"example.org/scan@{DIGEST}"),
        ("example.org/scan", DIGEST, f"example.org/scan@{DIGEST}"),
        ("localhost:5000/scan", DIGEST, f"localhost:5000/scan@{DIGEST}"),
        ("localhost:5000/scan:1", DIGEST, f"localhost:5000/scan@{DIGEST}"),
        ("scan:1", DIGEST, f"scan@{DIGEST}"),
        (f"scan@sha256:{'d' * 64}", DIGEST, f"scan@sha256:{'d' * 64}"),
        ("scan:1", "no digest", "scan:1"),
    ],
)
def test_a_retry_runs_the_same_bytes(image: str, known: str, ran: str) -> None:
    """The image is pinned to the digest that the first attempt ran; what a spec pinned stays."""
    body = render_job(new_job(JobInput(image=image), image_digest=known), PLAIN)
    assert body["spec"]["template"]["spec"]["containers"][0]["image"] == ran


# ------------------------------------------------------------------------------------------ tombstones


def test_a_tombstone_runs_nothing() -> None:
    """It is complete at once, has our labels and one more, and goes by itself when its time is over."""
    body = render_tombstone(new_job(), PLAIN, timedelta(hours=24))
    spec = body["spec"]
    assert (spec["parallelism"], spec["completions"], spec["backoffLimit"]) == (0, 0, 0)
    assert spec["ttlSecondsAfterFinished"] == 86400
    assert "suspend" not in spec
    ordinary = render_job(new_job(), PLAIN)["metadata"]["labels"]
    assert body["metadata"]["labels"] == ordinary | {"batchkeeper.io/tombstone": "true"}
    assert body["metadata"]["name"] == "trait-2"
    pod = spec["template"]["spec"]
    assert (pod["restartPolicy"], pod["automountServiceAccountToken"]) == ("Never", False)
    assert "envFrom" not in pod["containers"][0]
    assert "volumes" not in pod


def test_a_tombstone_whose_time_is_over() -> None:
    """No time is less than none."""
    assert render_tombstone(new_job(), PLAIN, timedelta(seconds=-5))["spec"]["ttlSecondsAfterFinished"] == 0
