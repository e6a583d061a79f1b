"""JSON text → nodes: numbers and words keep the text that was written, and every key its line."""

from __future__ import annotations

import re
from bisect import bisect_right
from json import JSONDecodeError, JSONDecoder

from controller.specfile.nodes import Fields, Items, Node, Scalar
from controller.specfile.problems import Problems
from controller.specfile.text import Unreadable
from controller.specfile.yaml_reading import MAX_DEPTH, fit_text, put_twice

MAX_VALUES = 100_000

_SPACE = re.compile(r"[ \t\n\r]*")
_WORD = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][-+]?[0-9]+)?|true|false|null")
_DECODER = JSONDecoder()


def read_json(text: str, problems: Problems) -> Node:
    """The root node; duplicate keys are noted. Raises ``Unreadable`` for a syntax error and for what is
    too large or too deep to go on.
    """
    return _Reader(text, problems).document()


class _Reader:
    """Reads from left to right, one value at a time."""

    def __init__(self, text: str, problems: Problems) -> None:
        self._text = text
        self._problems = problems
        self._at = 0
        self._values = 0
        self._depth = 0
        self._starts = [0, *(match.end() for match in re.finditer("\n", text))]

    def document(self) -> Node:
        """The only value of the text."""
        root = self._value()
        if self._peek():
            raise self._error("more text after the end: one batch per file")
        return root

    def _value(self) -> Node:
        self._values += 1
        if self._values > MAX_VALUES:
            advice = "move the tasks into a csv file (tasks.csv)"
            raise Unreadable(f"more than {MAX_VALUES} keys and values: {advice}", self._line())
        char, line = self._peek(), self._line()
        if char == '"':
            return Scalar(self._string(), line)
        if char in ("{", "["):
            return self._nested(char, line)
        word = _WORD.match(self._text, self._at)
        if word is None or not word[0]:
            raise self._error("expected a value: text in double quotes, a number, {, [, true, false or null")
        self._at = word.end()
        return Scalar(word[0], line, plain=True)

    def _nested(self, char: str, line: int) -> Node:
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise Unreadable(f"nested deeper than {MAX_DEPTH} levels: no field of a spec is", line)
        self._at += 1
        node = self._fields(Fields(line)) if char == "{" else self._items(Items(line))
        self._depth -= 1
        return node

    def _items(self, node: Items) -> Items:
        if self._take("]"):
            return node
        while True:
            node.items.append(self._value())
            if self._take("]"):
                return node
            self._expect(",", "expected a comma or ]")

    def _fields(self, node: Fields) -> Fields:
        if self._take("}"):
            return node
        while True:
            if self._peek() != '"':
                raise self._error("expected a key in double quotes")
            key = Scalar("", self._line())
            key.text = self._string()
            self._expect(":", "expected a colon after the key")
            value = self._value()
            if key.text in node.values:
                put_twice(self._problems, node, key)
            else:
                node.values[key.text] = value
                node.lines[key.text] = key.line
            if self._take("}"):
                return node
            self._expect(",", "expected a comma or }")

    def _string(self) -> str:
        line = self._line()
        try:
            text, self._at = _DECODER.raw_decode(self._text, self._at)
        except JSONDecodeError as error:
            raise Unreadable(f"not valid JSON: {error.msg}", self._line(error.pos)) from None
        return fit_text(str(text), self._problems, line)

    def _peek(self) -> str:
        space = _SPACE.match(self._text, self._at)
        self._at = space.end() if space else self._at
        return self._text[self._at : self._at + 1]

    def _take(self, char: str) -> bool:
        if self._peek() != char:
            return False
        self._at += 1
        return True

    def _expect(self, char: str, message: str) -> None:
        if not self._take(char):
            raise self._error(message)

    def _line(self, at: int | None = None) -> int:
        return bisect_right(self._starts, self._at if at is None else at)

    def _error(self, message: str) -> Unreadable:
        return Unreadable(f"not valid JSON: {message}", self._line())
