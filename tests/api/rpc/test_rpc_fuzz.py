"""Whatever is sent to /rpc: a well-formed answer, and nothing written for what was refused."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from controller.core.model import Status, Verdict
from tests.api.rpc.client import Raw
from tests.api.rpc.world import ADA, BOB, ROOT, RpcWorld

METHODS = ("retry_job", "retry_jobs", "check_job", "check_jobs", "check_job_batch", "cancel_job")
KEYS = ("job_id", "job_ids", "as_admin", "exclude_fields", "return_list", "terminated_code", "$where")
IDS = ("<error>", "<running>", "<parent>", "0" * 24, "x", "")
"""In place of the first three stand ids that are there."""
KINDS = {
    "Parse error": -32700,
    "Invalid Request": -32600,
    "Method not found": -32601,
    "Invalid params": -32602,
    "Server error": -32000,
}
INTERNALS = ("Traceback", "controller", "mongo", "pymongo", "bson", ".py", "NoneType", "object at")

scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=True) | st.text(max_size=20)
values = st.recursive(
    scalars | st.sampled_from(IDS),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(("$ne", "$gt", "$in", "job_id")) | st.text(max_size=5), inner, max_size=3
        )
    ),
    max_leaves=8,
)
params = st.fixed_dictionaries(
    {},
    optional={
        **dict.fromkeys(KEYS, values),
        "job_id": st.sampled_from(IDS) | values,
        "job_ids": st.lists(st.sampled_from(IDS), max_size=5) | values,
        "as_admin": st.sampled_from([0, 1, True, None]) | values,
    },
)
calls = st.fixed_dictionaries(
    {
        "version": st.just("1.1") | values,
        "id": st.integers() | st.text(max_size=8) | values,
        "method": st.sampled_from([f"execution_engine2.{name}" for name in METHODS]) | values,
        "params": st.lists(params, min_size=1, max_size=1) | values,
    }
)
likely = st.fixed_dictionaries(
    {
        "version": st.just("1.1"),
        "id": st.text(max_size=8),
        "method": st.sampled_from([f"execution_engine2.{name}" for name in METHODS]),
        "params": params.map(lambda one: [one]),
    }
)


@st.composite
def mangled(draw: st.DrawFn) -> bytes:
    """A call whose text was damaged in one place."""
    text = json.dumps(draw(likely)).encode()
    at = draw(st.integers(0, len(text)))
    return text[:at] + draw(st.binary(max_size=3)) + text[at + draw(st.integers(0, 3)) :]


bodies = (likely | calls | values).map(lambda value: json.dumps(value).encode()) | mangled() | st.binary()


@given(body=bodies, token=st.sampled_from([ADA, ADA, BOB, ROOT, "nobody", None]))
@settings(
    max_examples=150,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
def send_anything(
    rpc: RpcWorld, ids: dict[str, str], loop: asyncio.AbstractEventLoop, body: bytes, token: str | None
) -> None:
    """One request, and what must be true of its answer."""
    for name, found in ids.items():
        body = body.replace(name.encode(), found.encode())
    before = rpc.dump()
    answer = asyncio.run_coroutine_threadsafe(rpc.send(body, token), loop).result(120)
    must_be_well_formed(answer)
    if answer.status != 200:
        assert rpc.dump() == before


def must_be_well_formed(answer: Raw) -> None:
    """200 with results, or 500 or 413 with one of the known blocks, which tells nothing of our making."""
    assert answer.status in (200, 413, 500)
    assert answer.content_type == "application/json"
    document: dict[str, Any] = answer.document
    assert document["version"] == "1.1"
    if answer.status == 200:
        assert set(document) == {"version", "id", "result"}
        assert isinstance(document["result"], list)
        return
    assert set(document) == {"version", "id", "error"}
    block = document["error"]
    assert set(block) == {"name", "code", "message", "error"}
    assert KINDS[block["name"]] == block["code"]
    assert block["message"]
    assert block["error"] == ""
    assert not [word for word in INTERNALS if word in block["message"]]


async def test_fuzz(rpc: RpcWorld) -> None:
    """Calls right and wrong, JSON that is none, bytes that are no JSON, from owners, others and nobody."""
    ended = await rpc.records.put(Status.ERROR, verdict=Verdict.APPLICATION_ERROR)
    running = await rpc.records.put(Status.RUNNING)
    ids = {"<error>": ended.id, "<running>": running.id, "<parent>": rpc.records.batch_id}
    loop = asyncio.get_running_loop()
    await asyncio.to_thread(send_anything, rpc, ids, loop)
