"""The web page: files of ours, served as they are; what they show they ask the API for.

Anybody may load it: it holds nothing but the way to ask. Put on the application by ``application``.
"""

from __future__ import annotations

import hashlib
from functools import lru_cache
from importlib.resources import files
from typing import Annotated

from fastapi import APIRouter, Path, Request
from fastapi.responses import Response

from controller.api.problems import Problem

router = APIRouter(include_in_schema=False)
TYPES = {
    "html": "text/html; charset=utf-8",
    "css": "text/css; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "svg": "image/svg+xml",
}
Name = Annotated[str, Path(pattern=r"^[a-z]{1,30}\.(css|js|svg)$")]


@router.get("/")
async def page(request: Request) -> Response:
    """The page itself."""
    return _answer(request, "index.html")


@router.get("/web/{name}")
async def part(request: Request, name: Name) -> Response:
    """A script, the style, or the icon."""
    return _answer(request, name)


def _answer(request: Request, name: str) -> Response:
    """The file, unless the browser has this very one."""
    found = content(name)
    if found is None:
        raise Problem(404, "no-such-path", f"the page has no {name}: it begins at /")
    body, tag = found
    headers = {"etag": tag, "cache-control": "no-cache"}
    if request.headers.get("if-none-match") == tag:
        return Response(status_code=304, headers=headers)
    return Response(body, headers={**headers, "content-type": TYPES[name.rpartition(".")[2]]})


@lru_cache(64)  # names that anybody makes up are asked for, too
def content(name: str) -> tuple[bytes, str] | None:
    """A file and its tag; None: there is none of that name."""
    file = files("controller.api") / "web" / name
    if not file.is_file():
        return None
    body = file.read_bytes()
    return body, f'"{hashlib.sha256(body).hexdigest()[:16]}"'
