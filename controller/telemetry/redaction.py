"""What must not be seen in a log: passwords, tokens, credentials in URLs, and the values of any env.

Called on every value of every event; pure, so that its table of tests is the proof.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import fields, is_dataclass
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any

from controller.core.durations import format_duration

HIDDEN = "***"

_SECRET_KEY = re.compile(
    r"(password|passwd|passphrase|pwd|secret|token|credentials?|authorization|cookie|api[_-]?key|private[_-]?key)$",
    re.IGNORECASE,
)
_ENV_KEY = re.compile(r"(^|_)env(iron|ironment)?$", re.IGNORECASE)
_CREDENTIALS = re.compile(r"(?P<scheme>[a-zA-Z][\w+.-]*://)[^/\s]*@")
"""Up to the last @ before the path: passwords hold an @ of their own more often than they should."""
_LONGEST = 8192
_DEEPEST = 6
_KEYS = 1024
"""So many keys are remembered with what they are: lines are told under the same few."""


def redacted(key: str, value: Any, depth: int = 0) -> Any:
    """A value as it may be shown under this key: plain data, secrets hidden, too long texts cut."""
    env, secret = _marks(key)
    if env:
        return _names_only(value)
    if isinstance(value, (bool, int, float)) or value is None:
        return value
    if secret:
        return HIDDEN
    if depth > _DEEPEST:
        return "…"
    if isinstance(value, str):  # nearly all of them: asked before the abstract classes are
        return _text(value)
    if (inner := _as_mapping(value)) is not None:
        return {str(name): redacted(str(name), item, depth + 1) for name, item in inner.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [redacted("", item, depth + 1) for item in value]
    return _text(value)


@lru_cache(_KEYS)
def _marks(key: str) -> tuple[bool, bool]:
    """Whether this is the key of an env, and of a secret."""
    return bool(_ENV_KEY.search(key)), bool(_SECRET_KEY.search(key))


def _as_mapping(value: Any) -> Mapping[Any, Any] | None:
    """Mappings, and records: a record's own text would show the env inside it."""
    if isinstance(value, Mapping):
        return value
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: getattr(value, field.name) for field in fields(value)}
    return None


def _names_only(value: Any) -> Any:
    """Which variables there are, never what they hold."""
    if isinstance(value, Mapping):
        return sorted(str(name) for name in value)
    if isinstance(value, Iterable) and not isinstance(value, (str, bytes)):
        return sorted(_name(item) for item in value)
    return HIDDEN


def _name(item: Any) -> str:
    """The name in ``A=1``, or in Kubernetes' ``{name: A, value: 1}``."""
    if isinstance(item, Mapping):
        return str(item.get("name", HIDDEN))
    return item.partition("=")[0] if isinstance(item, str) else HIDDEN


def _text(value: Any) -> str:
    if isinstance(value, timedelta):
        return format_duration(value)
    shown = value.isoformat() if isinstance(value, datetime) else str(value)
    if len(shown) > _LONGEST:
        shown = f"{shown[:_LONGEST]}… ({len(shown)} characters)"
    return _CREDENTIALS.sub(rf"\g<scheme>{HIDDEN}@", shown) if "://" in shown else shown
