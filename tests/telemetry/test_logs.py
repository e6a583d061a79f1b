"""Logs: one JSON object or one line per event, and no secret in either."""

import io
import json
import logging
import re
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from pymongo import logger as pymongo_logger
from pymongo.errors import AutoReconnect

from controller.telemetry import get_logger, set_up_logs


@pytest.fixture(autouse=True)
def logging_as_before() -> Iterator[None]:
    """Leaves the process's logging as it was."""
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)


def logged(text: str) -> list[dict[str, Any]]:
    """The events in a JSON log."""
    return [json.loads(line) for line in text.splitlines()]


def test_json_logs_are_one_object_a_line() -> None:
    """Each event is one line with its time in UTC, level, name, logger and facts, in that order."""
    stream = io.StringIO()
    set_up_logs("json", "info", stream)
    get_logger("controller.x").info("job ended", batch="traits", attempt=2, took=timedelta(seconds=90))
    (event,) = logged(stream.getvalue())
    assert list(event) == ["timestamp", "level", "event", "logger", "batch", "attempt", "took"]
    assert event["timestamp"].endswith("Z")
    assert event | {"timestamp": ""} == {
        "timestamp": "",
        "level": "info",
        "event": "job ended",
        "logger": "controller.x",
        "batch": "traits",
        "attempt": 2,
        "took": "1m30s",
    }


def test_auto_is_json_without_a_terminal_and_coloured_text_on_one() -> None:
    """`auto` looks at the stream; a file named as text gets no colours."""

    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    pipe, terminal, file = io.StringIO(), Terminal(), io.StringIO()
    for style, stream in (("auto", pipe), ("auto", terminal), ("text", file)):
        set_up_logs(style, "info", stream)
        get_logger("x").info("hello", batch="b")
    assert logged(pipe.getvalue())[0]["event"] == "hello"
    assert "\x1b[" in terminal.getvalue()
    assert re.search(r"\[info +\] hello +\[x\] batch=b$", file.getvalue().strip())


def test_the_last_set_up_holds_and_events_come_once() -> None:
    """Setting up twice does not log twice."""
    first, second = io.StringIO(), io.StringIO()
    set_up_logs("json", "info", first)
    set_up_logs("json", "info", second)
    get_logger("x").warning("once")
    assert first.getvalue() == ""
    assert len(logged(second.getvalue())) == 1


def test_levels() -> None:
    """Below the level nothing is shown; the libraries' details are never shown."""
    stream = io.StringIO()
    set_up_logs("json", "warning", stream)
    get_logger("x").info("quiet")
    get_logger("x").warning("loud")
    set_up_logs("json", "debug", stream)
    get_logger("x").debug("detail")
    logging.getLogger("pymongo.command").debug("a whole record")
    assert [event["event"] for event in logged(stream.getvalue())] == ["loud", "detail"]


def test_other_loggers_come_out_in_the_same_form() -> None:
    """What a library logs is an event like ours, its credentials hidden too."""
    stream = io.StringIO()
    set_up_logs("json", "info", stream)
    logging.getLogger("uvicorn.error").warning("no answer from %s", "mongodb://ada:pw@db/x")
    (event,) = logged(stream.getvalue())
    assert event["event"] == "no answer from mongodb://***@db/x"
    assert event["logger"] == "uvicorn.error"


@pytest.mark.parametrize("style", ["json", "text"])
def test_tracebacks_are_kept_and_hold_no_credentials(style: str) -> None:
    """An exception's text passes the same filter as everything else."""
    stream = io.StringIO()
    set_up_logs(style, "info", stream)
    try:
        raise ConnectionError("cannot reach mongodb://ada:hunter2@db:27017")
    except ConnectionError:
        get_logger("x").exception("store failed", env={"TOKEN_A": "hunter2"}, password="hunter2")
    assert "ConnectionError: cannot reach mongodb://***@db:27017" in stream.getvalue()
    assert "TOKEN_A" in stream.getvalue()
    assert "hunter2" not in stream.getvalue()


def _background_task_fails(error: Exception) -> None:
    """As the driver's own task tells of it."""
    try:
        raise error
    except type(error):
        pymongo_logger._log_client_error()


def test_an_outage_that_the_driver_meets_by_itself_is_one_warning() -> None:
    """It came as an error with a page of stack, for every server that was killed."""
    stream = io.StringIO()
    set_up_logs("json", "info", stream)
    set_up_logs("json", "info", stream)
    _background_task_fails(
        AutoReconnect("a.example:27017: connection closed, Timeout: 9.0s, Topology: <...>")
    )
    (event,) = logged(stream.getvalue())
    assert event["level"] == "warning"
    assert "exception" not in event
    assert event["event"].endswith("AutoReconnect: a.example:27017: connection closed")
    set_up_logs("text", "error", quiet := io.StringIO())
    _background_task_fails(AutoReconnect("gone"))
    assert not quiet.getvalue()


def test_a_mistake_in_a_task_of_the_driver_stays_an_error() -> None:
    """Only its own errors are outages."""
    stream = io.StringIO()
    set_up_logs("json", "info", stream)
    _background_task_fails(TypeError("no such thing"))
    (event,) = logged(stream.getvalue())
    assert event["level"] == "error"
    assert "TypeError: no such thing" in event["exception"]
