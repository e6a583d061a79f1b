"""Errors as RFC 9457 problem details: what happened, where, what to do. Every error of the API is one.

Raised by every route; ``install`` makes answers of them, and of what FastAPI and the engine raise.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from pydantic import ValidationError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from controller.api.audit import entry_of
from controller.finding import Ambiguous
from controller.people import NotAllowed, NotFound, Refused
from controller.ports import BatchkeeperError, Conflict, Rejected, Unavailable
from controller.telemetry import get_logger

MEDIA_TYPE = "application/problem+json"
AGAIN = 5
"""Seconds that a client is asked to wait when something is away."""
_SHOWN = 50
"""Complaints listed in one answer."""
_log = get_logger(__name__)


class Problem(Exception):
    """An answer that is an error. ``kind`` is stable, for programs; ``detail`` says what to do."""

    def __init__(
        self,
        status: int,
        kind: str,
        detail: str,
        *,
        headers: Mapping[str, str] | None = None,
        errors: Sequence[Mapping[str, Any]] = (),
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.kind = kind
        self.detail = detail
        self.headers = dict(headers or {})
        self.errors = tuple(errors)


def document(problem: Problem, request: Request) -> dict[str, Any]:
    """The body of the answer."""
    body: dict[str, Any] = {
        "type": f"urn:batchkeeper:problem:{problem.kind}",
        "title": HTTPStatus(problem.status).phrase,
        "status": problem.status,
        "detail": problem.detail,
        "instance": request.url.path,
        "request_id": getattr(request.state, "request_id", ""),
    }
    if problem.errors:
        body["errors"] = [dict(error) for error in problem.errors[:_SHOWN]]
    return body


def answer(problem: Problem, request: Request) -> Response:
    """The problem as a response; an order's audit line has its kind."""
    entry_of(request).refused(problem.kind)
    return JSONResponse(
        document(problem, request), problem.status, headers=problem.headers, media_type=MEDIA_TYPE
    )


def unavailable(error: Exception) -> Problem:
    """Something that is needed is away; nothing was written, or it may be repeated with its key."""
    return Problem(503, "unavailable", f"{error}: ask again", headers={"Retry-After": str(AGAIN)})


def of_error(error: BatchkeeperError) -> Problem:
    """What an error of the engine is over HTTP."""
    text = str(error)
    if isinstance(error, NotFound):
        return Problem(404, "not-found", text)
    if isinstance(error, NotAllowed):
        return Problem(403, "not-allowed", text)
    if isinstance(error, Ambiguous):
        return Problem(409, "ambiguous", text)
    if isinstance(error, Refused):
        return Problem(409, "refused", text)
    if isinstance(error, Conflict):
        return Problem(409, "conflict", f"{text}: read again, then ask again")
    if isinstance(error, Rejected):
        return Problem(422, "rejected", text)
    if isinstance(error, Unavailable):
        return unavailable(error)
    return Problem(500, "failed", text)


def of_validation(errors: Sequence[Mapping[str, Any]]) -> Problem:
    """Everything that is wrong with a request at once; values are not repeated, for one may be a secret."""
    found = [
        {
            "where": ".".join(str(part) for part in error.get("loc", ())),
            "problem": str(error.get("msg", "")).removeprefix("Value error, "),
        }
        for error in errors
    ]
    first = "; ".join(f"{one['where']}: {one['problem']}" for one in found[:3])
    more = f" and {len(found) - 3} more" if len(found) > 3 else ""
    return Problem(422, "invalid", f"{first}{more}: correct it; nothing was done", errors=found)


def of_http(error: HTTPException, request: Request) -> Problem:
    """What the framework refuses by itself."""
    headers = dict(error.headers or {})
    path = request.url.path
    if error.status_code == 404:
        return Problem(404, "no-such-path", f"there is nothing at {path}: /openapi.json lists what there is")
    if error.status_code == 405:
        allowed = headers.get("Allow") or headers.get("allow") or "another"
        return Problem(
            405, "method", f"{request.method} is not for {path}: use {allowed}", headers={"Allow": allowed}
        )
    return Problem(error.status_code, "refused", str(error.detail), headers=headers)


def install(app: FastAPI) -> None:
    """Make problems of everything that goes wrong."""

    async def problem(request: Request, error: Exception) -> Response:
        assert isinstance(error, Problem)
        return answer(error, request)

    async def ours(request: Request, error: Exception) -> Response:
        assert isinstance(error, BatchkeeperError)
        found = of_error(error)
        if found.status == 500:
            _log.error("request failed", path=request.url.path, error=str(error))
        return answer(found, request)

    async def invalid(request: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError | ValidationError)
        return answer(of_validation(error.errors()), request)

    async def http(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        return answer(of_http(error, request), request)

    async def left(request: Request, error: Exception) -> Response:
        """Nobody reads this answer: its sender left within the body, and nothing was done."""
        return answer(Problem(400, "left", "the connection ended before the body did"), request)

    async def bug(request: Request, error: Exception) -> Response:
        """uvicorn logs its traceback; the client gets where to look."""
        request_id = getattr(request.state, "request_id", "")
        text = f"this is a bug in batchkeeper: its log has the traceback; report it with request {request_id}"
        return answer(Problem(500, "bug", text), request)

    app.add_exception_handler(Problem, problem)
    app.add_exception_handler(BatchkeeperError, ours)
    app.add_exception_handler(RequestValidationError, invalid)
    app.add_exception_handler(ValidationError, invalid)
    app.add_exception_handler(HTTPException, http)
    app.add_exception_handler(ClientDisconnect, left)
    app.add_exception_handler(Exception, bug)
