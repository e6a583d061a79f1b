"""The stages that KWOK plays: one per ending of ``endings``, and those of a pod's start and deletion.

Called by ``commands``. KWOK plays one stage that matches, so no two may match the same pod.
"""

from __future__ import annotations

import json
from typing import Any

from tests.control_plane.endings import BROKEN_MOUNTS, ENDINGS, Ending

Document = dict[str, Any]

SIMULATED = "kwok.x-k8s.io/node"
"""The label of nodes that KWOK plays; a node that loses it is lost: nobody speaks for it any more."""


def _env(name: str, default: str) -> str:
    """The jq expression of a variable of the first container."""
    return f'([.spec.containers[0].env // [] | .[] | select(.name == "{name}") | .value][0] // "{default}")'


_ATTEMPT = (
    '((.metadata.labels // {})["batchkeeper.io/attempt"]'
    ' // (.metadata.annotations // {})["batch.kubernetes.io/job-index-failure-count"] // "0" | tonumber)'
)
_END = (
    f'if (.spec.nodeName // "" | startswith("{BROKEN_MOUNTS}")) then "mount-failure" else '
    f'{_ATTEMPT} as $attempt | {_env("END", "exit-0")} | split(",") | .[[$attempt, length - 1] | min] end'
)
_RUN = f"({_env('RUN_SECONDS', '0')} | tonumber)"
_CUT_SHORT = f"(.spec.activeDeadlineSeconds != null) and (.spec.activeDeadlineSeconds < {_RUN})"
_ENDLESS = f'(({_END}) == "never") and (.spec.activeDeadlineSeconds != null)'
_DEADLINE = f"({_CUT_SHORT}) or ({_ENDLESS})"
_TERM = _env("ON_TERM", "exit-143")

_STARTING = [name for name, ending in ENDINGS.items() if ending.runs]

_CONTAINERS = """
containerStatuses:
{{ range .spec.containers }}
- name: {{ .name | Quote }}
  image: {{ .image | Quote }}
  imageID: "{{ if contains "@" .image }}{{ .image }}
    {{- else }}{{ regexReplaceAll ":[^/:]+$" .image "" }}@sha256:{{ .image | sha256sum }}{{ end }}"
  ready: READY
  started: READY
  restartCount: 0
  state:
    STATE
{{ end }}
"""


def documents(kubelet_port: int) -> list[Document]:
    """All stages. ``kubelet_port``: where the nodes say that their kubelet listens, on loopback."""
    ends = [_end(name, ending) for name, ending in ENDINGS.items() if name != "never"]
    return [_node(kubelet_port), _start(), _deadline(), *ends, *_deletions()]


def configuration(kubelet_port: int) -> str:
    """KWOK's configuration file: YAML documents, each of them JSON."""
    return "\n---\n".join(json.dumps(document) for document in documents(kubelet_port))


def _stage(name: str, kind: str, matches: list[Document], steps: list[Document], delay: str = "") -> Document:
    spec: Document = {
        "resourceRef": {"apiGroup": "v1", "kind": kind},
        "selector": {"matchExpressions": [{"jq": match} for match in matches]},
        "steps": steps,
    }
    if delay:
        spec["delay"] = {"durationFrom": {"jq": {"expression": f'({delay} | tostring) + "s"'}}}
    return {
        "apiVersion": "kwok.x-k8s.io/v1alpha1",
        "kind": "Stage",
        "metadata": {"name": name},
        "spec": spec,
    }


def _is(key: str, *values: str) -> Document:
    return {"key": key, "operator": "In", "values": list(values)}


def _not(key: str, *values: str) -> Document:
    return {"key": key, "operator": "NotIn", "values": list(values)}


def _there(key: str, there: bool) -> Document:
    return {"key": key, "operator": "Exists" if there else "DoesNotExist"}


_KEPT = _there(".metadata.deletionTimestamp", there=False)
_DELETED = _there(".metadata.deletionTimestamp", there=True)
_UNTOUCHED = _there(".status.containerStatuses", there=False)


def _status(template: str) -> Document:
    return {
        "patch": {"subresource": "status", "root": "status", "template": "{{ $now := Now }}\n" + template}
    }


def _containers(state: str, ready: bool = False) -> str:
    return _CONTAINERS.replace("READY", str(ready).lower()).replace("STATE", state)


def _node(kubelet_port: int) -> Document:
    conditions = """
conditions:
{{ range NodeConditions }}
- {type: {{ .type | Quote }}, status: {{ .status | Quote }}, reason: {{ .reason | Quote }},
   message: {{ .message | Quote }},
   lastHeartbeatTime: {{ $now | Quote }}, lastTransitionTime: {{ $now | Quote }}}
{{ end }}
"""
    rest = f"""
addresses: [{{type: InternalIP, address: 127.0.0.1}}]
daemonEndpoints: {{kubeletEndpoint: {{Port: {kubelet_port}}}}}
nodeInfo: {{architecture: amd64, operatingSystem: linux, kubeletVersion: kwok, bootID: "", machineID: "",
  containerRuntimeVersion: kwok, kernelVersion: kwok, kubeProxyVersion: "", osImage: kwok, systemUUID: ""}}
phase: Running
"""
    ready = '.status.conditions.[] | select( .type == "Ready" ) | .status'
    return _stage("node-ready", "Node", [_not(ready, "True")], [_status(conditions + rest)])


_CONDITIONS = """
conditions:
{{ range list "PodReadyToStartContainers" "Initialized" "ContainersReady" "Ready" }}
- {type: {{ . }}, status: "STATUS", lastTransitionTime: {{ $now | Quote }}}
{{ end }}
"""


def _start() -> Document:
    status = (
        _CONDITIONS.replace("STATUS", "True")
        + "phase: Running\nstartTime: {{ $now | Quote }}\nhostIP: 127.0.0.1\npodIP: 10.0.0.1\n"
        + _containers("running: {startedAt: {{ $now | Quote }}}", ready=True)
    )
    matches = [_KEPT, _UNTOUCHED, _is(".status.phase", "Pending"), _is(_END, *_STARTING)]
    return _stage("pod-starts", "Pod", matches, [_status(status)], _env("START_SECONDS", "0"))


def _end(name: str, ending: Ending) -> Document:
    """The stage in which a pod that asked for it ends, or shows why it does not start."""
    before = (
        [_is(".status.phase", "Running")] if ending.runs else [_is(".status.phase", "Pending"), _UNTOUCHED]
    )
    # What a Deployment runs is started again whenever it ends: it never ends by itself here.
    in_time = [_not(_DEADLINE, "true"), _not(".spec.restartPolicy", "Always")] if ending.runs else []
    steps: list[Document] = [
        {"event": {"type": "Warning", "reason": event.reason, "message": event.message}}
        for event in ending.events
    ]
    steps.append(_status(_told(ending)))
    if ending.deleted:
        steps.append({"delete": True})
    delay = _env("RUN_SECONDS" if ending.runs else "START_SECONDS", "0")
    return _stage(f"pod-{name}", "Pod", [_KEPT, *before, *in_time, _is(_END, name)], steps, delay)


def _told(ending: Ending) -> str:
    """The status of a pod with this ending."""
    text = f"phase: {ending.phase}\n"
    if not ending.runs:
        text += "startTime: {{ $now | Quote }}\n"
    if ending.pod_reason:
        text += f"reason: {ending.pod_reason}\nmessage: {json.dumps(ending.pod_message)}\n"
    said = f"reason: {ending.reason}, message: {json.dumps(ending.message)}"
    if ending.waits:
        text += _containers(f"waiting: {{{said}}}")
    elif ending.exit_code is not None:
        text += _containers(_terminated(ending.exit_code, said, ending.runs))
    return text + _conditions(ending)


def _terminated(exit_code: int, said: str, ran: bool) -> str:
    """How a terminated container is shown; one that never ran is said to have started with the epoch."""
    began = "{{ $.status.startTime | Quote }}" if ran else '"1970-01-01T00:00:00Z"'
    times = f"startedAt: {began}, finishedAt: {{{{ $now | Quote }}}}"
    return f"terminated: {{exitCode: {exit_code}, {said}, {times}}}"


def _conditions(ending: Ending) -> str:
    text = _CONDITIONS.replace("STATUS", "False")
    if ending.disruption:
        text += (
            f'- {{type: DisruptionTarget, status: "True", reason: {ending.disruption}, '
            f"message: {json.dumps(ending.pod_message)}, lastTransitionTime: {{{{ $now | Quote }}}}}}\n"
        )
    return text


def _deadline() -> Document:
    """The kubelet's own limit, where it comes before the end that was asked for."""
    cut = Ending(
        137,
        pod_reason="DeadlineExceeded",
        pod_message="Pod was active on the node longer than the specified deadline",
    )
    matches = [_KEPT, _is(".status.phase", "Running"), _is(_DEADLINE, "true")]
    return _stage("pod-deadline", "Pod", matches, [_status(_told(cut))], ".spec.activeDeadlineSeconds")


def _deletions() -> list[Document]:
    """What a kubelet does with a pod that somebody deleted: it lets the container end, then it lets go."""
    running, over = _is(".status.phase", "Running"), _is(".status.phase", "Succeeded", "Failed")
    gone: Document = {"delete": True}
    unstarted = Ending(137, "ContainerStatusUnknown", "The container was never started", runs=False)
    answers = [
        ("deleted-143", "exit-143", Ending(143), ""),
        ("deleted-0", "exit-0", Ending(0, "Completed"), ""),
        ("deleted-137", "ignore", Ending(137), ".metadata.deletionGracePeriodSeconds // 0"),
    ]
    return [
        *[
            _stage(
                name,
                "Pod",
                [_DELETED, running, _is(_TERM, word)],
                [_status(_told(ending)), gone],
                delay,
            )
            for name, word, ending, delay in answers
        ],
        _stage(
            "deleted-unstarted",
            "Pod",
            [_DELETED, _is(".status.phase", "Pending")],
            [_status(_told(unstarted)), gone],
        ),
        _stage("deleted-over", "Pod", [_DELETED, over], [gone]),
    ]
