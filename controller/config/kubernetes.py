"""The settings of a cluster that is Kubernetes, and of Run:ai on top of it."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta
from typing import Annotated

from pydantic import BeforeValidator, Field, field_validator, model_validator
from pydantic_settings import NoDecode

from controller.config.schema import Duration, Label, Names, PathText, Section, listed

Kind = Annotated[str, Field(pattern=r"^[A-Z][A-Za-z0-9]{0,62}$")]
GroupName = Annotated[str, Field(pattern=r"^[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?$")]
Resource = Annotated[str, Field(pattern=r"^[a-z][a-z0-9]{0,62}$")]


class CountedKind(Section):
    """Objects of one more kind that count under a batch's prefix, beside Jobs and Pods."""

    group: GroupName
    """API group: `run.ai`."""
    version: Label
    """API version: `v2alpha1`."""
    resource: Resource
    """The plural in the API's paths: `trainingworkloads`."""
    kind: Kind
    """The kind: `TrainingWorkload`."""
    ended: Names = ("Completed", "Failed", "Succeeded")
    """Values of `status.phase` in which an object takes no place. Any other one counts, unknown ones too."""
    succeeded: Names = ("Completed", "Succeeded")
    """Those of `ended` that are a success; adoption records the others as errors."""

    @model_validator(mode="after")
    def _success_is_an_end(self) -> CountedKind:
        if unknown := set(self.succeeded) - set(self.ended):
            raise ValueError(f"succeeded names {', '.join(sorted(unknown))}, which ended does not")
        return self


class Lease(Section):
    """The Lease that replicas elect their leader with."""

    name: Label = "batchkeeper"
    """Its name; the instance is appended."""
    namespace: str = Field("", max_length=63)
    """Its namespace. Empty: this pod's own, or the one of the kubeconfig's context, else `namespace`."""
    duration: Duration = timedelta(seconds=15)
    """After how long without a renewal a standby takes over."""
    renew: Duration = timedelta(seconds=10)
    """After how long without a successful renewal the leader stops leading."""
    retry: Duration = timedelta(seconds=2)
    """Between two tries to renew or to take it."""

    @model_validator(mode="after")
    def _in_order(self) -> Lease:
        if not self.duration > self.renew > self.retry:
            raise ValueError("needs duration > renew > retry, else two lead or nobody does")
        return self


class Kubernetes(Section):
    """How to reach the API server, and what its Jobs are given."""

    kubeconfig: PathText = ""
    """Path of a kubeconfig. Empty: the pod's service account, else $KUBECONFIG, else ~/.kube/config."""
    context: str = ""
    """Context in the kubeconfig. Empty: its current one."""
    timeout: Duration = timedelta(seconds=10)
    """How long one request may take until its outcome counts as unknown."""
    rate: float = Field(50.0, gt=0, le=100_000)
    """Requests a second to the API server, in the long run."""
    burst: int = Field(100, ge=1, le=100_000)
    """Requests that may come at once after a quiet time."""
    watch: bool = True
    """Whether to follow changes by watches. false: the periodic pass alone, where watches are forbidden."""
    events: bool = True
    """Whether Events tell of a batch: accepted, at its cap, ended … (docs/notifications.md)."""
    scheduler_name: str = Field("", max_length=253)
    """`schedulerName` of every pod. Empty: the cluster's default; `runai` sets runai-scheduler."""
    spread: bool = True
    """Whether a batch's pods are softly spread over nodes."""
    counted: Annotated[tuple[CountedKind, ...], NoDecode, BeforeValidator(listed)] = ()
    """Kinds that count under a batch's prefix, beside Jobs and Pods; those of `cluster.kind: runai` by
    themselves."""
    lease: Lease = Lease()
    """The leader election."""

    @field_validator("counted")
    @classmethod
    def _told_apart(cls, kinds: tuple[CountedKind, ...]) -> tuple[CountedKind, ...]:
        """A foreign object is remembered by its kind, so two of one name could be taken for each other."""
        names = Counter(("Job", "Pod", *(one.kind for one in kinds)))
        if twice := [name for name, count in names.items() if count > 1]:
            raise ValueError(f"the kind {twice[0]} is counted already: leave it out")
        return kinds


class Runai(Section):
    """Run:ai, with `cluster.kind: runai`."""

    project: str = Field("", pattern=r"^([a-z0-9]([-a-z0-9]{0,52}[a-z0-9])?)?$")
    """The project: its namespace is `runai-<project>`, which replaces `namespace` when that is not set."""
    stopped_counts: bool = True
    """Whether a workload in phase Stopped takes a place: it may be resumed by its owner at any time."""
