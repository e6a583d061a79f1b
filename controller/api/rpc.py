"""`POST /rpc`: JSON-RPC 1.1 over HTTP, as KBase's execution_engine2 answers its generated clients.

`routes` add it to the application. A result is answered 200, every fault 500 with an error block and the
content type exactly ``application/json``: nothing else is read by those clients. Too much is answered 413.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from fastapi import FastAPI, Request, Response

from controller.api.rpc_call import (
    INVALID_REQUEST,
    SERVER_ERROR,
    Fault,
    Id,
    call_of,
    fault_text,
    id_of,
    read_document,
    result_text,
)
from controller.api.rpc_methods import Asker, method_of, run
from controller.api.rpc_params import TOO_LARGE
from controller.people import People
from controller.ports import BatchkeeperError, Unavailable
from controller.telemetry import get_logger

MAX_BODY = 2**20
NOT_ALLOWED = 405
OTHERS = ["GET", "HEAD", "PUT", "PATCH", "DELETE", "OPTIONS"]
NO_TOKEN = "Authentication required for execution_engine2 but no authentication header was passed"
AWAY = (
    "the database can't be asked, or did not answer: what was asked may or may not have been done; "
    "ask again in a moment"
)

_log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Rpc:
    """What the endpoint works with. ``know`` raises ``Fault`` for a token that is nobody's."""

    people: Callable[[], People | None]
    """None: not yet, the store has not answered since the start."""
    know: Callable[[str], Awaitable[Asker]]
    max_body: int = MAX_BODY


def add_rpc(app: FastAPI, rpc: Rpc) -> None:
    """Add the route. It is in no OpenAPI document: one path with six methods is not what that describes."""

    async def call(request: Request) -> Response:
        """One call."""
        return await answer(rpc, request)

    async def other(request: Request) -> Response:
        """Another verb than POST."""
        fault = Fault(INVALID_REQUEST, f"{request.method} is not for /rpc: send a call by POST", NOT_ALLOWED)
        return _response(fault.status, fault_text(None, fault), {"Allow": "POST"})

    app.add_api_route("/rpc", call, methods=["POST"], include_in_schema=False)
    app.add_api_route("/rpc", other, methods=OTHERS, include_in_schema=False)


async def answer(rpc: Rpc, request: Request) -> Response:
    """The answer to one request, whatever it is."""
    call_id: Id = None
    try:
        document = read_document(await _body(request, rpc.max_body))
        call_id = id_of(document)
        return _response(200, result_text(call_id, await _results(rpc, request, document)))
    except Fault as fault:
        return _response(fault.status, fault_text(call_id, fault))
    except BatchkeeperError as error:
        _log.warning("rpc failed", error=str(error))
        return _response(500, fault_text(call_id, Fault(SERVER_ERROR, _outside(error))))


async def _results(rpc: Rpc, request: Request, document: object) -> list[object]:
    call = call_of(document)
    method = method_of(call)
    asker = await rpc.know(token_of(request.headers.get("authorization")))
    people = rpc.people()
    if people is None:
        raise Unavailable("the store has not answered yet")
    return await run(method, people, asker, call)


def token_of(header: str | None) -> str:
    """The bare token, as EE2's clients send it, or one after the word Bearer. Raises ``Fault``."""
    scheme, _, token = (header or "").strip().partition(" ")
    found = token.strip() if scheme.lower() == "bearer" else (header or "").strip()
    if not found:
        raise Fault(SERVER_ERROR, NO_TOKEN)
    return found


async def _body(request: Request, at_most: int) -> bytes:
    """The body. Raises ``Fault`` as soon as it is too long, however long it says it is."""
    read = bytearray()
    async for chunk in request.stream():
        read += chunk
        if len(read) > at_most:
            raise Fault(INVALID_REQUEST, f"a body of more than {at_most} bytes", TOO_LARGE)
    return bytes(read)


def _outside(error: BatchkeeperError) -> str:
    """What a caller is told of an error of ours: names of hosts and collections are for the log."""
    return AWAY if isinstance(error, Unavailable) else "the request could not be stored: the log says why"


def _response(status: int, content: bytes, headers: dict[str, str] | None = None) -> Response:
    return Response(content, status, headers, media_type="application/json")
