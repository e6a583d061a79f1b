"""EE2's reader, as strict as its documents are: a closed list of fields and the type of each.

Written from execution_engine2's ``db/models/models.py`` (a mongoengine ``Document``, which refuses to load
a record with any other field), not from our code.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from bson import ObjectId

Document = dict[str, Any]
Check = Callable[[Any], bool]

STATUSES = ("created", "estimating", "queued", "running", "completed", "error", "terminated")


def _text(value: Any) -> bool:
    return isinstance(value, str)


def _whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _float(value: Any) -> bool:
    return isinstance(value, float)


def _flag(value: Any) -> bool:
    return isinstance(value, bool)


def _id(value: Any) -> bool:
    return isinstance(value, str) and re.fullmatch("[0-9a-f]{24}", value) is not None


def _ids(value: Any) -> bool:
    return isinstance(value, list) and all(map(_id, value)) and len(set(value)) == len(value)


def _mapping(value: Any) -> bool:
    return isinstance(value, dict)


def _any(value: Any) -> bool:
    return True


FIELDS: dict[str, Check] = {
    "_id": lambda value: isinstance(value, ObjectId),
    "user": _text,
    "authstrat": _text,
    "wsid": _whole,
    "status": lambda value: value in STATUSES,
    "updated": _float,
    "queued": _float,
    "estimating": _float,
    "running": _float,
    "finished": _float,
    "errormsg": _text,
    "msg": _text,
    "error": _any,
    "terminated_code": lambda value: _whole(value) and 0 <= value <= 4,
    "error_code": lambda value: _whole(value) and 0 <= value <= 6,
    "batch_job": _flag,
    "scheduler_type": _text,
    "scheduler_id": _text,
    "scheduler_estimator_id": _text,
    "job_input": _mapping,
    "job_output": _any,
    "condor_job_ads": _any,
    "batch_id": _id,
    "child_jobs": _ids,
    "retry_ids": _ids,
    "retry_parent": _id,
    "retry_saved_toggle": _flag,
}
REQUIRED = ("_id", "user", "authstrat", "status", "job_input")


def refusals(record: Document) -> list[str]:
    """What EE2's reader would refuse about a record; empty: it reads it."""
    unknown = [f"unknown field {name}" for name in record if name not in FIELDS]
    wrong = [
        f"{name} is {record[name]!r}" for name in record if name in FIELDS and not FIELDS[name](record[name])
    ]
    missing = [f"{name} is missing" for name in REQUIRED if name not in record]
    return unknown + wrong + missing
