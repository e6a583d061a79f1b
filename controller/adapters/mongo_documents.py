"""The documents of the store: one shape per record, with the names that contracts.md publishes.

Called by every ``mongo_*`` module. Ids are ObjectIds in the database and hexadecimal text outside it,
instants have milliseconds, durations are seconds.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from controller.adapters.mongo_shapes import (
    ID,
    IDS,
    INSTANT,
    JSON,
    PAIRS,
    SECONDS,
    TEXTS,
    WHOLE,
    Codec,
    Document,
    Shape,
    each,
    nested,
    word,
)
from controller.core.model import (
    Attempt,
    Batch,
    BatchStatus,
    Counts,
    Evidence,
    Foreign,
    ForeignKind,
    Gate,
    Halt,
    Holder,
    JobInput,
    LocalJob,
    Mount,
    OpenCreate,
    Origin,
    Resources,
    Result,
    Setting,
    Status,
    Stop,
    TerminatedCode,
    Verdict,
    When,
)
from controller.core.notices import Channel, Notice, Topic

STOP = Shape(Stop, at=INSTANT, code=word(TerminatedCode))
OPEN_CREATE = Shape(OpenCreate, at=INSTANT)
EVIDENCE = Shape(Evidence, events=TEXTS, matched=TEXTS)
RESOURCES = Shape(Resources, cpu=WHOLE, memory=WHOLE, gpu=WHOLE, always=("cpu", "memory", "gpu"))
LOCAL_JOB = Shape(LocalJob, command=TEXTS, env=PAIRS)
JOB_INPUT = Shape(
    JobInput,
    command=TEXTS,
    env=PAIRS,
    resources=nested(RESOURCES),
    mounts=each(nested(Shape(Mount))),
    env_from_secret=TEXTS,
    deadline=SECONDS,
    start_deadline=SECONDS,
    node_selector=PAIRS,
    tolerations=each(PAIRS),
    image_pull_secrets=TEXTS,
    local=nested(LOCAL_JOB),
    always=("resources",),
)
ATTEMPT = Shape(
    Attempt,
    keys={"id": "_id"},
    always=("when", "epoch"),
    id=ID,
    batch_id=ID,
    status=word(Status),
    job_input=nested(JOB_INPUT),
    origin=word(Origin),
    inserted=INSTANT,
    updated=INSTANT,
    retry_parent=ID,
    retry_ids=IDS,
    when=word(When),
    not_before=INSTANT,
    created=INSTANT,
    queued=INSTANT,
    running=INSTANT,
    finished=INSTANT,
    stop=nested(STOP),
    open_creates=each(nested(OPEN_CREATE)),
    verdict=word(Verdict),
    evidence=nested(EVIDENCE),
    terminated_code=word(TerminatedCode),
)

SETTING = Shape(Setting, keys={"source": "from"}, value=JSON, at=INSTANT)
SETTINGS = Codec(
    lambda settings: {name: SETTING.encode(setting) for name, setting in settings.items()},
    lambda document: {name: SETTING.decode(setting) for name, setting in document.items()},
)


def _tally(enum: type[Status] | type[Verdict]) -> Codec:
    return Codec(
        lambda counts: {key.value: n for key, n in counts.items()},
        lambda document: {enum(key): n for key, n in document.items() if n},
    )


NOTICE = Shape(
    Notice,
    always=("tries",),
    topic=word(Topic),
    channel=word(Channel),
    at=INSTANT,
    due=INSTANT,
)
COUNTS = Shape(Counts, status=_tally(Status), first=_tally(Verdict))
BATCH = Shape(
    Batch,
    keys={"id": "_id", "status": "batch_status", "reason": "batch_reason"},
    id=ID,
    status=word(BatchStatus),
    spec=JSON,
    settings=SETTINGS,
    inserted=INSTANT,
    updated=INSTANT,
    result=word(Result),
    counts=nested(COUNTS),
    resumed=INSTANT,
    finished=INSTANT,
    notices=each(nested(NOTICE)),
    told=each(word(Topic)),
    superseded=TEXTS,
)

HOLDER = Shape(Holder, job=ID)
FOREIGN = Shape(Foreign, cause=word(ForeignKind))
GATE = Shape(
    Gate,
    keys={"batch_id": "_id"},
    always=("paused", "epoch", "holders", "foreign"),
    batch_id=ID,
    cancel=nested(STOP),
    holders=each(nested(HOLDER)),
    foreign=each(nested(FOREIGN)),
)
HALT = Shape(Halt, at=INSTANT)


def attempt_document(job: Attempt) -> Document:
    """The document of an attempt."""
    return ATTEMPT.encode(job)


def batch_document(batch: Batch) -> Document:
    """The document of a batch parent: its own ``status`` follows the batch's."""
    return {
        **BATCH.encode(batch),
        "batch_job": True,
        "status": record_status(batch.status, batch.result).value,
    }


def record_status(status: BatchStatus, result: Result | None) -> Status:
    """What a batch parent's own ``status`` is (lifecycle.md section 3)."""
    if status is BatchStatus.CANCELLED:
        return Status.TERMINATED
    if status is not BatchStatus.FINISHED:
        return Status.RUNNING
    return Status.COMPLETED if result is Result.COMPLETED else Status.ERROR


def decode_attempt(document: Mapping[str, Any]) -> Attempt:
    """The attempt of a document; raises ``KeyError``, ``TypeError`` or ``ValueError``."""
    return ATTEMPT.decode(document)
