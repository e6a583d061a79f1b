"""From a job that is asked for to the `batch/v1` Job that runs it, and to the tombstone that buries it.

Pure: data in, data out. A Job of ours runs one pod, ever: no back-off, no replacement of a disrupted pod,
and a failure policy whose condition keeps the evidence even when the pod is gone.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from controller.adapters.labels import BATCH_ID, environment_of, labels_of
from controller.core.model import Mount, Resources
from controller.ports import NewJob

Json = dict[str, Any]

MAIN = "main"
"""The one container's name."""
HOSTNAME = "kubernetes.io/hostname"
RUNAI_SCHEDULER = "runai-scheduler"
GPU = "nvidia.com/gpu"
_SPECIAL = re.compile(r"\$+(?=\()|\${2,}")


@dataclass(frozen=True, slots=True)
class Rendering:
    """What the operator's settings add to every Job."""

    instance: str
    scheduler_name: str = ""
    spread: bool = True
    runai: bool = False
    """RUNAI_JOB_NAME in the environment."""
    labels: Mapping[str, str] = field(default_factory=dict)
    """More labels, as Run:ai's project."""
    grace: timedelta = timedelta(seconds=30)
    """From SIGTERM to SIGKILL when a pod is stopped; Kubernetes' own default."""


def render_job(job: NewJob, rendering: Rendering) -> Json:
    """The body of the create request."""
    labels = {**rendering.labels, **labels_of(job, rendering.instance)}
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": job.name, "namespace": job.namespace, "labels": labels},
        "spec": {
            "backoffLimit": 0,
            "completions": 1,
            "parallelism": 1,
            # An ignored disruption would be followed by a second run that nobody recorded: both rules fail
            # the Job, and tell in its condition which pod ended how.
            "podReplacementPolicy": "Failed",
            "podFailurePolicy": {
                "rules": [
                    {
                        "action": "FailJob",
                        "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}],
                    },
                    {
                        "action": "FailJob",
                        "onExitCodes": {"containerName": MAIN, "operator": "NotIn", "values": [0]},
                    },
                ]
            },
            "template": {"metadata": {"labels": labels}, "spec": _pod(job, rendering)},
        },
    }


def render_tombstone(job: NewJob, rendering: Rendering, ttl: timedelta) -> Json:
    """A Job that occupies the name, runs nothing, and is complete at once (R5)."""
    labels = {**rendering.labels, **labels_of(job, rendering.instance, tombstone=True)}
    container = {"name": MAIN, "image": _image(job), "command": ["true"], "securityContext": _hardened()}
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": job.name, "namespace": job.namespace, "labels": labels},
        "spec": {
            "parallelism": 0,
            "completions": 0,
            "backoffLimit": 0,
            "ttlSecondsAfterFinished": max(0, round(ttl.total_seconds())),
            "template": {
                "metadata": {"labels": labels},
                "spec": {
                    "restartPolicy": "Never",
                    "automountServiceAccountToken": False,
                    "containers": [container],
                },
            },
        },
    }


def _pod(job: NewJob, rendering: Rendering) -> Json:
    asked = job.input
    spec: Json = {
        "restartPolicy": "Never",
        "terminationGracePeriodSeconds": round(rendering.grace.total_seconds()),
        "enableServiceLinks": False,
        # A job needs no way into the API server unless its spec names the account that has one.
        "automountServiceAccountToken": bool(asked.service_account),
        "securityContext": {"seccompProfile": {"type": "RuntimeDefault"}},
        "containers": [_container(job, rendering)],
    }
    optional = {
        "activeDeadlineSeconds": math.ceil(asked.deadline.total_seconds()) if asked.deadline else None,
        "schedulerName": rendering.scheduler_name,
        "nodeSelector": dict(asked.node_selector),
        "tolerations": [dict(toleration) for toleration in asked.tolerations],
        "priorityClassName": asked.priority_class,
        "serviceAccountName": asked.service_account,
        "imagePullSecrets": [{"name": name} for name in asked.image_pull_secrets],
        "volumes": [_volume(number, mount) for number, mount in enumerate(asked.mounts)],
        "affinity": _elsewhere(job.avoid_nodes),
        "topologySpreadConstraints": [_spread(job)] if rendering.spread else [],
    }
    return spec | {key: value for key, value in optional.items() if value}


def _container(job: NewJob, rendering: Rendering) -> Json:
    asked = job.input
    # Ours come last: a spec cannot tell a job that it is another one.
    env = {**asked.env, **environment_of(job, runai=rendering.runai)}
    container: Json = {
        "name": MAIN,
        "image": _image(job),
        "env": [{"name": name, "value": literal(value)} for name, value in env.items()],
        "resources": _resources(asked.resources),
        "securityContext": _hardened(),
    }
    optional = {
        "command": [literal(part) for part in asked.command],
        "envFrom": [{"secretRef": {"name": name}} for name in asked.env_from_secret],
        "volumeMounts": [_mounted(number, mount) for number, mount in enumerate(asked.mounts)],
    }
    return container | {key: value for key, value in optional.items() if value}


def literal(text: str) -> str:
    """The text so that the kubelet leaves it as written.

    `$(NAME)` would be replaced by a variable, and of `$$` one would be left. A single `$` stays as it is.
    """
    return _SPECIAL.sub(lambda found: found.group() * 2, text)


def _hardened() -> Json:
    """No way up for the program; whom it runs as is the image's business."""
    return {"allowPrivilegeEscalation": False}


def _image(job: NewJob) -> str:
    """The image, pinned to the digest that the first attempt ran (E1)."""
    return pinned(job.input.image, job.image_digest)


def pinned(image: str, digest: str) -> str:
    """The image by this digest, of which a name before ``@`` is left out; an image with a digest stays."""
    found = digest.rpartition("@")[2]
    if "@" in image or not found.startswith("sha256:"):
        return image
    repository, colon, tag = image.rpartition(":")
    name = repository if colon and "/" not in tag else image
    return f"{name}@{found}"


def _resources(asked: Resources) -> Json:
    """Requests, and limits for what one job must not take from others: memory and GPUs.

    There is no limit on CPU: throttling a scan below what its node has idle serves nobody.
    """
    requests: dict[str, str] = {"cpu": f"{asked.cpu}m"}
    limits: dict[str, str] = {}
    if asked.memory:
        requests["memory"] = limits["memory"] = str(asked.memory)
    if asked.gpu:
        requests[GPU] = limits[GPU] = str(asked.gpu)
    return {"requests": requests} | ({"limits": limits} if limits else {})


def _volume_name(number: int) -> str:
    return f"mount-{number}"


def _volume(number: int, mount: Mount) -> Json:
    name = {"name": _volume_name(number)}
    if mount.host_path:
        # Directory: a path that is not there keeps the pod from starting, instead of an empty folder.
        return name | {"hostPath": {"path": mount.host_path, "type": "Directory"}}
    if mount.pvc:
        claim: Json = {"claimName": mount.pvc}
        return name | {"persistentVolumeClaim": claim | ({"readOnly": True} if mount.read_only else {})}
    if mount.config_map:
        return name | {"configMap": {"name": mount.config_map}}
    return name | {"emptyDir": {}}


def _mounted(number: int, mount: Mount) -> Json:
    mounted: Json = {"name": _volume_name(number), "mountPath": mount.path}
    if mount.read_only:
        mounted["readOnly"] = True
    if mount.propagation:
        mounted["mountPropagation"] = mount.propagation
    return mounted


def _elsewhere(nodes: tuple[str, ...]) -> Json:
    """Rather not on nodes where this task failed before; never required, or nodes would run out (S7)."""
    if not nodes:
        return {}
    names = {"key": HOSTNAME, "operator": "NotIn", "values": list(nodes)}
    term = {"weight": 100, "preference": {"matchExpressions": [names]}}
    return {"nodeAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [term]}}


def _spread(job: NewJob) -> Json:
    """A batch's pods rather side by side than on one node, whose mount table would overflow (S7)."""
    return {
        "maxSkew": 1,
        "topologyKey": HOSTNAME,
        "whenUnsatisfiable": "ScheduleAnyway",
        "labelSelector": {"matchLabels": {BATCH_ID: job.batch_id}},
    }
