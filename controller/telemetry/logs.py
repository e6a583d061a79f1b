"""Logs: one event a line, JSON for machines or coloured for people, UTC, and never a secret.

The only importer of structlog: everybody else says `get_logger(__name__)`. Libraries that log through
the standard library come out in the same form.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Sequence
from typing import Any, TextIO

import structlog
from structlog.typing import EventDict, WrappedLogger

from controller.telemetry.redaction import redacted

Logger = structlog.stdlib.BoundLogger

_CHATTY = ("apscheduler", "asyncio", "botocore", "pymongo", "urllib3", "uvicorn")
"""Their warnings are of interest. Their details are not: pymongo's hold whole records, botocore's the headers
of signed requests."""

_FIRST = ("timestamp", "level", "event", "logger")


def get_logger(name: str) -> Logger:
    """The logger of one module; works before ``set_up_logs``, and then shows warnings only."""
    logger: Logger = structlog.stdlib.get_logger(name)
    return logger


def set_up_logs(style: str = "auto", level: str = "info", stream: TextIO | None = None) -> None:
    """Send logs to a stream (stderr) as ``json``, ``text``, or ``auto``: text on a terminal, else json.

    May be called again: the last call holds.
    """
    stream = stream or sys.stderr
    text = style == "text" or (style == "auto" and stream.isatty())
    handler = _Handler(stream)
    render = _for_people(colors=stream.isatty()) if text else _FOR_MACHINES
    handler.setFormatter(_Formatter([structlog.processors.format_exc_info, _without_secrets, *render]))
    root = logging.getLogger()
    for earlier in [handler for handler in root.handlers if isinstance(handler, _Handler)]:
        root.removeHandler(earlier)
    root.addHandler(handler)
    root.setLevel(level.upper())
    for name in _CHATTY:
        logging.getLogger(name).setLevel(max(logging.WARNING, root.level))
    logging.getLogger("pymongo.client").addFilter(_outage_in_one_line)  # once, however often it is said


def _outage_in_one_line(record: logging.LogRecord) -> bool:
    """The driver's own tasks fail with their servers, as every call does, and tell it as an error with a page
    of stack: it is a warning of one line. What is no error of the driver's stays what it is."""
    error = record.exc_info[1] if record.exc_info else None
    if error is None or not type(error).__module__.startswith("pymongo."):
        return True
    why = " ".join(str(error).split(", Timeout:")[0].split())[:300]
    record.msg, record.args = "%s %s", (record.getMessage(), f"{type(error).__name__}: {why}")
    record.exc_info = record.exc_text = None
    record.levelno, record.levelname = logging.WARNING, "WARNING"
    return logging.getLogger().isEnabledFor(logging.WARNING)


class _Handler(logging.StreamHandler[TextIO]):
    """Ours, so that a second ``set_up_logs`` replaces it and nobody else's."""


class _Formatter(structlog.stdlib.ProcessorFormatter):
    """From an event to its line. Ours take the short way: they are several for each job, and the record need
    not be copied and told its meaning again."""

    def __init__(self, steps: Sequence[structlog.typing.Processor]) -> None:
        super().__init__(
            foreign_pre_chain=_SHARED,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *steps],
        )
        self._steps = steps

    def format(self, record: logging.LogRecord) -> str:
        """The line of what was logged, by us or by a library."""
        method = getattr(record, "_name", None)  # structlog's mark
        if method is None or not isinstance(record.msg, dict):
            return super().format(record)
        line: Any = dict(record.msg)
        for step in self._steps:
            line = step(None, method, line)
        return str(line)


def _without_secrets(logger: WrappedLogger, method: str, event: EventDict) -> EventDict:
    """The last thing before rendering, so that nothing is added behind its back."""
    return {key: redacted(key, value) for key, value in event.items()}


def _leading(logger: WrappedLogger, method: str, event: EventDict) -> EventDict:
    """What a reader's eye looks for comes first."""
    return {key: event[key] for key in (*_FIRST, *event) if key in event}


def _for_people(*, colors: bool) -> list[structlog.typing.Processor]:
    return [
        structlog.dev.ConsoleRenderer(
            colors=colors, pad_event_to=24, exception_formatter=structlog.dev.plain_traceback
        )
    ]


_FOR_MACHINES: list[structlog.typing.Processor] = [_leading, structlog.processors.JSONRenderer(default=str)]

_SHARED: list[structlog.typing.Processor] = [
    structlog.contextvars.merge_contextvars,
    structlog.stdlib.add_log_level,
    structlog.stdlib.add_logger_name,
    structlog.processors.TimeStamper(fmt="iso", utc=True),
]

structlog.configure(
    processors=[
        structlog.stdlib.filter_by_level,
        *_SHARED,
        structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
    ],
    logger_factory=logging.getLogger,  # structlog's own looks for the line that logs, which nobody reads
    wrapper_class=structlog.stdlib.BoundLogger,
    cache_logger_on_first_use=True,
)
