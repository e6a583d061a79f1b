"""The operator's policy on the Job as it was rendered: the last line before the API server (fail closed).

The spec was judged at its acceptance; this looks at what would really run, so that neither a record of
an older policy nor a mistake of ours asks for more than the operator allows today.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from controller.adapters.kube_render import pinned
from controller.core.policy import Policy, image_allowed, path_allowed
from controller.ports import Rejected

Json = Mapping[str, Any]
FORBIDDEN = 403

POD_FIELDS = frozenset(
    """restartPolicy terminationGracePeriodSeconds enableServiceLinks automountServiceAccountToken
    securityContext containers activeDeadlineSeconds schedulerName nodeSelector tolerations priorityClassName
    serviceAccountName imagePullSecrets volumes affinity topologySpreadConstraints""".split()
)
CONTAINER_FIELDS = frozenset("name image env resources securityContext command envFrom volumeMounts".split())
ENV_FIELDS = frozenset(("name", "value"))
ENV_FROM_FIELDS = frozenset(("secretRef",))
VOLUME_FIELDS = frozenset("name hostPath persistentVolumeClaim configMap emptyDir".split())
SECURITY = {"seccompProfile": {"type": "RuntimeDefault"}}
CONTAINER_SECURITY = {"allowPrivilegeEscalation": False}


def check(job: Json, policy: Policy, asked: str) -> None:
    """Raise ``Rejected`` with one sentence that names everything the operator does not allow.

    ``asked``: the image that the spec asked for. Its name stands for the digest that it is pinned to.
    """
    offences = list(_offences(job, policy, asked))
    if offences:
        name = job["metadata"]["name"]
        raise Rejected(f"{name} is against the operator's policy: {'; '.join(offences)}", FORBIDDEN)


def _offences(job: Json, policy: Policy, asked: str) -> Iterator[str]:
    namespace = job["metadata"]["namespace"]
    if namespace not in policy.namespaces:
        yield f"namespace {namespace!r} is not allowed"
    pod = job["spec"]["template"]["spec"]
    yield from _unknown("pod", pod, POD_FIELDS)
    if pod.get("securityContext", SECURITY) != SECURITY:
        yield "its pod's security context is not ours"
    account = pod.get("serviceAccountName", "")
    if account and account not in policy.service_accounts:
        yield f"service account {account!r} is not allowed"
    if pod.get("automountServiceAccountToken", True) and not account:
        yield "a token of an account that nobody named is not allowed"
    for secret in pod.get("imagePullSecrets", ()):
        yield from _secret(secret["name"], policy)
    for volume in pod.get("volumes", ()):
        yield from _volume(volume, policy)
    for container in pod["containers"]:
        yield from _container(container, policy, asked)


def _container(container: Json, policy: Policy, asked: str) -> Iterator[str]:
    yield from _unknown("container", container, CONTAINER_FIELDS)
    if container.get("securityContext") != CONTAINER_SECURITY:
        yield "its container's security context is not ours"
    image = container["image"]
    name = asked if pinned(asked, image) == image else image
    if policy.images and not image_allowed(name, policy.images):
        yield f"image {name!r} is not allowed"
    for variable in container.get("env", ()):
        yield from _unknown("variable", variable, ENV_FIELDS)
    for source in container.get("envFrom", ()):
        yield from _unknown("envFrom", source, ENV_FROM_FIELDS)
        if "secretRef" in source:
            yield from _secret(source["secretRef"]["name"], policy)


def _volume(volume: Json, policy: Policy) -> Iterator[str]:
    yield from _unknown("volume", volume, VOLUME_FIELDS)
    if "hostPath" not in volume:
        return
    path = volume["hostPath"]["path"]
    if not (policy.any_host_path or path_allowed(path, policy.host_path_prefixes)):
        yield f"host path {path!r} is not allowed"


def _secret(name: str, policy: Policy) -> Iterator[str]:
    if name not in policy.secrets:
        yield f"secret {name!r} is not allowed"


def _unknown(what: str, thing: Json, known: frozenset[str]) -> Iterator[str]:
    for field in sorted(set(thing) - known):
        yield f"{what} field {field!r} is not known here"
