"""The one mapping of a call's params, read strictly: every value is of its type or the call is refused.

Pure; `rpc_methods` calls it. So no mapping ever stands where an id is meant, and none reaches the store.
Keys that a method does not have are ignored, as EE2 does.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from controller.api.rpc_call import INVALID_PARAMS, SERVER_ERROR, Fault, kind_of
from controller.core.model import TerminatedCode

MAX_IDS = 10_000
MAX_TEXT = 256
TOO_LARGE = 413


def job_id(params: Mapping[str, Any]) -> str:
    """The job that a call is about."""
    if "job_id" not in params:
        raise Fault(INVALID_PARAMS, "job_id is missing")
    found = _text("job_id", params["job_id"])
    if not found:
        raise Fault(SERVER_ERROR, "Please provide valid job_id")
    return found


def job_ids(params: Mapping[str, Any], empty: str) -> list[str]:
    """The jobs that a call is about. ``empty``: EE2's words for none."""
    found = params.get("job_ids")
    if found is None or found == []:
        raise Fault(SERVER_ERROR, empty)
    if not isinstance(found, list):
        raise Fault(INVALID_PARAMS, f"job_ids must be a list of strings, not {kind_of(found)}")
    if len(found) > MAX_IDS:
        raise Fault(INVALID_PARAMS, f"{len(found)} ids: one call takes at most {MAX_IDS}", TOO_LARGE)
    return [_text("each of job_ids", each) for each in found]


def flag(params: Mapping[str, Any], name: str, default: bool = False) -> bool:
    """A boolean, which the generated clients write as 0 and 1; null is false."""
    found = params.get(name, default)
    if isinstance(found, bool) or found in (0, 1, None):
        return bool(found)
    raise Fault(INVALID_PARAMS, f"{name} must be true, false, 1 or 0")


def excluded(params: Mapping[str, Any]) -> frozenset[str]:
    """The fields that a client does not want to be sent."""
    found = params.get("exclude_fields")
    if found is None:
        return frozenset()
    if not isinstance(found, list):
        raise Fault(INVALID_PARAMS, f"exclude_fields must be a list of strings, not {kind_of(found)}")
    return frozenset(_text("each of exclude_fields", each) for each in found)


def terminated_code(params: Mapping[str, Any]) -> TerminatedCode | None:
    """Why a client says that a job is to end; None: it does not say."""
    found = params.get("terminated_code")
    if found is None:
        return None
    known = [code.value for code in TerminatedCode]
    if not isinstance(found, int) or isinstance(found, bool) or found not in known:
        raise Fault(INVALID_PARAMS, f"terminated_code must be one of {', '.join(map(str, known))}")
    return TerminatedCode(found)


def _text(name: str, value: Any) -> str:
    if not isinstance(value, str):
        raise Fault(INVALID_PARAMS, f"{name} must be a string, not {kind_of(value)}")
    if len(value) > MAX_TEXT:
        raise Fault(INVALID_PARAMS, f"{name} must be a string of at most {MAX_TEXT} characters")
    return value
