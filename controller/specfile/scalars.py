"""The types of a spec's fields: each reads the text that was written, and says what to write instead.

A converter raises ``ValueError`` whose message is shown as it is. The JSON schema beside each is what
editors see.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Sequence
from datetime import timedelta
from enum import StrEnum
from typing import Annotated, Any

import regex
from pydantic import BeforeValidator, Field, PlainSerializer, WithJsonSchema

from controller.core.durations import format_duration, parse_duration
from controller.core.model import Verdict, When
from controller.core.naming import LABEL, MAX_BATCH_NAME, is_label
from controller.core.quantities import format_cpu, format_memory, parse_memory, parse_some_cpu
from controller.specfile.problems import nearest, shown

LONGEST_TEXT = 32 * 1024
"""Characters of one environment value; Linux takes 128 KiB in all."""
LONGEST_PATTERN = 1000

_INTEGER = re.compile(r"[-+]?(?:0|[1-9][0-9]*)")
_MOST_DIGITS = 16
_NUMBER = re.compile(r"[0-9]{1,9}(?:\.[0-9]{1,9})?")
_SUBDOMAIN = re.compile(r"[a-z0-9](?:[-a-z0-9.]*[a-z0-9])?")
_QUALIFIED = re.compile(
    r"(?:[a-z0-9](?:[-a-z0-9.]{0,251}[a-z0-9])?/)?[A-Za-z0-9](?:[-\w.]{0,61}[A-Za-z0-9])?", re.ASCII
)
_LABEL_VALUE = re.compile(r"(?:[A-Za-z0-9](?:[-\w.]{0,61}[A-Za-z0-9])?)?", re.ASCII)
_IMAGE = re.compile(r"[A-Za-z0-9][\w.\-/:]*(?:@sha256:[0-9a-f]{64})?", re.ASCII)
_ENV_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
OURS = "BATCHKEEPER_"

_REFUSED = {
    Verdict.SUCCEEDED: "a success needs no retry",
    Verdict.CANCELLED: "what a person cancelled is retried by people only",
    Verdict.REAPED: "what the reaper ended is retried by people only",
    Verdict.CONFIGURATION_ERROR: "a configuration error (exit code 1) is never retried automatically",
}
_VERDICTS = [verdict.value for verdict in Verdict if verdict not in _REFUSED]


def text(value: Any) -> str:
    """One value; a list or a mapping is none."""
    if isinstance(value, str):
        return str(value)
    raise ValueError(f"expects one value, found {kind_of(value)}")


def kind_of(value: Any) -> str:
    """What was written, for a message."""
    return "a mapping" if isinstance(value, dict) else "a list" if isinstance(value, list) else "a value"


def _whole(value: Any) -> int:
    written = text(value)
    if not _INTEGER.fullmatch(written):
        raise ValueError(f"{shown(written)} is not a whole number: write digits only, no zeros first, as 50")
    if len(written) > _MOST_DIGITS:
        raise ValueError(f"{shown(written)} is too large")
    return int(written)


def _number(value: Any) -> float:
    written = text(value)
    if not _NUMBER.fullmatch(written):
        raise ValueError(f"{shown(written)} is not a number: write it as 2 or 1.5")
    return float(written)


def _flag(value: Any) -> bool:
    if (written := text(value).lower()) in ("true", "false"):
        return written == "true"
    raise ValueError(f"{shown(value)} is neither true nor false: write one of them")


def _duration(value: Any) -> timedelta:
    return parse_duration(text(value))


def _positive_duration(value: Any) -> timedelta:
    if duration := _duration(value):
        return duration
    raise ValueError(f"{shown(value)} is no time at all: write a longer one, as 30s")


def _cpu(value: Any) -> int:
    return parse_some_cpu(text(value))


def _memory(value: Any) -> int:
    return parse_memory(text(value))


def batch_name(value: Any) -> str:
    """A batch's name: the prefix of its jobs' names."""
    name = text(value)
    if len(name) > MAX_BATCH_NAME:
        raise ValueError(f"{shown(name)} has {len(name)} characters: {MAX_BATCH_NAME} at most")
    return _label(name)


def _label(value: Any) -> str:
    name = text(value)
    if len(name) <= 63 and is_label(name):
        return name
    better = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:MAX_BATCH_NAME].strip("-")
    advice = f", as {better}" if better and better != name else ""
    raise ValueError(
        f"{shown(name)} is not a name: lower-case letters, digits and dashes, no dash at its ends{advice}"
    )


def _object_name(value: Any) -> str:
    name = text(value)
    if len(name) <= 253 and _SUBDOMAIN.fullmatch(name):
        return name
    raise ValueError(f"{shown(name)} is not the name of an object: lower-case letters, digits, dashes, dots")


def _label_key(value: Any) -> str:
    if _QUALIFIED.fullmatch(key := text(value)):
        return key
    raise ValueError(f"{shown(key)} is not the key of a label, as kubernetes.io/arch")


def _label_value(value: Any) -> str:
    if _LABEL_VALUE.fullmatch(written := text(value)):
        return written
    raise ValueError(f"{shown(written)} is not the value of a label: at most 63 letters, digits, - _ .")


def _owner(value: Any) -> str:
    name = text(value)
    if 0 < len(name) <= 100 and name.isprintable() and " " not in name:
        return name
    raise ValueError(f"{shown(name)} is not a user: at most 100 characters, no spaces")


def _image(value: Any) -> str:
    name = text(value)
    if len(name) <= 500 and _IMAGE.fullmatch(name):
        return name
    raise ValueError(f"{shown(name)} is not an image: write registry/name:tag or registry/name@sha256:…")


def _absolute(value: Any) -> str:
    path = text(value)
    if not path.startswith("/"):
        raise ValueError(f"{shown(path)} is not absolute: begin with /")
    if ".." in path.split("/"):
        raise ValueError(f"{shown(path)} contains '..': write the path without it")
    if ":" in path or not path.isprintable() or len(path) > 1000:
        raise ValueError(f"{shown(path)} can't be mounted: no colon, no control characters, at most 1000")
    return path.rstrip("/") or "/"


def env_name(value: Any) -> str:
    """The name of an environment variable that is free for jobs."""
    name = text(value)
    if not _ENV_NAME.fullmatch(name) or len(name) > 200:
        raise ValueError(
            f"{shown(name)} can't name an environment variable: letters, digits and _, no digit first"
        )
    if name.upper().startswith(OURS):
        raise ValueError(f"{shown(name)} is taken: names that begin with {OURS} are set by the daemon")
    return name


def env_value(value: Any) -> str:
    """The value of an environment variable, as written; never shown in a message."""
    if not isinstance(value, str):
        raise ValueError(f"expects one value, found {kind_of(value)}: quote it to keep it text")
    if len(value) > LONGEST_TEXT:
        raise ValueError(f"has {len(value)} characters: {LONGEST_TEXT} at most; put it into a file")
    return str(value)


def _one_of(kind: type[StrEnum], value: Any, names: Sequence[str]) -> StrEnum:
    """The member of this value; ``names`` are those to choose from, for the advice."""
    word = text(value)
    if word in {member.value for member in kind}:
        return kind(word)
    near = nearest(word, names)
    advice = f"did you mean {near}?" if near else f"one of {', '.join(names)}"
    raise ValueError(f"{shown(word)} is not known here: {advice}")


def _verdict(value: Any) -> Verdict:
    verdict = Verdict(_one_of(Verdict, value, _VERDICTS))
    if reason := _REFUSED.get(verdict):
        raise ValueError(f"{verdict} can't be retried by a rule: {reason}")
    return verdict


def _when(value: Any) -> When:
    return When(_one_of(When, value, [when.value for when in When]))


def _exit_code(value: Any) -> int:
    code = _whole(value)
    if code == 0:
        raise ValueError("exit code 0 can't be retried by a rule: a success needs no retry")
    if code == 1:
        raise ValueError(
            "exit code 1 can't be retried by a rule: a configuration error is never retried automatically"
        )
    if not 0 < code < 256:
        raise ValueError(f"{code} is not an exit code: 2 to 255")
    return code


def _pattern(value: Any) -> str:
    pattern = text(value)
    if len(pattern) > LONGEST_PATTERN:
        raise ValueError(f"has {len(pattern)} characters: a pattern has {LONGEST_PATTERN} at most")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            regex.compile(pattern)
    except (regex.error, ValueError, OverflowError, RecursionError) as error:
        why = " ".join(str(error).split())[:100]
        raise ValueError(f"{shown(pattern)} is not a regular expression: {why}") from None
    return pattern


def _one_or_many(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


_DURATION_SCHEMA = {
    "type": "string",
    "pattern": r"^\s*([0-9]+(\.[0-9]+)?(w|d|h|ms|m|s))+\s*$",
    "examples": ["30s", "15m", "1h30m", "24h"],
}
_MEMORY_SCHEMA = {
    "type": ["string", "integer"],
    "pattern": r"^\s*[0-9]+(\.[0-9]+)?\s?(k|M|G|T|P|Ki|Mi|Gi|Ti|Pi)?\s*$",
    "minimum": 0,
    "examples": ["512Mi", "32Gi"],
}
_CPU_SCHEMA = {
    "type": ["string", "number"],
    "pattern": r"^\s*[0-9]+(\.[0-9]+)?m?\s*$",
    "minimum": 0,
    "examples": [12, 0.5, "500m"],
}
_VALUE_SCHEMA = {"type": ["string", "number", "boolean", "null"]}

Text = Annotated[str, BeforeValidator(text)]
Word = Annotated[str, BeforeValidator(text), WithJsonSchema({"type": ["string", "number", "boolean"]})]
Whole = Annotated[int, BeforeValidator(_whole)]
Factor = Annotated[float, BeforeValidator(_number), Field(ge=1, le=100)]
Flag = Annotated[bool, BeforeValidator(_flag)]
Duration = Annotated[
    timedelta,
    BeforeValidator(_positive_duration),
    PlainSerializer(format_duration),
    WithJsonSchema(_DURATION_SCHEMA),
]
Wait = Annotated[
    timedelta, BeforeValidator(_duration), PlainSerializer(format_duration), WithJsonSchema(_DURATION_SCHEMA)
]
Cpu = Annotated[int, BeforeValidator(_cpu), PlainSerializer(format_cpu), WithJsonSchema(_CPU_SCHEMA)]
Memory = Annotated[
    int, BeforeValidator(_memory), PlainSerializer(format_memory), WithJsonSchema(_MEMORY_SCHEMA)
]
_LABEL_SCHEMA: dict[str, Any] = {"pattern": f"^{LABEL.pattern}$"}
_ENV_SCHEMA: dict[str, Any] = {"propertyNames": {"pattern": f"^(?!{OURS}){_ENV_NAME.pattern}$"}}

BatchName = Annotated[
    str, BeforeValidator(batch_name), Field(max_length=MAX_BATCH_NAME, json_schema_extra=_LABEL_SCHEMA)
]
Label = Annotated[str, BeforeValidator(_label), Field(max_length=63, json_schema_extra=_LABEL_SCHEMA)]
ObjectName = Annotated[str, BeforeValidator(_object_name)]
LabelKey = Annotated[str, BeforeValidator(_label_key)]
LabelValue = Annotated[str, BeforeValidator(_label_value), WithJsonSchema(_VALUE_SCHEMA)]
Owner = Annotated[str, BeforeValidator(_owner)]
Image = Annotated[str, BeforeValidator(_image)]
AbsolutePath = Annotated[str, BeforeValidator(_absolute)]
EnvName = Annotated[str, BeforeValidator(env_name)]
EnvValue = Annotated[str, BeforeValidator(env_value), WithJsonSchema(_VALUE_SCHEMA)]
Env = Annotated[dict[EnvName, EnvValue], Field(json_schema_extra=_ENV_SCHEMA)]
VerdictWord = Annotated[
    Verdict, BeforeValidator(_verdict), WithJsonSchema({"type": "string", "enum": _VERDICTS})
]
WhenWord = Annotated[When, BeforeValidator(_when)]
ExitCode = Annotated[int, BeforeValidator(_exit_code), WithJsonSchema({"type": "integer", "minimum": 2})]
Pattern = Annotated[str, BeforeValidator(_pattern)]
OneOrMany = BeforeValidator(_one_or_many)
