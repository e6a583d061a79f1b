"""A small client of the Kubernetes API for tests: JSON in, JSON out, one connection per call, no retries.

It is not the client that the program uses, so that what a test sets up or judges does not go through the
code that it tests.
"""

from __future__ import annotations

import http.client
import json
import socket
import ssl
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

Document = dict[str, Any]

JSON = "application/json"
MERGE = "application/merge-patch+json"
SECONDS = 30.0
"""How long a call may take."""
SILENCE = 90.0
"""How long a watch may be silent: bookmarks come every minute."""


class Refused(Exception):
    """The API server answered, and not with success."""

    def __init__(self, status: int, reason: str, message: str) -> None:
        super().__init__(f"{status} {reason}: {message}")
        self.status = status
        self.reason = reason


@dataclass(frozen=True)
class Api:
    """Somebody who talks to an API server. Raises ``Refused``, or ``OSError`` when nobody answers."""

    url: str
    ca: Path
    token: str = field(default="", repr=False)
    certificate: tuple[Path, Path] | None = None
    """A client certificate and its key, for whoever has no token."""

    def get(self, path: str, **query: str) -> Document:
        """One object, or one list."""
        return self.call("GET", path, query=query)

    def create(self, path: str, body: Mapping[str, Any]) -> Document:
        """POST an object to its collection, or to a subresource."""
        return self.call("POST", path, body)

    def patch(self, path: str, body: Mapping[str, Any]) -> Document:
        """A merge patch."""
        return self.call("PATCH", path, body, content=MERGE)

    def delete(self, path: str, **options: Any) -> Document:
        """Delete an object; ``options`` as DeleteOptions has them."""
        return self.call("DELETE", path, {"apiVersion": "v1", "kind": "DeleteOptions", **options})

    def find(self, path: str, **query: str) -> Document | None:
        """One object; None: there is none."""
        try:
            return self.get(path, **query)
        except Refused as refused:
            if refused.status == 404:
                return None
            raise

    def text(self, path: str, **query: str) -> str:
        """What is no JSON: a log, a health check."""
        return self._sent("GET", path, None, query, JSON).decode()

    def call(
        self,
        verb: str,
        path: str,
        body: Mapping[str, Any] | None = None,
        query: Mapping[str, str] | None = None,
        content: str = JSON,
    ) -> Document:
        """Any request; its answer."""
        answer: Document = json.loads(self._sent(verb, path, body, query or {}, content))
        return answer

    def watch(self, path: str, revision: str, seconds: float = 300) -> Iterator[Document]:
        """Events after a revision, until the server ends the watch; one of type ERROR raises ``Refused``."""
        query = {
            "watch": "true",
            "allowWatchBookmarks": "true",
            "resourceVersion": revision,
            "timeoutSeconds": str(int(seconds)),
        }
        connection = self._connection(SILENCE)
        try:
            connection.request("GET", f"{path}?{urlencode(query)}", headers=self._headers(JSON))
            answer = connection.getresponse()
            if answer.status >= 400:
                raise _refused(answer.status, answer.read())
            while line := answer.readline():
                event: Document = json.loads(line)
                if event["type"] == "ERROR":
                    raise _refused(event["object"].get("code", 500), json.dumps(event["object"]).encode())
                yield event
        finally:
            connection.close()

    def _sent(
        self, verb: str, path: str, body: Mapping[str, Any] | None, query: Mapping[str, str], content: str
    ) -> bytes:
        connection = self._connection(SECONDS)
        try:
            target = f"{path}?{urlencode(query)}" if query else path
            sent = None if body is None else json.dumps(body)
            connection.request(verb, target, sent, self._headers(content))
            answer = connection.getresponse()
            read = answer.read()
        except http.client.HTTPException as error:
            raise ConnectionError(f"{verb} {path}: {error!r}") from error
        finally:
            connection.close()
        if answer.status >= 400:
            raise _refused(answer.status, read)
        return read

    def _connection(self, patience: float) -> http.client.HTTPSConnection:
        place = urlsplit(self.url)
        context = ssl.create_default_context(cafile=self.ca)
        if self.certificate:
            context.load_cert_chain(*self.certificate)
        assert place.hostname
        connection = http.client.HTTPSConnection(
            place.hostname, place.port, timeout=patience, context=context
        )
        connection.connect()
        connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return connection

    def _headers(self, content: str) -> dict[str, str]:
        headers = {"Content-Type": content, "Accept": "application/json, */*"}
        return headers | ({"Authorization": f"Bearer {self.token}"} if self.token else {})


def _refused(status: int, read: bytes) -> Refused:
    try:
        told = json.loads(read)
        return Refused(status, str(told.get("reason", "")), str(told.get("message", "")))
    except ValueError:
        return Refused(status, "", read.decode(errors="replace")[:300])
