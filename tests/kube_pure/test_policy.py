"""The operator's policy on what would really run: everything that is not allowed is refused, by name."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.adapters.kube_policy import check
from controller.adapters.kube_render import Rendering, render_job
from controller.core.model import JobInput, Mount
from controller.core.policy import Policy
from controller.ports import Rejected
from tests.kube_pure.things import new_job

Json = dict[str, Any]
IMAGE = "example.org/scan:1.0"
POLICY = Policy(
    namespaces=("runai-lab", "runai-gpu"),
    images=("example.org",),
    host_path_prefixes=("/hpi/data",),
    service_accounts=("reader",),
    secrets=("gwas",),
)
ALLOWED = JobInput(
    image=IMAGE,
    command=("run",),
    env={"TRAIT": "2"},
    mounts=(Mount("/data", host_path="/hpi/data/iron"), Mount("/out", pvc="out"), Mount("/tmp", "")),
    env_from_secret=("gwas",),
    service_account="reader",
    image_pull_secrets=("gwas",),
    priority_class="low",
    node_selector={"pool": "a"},
    tolerations=({"operator": "Exists"},),
)


def body(**more: Any) -> Json:
    """The Job of something that is allowed; ``more`` are fields of ``NewJob``."""
    return render_job(new_job(ALLOWED, **more), Rendering("lab"))


def pod(job: Json) -> Json:
    """Its pod's spec."""
    found: Json = job["spec"]["template"]["spec"]
    return found


def container(job: Json) -> Json:
    """Its container."""
    found: Json = pod(job)["containers"][0]
    return found


def refused(job: Json, policy: Policy = POLICY, image: str = IMAGE) -> str:
    """Why it is refused; empty: it is allowed."""
    try:
        check(job, policy, image)
    except Rejected as error:
        assert error.code == 403
        return str(error)
    return ""


@pytest.mark.parametrize("namespace", ["runai-lab", "runai-gpu"])
def test_what_the_operator_allows(namespace: str) -> None:
    """Everything that a spec may ask for passes when its names are allowed."""
    assert refused(body(namespace=namespace, avoid_nodes=("a",), attempt=2)) == ""


Change = Callable[[Json], object]
FORBIDDEN: dict[str, tuple[Change, str]] = {
    "another namespace": (lambda job: job["metadata"].update(namespace="kube-system"), "'kube-system'"),
    "no namespace": (lambda job: job["metadata"].update(namespace=""), "namespace ''"),
    "another image": (lambda job: container(job).update(image="evil.org/x"), "'evil.org/x'"),
    "an image that begins alike": (lambda job: container(job).update(image="example.organ/x"), "image"),
    "no image": (lambda job: container(job).update(image=""), "image ''"),
    "a second container": (
        lambda job: pod(job)["containers"].append({**container(job), "image": "evil.org/x"}),
        "'evil.org/x'",
    ),
    "a host path": (lambda job: pod(job)["volumes"][0]["hostPath"].update(path="/etc"), "'/etc'"),
    "a host path that climbs": (
        lambda job: pod(job)["volumes"][0]["hostPath"].update(path="/hpi/data/../../etc"),
        "host path",
    ),
    "a host path that begins alike": (
        lambda job: pod(job)["volumes"][0]["hostPath"].update(path="/hpi/database"),
        "host path",
    ),
    "a service account": (lambda job: pod(job).update(serviceAccountName="admin"), "'admin'"),
    "a token without an account": (lambda job: pod(job).update(serviceAccountName=""), "token"),
    "a secret for pulling": (lambda job: pod(job)["imagePullSecrets"].append({"name": "x"}), "secret 'x'"),
    "a secret as environment": (
        lambda job: container(job)["envFrom"].append({"secretRef": {"name": "x"}}),
        "secret 'x'",
    ),
    "a variable of a secret": (
        lambda job: container(job)["env"].append({"name": "A", "valueFrom": {"secretKeyRef": {}}}),
        "'valueFrom'",
    ),
    "an environment of something else": (
        lambda job: container(job)["envFrom"].append({"configMapRef": {"name": "x"}}),
        "'configMapRef'",
    ),
    "a volume of a secret": (
        lambda job: pod(job)["volumes"].append({"name": "x", "secret": {"secretName": "x"}}),
        "'secret'",
    ),
    "the host's network": (lambda job: pod(job).update(hostNetwork=True), "'hostNetwork'"),
    "the host's processes": (lambda job: pod(job).update(hostPID=True), "'hostPID'"),
    "the host's memory": (lambda job: pod(job).update(hostIPC=True), "'hostIPC'"),
    "a container before": (lambda job: pod(job).update(initContainers=[]), "'initContainers'"),
    "a node by name": (lambda job: pod(job).update(nodeName="a"), "'nodeName'"),
    "another runtime": (lambda job: pod(job).update(runtimeClassName="x"), "'runtimeClassName'"),
    "a pod that runs as root": (
        lambda job: pod(job).update(securityContext={"runAsUser": 0}),
        "pod's security context",
    ),
    "a privileged container": (
        lambda job: container(job).update(securityContext={"privileged": True}),
        "container's security context",
    ),
    "no security context": (lambda job: container(job).pop("securityContext"), "security context"),
    "a container with more rights": (
        lambda job: container(job)["securityContext"].update(capabilities={"add": ["SYS_ADMIN"]}),
        "security context",
    ),
    "a hook": (lambda job: container(job).update(lifecycle={"postStart": {}}), "'lifecycle'"),
    "a raw device": (lambda job: container(job).update(volumeDevices=[]), "'volumeDevices'"),
}


@pytest.mark.parametrize("what", FORBIDDEN)
def test_what_is_not_allowed(what: str) -> None:
    """Refused with its own name, though everything else is allowed."""
    change, said = FORBIDDEN[what]
    job = body()
    change(job)
    assert said in refused(job)


def test_all_offences_are_named() -> None:
    """One line says everything, so that nobody asks three times."""
    job = body()
    for what in ("another namespace", "a host path", "a service account", "another image"):
        FORBIDDEN[what][0](job)
    said = refused(job)
    assert said.startswith("trait-2 is against the operator's policy: ")
    assert all(name in said for name in ("kube-system", "/etc", "admin", "evil.org"))


@pytest.mark.parametrize("allowed", ["example.org/scan:1.0", "example.org/scan:", "example.org/scan"])
def test_a_pinned_image_is_the_one_that_was_asked_for(allowed: str) -> None:
    """A tag that the operator allows stays allowed when a retry runs the digest that it was."""
    policy = replace(POLICY, images=(allowed,))
    assert refused(body(image_digest=f"sha256:{'c' * 64}"), policy) == ""


@pytest.mark.parametrize(
    ("asked", "runs"),
    [
        ("example.org/scan:1.0", f"example.org/other@sha256:{'c' * 64}"),
        ("example.org/scan:1.0", "example.org/scan:2.0"),
        ("example.org/scan:2.0", f"example.org/scan@sha256:{'c' * 64}"),
        (f"example.org/scan@sha256:{'d' * 64}", f"example.org/scan@sha256:{'c' * 64}"),
    ],
)
def test_a_pin_excuses_nothing_else(asked: str, runs: str) -> None:
    """Only the digest of an image that is allowed itself is judged by that image's name."""
    job = body()
    container(job)["image"] = runs
    allowed = ("example.org/scan:1.0", f"example.org/scan@sha256:{'d' * 64}")
    policy = replace(POLICY, images=allowed)
    assert "image" in refused(job, policy, asked)


def test_nothing_said_is_nothing_allowed() -> None:
    """Without a policy no namespace, host path, account or secret is allowed; any image is."""
    said = refused(body(), Policy())
    assert all(name in said for name in ("namespace", "host path", "account 'reader'", "secret 'gwas'"))
    assert "image" not in said
    bare = render_job(new_job(JobInput(image="any/thing"), namespace="lab"), Rendering("lab"))
    assert refused(bare, Policy(namespaces=("lab",)), "any/thing") == ""


KNOWN = {
    "pod": "restartPolicy terminationGracePeriodSeconds enableServiceLinks containers activeDeadlineSeconds"
    " schedulerName nodeSelector tolerations priorityClassName affinity topologySpreadConstraints",
    "container": "name command resources volumeMounts",
}
"""Fields whose every value is allowed."""
names = st.text(st.characters(codec="ascii", categories=("L", "N")), min_size=1, max_size=24)
values = st.one_of(st.booleans(), st.integers(), names, st.dictionaries(names, names, max_size=2))


@given(name=names, value=values, where=st.sampled_from(["pod", "container", "volume", "env"]))
def test_a_field_that_nobody_knows_is_refused(name: str, value: object, where: str) -> None:
    """Whatever a mistake of ours puts into a pod is not allowed until it is known."""
    job = body()
    places: dict[str, Json] = {
        "pod": pod(job),
        "container": container(job),
        "volume": pod(job)["volumes"][0],
        "env": container(job)["env"][0],
    }
    if name in places[where] or name in KNOWN.get(where, "").split():
        return
    places[where][name] = value
    assert refused(job)


@given(
    namespace=st.sampled_from(["runai-lab", "runai-gpu", "default", "kube-system"]),
    image=st.sampled_from([IMAGE, "example.org/other", "evil.org/scan", "scan"]),
    path=st.sampled_from(["/hpi/data", "/hpi/data/a", "/hpi", "/", "/hpi/data2"]),
    account=st.sampled_from(["", "reader", "default"]),
    secret=st.sampled_from(["gwas", "root"]),
)
def test_admin_wins(namespace: str, image: str, path: str, account: str, secret: str) -> None:
    """Whatever a record asks for, what is rendered passes exactly when each of its parts is allowed."""
    asked = JobInput(
        image=image,
        mounts=(Mount("/data", host_path=path),),
        service_account=account,
        env_from_secret=(secret,),
    )
    job = render_job(new_job(asked, namespace=namespace), Rendering("lab"))
    allowed = (
        namespace in ("runai-lab", "runai-gpu")
        and image.startswith("example.org/")
        and path.startswith("/hpi/data")
        and path != "/hpi/data2"
        and account in ("", "reader")
        and secret == "gwas"
    )
    before = deepcopy(job)
    assert (refused(job, image=image) == "") is allowed
    assert job == before
