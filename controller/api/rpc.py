"""`POST /rpc`: JSON-RPC 1.1 over HTTP, as KBase's execution_engine2 answers its generated clients.

`application` adds the router. A result is answered 200, every fault 500 with an error block and the content
type exactly ``application/json``: nothing else is read by those clients. Too much is 413, too slow 408.
It is in no OpenAPI document: six methods on one path are not what that describes (docs/rpc.md does).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fastapi import APIRouter, FastAPI, Request, Response
from starlette.requests import ClientDisconnect

from controller.api.audit import entry_of
from controller.api.context import Asker, context_of
from controller.api.problems import Problem
from controller.api.rpc_call import (
    INVALID_REQUEST,
    PARSE_ERROR,
    SERVER_ERROR,
    Fault,
    Id,
    call_of,
    fault_text,
    id_of,
    read_document,
    result_text,
)
from controller.api.rpc_methods import method_of, not_begun, not_let_in, run
from controller.ports import BatchkeeperError, Unavailable
from controller.telemetry import get_logger

NOT_ALLOWED, UNKNOWN, AWAY = 405, 401, 503
AWAY_KIND = "unavailable"
OTHERS = ["GET", "HEAD", "PUT", "PATCH", "DELETE", "OPTIONS"]
NO_TOKEN = "Authentication required for execution_engine2 but no authentication header was passed"
NOT_VALID = "Token validation failed: it is not valid, or no longer"
NOT_TOLD = "Token validation failed: whose it is can't be told just now; ask again in a moment"
NO_ANSWER = (
    "the database can't be asked, or did not answer: what was asked may or may not have been done; "
    "ask again in a moment"
)
NOT_STORED = "the database refused what was asked: the log of batchkeeper says why"

router = APIRouter(include_in_schema=False)
_log = get_logger(__name__)


@router.post("/rpc")
async def call(request: Request) -> Response:
    """One call, and its answer whatever it is."""
    call_id: Id = None
    try:
        asker = await _known(request)
        document = read_document(await _body(request))
        call_id = id_of(document)
        return _response(200, result_text(call_id, await _results(request, asker, document)))
    except Fault as fault:
        return _response(fault.status, fault_text(call_id, fault), fault.headers)
    except BatchkeeperError as error:
        # Names of hosts and collections are for the log.
        _log.warning("rpc failed", error=str(error))
        told = NO_ANSWER if isinstance(error, Unavailable) else NOT_STORED
        return _response(500, fault_text(call_id, Fault(SERVER_ERROR, told)))


@router.api_route("/rpc", methods=OTHERS)
async def other(request: Request) -> Response:
    """Another verb than POST."""
    fault = Fault(INVALID_REQUEST, f"{request.method} is not for /rpc: send a call by POST")
    return _response(NOT_ALLOWED, fault_text(None, fault), {"Allow": "POST"})


def refuse(app: FastAPI, why: str) -> None:
    """Answer every call with this sentence, on an application where there is nothing to call."""

    async def refused() -> Response:
        return _response(500, fault_text(None, Fault(SERVER_ERROR, why)))

    app.add_api_route("/rpc", refused, methods=["POST", *OTHERS], include_in_schema=False)


async def _results(request: Request, asker: Asker, document: Any) -> list[Any]:
    asked = call_of(document)
    method = method_of(asked)
    world = context_of(request).world
    if world is None:
        not_begun(method, asked, entry_of(request), AWAY_KIND)
        raise Unavailable("the store has not been reached since this process started")
    return await run(method, world.people, asker, asked)


async def _known(request: Request) -> Asker:
    """Whoever sent this. A cookie is nobody's: other origins could make a browser send it."""
    token = token_of(request.headers.get("authorization"))
    try:
        return await context_of(request).ask(request, token)
    except Problem as problem:
        not_let_in(entry_of(request), problem.kind)
        unknown = NOT_VALID if token else NO_TOKEN
        told = {UNKNOWN: unknown, AWAY: NOT_TOLD}.get(problem.status, problem.detail)
        again = {name: value for name, value in problem.headers.items() if name == "Retry-After"}
        raise Fault(SERVER_ERROR, told, headers=again) from problem


def token_of(header: str | None) -> str:
    """The bare token, as EE2's clients send it, or one after the word Bearer; empty: there is none."""
    whole = (header or "").strip()
    scheme, _, token = whole.partition(" ")
    return token.strip() if scheme.lower() == "bearer" else whole


async def _body(request: Request) -> bytes:
    """The body. Raises ``Fault`` when it is longer or slower than the guard allows, or its sender left."""
    try:
        return await request.body()
    except ClientDisconnect:
        raise Fault(PARSE_ERROR, "the connection ended before the body did") from None
    except Problem as problem:
        raise Fault(INVALID_REQUEST, problem.detail, problem.status, problem.headers) from problem


def _response(status: int, content: bytes, headers: Mapping[str, str] | None = None) -> Response:
    return Response(content, status, headers, media_type="application/json")
