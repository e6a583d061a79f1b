"""Bodies of requests: read after the caller is known, closed, and typed strictly; nothing is guessed.

A value that is not of its type is refused, so no mapping can reach the store where a text is meant.
"""

from __future__ import annotations

import json
from typing import Annotated, Any, TypeVar

from fastapi import Request
from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationError,
    WithJsonSchema,
)

from controller.api.problems import Problem, of_validation
from controller.core.model import Resources
from controller.core.settings import MOST_CONCURRENT
from controller.people import LONGEST_WHY, WHY
from controller.specfile import scalars

MOST_IDS = 10_000
JSON = "application/json"
B = TypeVar("B", bound="Body")

Id = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{24}$")]


def _a_text(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError("an amount is a text: write it between quotes")
    return value


Cpu = Annotated[
    scalars.Cpu,
    BeforeValidator(_a_text),
    WithJsonSchema({"type": "string", "pattern": r"^[0-9]{1,6}(\.[0-9]{1,3}|m)?$"}),
]
Memory = Annotated[
    scalars.Memory,
    BeforeValidator(_a_text),
    WithJsonSchema({"type": "string", "pattern": r"^[0-9]{1,18}(\.[0-9]{1,9})?([kMGTP]|[KMGTP]i)?$"}),
]
"""As specs have them; a body has them as texts."""
Why = Annotated[str, StringConstraints(min_length=1, max_length=LONGEST_WHY, pattern=WHY)]


class Body(BaseModel):
    """A closed object; the docstring below a key is its description."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, use_attribute_docstrings=True)


class Overrides(Body):
    """What the retry requests instead of what the job did; what is left out stays as it was."""

    cpu: Cpu | None = None
    """Cores, as in a spec: `4`, `0.5`, `500m`."""
    memory: Memory | None = None
    """Memory, as in a spec: `64Gi`, `1.5Gi`."""
    gpu: Annotated[int, Field(ge=0, le=1000)] | None = None
    """GPUs."""

    def over(self, own: Resources) -> Resources:
        """These resources with what is said here."""
        return Resources(
            own.cpu if self.cpu is None else self.cpu,
            own.memory if self.memory is None else self.memory,
            own.gpu if self.gpu is None else self.gpu,
        )


class AsAdmin(Body):
    """An order for a batch or for everything."""

    as_admin: bool = False
    """Act as an admin, on what belongs to others."""


class Retry(AsAdmin):
    """A retry of one job."""

    resources: Overrides | None = None
    """Other resources than before."""
    now: bool = False
    """Where a retry already waits out its back-off, that one starts with the next free place."""


class RetryMany(Retry):
    """A retry of many jobs, of any batches."""

    job_ids: list[Id] = Field(min_length=1, json_schema_extra={"maxItems": MOST_IDS})
    """Which, each once; at most 10,000."""


class Cancel(AsAdmin):
    """A cancel of one job or of a batch."""

    why: Why = "cancelled over the API"
    """Kept on the record."""


class CancelMany(Cancel):
    """A cancel of many jobs."""

    job_ids: list[Id] = Field(min_length=1, json_schema_extra={"maxItems": MOST_IDS})
    """Which; at most 10,000."""


class Scale(AsAdmin):
    """Another maxConcurrent."""

    max_concurrent: Annotated[int, Field(ge=1, le=MOST_CONCURRENT)]
    """Active jobs of the batch, at most."""


class Halt(AsAdmin):
    """A kill switch for every batch."""

    what: Annotated[str, StringConstraints(pattern=r"^(submissions|retries)$")]
    """`submissions`, or automatic `retries`."""
    why: Why = "halted over the API"
    """Shown to whoever asks why nothing starts."""


class Unhalt(AsAdmin):
    """The end of a halt."""

    what: Annotated[str, StringConstraints(pattern=r"^(submissions|retries)$")]
    """`submissions`, or automatic `retries`."""


ALL: tuple[type[Body], ...] = (AsAdmin, Retry, RetryMany, Cancel, CancelMany, Scale, Halt, Unhalt)


async def read(request: Request, model: type[B]) -> B:
    """The body of a request; an empty one says nothing. Raises ``Problem``: 413, 415, 422."""
    content = await request.body()
    if content and media_type(request) != JSON:
        raise Problem(415, "media-type", f"the body is {media_type(request) or 'of no type'}: send {JSON}")
    try:
        data = json.loads(content) if content else {}
    except (ValueError, RecursionError) as error:
        raise Problem(422, "invalid", f"body: is no JSON ({error}): nothing was done") from None
    if isinstance(data, dict) and isinstance(ids := data.get("job_ids"), list) and len(ids) > MOST_IDS:
        raise Problem(
            413, "too-many", f"{len(ids):,} ids: send at most {MOST_IDS:,} in one request; nothing was done"
        )
    try:
        return model.model_validate(data)
    except ValidationError as error:
        raise of_validation(error.errors(include_url=False)) from None


def media_type(request: Request) -> str:
    """The type of the body as it is told, without its parameters."""
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


def body_document(model: type[Body], example: dict[str, Any], *, required: bool = True) -> dict[str, Any]:
    """What OpenAPI says of the body of a route, which ``read`` reads."""
    schema = {"$ref": f"#/components/schemas/{model.__name__}"}
    return {"requestBody": {"required": required, "content": {JSON: {"schema": schema, "example": example}}}}
