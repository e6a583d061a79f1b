"""A client of EE2, written from the protocol: what KBase's generated clients send, and what they make of
what comes back. It knows nothing of our server.

A call is one POST of a JSON text without a content type; the token stands bare in the header. HTTP 500 is an
error whose block is read only under the content type ``application/json``, letter for letter; any other
failure of HTTP is no answer of the service at all.
"""

from __future__ import annotations

import http.client
import json
import random
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit


class ServerError(Exception):
    """The service's error block: exactly these keys, or the client fails on it."""

    def __init__(
        self, name: str, code: int, message: str | None, data: str | None = None, error: str | None = None
    ) -> None:
        super().__init__(message)
        self.name, self.code, self.message = name, code, message or ""
        self.data = data or error or ""

    def __str__(self) -> str:
        return self.name + ": " + str(self.code) + ". " + self.message + "\n" + self.data


class HttpError(Exception):
    """HTTP failed with another status than 500."""

    def __init__(self, status: int) -> None:
        super().__init__(f"HTTP status {status}")
        self.status = status


@dataclass(frozen=True)
class Raw:
    """What came back over the wire."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def content_type(self) -> str | None:
        """As it is told, letter for letter."""
        return self.headers.get("content-type")

    @property
    def document(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body)


def post(url: str, body: bytes, headers: dict[str, str], verb: str = "POST") -> Raw:
    """One request over a connection of its own."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=120)
    try:
        connection.request(verb, f"{parts.path}?{parts.query}" if parts.query else parts.path, body, headers)
        answer = connection.getresponse()
        told = {name.lower(): value for name, value in answer.getheaders()}
        return Raw(answer.status, told, answer.read())
    finally:
        connection.close()


@dataclass(frozen=True)
class Ee2Client:
    """The client of one user."""

    url: str
    token: str | None

    def call(self, method: str, *params: Any, context: dict[str, Any] | None = None) -> Any:
        """What the method gives back: one value is unwrapped, none is None."""
        asked: dict[str, Any] = {
            "method": f"execution_engine2.{method}",
            "params": params,
            "version": "1.1",
            "id": str(random.random())[2:],
        }
        if context:
            asked["context"] = context
        headers = {} if self.token is None else {"AUTHORIZATION": self.token}
        answer = post(self.url, json.dumps(asked).encode(), headers)
        if answer.status == 500:
            if answer.content_type != "application/json" or "error" not in answer.document:
                raise ServerError("Unknown", 0, answer.body.decode())
            raise ServerError(**answer.document["error"])
        if answer.status >= 400:
            raise HttpError(answer.status)
        document = answer.document
        if "result" not in document:
            raise ServerError("Unknown", 0, "An unknown server error occurred")
        assert (document["version"], document["id"]) == ("1.1", asked["id"])
        results = document["result"]
        if not results:
            return None
        return results[0] if len(results) == 1 else results
