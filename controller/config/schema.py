"""The settings: every key of `config.yaml`, its default, its unit and what it does.

Sections are frozen; a key that is not here is an error. `controller.config.load` fills them from the
environment, the file and these defaults, in that order of precedence.
"""

from __future__ import annotations

import json
import os
import re
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, SecretStr, model_validator
from pydantic_settings import NoDecode

from controller.core.durations import parse_duration
from controller.core.naming import is_label
from controller.core.quantities import parse_memory


def _duration(value: object) -> object:
    return parse_duration(value) if isinstance(value, str) else value


def _positive(value: timedelta) -> timedelta:
    if value <= timedelta():
        raise ValueError("must be longer than 0s")
    return value


def _memory(value: object) -> object:
    return parse_memory(value) if isinstance(value, str) else value


def _label(value: str) -> str:
    if not is_label(value) or len(value) > 63:
        raise ValueError(f"{value!r} must be lower-case letters, digits and dashes, at most 63 of them")
    return value


def listed(value: object) -> object:
    """A list out of one environment variable: JSON, or names between commas."""
    if not isinstance(value, str):
        return value
    if value.lstrip().startswith("["):
        try:
            return json.loads(value)
        except ValueError as error:
            raise ValueError(f"is not a JSON list: {error}") from None
    return [part.strip() for part in re.split(r"[,\n]", value) if part.strip()]


def _path(value: object) -> object:
    """Not even the empty text is the working directory: it is what a variable holds that was never set."""
    if isinstance(value, str) and not value.strip():
        raise ValueError("must not be empty: name a file or folder, or leave it out")
    return home(value)


def home(value: object) -> object:
    """A path with ``~`` as whoever types it means it."""
    return os.path.expanduser(value) if isinstance(value, str) else value


FilePath = Annotated[Path, BeforeValidator(_path)]
PathText = Annotated[str, BeforeValidator(home)]
"""May be empty: none."""
Duration = Annotated[timedelta, BeforeValidator(_duration), AfterValidator(_positive)]
"""Longer than nothing: an interval of 0s would be a busy loop, a timeout of 0s a refusal."""
DurationOrNone = Annotated[timedelta, BeforeValidator(_duration)]
"""May be 0s."""
Memory = Annotated[int, BeforeValidator(_memory), Field(gt=0)]
Label = Annotated[str, AfterValidator(_label)]
Names = Annotated[tuple[str, ...], NoDecode, BeforeValidator(listed)]


class Section(BaseModel):
    """A part of the file. Frozen; closed; the docstring below a key is its description."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    @model_validator(mode="before")
    @classmethod
    def _empty_is_default(cls, value: Any) -> Any:
        """A section whose keys are all commented out reads as null, and means its defaults."""
        return {} if value is None else value


class Mongod(Section):
    """The mongod that the program starts itself when there is no `store.uri`."""

    binary: PathText = ""
    """Path of a mongod. Empty: the one on PATH, else the one that the `embedded` extra installs."""
    cache_mb: int = Field(256, ge=256, le=1_000_000)
    """Its cache, in MiB. MongoDB accepts no less than 256."""


class Ee2Cancel(Section):
    """How the scheduler of EE2's jobs is asked to cancel one that is stuck, before its record is ended."""

    command: Names = ()
    """Program and arguments; job id and scheduler id (empty: none) are appended. No shell reads them, and
    exit code 0 alone is success. Empty: none."""
    url: str = Field("", pattern=r"^(https?://\S+)?$")
    """Address that gets a POST with the ids as JSON; a 2xx answer alone is success. Empty: none."""
    timeout: Duration = timedelta(seconds=30)
    """How long one request may take."""

    @model_validator(mode="after")
    def _one_way(self) -> Ee2Cancel:
        if self.command and self.url:
            raise ValueError("give command or url, not both")
        return self


class Ee2(Section):
    """Records of KBase's execution engine 2, with `store.layout: ee2`; `store.database` is then EE2's."""

    collection: str = Field("ee2_jobs", pattern=r"^[A-Za-z_][A-Za-z0-9_.-]{0,119}$")
    """EE2's collection of jobs."""
    own_collection: str = Field("batchkeeper_ee2", pattern=r"^[A-Za-z_][A-Za-z0-9_.-]{0,119}$")
    """Our own collection beside it: the epoch, claims, evidence, what is quarantined."""
    repair_after: DurationOrNone = timedelta(minutes=10)
    """How old an unfinished retry must be: EE2 may still be between the steps of a younger one."""
    create_indexes: bool = False
    """Whether to create the two indexes that the passes need. false: a line tells which are missing."""
    cancel: Ee2Cancel = Ee2Cancel()
    """The cancel hook. Without one nothing is reaped."""

    @model_validator(mode="after")
    def _two_collections(self) -> Ee2:
        if self.collection == self.own_collection:
            raise ValueError("own_collection must not be EE2's collection")
        return self


class Store(Section):
    """Where the records are kept."""

    uri: SecretStr = SecretStr("")
    """MongoDB connection string; a secret, shown nowhere. Empty: a mongod of our own in `state_dir`."""
    database: str = Field("batchkeeper", pattern=r"^[A-Za-z0-9_-]{1,63}$")
    """Name of the database."""
    layout: Literal["own", "ee2"] = "own"
    """`own`: Batchkeeper's records; `ee2`: EE2's records are repaired and reaped in place (docs/ee2.md)."""
    timeout: Duration = timedelta(seconds=10)
    """How long one call may take until its outcome counts as unknown."""
    mongod: Mongod = Mongod()
    """The mongod of our own."""
    ee2: Ee2 = Ee2()
    """EE2's records, with `layout: ee2`."""


class Owner(Section):
    """Whose the specs are: those of a place, for a namespace, or of a file owner on this machine."""

    folder: str = ""
    """Folder below `specs.folder`, and all below it."""
    source: str = Field("", pattern=r"^((s3|configmap)://\S+)?$")
    """Place in a bucket or among ConfigMaps, and all below it: `s3://lab/specs/salk`, `configmap://lab`."""
    namespace: str = ""
    """The spec's namespace."""
    uid: int | None = Field(None, ge=0)
    """Numeric user id that owns the spec file."""
    user: str = Field(min_length=1)
    """The user that such specs belong to."""

    @model_validator(mode="after")
    def _one_condition(self) -> Owner:
        conditions = (bool(self.folder), bool(self.source), bool(self.namespace), self.uid is not None)
        if sum(conditions) != 1:
            raise ValueError("needs exactly one of folder, source, namespace and uid beside user")
        return self


class Cluster(Section):
    """Where jobs run."""

    kind: Literal["local", "kubernetes", "runai"] = "local"
    """`local`: processes on this machine; `kubernetes`: Jobs; `runai`: Jobs for Run:ai's scheduler."""


class Local(Section):
    """The cluster that is this machine."""

    node: str = ""
    """Name of the node in records. Empty: the host's name."""
    grace: DurationOrNone = timedelta(seconds=10)
    """From SIGTERM to SIGKILL when a job is stopped. 0s: killed at once."""
    sample: Duration = timedelta(milliseconds=100)
    """How often a job's memory is measured."""
    log_bytes: Memory = 2**20
    """How much of a job's output is kept: its end, in bytes."""
    kept_logs: Memory = 2**30
    """How much the outputs of all jobs whose folders are gone may take; the oldest go first."""
    faults: PathText = ""
    """YAML file with mount failures to inject, for demonstrations. Empty: none."""
    workdir: PathText = ""
    """Folder at which a spec's relative `job.local.workdir` starts. Empty: the spec file's own folder."""


class Reconcile(Section):
    """The periodic pass over all unfinished batches; events only make it earlier."""

    interval: Duration = timedelta(seconds=15)
    """How often it runs when nothing happens."""
    pass_timeout: Duration = timedelta(seconds=60)
    """When a pass that hangs is given up; the next one starts from the records."""


class Repair(Section):
    """The pass that finishes interrupted retries."""

    interval: Duration = timedelta(seconds=30)
    """How often it runs."""
    after: DurationOrNone = timedelta(seconds=30)
    """How old an unfinished retry must be: younger ones are still being written."""


class Reap(Section):
    """When a job is stuck, and every pass ends it. Time in which nothing could be seen does not count."""

    created_after: Duration | None = timedelta(hours=1)
    """How long a job may be `created`. null: for ever."""
    queued_after: Duration | None = timedelta(days=14)
    """How long a job may be `queued`. null: for ever."""
    running_after: Duration | None = None
    """How long a job may be `running`. null: for ever."""


class Submission(Section):
    """How fast jobs are submitted."""

    rate: float = Field(10.0, gt=0, le=100_000)
    """Submissions a second, in the long run, over all batches."""
    burst: int = Field(20, ge=1, le=100_000)
    """Submissions that may come at once after a quiet time."""
    concurrency: int = Field(16, ge=1, le=1_000)
    """Requests to the cluster that may be under way at the same time."""


class Lifecycle(Section):
    """Waiting times that the safety rules rest on (docs/lifecycle.md)."""

    open_create_hold: Duration = timedelta(hours=24)
    """How long after a create without an answer it may still land; its name stays taken as long."""
    finished_ttl: DurationOrNone = timedelta(hours=1)
    """How long a finished job's object is kept in the cluster once its result is recorded."""
    no_pod_after: Duration = timedelta(seconds=60)
    """How long a job's object may have no pod before its events are asked why."""
    unreachable_after: Duration = timedelta(minutes=10)
    """How long a pod may take to go before its node is shown as out of reach."""
    clock_skew: Duration = timedelta(seconds=30)
    """How far clocks may disagree before nothing is reaped."""


class Limits(Section):
    """Bounds on active jobs over several batches. null: no bound."""

    total: int | None = Field(None, ge=0)
    """Active jobs in all."""
    per_namespace: int | None = Field(None, ge=0)
    """Active jobs in each namespace."""
    per_user: int | None = Field(None, ge=0)
    """Active jobs of each user."""


class Policy(Section):
    """What specs may ask for; the operator wins over the spec."""

    namespaces: Names = ()
    """Namespaces that specs may name, beside the default one. Empty: the default one only."""
    images: Names = ()
    """What an image's name must start with, one of these. Empty: any image."""
    host_path_prefixes: Names = ()
    """Host folders of which one must hold a `hostPath` mount. Empty: any path on this machine, none on a
    cluster."""
    service_accounts: Names = ()
    """Service accounts that specs may name. Empty: none."""
    secrets: Names = ()
    """Secrets that specs may name in `envFromSecret` and `imagePullSecrets`. Empty: none."""


class Http(Section):
    """The port with /livez, /readyz and /metrics."""

    enabled: bool = True
    """Whether to listen at all."""
    host: str = Field("127.0.0.1", min_length=1)
    """Address to listen on. 0.0.0.0: all of IPv4."""
    port: int = Field(8080, ge=0, le=65535)
    """TCP port. 0: any free one, named in the log."""


class Log(Section):
    """What is logged, to stderr."""

    format: Literal["auto", "json", "text"] = "auto"
    """`json` one object a line; `text` coloured lines; `auto` text on a terminal, json elsewhere."""
    level: Literal["debug", "info", "warning", "error"] = "info"
    """The least level that is shown."""


class Compat(Section):
    """Habits of other systems."""

    runai: bool = False
    """Set RUNAI_JOB_NAME in every job, for entry points that ask for it."""
