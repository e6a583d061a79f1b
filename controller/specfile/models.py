"""The batch spec as its author writes it: one pydantic model per mapping, closed, every field described.

The docstring below a field is its description in the JSON schema and in editors. Values arrive as text
and get their types here; what spans several fields is looked at in ``checks``.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema, model_validator
from pydantic.alias_generators import to_camel

from controller.core.model import When
from controller.core.settings import MOST_CONCURRENT
from controller.specfile import scalars as s
from controller.specfile.nodes import Empty

API_VERSION = "batchkeeper/v1"
KIND = "Batch"


def _one_of_required(*names: str) -> dict[str, Any]:
    return {"oneOf": [{"required": [name]} for name in names]}


class Part(BaseModel):
    """A mapping of the spec. A field without a value counts as not given."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        alias_generator=to_camel,
        use_attribute_docstrings=True,
        hide_input_in_errors=True,
    )

    @model_validator(mode="before")
    @classmethod
    def _empty_is_absent(cls, value: Any) -> Any:
        if isinstance(value, Empty):
            return {}
        if not isinstance(value, dict):
            return value
        return {key: inner for key, inner in value.items() if not isinstance(inner, Empty)}


class Range(Part):
    """One task per whole number, both ends included. The number is the task's id and its parameter."""

    name: s.EnvName
    """Environment variable that gets the number."""
    first: Annotated[s.Whole, Field(alias="from", ge=0)]
    """The first number."""
    to: Annotated[s.Whole, Field(ge=0)]
    """The last number."""


class Csv(Part):
    """One task per row of a file with a header; every column but `id` is a parameter."""

    path: Annotated[s.Text, Field(min_length=1)]
    """Path of the file, relative to the spec, inside the watched folder. UTF-8, at most 32 MiB."""
    id: s.Word = ""
    """Column that holds the task's id. Without it: the column `id`, else a hash of the row."""


class Tasks(Part):
    """What to run once each: exactly one of `range`, `list`, `matrix` and `csv`."""

    model_config = ConfigDict(json_schema_extra=_one_of_required("range", "list", "matrix", "csv"))

    range: Range | None = None
    """Consecutive numbers."""
    items: Annotated[list[dict[str, s.EnvValue]] | None, Field(alias="list", min_length=1)] = None
    """Tasks one by one: their parameters, and an `id` (else a hash of the parameters)."""
    matrix: Annotated[
        dict[s.EnvName, Annotated[list[s.EnvValue], Field(min_length=1)]] | None, Field(min_length=1)
    ] = None
    """Every combination of the values; the last parameter changes fastest."""
    csv: Csv | None = None
    """Rows of a file."""


class Resources(Part):
    """What one job requests."""

    cpu: s.Cpu = 1000
    """Cores (`12`, `0.5`) or millicores (`500m`)."""
    memory: s.Memory = 0
    """Bytes, or with a unit (`32Gi`). 0: not limited."""
    gpu: Annotated[s.Whole, Field(ge=0, le=1024)] = 0
    """Whole devices."""


def _empty_dir(value: Any) -> Any:
    """Kubernetes writes ``emptyDir: {}``."""
    if isinstance(value, dict) and value:
        raise ValueError("takes no settings: write emptyDir: true")
    return "true" if value == {} else value


class Mount(Part):
    """One volume: exactly one of `hostPath`, `pvc`, `configMap` and `emptyDir`."""

    model_config = ConfigDict(json_schema_extra=_one_of_required("hostPath", "pvc", "configMap", "emptyDir"))

    path: s.AbsolutePath
    """Where it appears in the job. Absolute."""
    host_path: s.AbsolutePath | None = None
    """Folder of the node. Absolute; the operator may allow some only."""
    pvc: s.ObjectName | None = None
    """PersistentVolumeClaim in the batch's namespace."""
    config_map: s.ObjectName | None = None
    """ConfigMap in the batch's namespace."""
    empty_dir: Annotated[
        s.Flag | None, BeforeValidator(_empty_dir), WithJsonSchema({"type": ["boolean", "object"]})
    ] = None
    """An empty folder that ends with the job."""
    read_only: s.Flag = False
    """Whether the job can't write to it."""
    propagation: Literal["None", "HostToContainer"] = "None"
    """Whether mounts that the node makes later are seen in the job."""


class Toleration(Part):
    """A node taint that the job's pod tolerates, as Kubernetes defines it."""

    key: s.LabelKey | None = None
    """Key of the taint. Absent, with `operator: Exists`: every taint."""
    operator: Literal["Exists", "Equal"] = "Equal"
    """`Exists`: any value; `Equal`: the same value."""
    value: s.LabelValue | None = None
    """Value of the taint."""
    effect: Literal["NoSchedule", "PreferNoSchedule", "NoExecute"] | None = None
    """Effect of the taint. Absent: every effect."""
    toleration_seconds: Annotated[s.Whole, Field(ge=0)] | None = None
    """With `NoExecute`: seconds until the pod is evicted. Absent: never."""


class Local(Part):
    """On one machine: what replaces what only the image has. Ignored on a cluster."""

    command: list[s.Word] = []
    """Program and arguments. Absent: those of `job.command`."""
    env: s.Env = {}
    """Environment variables on top of `job.env` and the parameters."""
    workdir: s.Text = ""
    """Working directory; a relative one starts at the spec's folder. Absent: a folder of the job's own."""


class Job(Part):
    """What each task runs."""

    image: s.Image
    """Container image; pinned by digest, a retry runs the same bytes."""
    command: list[s.Word] = []
    """Program and arguments. Absent: the image's own."""
    env: s.Env = {}
    """Environment variables, values as written. No secrets: see `envFromSecret`."""
    resources: Resources = Resources()
    """What one job requests."""
    env_from_secret: list[s.ObjectName] = []
    """Secrets whose keys become environment variables; the operator allows them by name."""
    mounts: list[Mount] = []
    """Volumes."""
    deadline: s.Duration | None = None
    """How long the started job may run. Absent: without end."""
    start_deadline: s.Duration = timedelta(minutes=15)
    """How long from being given a node to being started."""
    node_selector: dict[s.LabelKey, s.LabelValue] = {}
    """Labels that the node must have."""
    tolerations: list[Toleration] = []
    """Node taints that are tolerated."""
    priority_class: s.ObjectName | None = None
    """PriorityClass of the pods."""
    service_account: s.ObjectName | None = None
    """Service account of the pods; the operator allows them by name."""
    image_pull_secrets: list[s.ObjectName] = []
    """Secrets with which the image is pulled; the operator allows them by name."""
    local: Local = Local()
    """What is different on one machine."""


class On(Part):
    """Which failures: keys are AND, the values of a key are OR. At least one key."""

    model_config = ConfigDict(json_schema_extra={"minProperties": 1})

    verdict: Annotated[list[s.VerdictWord], s.OneOrMany, Field(min_length=1)] | None = None
    """What the failure was judged to be."""
    exit_codes: Annotated[list[s.ExitCode], s.OneOrMany, Field(min_length=1)] | None = None
    """Exit codes, 2 to 255."""
    reasons: (
        Annotated[list[Annotated[s.Text, Field(min_length=1)]], s.OneOrMany, Field(min_length=1)] | None
    ) = None
    """Reasons of container, pod or job, as `OOMKilled`; capitals don't matter."""
    logs: Annotated[s.Pattern, Field(min_length=1)] | None = None
    """Regular expression that is searched in the last log lines."""


class Backoff(Part):
    """Retry n waits min(base · factorⁿ⁻¹, max), and up to a tenth longer."""

    base: s.Wait = timedelta(seconds=60)
    """Wait before the first retry."""
    factor: s.Factor = 2.0
    """By how much each wait is longer than the one before."""
    max: s.Wait = timedelta(minutes=5)
    """The longest wait."""


class GrowCpu(Part):
    """How the CPU request grows."""

    factor: s.Factor
    """Factor per failure that this rule matched."""
    max: s.Cpu | None = None
    """The most to request. Absent: no bound."""


class GrowMemory(Part):
    """How the memory request grows."""

    factor: s.Factor
    """Factor per failure that this rule matched."""
    max: s.Memory | None = None
    """The most to request. Absent: no bound."""


class GrowGpu(Part):
    """How the GPU request grows."""

    factor: s.Factor
    """Factor per failure that this rule matched; rounded up to whole devices."""
    max: Annotated[s.Whole, Field(ge=1, le=1024)] | None = None
    """The most to request. Absent: no bound."""


class Grow(Part):
    """What a retry requests more of."""

    cpu: GrowCpu | None = None
    """More CPU."""
    memory: GrowMemory | None = None
    """More memory."""
    gpu: GrowGpu | None = None
    """More devices."""


class Retry(Part):
    """One retry rule. The first one that matches decides; the built-in rules come after all of these."""

    on: On
    """Which failures it is for."""
    limit: Annotated[s.Whole, Field(ge=0, le=1000)] = 1
    """Retries per task; 0: none, not even by a built-in rule."""
    backoff: Backoff = Backoff()
    """How long to wait before each retry."""
    when: s.WhenWord = When.NOW
    """`now`, `batch-end` (when nothing else of the batch is left) or `manual` (people only)."""
    resources: Grow = Grow()
    """What the retry requests more of."""


class Header(Part):
    """The fields of a spec that are single values."""

    api_version: Literal["batchkeeper/v1"]
    """Version of this format: `batchkeeper/v1`."""
    kind: Literal["Batch"]
    """Always `Batch`."""
    name: s.BatchName
    """Name of the batch and prefix of its jobs' names; unique in its namespace, for ever."""
    owner: s.Owner | None = None
    """User it belongs to; must agree with the operator's map where there is one."""
    namespace: s.Label | None = None
    """Namespace of the jobs; the operator allows them by name. Absent: the daemon's default."""
    max_concurrent: Annotated[s.Whole, Field(ge=1, le=MOST_CONCURRENT)] | None = None
    """The most jobs active at any time. Absent: the daemon's default. May change while it runs."""
    priority: Annotated[s.Whole, Field(ge=-1_000_000, le=1_000_000)] = 0
    """Higher first where a limit binds several batches. May change while it runs."""
    paused: s.Flag = False
    """Whether nothing new starts. May change while it runs."""
    adopt: s.Flag = False
    """Take over what others run under these names already. May be added while the batch is held for it."""
    max_auto_retries: Annotated[s.Whole, Field(ge=0, le=1000)] = 6
    """The most automatic retries of one task, all rules together."""


class BatchFile(Header):
    """A batch: many jobs of one kind, at most so many at a time, retried by rule."""

    tasks: Tasks
    """What to run once each."""
    job: Job
    """What each task runs."""
    retry: list[Retry] = []
    """Retry rules, first match wins. May change while it runs."""
