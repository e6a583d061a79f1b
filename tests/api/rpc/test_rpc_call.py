"""The envelope of JSON-RPC 1.1: which bodies are calls, and which fault each of the others is."""

import json
from typing import Any

import pytest

from controller.api.rpc_call import Fault, call_of, fault_text, id_of, read_document, result_text

CALL: dict[str, Any] = {"version": "1.1", "id": "7", "method": "a.b", "params": [{"job_id": "x"}]}


def fault_of(body: bytes | dict[str, Any]) -> Fault:
    """The fault that a body is."""
    with pytest.raises(Fault) as caught:
        call_of(read_document(body if isinstance(body, bytes) else json.dumps(body).encode()))
    return caught.value


def test_a_call_is_read() -> None:
    """Method, the one mapping and the id, beside a context that nobody here asks for."""
    document = read_document(json.dumps({**CALL, "context": {"service_ver": "dev"}}).encode())
    call = call_of(document)
    assert (call.method, call.params, id_of(document)) == ("a.b", {"job_id": "x"}, "7")


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"", "empty"),
        (b" \n", "empty"),
        (b"{", "not valid JSON"),
        (b"\xff\xfe{}", "UTF-8"),
        (b"\x1f\x8b\x08\x00", "UTF-8"),
        (b'{"id": 1, "id": 2}', "twice"),
        (b'[{"params": [{"a": 1, "a": 1}]}]', "twice"),
        (b'{"id": NaN}', "NaN"),
        (b'{"id": -Infinity}', "Infinity"),
        (b'{"id": 1e999}', "too large"),
        (b'{"id": 123456789012345678901234567890}', "digits"),
        (b"[" * 100_000, "deeper"),
        (b'{"a":' * 65 + b"1" + b"}" * 65, "deeper"),
        (b'"' + b'\\"' * 500_000, "not valid JSON"),
        (b"[" + b"{}," * 50_000 + b"{}]", "less at once"),
        (b"[" + b'"",' * 60_000 + b'""]', "less at once"),
        (b"[" + b"1," * 110_000 + b"1]", "less at once"),
    ],
)
def test_what_is_no_json_is_a_parse_error(body: bytes, words: str) -> None:
    """Broken text, and text that readers understand differently or that costs too much to read."""
    fault = fault_of(body)
    assert (fault.name, fault.code, fault.status) == ("Parse error", -32700, 500)
    assert words in str(fault)


def test_brackets_in_strings_are_no_depth() -> None:
    """Only nesting counts, not text, however its quotes are escaped; siblings don't add up."""
    text = '\\"' + "[" * 1000
    assert read_document(json.dumps({"a": [text] * 3, "b": [[]] * 1000}).encode())["a"][0] == text


def test_all_the_ids_of_a_body_are_read() -> None:
    """As many as fit into 1 MiB: that they are too many is told by whoever counts them."""
    ids = ["0123456789abcdef01234567"] * (2**20 // 27)
    assert call_of(read_document(json.dumps({**CALL, "params": [{"job_ids": ids}]}).encode())).params


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"version": "2.0"}, "version"),
        ({"version": 1.1}, "version"),
        ({"version": None}, "version"),
        ({"id": None}, "id"),
        ({"id": True}, "id of a call"),
        ({"id": {}}, "id of a call"),
        ({"id": "x" * 257}, "id of a call"),
        ({"method": None}, "method"),
        ({"method": ["a.b"]}, "method"),
    ],
)
def test_what_is_no_call_is_an_invalid_request(change: dict[str, Any], words: str) -> None:
    """Another version, no id (a notification), no method."""
    fault = fault_of({**CALL, **change})
    assert (fault.name, fault.code) == ("Invalid Request", -32600)
    assert words in str(fault)


@pytest.mark.parametrize("missing", ["version", "id", "method"])
def test_nothing_may_be_missing(missing: str) -> None:
    """Also JSON-RPC 2.0 and 1.0 are other protocols."""
    fault = fault_of({name: value for name, value in CALL.items() if name != missing} | {"jsonrpc": "2.0"})
    assert fault.name == "Invalid Request"


@pytest.mark.parametrize("document", [[CALL, CALL], [], "text", 7, True, None])
def test_a_call_is_one_mapping(document: Any) -> None:
    """Several calls in a list are refused, as is everything else."""
    assert fault_of(json.dumps(document).encode()).name == "Invalid Request"


@pytest.mark.parametrize("params", [None, {}, {"job_id": "x"}, [], [{}, {}], ["x"], [[]], [None], "x", 1])
def test_params_are_a_list_with_one_mapping(params: Any) -> None:
    """Every other shape is refused by name."""
    fault = fault_of({**CALL, "params": params})
    assert (fault.name, fault.code) == ("Invalid params", -32602)


@pytest.mark.parametrize("call_id", ["7", "", 7, 7.5, 0, "\ud800"])
def test_the_id_is_sent_back(call_id: Any) -> None:
    """As it came, also half a surrogate, which is JSON and no UTF-8."""
    document = read_document(json.dumps({**CALL, "id": call_id}).encode())
    for text in (result_text(id_of(document), [1]), fault_text(id_of(document), Fault(("a", 1), "b"))):
        assert json.loads(text)["id"] == call_id


def test_the_error_block() -> None:
    """Exactly the four keys that the generated clients take apart."""
    document = json.loads(fault_text(None, Fault(("Server error", -32000), "why")))
    assert document == {
        "version": "1.1",
        "id": None,
        "error": {"name": "Server error", "code": -32000, "message": "why", "error": ""},
    }
