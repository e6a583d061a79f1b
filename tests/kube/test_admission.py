"""What stands between a create and its Job, or a Job and its pod: policies, webhooks, quotas on pods.

Another batch in the same namespace goes on in every case, and each refusal is told in the cluster's words.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import pytest

from tests.control_plane.admin import Refused
from tests.control_plane.plane import ControlPlane
from tests.kube.place import KubePlace, spec
from tests.kube.test_by_hand import explained
from tests.kube.test_refusals import quota

REGISTRATION = "/apis/admissionregistration.k8s.io/v1"
SOON = {"no_pod_after": "2s"}
ONLY = {"matchExpressions": [{"key": "batchkeeper.io/batch", "operator": "In", "values": ["barred"]}]}
RULE = {"apiGroups": ["batch"], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["jobs"]}


def only_here(place: KubePlace) -> dict[str, Any]:
    """This test's namespace and its batch ``barred`` only: others share the control plane."""
    labels = {"kubernetes.io/metadata.name": place.namespace}
    return {"namespaceSelector": {"matchLabels": labels}, "objectSelector": ONLY}


@contextmanager
def registered(plane: ControlPlane, *things: tuple[str, dict[str, Any]]) -> Iterator[None]:
    """Cluster-wide objects of the admission API as long as this lasts."""
    for kind, body in things:
        plane.admin.create(f"{REGISTRATION}/{kind}", body)
    try:
        yield
    finally:
        for kind, body in things:
            plane.admin.delete(f"{REGISTRATION}/{kind}/{body['metadata']['name']}")


def denial(place: KubePlace) -> list[tuple[str, dict[str, Any]]]:
    """A policy that denies Jobs of ``barred`` with a sentence of its own."""
    about = {"metadata": {"name": place.namespace}}
    match = {"resourceRules": [RULE], **only_here(place)}
    denies = {"expression": "false", "message": "no sweeps before the paper is out"}
    policy = {"failurePolicy": "Fail", "matchConstraints": match, "validations": [denies]}
    binding = {"policyName": place.namespace, "validationActions": ["Deny"]}
    return [
        ("validatingadmissionpolicies", about | {"spec": policy}),
        ("validatingadmissionpolicybindings", about | {"spec": binding}),
    ]


def webhook(place: KubePlace, port: int) -> tuple[str, dict[str, Any]]:
    """A webhook for Jobs of ``barred`` on this machine that must be asked, whoever answers there."""
    hook = {
        "name": "nobody.example.org",
        "admissionReviewVersions": ["v1"],
        "sideEffects": "None",
        "failurePolicy": "Fail",
        "timeoutSeconds": 1,
        "clientConfig": {"url": f"https://127.0.0.1:{port}/deny"},
        "rules": [RULE],
        **only_here(place),
    }
    return "validatingwebhookconfigurations", {"metadata": {"name": place.namespace}, "webhooks": [hook]}


def in_force(place: KubePlace, words: str) -> None:
    """The API server acts by it: a dry run of such a Job is refused with these words."""
    body = {
        "metadata": {"generateName": "probe-", "labels": {"batchkeeper.io/batch": "barred"}},
        "spec": {
            "template": {
                "spec": {"restartPolicy": "Never", "containers": [{"name": "main", "image": "example.org/a"}]}
            }
        },
    }
    path = f"/apis/batch/v1/namespaces/{place.namespace}/jobs"

    def refused() -> bool:
        try:
            place.plane.admin.call("POST", path, body, query={"dryRun": "All"})
        except Refused as refusal:
            return words in str(refusal)
        return False

    place.until(f"'{words}' is in force", refused)


def test_a_policy_denies_the_job(place: KubePlace) -> None:
    """Its task is rejected with the policy's own sentence, and is not retried; the other batch runs."""
    with registered(place.plane, *denial(place)):
        in_force(place, "no sweeps")
        place.drop(spec("barred", {"a": {}, "b": {}}, 1))
        place.drop(spec("fine", {"a": {}}, 1))
        place.start()
        place.over("barred", "fine")
    assert place.statuses("fine") == {"fine-a": "completed"}
    for job in place.jobs("barred"):
        assert (job["status"], job["verdict"]) == ("error", "rejected")
        assert "no sweeps before the paper is out" in job["error"]
    explained(place, "barred-a", "rejected", "no sweeps before the paper is out", "no automatic retry")
    told = place.tells("barred.json", lambda told: told.get("result"))
    assert "no sweeps before the paper is out" in told["failures"][0]["message"]


@contextmanager
def nobody() -> Iterator[int]:
    """A port where nobody listens."""
    yield 1


@contextmanager
def silence() -> Iterator[int]:
    """A port where somebody listens and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield listening.getsockname()[1]


@pytest.mark.parametrize("there", [nobody, silence])
def test_a_webhook_that_nobody_answers_is_waited_for(
    place: KubePlace, there: Callable[[], AbstractContextManager[int]]
) -> None:
    """A 500 says nothing about the Job: it stays created, says why, and starts when the webhook is gone."""
    with there() as port, registered(place.plane, webhook(place, port)):
        in_force(place, "failed calling webhook")
        place.drop(spec("barred", {"a": {}}, 1))
        place.drop(spec("fine", {"a": {}, "b": {}}, 1))
        place.start()
        place.over("fine")
        explained(place, "barred-a", "not taken yet", "failed calling webhook", "nobody.example.org")
        assert place.job("barred-a")["status"] == "created"
    place.over("barred")
    assert place.statuses("barred") == {"barred-a": "completed"}
    assert place.statuses("fine") == {"fine-a": "completed", "fine-b": "completed"}


def test_a_quota_on_pods_is_waited_for(place: KubePlace) -> None:
    """The Job is there and gets no pod: it stays queued, says why, and starts when the quota is lifted."""
    path = quota(place, "pods", "0")
    place.configure(lifecycle=SOON)
    place.drop(spec("tight", {"a": {}}, 1))
    place.start()
    place.is_("tight-a", "queued")
    explained(place, "tight-a", "has no pod yet", "exceeded quota")
    assert place.job("tight-a")["status"] == "queued"
    place.plane.admin.delete(path)
    place.over("tight")
    assert place.statuses("tight") == {"tight-a": "completed"}


def test_an_account_that_is_not_there_gets_no_pod(place: KubePlace) -> None:
    """The Job is taken, its pod never: it is rejected, and says which account is missing."""
    place.configure(lifecycle=SOON, policy={"service_accounts": ["nobody"]})
    place.drop(spec("barred", {"a": {}}, 1, job={"serviceAccount": "nobody"}))
    place.start()
    place.over("barred")
    job = place.job("barred-a")
    assert (job["status"], job["verdict"]) == ("error", "rejected")
    explained(place, "barred-a", "rejected", 'serviceaccount "nobody" not found')


def test_an_image_that_can_not_be_pulled(place: KubePlace) -> None:
    """Given up at its start deadline, with the registry's words and the node."""
    place.drop(spec("pulled", {"a": {"END": "image-pull"}}, 1, job={"startDeadline": "2s"}, maxAutoRetries=0))
    place.know(most_auto=0)
    place.start()
    place.over("pulled")
    job = place.job("pulled-a")
    assert (job["status"], job["verdict"]) == ("error", "image-pull")
    assert job["node"]
    explained(place, "pulled-a", "image-pull", "pull")
