"""What goes to the screen and how: tables for people, JSON and YAML for programs, errors in one line.

Results go to stdout; progress, notes and errors to stderr, so a pipe gets results only. Text that comes
from jobs and files is never interpreted: no markup, and no control character reaches a terminal.
"""

from __future__ import annotations

import codecs
import io
import json
import os
import sys
from collections.abc import Callable
from enum import StrEnum
from typing import Any

from rich.console import Console, RenderableType
from rich.text import Text
from ruamel.yaml import YAML

WIDE = 100_000
"""Columns when nobody sees them: a line of a pipe is one thing, never wrapped."""


class Format(StrEnum):
    """``-o``."""

    TABLE = "table"
    JSON = "json"
    YAML = "yaml"


def stdout() -> Console:
    """Where results go."""
    return _console(sys.stdout)


def stderr() -> Console:
    """Where progress, notes and errors go."""
    return _console(sys.stderr)


def _console(stream: Any) -> Console:
    terminal = stream.isatty()
    piped = not terminal and "COLUMNS" not in os.environ
    return Console(
        file=stream,
        force_terminal=terminal,  # else FORCE_COLOR, as CI sets it, would draw bars into a file
        markup=False,
        emoji=False,
        highlight=False,
        width=WIDE if piped else None,
        soft_wrap=False,
    )


def utf8_or_escaped() -> None:
    """A terminal that can't show a character gets its escape instead of ending the program."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def show(form: Format, document: Any, draw: Callable[[], RenderableType]) -> None:
    """Print a result: ``document`` for programs, what ``draw`` makes for people."""
    if form is Format.TABLE:
        _draw(stdout(), draw())
    else:
        sys.stdout.write(written(form, document))


def _draw(console: Console, drawing: RenderableType) -> None:
    """A table's columns are padded for the eye; in a pipe the blanks at the end of a line are a nuisance."""
    if console.is_terminal:
        console.print(drawing, crop=False)
        return
    with console.capture() as captured:
        console.print(drawing)
    sys.stdout.write("".join(f"{line.rstrip()}\n" for line in captured.get().splitlines()))


def _takes_utf8(stream: Any) -> bool:
    """Else what it lacks is escaped as the format has it: the stream's own escapes are in neither."""
    return codecs.lookup(getattr(stream, "encoding", None) or "ascii").name == "utf-8"


def written(form: Format, document: Any) -> str:
    """Plain data as JSON or YAML text for stdout."""
    if form is Format.JSON:
        return json.dumps(document, indent=2, ensure_ascii=not _takes_utf8(sys.stdout)) + "\n"
    text = io.StringIO()
    yaml = YAML(typ="safe", pure=True)
    yaml.default_flow_style = False
    yaml.allow_unicode = _takes_utf8(sys.stdout)
    yaml.sort_base_mapping_type_on_output = False  # type: ignore[assignment]
    yaml.width = 1_000_000
    yaml.dump(document, text)
    return text.getvalue()


def say(text: str, style: str = "") -> None:
    """One sentence to stdout."""
    stdout().print(Text(clean(text), style=style), soft_wrap=True)


def note(text: str, style: str = "dim") -> None:
    """One sentence to stderr that is no result: what is going on, what to do next."""
    stderr().print(Text(clean(text), style=style), soft_wrap=True)


def complain(*lines: str) -> None:
    """What went wrong, one line each, with what to do."""
    for line in lines:
        stderr().print(Text.assemble(("error: ", "bold red"), clean(line)), soft_wrap=True)


def warn(text: str) -> None:
    """Something that is allowed but probably not meant."""
    stderr().print(Text.assemble(("warning: ", "bold yellow"), clean(text)), soft_wrap=True)


def clean(text: str) -> str:
    """One printable line, whatever a job or a file put into it."""
    return " ".join("".join(char if char.isprintable() else " " for char in text).split(" ")).strip()


def clean_log(text: str) -> str:
    """A log as a terminal may show it: its lines, without what would move the cursor or change colours."""
    return "".join(
        char if char.isprintable() or char in "\n\t" else "\N{REPLACEMENT CHARACTER}" for char in text
    )
