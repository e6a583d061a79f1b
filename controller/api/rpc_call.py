"""JSON-RPC 1.1 as KBase's generated clients send it: bytes → call, and results and faults → bytes.

Pure; `rpc` calls it. A fault is the protocol's error block: name, code, message, error. Nothing in it tells
how this program is made.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NoReturn

VERSION = "1.1"
MAX_DEPTH = 64
"""A call is three levels deep; a client's `context` some more."""
MAX_PARTS = 100_000
"""Texts, brackets and commas: a MiB of nothing else would hold up everybody on this loop for 0.2 s. A MiB of
ids has fewer."""
MAX_DIGITS = 20
MAX_ID = 256

Id = str | int | float | None

PARSE_ERROR = ("Parse error", -32700)
INVALID_REQUEST = ("Invalid Request", -32600)
METHOD_NOT_FOUND = ("Method not found", -32601)
INVALID_PARAMS = ("Invalid params", -32602)
SERVER_ERROR = ("Server error", -32000)
"""Name and code of each kind of fault: EE2's own."""

_PARTS = re.compile(r'"(?:[^"\\]|\\.)*+"?|[][{},]', re.DOTALL)
"""Strings, of which the inside is skipped, brackets, commas. Every string matches, ended or not: one walk,
never two."""


class Fault(Exception):
    """A call that is refused or failed. ``str()`` is the sentence that its caller reads.

    ``status`` is HTTP's: 500 is the only one whose body the generated clients read.
    """

    def __init__(
        self,
        kind: tuple[str, int],
        message: str,
        status: int = 500,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.name, self.code = kind
        self.status = status
        self.headers = dict(headers or {})


@dataclass(frozen=True, slots=True)
class Call:
    """What a client asks for."""

    method: str
    params: Mapping[str, Any]


def read_document(body: bytes) -> Any:
    """The JSON value of a body. Raises ``Fault`` for everything that is none, or that is read differently
    by different readers: keys that come twice, NaN, numbers that don't fit.
    """
    if not body.strip():
        raise Fault(PARSE_ERROR, "the body is empty: send one JSON-RPC 1.1 call")
    try:
        text = body.decode("utf-8")
        _must_be_small(text)
        return json.loads(
            text,
            object_pairs_hook=_once,
            parse_int=_integer,
            parse_float=_finite,
            parse_constant=_no_constant,
        )
    except UnicodeDecodeError:
        raise Fault(PARSE_ERROR, "the body is not UTF-8") from None
    except json.JSONDecodeError as error:
        raise Fault(PARSE_ERROR, f"not valid JSON: {error}") from None


def id_of(document: Any) -> Id:
    """The call's id, to be sent back; None where there is none that can be."""
    found = document.get("id") if isinstance(document, dict) else None
    if isinstance(found, str):
        return found if len(found) <= MAX_ID else None
    return found if isinstance(found, int | float) and not isinstance(found, bool) else None


def call_of(document: Any) -> Call:
    """The call that a document is. Raises ``Fault``."""
    if isinstance(document, list):
        raise Fault(INVALID_REQUEST, "several calls in one request are not supported: send each by itself")
    if not isinstance(document, dict):
        raise Fault(INVALID_REQUEST, f"a call is a mapping, not {kind_of(document)}")
    if document.get("version") != VERSION:
        raise Fault(INVALID_REQUEST, f'this is JSON-RPC 1.1: a call has "version": "{VERSION}"')
    if document.get("id") is None:
        raise Fault(INVALID_REQUEST, "calls without an answer are not supported: give the call an id")
    if id_of(document) is None:
        raise Fault(INVALID_REQUEST, f"the id of a call is a string of up to {MAX_ID} characters or a number")
    method = document.get("method")
    if not isinstance(method, str):
        raise Fault(INVALID_REQUEST, f"method must be a string, not {kind_of(method)}")
    return Call(method, _one_mapping(document.get("params")))


def result_text(call_id: Id, result: list[Any]) -> bytes:
    """The answer to a call that was done. Results come in a list; of a method without one it is empty."""
    return _dumped({"version": VERSION, "id": call_id, "result": result})


def fault_text(call_id: Id, fault: Fault) -> bytes:
    """The answer to a call that was not. ``error`` is where EE2 shows its stack; ours is empty."""
    block = {"name": fault.name, "code": fault.code, "message": str(fault), "error": ""}
    return _dumped({"version": VERSION, "id": call_id, "error": block})


def kind_of(value: Any) -> str:
    """What a value is, in JSON's words: for messages, which never repeat a value."""
    kinds = {dict: "a mapping", list: "a list", str: "a string", bool: "a boolean", type(None): "null"}
    return kinds.get(type(value), "a number")


def _dumped(document: Mapping[str, Any]) -> bytes:
    # Escaped to ASCII: half surrogates, which JSON may hold, are no UTF-8.
    return json.dumps(document, ensure_ascii=True, allow_nan=False).encode("ascii")


def _one_mapping(params: Any) -> Mapping[str, Any]:
    if not isinstance(params, list):
        raise Fault(INVALID_PARAMS, f"params must be a list with one mapping, not {kind_of(params)}")
    if len(params) != 1:
        raise Fault(INVALID_PARAMS, f"params must be a list with one mapping, not with {len(params)} values")
    if not isinstance(params[0], dict):
        raise Fault(INVALID_PARAMS, f"params must be a list with one mapping, not with {kind_of(params[0])}")
    return params[0]


def _must_be_small(text: str) -> None:
    depth = 0
    for number, found in enumerate(_PARTS.finditer(text)):
        if number >= MAX_PARTS:
            raise Fault(PARSE_ERROR, f"more than {MAX_PARTS:,} texts, brackets and commas: send less at once")
        if found[0] in "[{":
            depth += 1
            if depth > MAX_DEPTH:
                raise Fault(PARSE_ERROR, f"nested deeper than {MAX_DEPTH} levels: no call is")
        elif found[0] in "]}":
            depth -= 1


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise Fault(PARSE_ERROR, "a key is there twice in one mapping: name each once")
    return found


def _integer(text: str) -> int:
    if len(text) > MAX_DIGITS:
        raise Fault(PARSE_ERROR, f"a number of more than {MAX_DIGITS} digits: none is needed")
    return int(text)


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise Fault(PARSE_ERROR, "a number that is too large: none such is needed")
    return number


def _no_constant(text: str) -> NoReturn:
    raise Fault(PARSE_ERROR, f"{text} is no JSON")
