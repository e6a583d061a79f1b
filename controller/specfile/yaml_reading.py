"""YAML text → nodes, event by event: every limit is decided before anything is built.

No anchors, aliases, tags, merge keys or directives (a 271-byte YAML can hold 48 million nodes with
them), no duplicate keys, one document, bounded depth and number of values. Scalars stay text.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.events import (
    AliasEvent,
    DocumentStartEvent,
    Event,
    MappingEndEvent,
    MappingStartEvent,
    ScalarEvent,
    SequenceEndEvent,
    SequenceStartEvent,
)
from ruamel.yaml.reader import ReaderError

from controller.specfile.nodes import Fields, Hole, Items, Node, Scalar
from controller.specfile.problems import Problems, shown
from controller.specfile.text import Unreadable

MAX_DEPTH = 20
MAX_VALUES = 20_000
"""Keys and values of one YAML spec; reading more takes longer than a second."""

_UNFIT = re.compile("[\0\ud800-\udfff]")
_ADVICE = (
    (
        "cannot start any token",
        "tabs can't indent YAML, nor @ ` % begin a value: use spaces, or quotes",
    ),
    (
        "mapping values are not allowed",
        "a colon where none can be: check the indentation, or use quotes",
    ),
    ("could not find expected ':'", "a key without its colon: check this line and the one above"),
    ("found unexpected end of stream", "a quote or bracket is not closed"),
    ("expected ',' or", "a bracket is not closed, or a comma is missing"),
    ("expected <block end>", "check brackets and indentation: they must match the lines above"),
    ("unknown escape character", "a backslash in double quotes is an escape: use single quotes"),
)


def read_yaml(text: str, problems: Problems) -> Node | None:
    """The root node; None for a document without content. Refusals that allow going on are noted.

    Raises ``Unreadable`` for a syntax error and for what is too large or too deep to go on.
    """
    try:
        return _Builder(problems).build(YAML(typ="safe", pure=True).parse(text))
    except ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        code = error.character if isinstance(error.character, int) else ord(error.character[:1] or "?")
        raise Unreadable(f"character U+{code:04X} is not allowed: remove it", line) from None
    except MarkedYAMLError as error:
        raise _syntax_error(error) from None
    except (YAMLError, ValueError, OverflowError, RecursionError) as error:
        if isinstance(error, Unreadable):
            raise
        raise Unreadable(f"not valid YAML: {' '.join(str(error).split())[:120]}", 1) from None


class _Builder:
    """Builds nodes from events and keeps the limits."""

    def __init__(self, problems: Problems) -> None:
        self._problems = problems
        self._values = 0
        self._depth = 0
        self._documents = 0

    def build(self, events: Iterator[Event]) -> Node | None:
        root: Node | None = None
        for event in events:
            if isinstance(event, DocumentStartEvent):
                self._document(event)
            elif isinstance(event, (AliasEvent, ScalarEvent, MappingStartEvent, SequenceStartEvent)):
                root = self._node(event, events)
        if isinstance(root, Scalar) and root.plain and not root.text:
            return None
        return root

    def _document(self, event: DocumentStartEvent) -> None:
        self._documents += 1
        if self._documents > 1:
            raise Unreadable("a second document: put each batch into its own file", _line(event))
        if event.version or event.tags:
            self._problems.whole("a YAML directive (%) above this line: remove it", _line(event))

    def _node(self, event: Event, events: Iterator[Event]) -> Node:
        self._values += 1
        if self._values > MAX_VALUES:
            raise Unreadable(
                f"more than {MAX_VALUES} keys and values: move the tasks into a csv file (tasks.csv)",
                _line(event),
            )
        self._refuse_extras(event)
        if isinstance(event, ScalarEvent):
            text = fit_text(event.value, self._problems, _line(event))
            return Scalar(text, _line(event), plain=event.style is None)
        if isinstance(event, MappingStartEvent):
            return self._nested(event, events)
        if isinstance(event, SequenceStartEvent):
            return self._nested(event, events)
        return Hole(_line(event))

    def _refuse_extras(self, event: Any) -> None:
        if isinstance(event, AliasEvent):
            self._problems.whole(f"alias *{event.anchor}: write the value out", _line(event))
        elif event.anchor:
            self._problems.whole(f"anchor &{event.anchor}: remove it, and write values out", _line(event))
        elif event.tag is not None:
            tag = str(event.tag).replace("tag:yaml.org,2002:", "!!")
            self._problems.whole(f"tag {shown(tag)}: remove it; quotes keep a value text", _line(event))

    def _nested(self, event: Event, events: Iterator[Event]) -> Node:
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise Unreadable(f"nested deeper than {MAX_DEPTH} levels: no field of a spec is", _line(event))
        inner: Node
        if isinstance(event, MappingStartEvent):
            inner = self._fields(event, events)
        else:
            inner = Items(_line(event))
            for item in events:
                if isinstance(item, SequenceEndEvent):
                    break
                inner.items.append(self._node(item, events))
        self._depth -= 1
        return inner

    def _fields(self, start: Event, events: Iterator[Event]) -> Fields:
        fields = Fields(_line(start))
        for event in events:
            if isinstance(event, MappingEndEvent):
                break
            key, value = self._node(event, events), self._node(next(events), events)
            self._put(fields, key, value)
        return fields

    def _put(self, fields: Fields, key: Node, value: Node) -> None:
        if not isinstance(key, Scalar):
            if not isinstance(key, Hole):
                self._problems.whole("a key that is a list or a mapping: a key must be a name", key.line)
        elif key.text == "<<" and key.plain:
            self._problems.whole("merge key <<: write the fields out", key.line)
        elif key.text in fields.values:
            put_twice(self._problems, fields, key)
        else:
            fields.values[key.text] = value
            fields.lines[key.text] = key.line


def put_twice(problems: Problems, fields: Fields, key: Scalar) -> None:
    """Note a key that its mapping has already."""
    first = fields.lines[key.text]
    problems.whole(f"duplicate key {shown(key.text)} (first on line {first}): keep one of them", key.line)


def fit_text(text: str, problems: Problems, line: int) -> str:
    """The text without what neither an environment nor UTF-8 can hold, which is noted."""
    if bad := _UNFIT.search(text):
        what = "a NUL" if bad[0] == "\0" else "half of a surrogate pair"
        problems.whole(f"{what} in a text: remove the escape sequence", line)
    return _UNFIT.sub("\ufffd", text) if bad else text


def _line(event: Event) -> int:
    return int(event.start_mark.line) + 1


def _syntax_error(error: MarkedYAMLError) -> Unreadable:
    mark = error.problem_mark or error.context_mark
    said = " ".join(str(error.problem or error.context or "unreadable").split())
    advice = next((advice for part, advice in _ADVICE if part in said), said[:120])
    return Unreadable(f"not valid YAML: {advice}", mark.line + 1 if mark else 1)
