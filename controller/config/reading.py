"""Reads `config.yaml` into plain data: scalars as the text that stands there, and the line of every key.

Values get their types from the schema, so `0.10`, `no` and `1e3` reach it as written.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from controller.ports import BatchkeeperError

Where = tuple[str, ...]
"""A key and the sections around it: `("store", "timeout")`; list items by their number."""

_LARGEST = 2**20
_NULL = "tag:yaml.org,2002:null"
_PLAIN_TAGS = frozenset(
    f"tag:yaml.org,2002:{kind}" for kind in ("null", "bool", "int", "float", "str", "timestamp", "seq", "map")
)


class ConfigError(BatchkeeperError):
    """The configuration can't be used. ``lines``: one complaint each: what, where, what to do."""

    def __init__(self, *lines: str) -> None:
        super().__init__("\n".join(lines))
        self.lines = lines


@dataclass(frozen=True, slots=True)
class ConfigFile:
    """What a file says."""

    name: str = ""
    values: Mapping[str, Any] = field(default_factory=dict)
    lines: Mapping[Where, int] = field(default_factory=dict)
    """The line of each key and of each list item, from 1."""
    complaints: tuple[str, ...] = ()
    """What is wrong with it before anybody asks what its keys mean."""


def read_config(path: Path) -> ConfigFile:
    """Read a configuration file; raises ``ConfigError`` when there is nothing to go on with."""
    root = _compose(path, _text(path))
    if root is None or root.tag == _NULL:
        return ConfigFile(str(path))
    if not isinstance(root, MappingNode):
        raise ConfigError(
            f"{path}:{_line(root)}: not a configuration: write keys and values, as 'instance: default'"
        )
    reader = _Reader(path)
    values = reader.mapping(root, ())
    return ConfigFile(str(path), values, reader.lines, tuple(reader.complaints))


def _text(path: Path) -> str:
    """The file's text."""
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise ConfigError(f"{path}: no such file: create it, or name another with --config") from None
    except IsADirectoryError:
        raise ConfigError(f"{path}: is a folder: name the file in it with --config") from None
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror or error}") from None
    if len(content) > _LARGEST:
        raise ConfigError(f"{path}: larger than 1 MiB: this is not a configuration file")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise ConfigError(f"{path}:{line}: not UTF-8: save the file in that encoding") from None


def _compose(path: Path, text: str) -> Node | None:
    """The tree of nodes of the only document."""
    try:
        root: Node | None = YAML(typ="safe", pure=True).compose(text)
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f"{path}:{mark.line + 1}" if mark else str(path)
        raise ConfigError(f"{where}: not YAML: {error.problem or error.context}") from None
    except YAMLError as error:
        raise ConfigError(f"{path}: not YAML: {' '.join(str(error).split())}") from None
    except RecursionError:
        raise ConfigError(f"{path}: not a configuration: nested too deeply") from None
    return root


def _line(node: Node) -> int:
    return int(node.start_mark.line) + 1


class _Reader:
    """Turns nodes into data and notes where each key stands; what it can't take it complains about."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.lines: dict[Where, int] = {}
        self.complaints: list[str] = []

    def mapping(self, node: MappingNode, where: Where) -> dict[str, Any]:
        """One mapping; a key that stands twice is an error, since one of them would be lost."""
        values: dict[str, Any] = {}
        for key_node, value_node in node.value:
            if not isinstance(key_node, ScalarNode):
                self._complain(key_node, "a key must be a plain name")
                continue
            inside = (*where, str(key_node.value))
            if inside in self.lines:
                first = self.lines[inside]
                self._complain(key_node, f"{'.'.join(inside)} stands twice, first in line {first}: keep one")
                continue
            self.lines[inside] = _line(key_node)
            values[inside[-1]] = self._value(value_node, inside)
        return values

    def _value(self, node: Node, where: Where) -> Any:
        if getattr(node, "anchor", None):
            # Also keeps a tree that contains itself from being walked for ever.
            self._complain(node, "anchors and aliases are not read here: write the value out")
            return None
        if str(node.tag) not in _PLAIN_TAGS:
            self._complain(node, f"the tag {node.tag} is not read here: leave it out")
            return None
        if isinstance(node, MappingNode):
            return self.mapping(node, where)
        if isinstance(node, SequenceNode):
            return [self._item(item, (*where, str(number))) for number, item in enumerate(node.value)]
        return None if node.tag == _NULL else str(node.value)

    def _item(self, node: Node, where: Where) -> Any:
        self.lines[where] = _line(node)
        return self._value(node, where)

    def _complain(self, node: Node, what: str) -> None:
        self.complaints.append(f"{self._path}:{_line(node)}: {what}")
