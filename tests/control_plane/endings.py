"""How a simulated pod ends: what its environment asks for, and what the cluster then shows.

A task's parameters become its container's environment, so a spec of a test says them as parameters:

====================  =====================================================================================
``END``               one of ``ENDINGS`` (``exit-0`` unless said); several, comma-separated, are for attempt
                      0, 1, 2 … by the label ``batchkeeper.io/attempt``, the last one for all later attempts
                      (of an Indexed Job with a limit per index: by how often that index has failed)
``START_SECONDS``     from scheduled to started (0)
``RUN_SECONDS``       from started to the end (0)
``ON_TERM``           when it is deleted while it runs: ``exit-143`` (the default), ``exit-0``, ``ignore``
                      (killed when its grace period is over: 137), ``hang`` (Terminating for ever)
``LOG``               what ``pods/log`` answers, ``first`` and ``last`` on a line each unless said
====================  =====================================================================================

=====================  ====================================================================================
``exit-<n>``           the container ran and exited with that status, for n of ``EXITS``
``oom``                137, ``OOMKilled``
``evicted``            the kubelet evicted it: phase Failed, reason ``Evicted``, ``DisruptionTarget``
``preempted``          ``DisruptionTarget`` with ``PreemptionByScheduler``, then the pod is deleted
``drained``            ``DisruptionTarget`` with ``EvictionByEvictionAPI``, then the pod is deleted
``node-shutdown``      phase Failed, reason ``Terminated``, ``DisruptionTarget``
``status-unknown``     137, ``ContainerStatusUnknown``: the node came back and knew nothing
``vanishes``           exits 3, and the pod is deleted at once: who lists pods never sees how it ended
``never``              runs for ever
``start-error``        the container never started: 128, ``StartError``
``cannot-run``         the container never started: 127, ``ContainerCannotRun``
``mount-failure``      never starts: ``ContainerCreating``, with ``FailedMount`` events
``image-pull``         never starts: ``ImagePullBackOff``, with ``Failed`` and ``BackOff`` events
``invalid-image``      never starts: ``InvalidImageName``
``config-error``       never starts: ``CreateContainerConfigError``
``stuck``              never starts, and no event says why
``kubelet-rejected``   phase Failed, reason ``UnexpectedAdmissionError``, no container status at all
=====================  ====================================================================================

A pod on a node whose name begins with ``mounts-fail`` has the ending ``mount-failure`` whatever it asks for,
and the pod's ``activeDeadlineSeconds`` ends it as the kubelet would (phase Failed, ``DeadlineExceeded``).
All of this KWOK does by itself. Some things a test's own hand does, through ``ControlPlane``: a node is lost
(``lose_node``), a pod is evicted through the API (``evict``) or torn out with its finalizers (``tear_out``).
A pod that nothing can schedule needs no hand: a node selector that matches no node. Real and not simulated at
all: the Job's conditions, quota, admission, scheduling,
preemption by priority, the finalizers, garbage collection and TTL.
"""

from __future__ import annotations

from dataclasses import dataclass

EXITS = (0, 1, 2, 3, 126, 127, 128, 134, 137, 139, 143, 255)
BROKEN_MOUNTS = "mounts-fail"
"""How the names of nodes begin whose mounts fail."""


@dataclass(frozen=True)
class Event:
    """A warning about the pod, as the kubelet writes it."""

    reason: str
    message: str


@dataclass(frozen=True)
class Ending:
    """What the pod's status shows at the end of its run, or instead of its start."""

    exit_code: int | None = None
    """Of the container; None: there is no status of a terminated container."""
    reason: str = "Error"
    """Of the terminated container, or of the waiting one."""
    message: str = ""
    """Of the same."""
    pod_reason: str = ""
    pod_message: str = ""
    disruption: str = ""
    """The reason of the pod's condition ``DisruptionTarget``; empty: it has none."""
    runs: bool = True
    """Whether the container starts at all."""
    waits: bool = False
    """It never comes to an end by itself: the container waits, for ``reason``."""
    deleted: bool = False
    """The pod is deleted right after."""
    events: tuple[Event, ...] = ()

    @property
    def phase(self) -> str:
        """The pod's phase at that point."""
        return "Pending" if self.waits else "Succeeded" if self.exit_code == 0 else "Failed"


def _never(reason: str, message: str = "", *events: Event) -> Ending:
    return Ending(reason=reason, message=message, runs=False, waits=True, events=events)


_UNMOUNTED = 'MountVolume.SetUp failed for volume "data" : hostPath type check failed: {} is not a directory'
_UNMOUNTED_DATA = _UNMOUNTED.format("/hpi/data")
_PULL = 'Failed to pull image: failed to resolve reference "x": pull access denied, repository does not exist'
_START = (
    "failed to create containerd task: failed to create shim task: OCI runtime create failed: runc create "
    'failed: unable to start container process: error mounting "/hpi/data" to rootfs at "/data": '
    "no such file or directory"
)

ENDINGS: dict[str, Ending] = {
    **{f"exit-{code}": Ending(code, "Error" if code else "Completed") for code in EXITS},
    "oom": Ending(137, "OOMKilled"),
    "evicted": Ending(
        137,
        pod_reason="Evicted",
        pod_message="The node was low on resource: memory. Threshold quantity: 100Mi, available: 80Mi.",
        disruption="TerminationByKubelet",
    ),
    "preempted": Ending(143, disruption="PreemptionByScheduler", deleted=True),
    "drained": Ending(143, disruption="EvictionByEvictionAPI", deleted=True),
    "node-shutdown": Ending(
        137,
        pod_reason="Terminated",
        pod_message="Pod was terminated in response to imminent node shutdown.",
        disruption="TerminationByKubelet",
    ),
    "status-unknown": Ending(
        137, "ContainerStatusUnknown", "The container could not be located when the pod was terminated"
    ),
    "vanishes": Ending(3, deleted=True),
    "never": Ending(),
    "start-error": Ending(128, "StartError", _START, runs=False),
    "cannot-run": Ending(127, "ContainerCannotRun", "exec: not found in $PATH", runs=False),
    "mount-failure": _never("ContainerCreating", "", Event("FailedMount", _UNMOUNTED_DATA)),
    "image-pull": _never(
        "ImagePullBackOff",
        "Back-off pulling image",
        Event("Failed", _PULL),
        Event("BackOff", "Back-off pulling image"),
    ),
    "invalid-image": _never(
        "InvalidImageName",
        "couldn't parse image name: invalid reference format",
        Event("Failed", "Error: InvalidImageName"),
    ),
    "config-error": _never(
        "CreateContainerConfigError",
        'secret "gwas-credentials" not found',
        Event("Failed", 'Error: secret "gwas-credentials" not found'),
    ),
    "stuck": _never("ContainerCreating"),
    "kubelet-rejected": Ending(
        pod_reason="UnexpectedAdmissionError",
        pod_message="Allocate failed due to no healthy devices present; cannot allocate unhealthy devices",
        runs=False,
    ),
}
"""By the word in ``END``."""
