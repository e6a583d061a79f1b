"""The OpenAPI document: complete, with examples and with every error that an operation may answer.

Routes name the schema of their answer; the schemas are here, beside those of the bodies, and
``document`` puts all of it together. A fuzzer compares it with what the API does.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic.json_schema import models_json_schema

from controller.api import bodies, problems
from controller.api.schemas import ANSWERS
from controller.specfile import json_schema

REFS = "#/components/schemas/{model}"
JSON = "application/json"
_DETAILS = {
    401: "no token was sent: send one as 'Authorization: Bearer …'",
    403: "batch sweep belongs to ada, and you are bob: ask its owner, or an admin with --as-admin",
    404: "there is no batch sweep, or it is not yours to see: list what there is",
    405: "DELETE is not for /api/v1/jobs: use GET",
    408: "the body did not come within 60 s: send it at once; nothing was done",
    409: "sweep-7-r1 is under way already (waiting): wait for its end",
    413: "12,000 ids: send at most 10,000 in one request; nothing was done",
    415: "the body is text/plain: send application/json",
    422: "job_ids.0: String should match pattern '^[0-9a-f]{24}$': correct it; nothing was done",
    429: "more than 50 requests a second: ask again in 1 s",
    500: "this is a bug in batchkeeper: its log has the traceback",
    503: "mongodb: jobs got no answer: ask again",
}
_WAIT = {"Retry-After": {"description": "Seconds to wait.", "schema": {"type": "integer"}}}


def answered(
    name: str, example: Any, *, status: int = 200, more: Sequence[str] = ()
) -> dict[int | str, dict[str, Any]]:
    """The good answer of a route: the name of its schema in ``schemas``, and an example."""
    names = [{"$ref": REFS.format(model=one)} for one in (name, *more)]
    schema = {"anyOf": names} if more else names[0]
    return {
        status: {
            "description": HTTPStatus(status).phrase,
            "content": {JSON: {"schema": schema, "example": example}},
        }
    }


def paged(name: str, example: Any) -> dict[int | str, dict[str, Any]]:
    """The good answer of a route that gives pages of these."""
    whole = {"items": [example], "next": None, "total": 1, "total_is_exact": True}
    return answered(f"{name}Page", whole)


def document(app: FastAPI) -> dict[str, Any]:
    """The whole document of an application, made once."""
    if app.openapi_schema is None:
        made = get_openapi(title=app.title, version=app.version, description=_DESCRIPTION, routes=app.routes)
        _, schemas = models_json_schema(
            [(model, "validation") for model in (*bodies.ALL, *ANSWERS)], ref_template=REFS
        )
        components = made.setdefault("components", {}).setdefault("schemas", {})
        for unused in ("HTTPValidationError", "ValidationError"):
            components.pop(unused, None)
        components.update(schemas["$defs"])
        components.update(_spec())
        for operation in _operations(made):
            _add_errors(operation)
        app.openapi_schema = made
    return app.openapi_schema


def _spec() -> dict[str, Any]:
    """The schema of a spec, its parts beside it under names of their own."""
    whole = json.dumps(json_schema()).replace('"#/$defs/', '"#/components/schemas/Spec')
    spec: dict[str, Any] = json.loads(whole)
    spec.pop("$schema", None)
    spec.pop("$id", None)
    parts = spec.pop("$defs", {})
    return {"Spec": spec, **{f"Spec{name}": part for name, part in parts.items()}}


_DESCRIPTION = (
    "Batches of jobs that are kept going on a shared cluster. Every error is a problem document (RFC 9457) "
    "that says what happened and what to do. See docs/api.md."
)


def _operations(made: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [
        operation
        for path, item in made["paths"].items()
        if path.startswith("/api/")
        for operation in item.values()
    ]


def _add_errors(operation: dict[str, Any]) -> None:
    responses = operation["responses"]
    responses.pop("422", None)
    for status, detail in _DETAILS.items():
        described: dict[str, Any] = {
            "description": HTTPStatus(status).phrase,
            "content": {
                problems.MEDIA_TYPE: {
                    "schema": {"$ref": REFS.format(model="Problem")},
                    "example": {
                        "type": "urn:batchkeeper:problem:example",
                        "title": HTTPStatus(status).phrase,
                        "status": status,
                        "detail": detail,
                        "instance": "/api/v1/batches",
                        "request_id": "3f1c9a0b8e7d4c2a",
                    },
                }
            },
        }
        if status in (429, 503):
            described["headers"] = _WAIT
        responses[str(status)] = described
