"""What the answers of the API look like, for its OpenAPI document; the answers themselves are ``shapes``'.

A fuzzer compares every answer with these.
"""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from controller.api.schemas_page import Answer_, Charts, Me, Reaped
from controller.core.model import BatchStatus, Origin, Result, Status, Verdict


class Wrong(Answer_):
    """One of several things that are wrong with a request."""

    where: str
    problem: str


class Problem(Answer_):
    """An error: RFC 9457 problem details."""

    type: str
    """Stable, for programs: `urn:batchkeeper:problem:…`."""
    title: str
    """The name of the HTTP status."""
    status: int
    """The HTTP status."""
    detail: str
    """What happened and what to do, in one sentence."""
    instance: str
    """Where: the path of the request."""
    request_id: str
    """By which the logs know the request."""
    errors: list[Wrong] | None = None
    """Everything that is wrong with it, when that is more than one sentence."""


class Resources(Answer_):
    """What a job requests."""

    cpu: str
    memory: str
    gpu: int


class JobEvidence(Answer_):
    """What is kept of an attempt's end."""

    reason: str
    message: str
    events: list[str]


class StopOrder(Answer_):
    """An order to end an active attempt."""

    why: str
    by: str
    at: str
    code: int | None


class Job(Answer_):
    """One attempt of a task; a key without a value is null."""

    id: str
    name: str
    namespace: str
    user: str
    batch_id: str
    task_id: str
    index: int
    attempt: int
    status: Status
    terminating: bool
    """Active, and being stopped; it keeps its slot until its object is gone."""
    stop: StopOrder | None
    verdict: Verdict | None
    exit_code: int | None
    error: str
    reason: str
    origin: Origin
    rule: str
    retry_parent: str | None
    retry_ids: list[str]
    retry_toggle: bool | None
    resources: Resources
    node: str
    not_before: str | None
    inserted: str | None
    created: str | None
    queued: str | None
    running: str | None
    finished: str | None
    updated: str | None
    evidence: JobEvidence


class AllEvidence(JobEvidence):
    """The same with the node and the end of the log."""

    node: str
    log_tail: str


class JobInput(Answer_):
    """What a job runs."""

    image: str
    command: list[str]
    env: dict[str, str]
    env_from_secret: list[str]
    """Names of secrets; what is in them is shown nowhere."""
    mounts: list[dict[str, Any]]
    local_command: list[str]


class TaskAttempts(Answer_):
    """The task that an attempt belongs to, with all its attempts in order."""

    root: str
    newest: str
    retry_count: int
    attempts: list[Job]


class JobDetails(Job):
    """One attempt, all its evidence, what it runs, and its task's attempts."""

    evidence: AllEvidence
    job_input: JobInput
    image_digest: str
    slot: int | None
    no_retry: bool
    terminated_code: int | None
    request_id: str | None
    scheduler_type: str
    scheduler_id: str
    task: TaskAttempts


class Log(Answer_):
    """The end of a job's output."""

    job: str
    job_id: str
    source: str = Field(alias="from")
    """Where the text is from."""
    text: str


class Explanation(Answer_):
    """Why something is as it is."""

    subject: str
    cause: str
    """A closed word, for programs."""
    sentence: str
    until: str | None
    """The instant that will change it, if one is known."""


class TaskNumbers(Answer_):
    """Tasks by where they stand."""

    total: int
    completed: int
    endedWithoutSuccess: int  # noqa: N815
    active: int
    waiting: int
    terminating: int | None = None


class Failure(Answer_):
    """One of the last failures."""

    task: str
    job: str
    verdict: Verdict | None = None
    exitCode: int | None = None  # noqa: N815
    message: str | None = None
    node: str | None = None
    ended: str | None = None


class BatchSetting(BaseModel):
    """A field that may change: its value, whence, since when."""

    model_config = ConfigDict(extra="forbid")
    value: Any
    source: str = Field(alias="from")
    since: str


class Batch(Answer_):
    """A batch as in the status file beside its spec; keys without a value are left out."""

    batch: str
    """namespace/name"""
    state: BatchStatus
    result: Result | None = None
    reason: str | None = None
    next: str
    """What its reader can do now."""
    activeJobsInBatch: str  # noqa: N815
    """active of max"""
    waits: list[str] | None = None
    """Why it waits."""
    tasks: TaskNumbers
    retries: int | None = None
    foreign: int | None = None
    failures: list[Failure] | None = None
    settings: dict[str, BatchSetting] | None = None
    owner: str
    accepted: str
    finished: str | None = None
    batchId: str  # noqa: N815
    specHash: str  # noqa: N815
    source: str | None = None
    firstAttempts: dict[Verdict, int]  # noqa: N815
    """First attempts that ended, by verdict, since the start or the last resume."""
    cancelling: bool | None = None
    """True from the order to cancel until everything has ended."""
    backOff: int | None = None  # noqa: N815
    """Retries that wait for their time, as far as they were looked for; of one batch only."""
    ignoredHere: list[str] | None = None  # noqa: N815
    """Fields of the spec that have no meaning on this machine; of one batch only."""


class Page(Answer_):
    """A page of a list."""

    next: str | None
    """The cursor of the next page; null: this was the last one."""
    total: int
    """How many there are, counted to 100,000."""
    total_is_exact: bool


class JobPage(Page):
    """Jobs."""

    items: list[Job]


class BatchPage(Page):
    """Batches."""

    items: list[Batch]


class IdAnswer(Answer_):
    """What became of one id."""

    job_id: str
    name: str
    done: bool
    did: str
    error: str
    stage: str
    """Where it was refused: `preflight` wrote nothing."""
    retry_id: str
    retry_ids: list[str]
    child_jobs: list[str]
    retry_toggle: bool | None
    warning: str


class Answer(IdAnswer):
    """What became of the order."""

    dry_run: bool


class Answers(Answer_):
    """What became of each id, in the order of the request."""

    done: int
    refused: int
    dry_run: bool
    answers: list[IdAnswer]


class Totals(BaseModel):
    """Numbers of tasks."""

    model_config = ConfigDict(extra="allow")
    found: int
    succeeded: int
    failed: int


class TaskReport(Answer_):
    """What became of one task."""

    status: Status
    verdict: Verdict | None
    attempts: int
    exit_code: int | None
    reason: str
    retry: str | None
    node: str
    seconds: float | None
    by_rule: bool


class Report(Answer_):
    """What became of every task of a batch."""

    batch: str
    result: Result | None
    totals: Totals
    verdicts: dict[str, int]
    skips: dict[str, int]
    tasks: dict[str, TaskReport]


class Taken(Answer_):
    """What became of a spec."""

    outcome: str
    batch: str
    batchId: str | None  # noqa: N815
    sentences: list[str]
    warnings: list[str]
    dry_run: bool


class Plan(Answer_):
    """What a spec would do."""

    batch: str
    owner: str
    tasks: int
    maxConcurrent: int  # noqa: N815
    firstJobs: list[str]  # noqa: N815
    lastJobs: list[str]  # noqa: N815
    perJob: Resources  # noqa: N815
    peak: Resources
    retryRules: list[dict[str, Any]]  # noqa: N815
    maxAutoRetries: int  # noqa: N815
    ignoredHere: list[str]  # noqa: N815
    runsHere: list[str]  # noqa: N815
    deadline: str | None
    """Of a running job; null: none."""
    paused: bool
    """It would wait for a resume."""
    warnings: list[str]


class Did(Answer_):
    """What an order did."""

    did: str
    dry_run: bool


class Repaired(Answer_):
    """Retries whose lifecycle was, or would be, finished."""

    repaired: list[Job]
    dry_run: bool


ANSWERS: tuple[type[BaseModel], ...] = (
    Problem,
    JobPage,
    JobDetails,
    Log,
    Explanation,
    BatchPage,
    Answer,
    Answers,
    Report,
    Taken,
    Plan,
    Did,
    Repaired,
    Reaped,
    Me,
    Charts,
)
